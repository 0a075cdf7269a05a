"""What looks at awaited tasks mean, and what is told of them: the same in every mode of a sensor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_sptasks.arguments import cut_list
from airflow_provider_sptasks.client.errors import NotFoundError, SailPointError
from airflow_provider_sptasks.client.models import MAX_TEXT, CompletionStatus, TaskStatus
from airflow_provider_sptasks.exceptions import SailPointTaskNotFoundError


@dataclass(frozen=True)
class Verdict:
    """
    What a look means.

    :param is_done: whether all tasks ended, and as they should
    :param refused: the tasks that ended otherwise
    """

    is_done: bool
    refused: tuple[TaskStatus, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether another look could not change it."""
        return self.is_done or bool(self.refused)


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
    return Verdict(is_done=not refused and len(ended) == len(task_status_ids), refused=refused)


def result(
    task_status_id: object, task_status_ids: Sequence[str], found: Mapping[str, TaskStatus]
) -> dict[str, Any] | list[dict[str, Any]]:
    """
    Make what a sensor returns when all tasks ended as they should.

    :param task_status_id: the sensor's argument: one id, or several, which make it a list
    :param task_status_ids: the ids that it stands for
    :param found: the tasks
    """
    statuses = [found[each].to_json() for each in task_status_ids]
    return statuses[0] if isinstance(task_status_id, str) else statuses


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
        self._trouble = False

    def begin(self, task_status_ids: Sequence[str]) -> None:
        """Tell what is awaited."""
        self._log.info("Waiting for the completion of %s", cut_list(task_status_ids))

    def trouble(self, error: SailPointError) -> None:
        """Tell that the tasks can't be seen, when that starts."""
        if not self._trouble:
            self._log.warning("Can't see the tasks at the moment, waiting on: %s", error)
        self._trouble = True

    def look(self, found: Mapping[str, TaskStatus]) -> None:
        """Tell what is new in what was seen."""
        if self._trouble:
            self._log.info("The tasks can be seen again")
        self._trouble = False
        for status in found.values():
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
