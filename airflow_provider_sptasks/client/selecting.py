"""Which pending tasks are to be cleared: those that match all of some selectors, and why others don't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_sptasks.client.clearing import ClearOutcome, ClearResult
from airflow_provider_sptasks.client.durations import MIN_ENDS, Aggregated, aggregated_by
from airflow_provider_sptasks.client.errors import NotFoundError
from airflow_provider_sptasks.client.history import read_usual_durations
from airflow_provider_sptasks.client.models import TaskStatus

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient


@dataclass(frozen=True)
class Selectors:
    """
    What a pending task must match to be cleared: all that isn't ``None``.

    :param task_status_ids: SailPoint's ids of the tasks
    :param source_ids: ids of the sources that the tasks are of
    :param unique_names: names of the tasks, case-insensitive
    :param older_than: how long ago a task was launched at least
    :param stuck_factor: how many times longer than usual an aggregation has run at least
    """

    task_status_ids: Sequence[str] | None = None
    source_ids: Sequence[str] | None = None
    unique_names: Sequence[str] | None = None
    older_than: timedelta | None = None
    stuck_factor: float | None = None

    @property
    def by_age(self) -> bool:
        """Whether it matters since when a task has run."""
        return self.older_than is not None or self.stuck_factor is not None


@dataclass(frozen=True)
class Age:
    """
    How long a task has run, and how long such a one usually takes.

    :param running: since it was launched, by the tenant's clock
    :param usual: the median of the last successful ones; ``None`` where that isn't known
    """

    running: timedelta
    usual: timedelta | None = None


@dataclass
class Selected:
    """
    What was selected.

    :param tasks: the pending tasks that match
    :param settled: tasks given by their ids that are not pending, or unknown to the tenant
    :param passed_over: pending tasks that don't match, and why
    :param ages: how long tasks have run, by their ids, where ``stuck_factor`` is given
    """

    tasks: list[TaskStatus] = field(default_factory=list)
    settled: list[ClearResult] = field(default_factory=list)
    passed_over: list[tuple[TaskStatus, str]] = field(default_factory=list)
    ages: dict[str, Age] = field(default_factory=dict)


def select(client: TaskStatusClient, selectors: Selectors) -> Selected:
    """
    Find the pending tasks to clear. Ages are by the tenant's own clock.

    :param client: talks to the tenant
    :param selectors: what the tasks must match
    :raises SailPointError: the tenant refuses, or transient errors lasted until the client's deadline
    """
    selected = Selected()
    candidates = list(_candidates(client, selectors))
    now = client.transport.clock.now()  # as the answers have it
    for task_status_id, status in candidates:
        if status is None:
            selected.settled.append(ClearResult(task_status_id, ClearOutcome.NOT_FOUND))
        elif status.is_complete:
            selected.settled.append(ClearResult(task_status_id, ClearOutcome.ALREADY_COMPLETE, status))
        elif mismatch := _mismatch(status, selectors, now):
            selected.passed_over.append((status, mismatch))
        else:
            selected.tasks.append(status)
    if selectors.stuck_factor is not None:
        _keep_stuck(client, selected, selectors.stuck_factor, now)
    return selected


def _candidates(client: TaskStatusClient, selectors: Selectors) -> Iterator[tuple[str, TaskStatus | None]]:
    """Yield each task that may match: its id, and its status where the tenant knows it."""
    if selectors.task_status_ids is None:
        for status in client.pending(source_ids=selectors.source_ids):
            yield status.id, status
        return
    found = client.find(selectors.task_status_ids)
    for task_status_id in selectors.task_status_ids:
        try:
            yield task_status_id, found.get(task_status_id) or client.get(task_status_id)
        except NotFoundError:
            yield task_status_id, None


def _mismatch(status: TaskStatus, selectors: Selectors, now: datetime) -> str | None:
    """Say by which selector a pending task is not selected; nothing where it is."""
    for name, value, wanted in (
        ("source_id", status.source_id, selectors.source_ids),
        ("unique_name", status.unique_name, selectors.unique_names),
    ):
        if wanted is not None and (value or "").casefold() not in {each.casefold() for each in wanted}:
            return f"its {name} is {value!r}"
    if not selectors.by_age:
        return None
    started = status.launched or status.created
    if started is None:
        return "it doesn't say when it was launched"
    if selectors.older_than is not None and now - started <= selectors.older_than:
        return f"it was launched at {started.isoformat(timespec='seconds')}"
    return None


def _keep_stuck(client: TaskStatusClient, selected: Selected, factor: float, now: datetime) -> None:
    """Keep what has run longer than usual by a factor; what has no usual duration is left alone."""
    wanted = {what for task in selected.tasks if (what := aggregated_by(task)) is not None}
    usual = read_usual_durations(client, wanted) if wanted else {}
    candidates, selected.tasks = selected.tasks, []
    for task in candidates:
        what = aggregated_by(task)
        age = Age(now - (task.launched or task.created or now), None if what is None else usual.get(what))
        selected.ages[task.id] = age
        if age.usual is not None and age.running.total_seconds() > age.usual.total_seconds() * factor:
            selected.tasks.append(task)
        else:
            selected.passed_over.append((task, _why_not_stuck(what, age, factor)))


def _why_not_stuck(what: Aggregated | None, age: Age, factor: float) -> str:
    if what is None:
        return "it is no aggregation of a source, so it has no usual duration"
    if age.usual is None:
        return f"its usual duration is unknown: fewer than {MIN_ENDS} of its last ends were successful"
    running, usual = (timedelta(seconds=round(each.total_seconds())) for each in (age.running, age.usual))
    return f"it has run for {running}, which is not {factor:g} times its usual {usual}"
