"""What looks at awaited tasks mean, and what is told of them: the same in every mode of a sensor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from airflow_provider_sptasks.arguments import cut_list
from airflow_provider_sptasks.client.errors import NotFoundError, SailPointError
from airflow_provider_sptasks.client.launches import launched_since
from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus
from airflow_provider_sptasks.client.reading import MAX_TEXT
from airflow_provider_sptasks.exceptions import SailPointSourceNotFoundError, SailPointTaskNotFoundError


class Verdict(NamedTuple):
    """
    What a look means.

    :param is_done: whether the gate opens
    :param opened_by: the tasks that opened it, in the order of what is waited for
    :param refused: the tasks that ended otherwise
    :param look_again_at: when the verdict may be another without any news, UTC
    """

    is_done: bool
    opened_by: tuple[TaskStatus, ...] = ()
    refused: tuple[TaskStatus, ...] = ()
    look_again_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether another look could not change it."""
        return self.is_done or bool(self.refused)

    def result(self, single: bool) -> Any:
        """
        Return what a sensor returns when the gate opens.

        :param single: whether one thing was waited for by itself, and not a list
        """
        statuses = [status.to_json() for status in self.opened_by]
        return statuses[0] if single else statuses


def judge(
    task_status_ids: Sequence[str],
    found: Mapping[str, TaskStatus],
    accepted: Collection[CompletionStatus] | None,
) -> Verdict:
    """
    Decide what the tasks' statuses mean: the one place that does, whatever the sensor's mode.

    :param task_status_ids: the tasks that are waited for
    :param found: those of them that were seen
    :param accepted: the statuses that open the gate; ``None`` for any that is set
    """
    ended = [found[each] for each in task_status_ids if each in found and found[each].is_complete]
    refused = tuple(each for each in ended if accepted is not None and each.completion_status not in accepted)
    is_done = not refused and len(ended) == len(task_status_ids)
    return Verdict(is_done, tuple(ended) if is_done else (), refused)


class Aggregations(NamedTuple):
    """
    Which aggregations of its sources a gate waits for.

    :param kind: what is aggregated; ``None`` for anything
    :param launched_after: when they were launched at the earliest, aware
    :param accepted: the statuses that open the gate; ``None`` for any that is set
    :param wait_for_next: whether the next one is waited for after one that ended otherwise
    :param retry_grace: how long SailPoint's own retry after a ``TEMPERROR`` may take to be launched
    """

    kind: TaskKind | None
    launched_after: datetime
    accepted: Collection[CompletionStatus] | None
    wait_for_next: bool
    retry_grace: timedelta

    def include(self, task: TaskStatus) -> bool:
        """
        Whether a task is one of them, if it is of one of the sources.

        :param task: any task
        """
        kind = task.kind is not TaskKind.OTHER if self.kind is None else task.kind is self.kind
        return kind and launched_since(task, self.launched_after)

    def describe(self, sources: Sequence[str]) -> str:
        """
        Say for a person what is waited for.

        :param sources: ids or names of the sources
        """
        what = f"the aggregation ({self.kind})" if self.kind else "the aggregation"
        since = self.launched_after.astimezone(UTC).isoformat(" ", "seconds").replace("+00:00", " UTC")
        return f"{what} of {cut_list(sources)} launched at {since} or later"

    def newest(self, tasks: Iterable[TaskStatus]) -> dict[str, TaskStatus]:
        """
        Pick the newest aggregation of each source: the one that decides.

        :param tasks: what was seen of the sources
        :return: by the source's id in lower case
        """
        newest: dict[str, TaskStatus] = {}
        for task in filter(self.include, tasks):
            source = (task.source_id or "").casefold()
            if source not in newest or _order(task) > _order(newest[source]):
                newest[source] = task
        return newest

    def judge(self, source_ids: Sequence[str], tasks: Iterable[TaskStatus], now: datetime) -> Verdict:
        """
        Decide what the sources' tasks mean: the one place that does, whatever the sensor's mode.

        The newest aggregation of each source decides.

        :param source_ids: the sources that are waited for
        :param tasks: what was seen of them
        :param now: the time, aware
        """
        newest = self.newest(tasks)
        opened_by: list[TaskStatus] = []
        refused: list[TaskStatus] = []
        retries: list[datetime] = []
        for each in source_ids:
            last = newest.get(each.casefold())
            if last is None or not last.is_complete:
                continue
            if self.accepted is None or last.completion_status in self.accepted:
                opened_by.append(last)
            elif not self.wait_for_next:
                retry_until = (last.completed or _order(last)[1]) + self.retry_grace
                if last.completion_status is CompletionStatus.TEMPERROR and now < retry_until:
                    retries.append(retry_until)
                else:
                    refused.append(last)
        is_done = len(opened_by) == len(source_ids)
        return Verdict(
            is_done, tuple(opened_by) if is_done else (), tuple(refused), min(retries, default=None)
        )


def _order(task: TaskStatus) -> tuple[bool, datetime]:
    """Order tasks by their launch; one that is still to be launched comes last."""
    started = task.launched or task.created or datetime.min.replace(tzinfo=UTC)
    return task.launched is None and not task.is_complete, started


def completion_statuses(names: str | Iterable[str] | None) -> frozenset[CompletionStatus] | None:
    """
    Read ``accepted_statuses``.

    :raises ValueError: one of them is unknown, or there is none
    """
    if names is None:
        return None
    if not isinstance(names, Iterable):
        raise ValueError(f"accepted_statuses is {type(names).__name__}, not names. It can't come by XCom.")
    known = [status for status in CompletionStatus if status is not CompletionStatus.UNKNOWN]
    statuses = set()
    for name in [names] if isinstance(names, str) else names:
        status = CompletionStatus.parse(name) if isinstance(name, str) else CompletionStatus.UNKNOWN
        if status not in known:
            raise ValueError(f"accepted_statuses holds {name!r}. Use {', '.join(known)}, or None for any.")
        statuses.add(status)
    if not statuses:
        raise ValueError(f"accepted_statuses is empty. Use {', '.join(known)}, or None for any.")
    return frozenset(statuses)


def kind_of(name: str) -> TaskKind | None:
    """
    Read ``kind``.

    :param name: the argument
    :return: ``None`` for ``any``
    """
    return None if name == "any" else TaskKind(name)


def source_not_found(source_ids: Iterable[str], sailpoint_conn_id: str) -> SailPointSourceNotFoundError:
    """Make the error that the tenant doesn't know sources."""
    return SailPointSourceNotFoundError(
        f"The tenant has no source with the id {cut_list(sorted(source_ids))}. Check source_id, and that "
        f"connection {sailpoint_conn_id!r} is of the right tenant."
    )


def task_not_found(
    task_status_id: str, sailpoint_conn_id: str, error: NotFoundError
) -> SailPointTaskNotFoundError:
    """Make the error that the tenant doesn't know a task."""
    return SailPointTaskNotFoundError(
        f"task_status_id {task_status_id!r} is unknown to the tenant, or older than the 90 days that it "
        f"keeps. Check the id, and that connection {sailpoint_conn_id!r} is of the right tenant. {error}"
    )


def failure(refused: Iterable[TaskStatus]) -> str:
    """Say for a person how tasks ended that should have ended otherwise."""
    return cut_list(map(_failure, refused), "; ")


def _failure(status: TaskStatus) -> str:
    messages = "; ".join(message[:MAX_TEXT] for message in status.messages[:3])
    return f"{status.outcome()}{f': {messages}' if messages else ''}"


class Narrator:
    """
    Tells in a task's log what is awaited, each change of a task's progress once, and trouble once.

    :param log: the log to tell it in
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._told: dict[str, str] = {}
        self._begun = False
        self._trouble = False

    def begin(self, awaited: Sequence[str]) -> None:
        """Tell what is awaited, once."""
        if not self._begun:
            self._log.info("Waiting for the completion of %s", cut_list(awaited))
        self._begun = True

    def trouble(self, error: SailPointError) -> None:
        """Tell that the tasks can't be seen, when that starts."""
        if not self._trouble:
            self._log.warning("Can't see the tasks at the moment, waiting on: %s", error)
        self._trouble = True

    def look(self, found: Iterable[TaskStatus]) -> None:
        """Tell what is new in what was seen."""
        if self._trouble:
            self._log.info("The tasks can be seen again")
        self._trouble = False
        for status in found:
            line = _line(status)
            if self._told.get(status.id) != line:
                self._told[status.id] = line
                self._log.info("%s", line)


def _line(status: TaskStatus) -> str:
    if status.is_complete:
        counters = ", ".join(f"{name} {value}" for name, value in status.counters.items())
        return f"{status.outcome()}: {counters}" if counters else status.outcome()
    percent = "" if status.percent_complete is None else f" ({status.percent_complete} %)"
    return f"{status}: {status.progress or 'pending'}{percent}"
