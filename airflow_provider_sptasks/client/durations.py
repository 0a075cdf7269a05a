"""How long aggregations usually take, by how long the last ones of the same source and kind took."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import median
from typing import NamedTuple

from airflow_provider_sptasks.client.ids import usable_id
from airflow_provider_sptasks.client.launches import source_of
from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus

# Of how many successful ends the median is taken, and how many it takes at least.
MAX_ENDS, MIN_ENDS = 10, 3
SUCCESSFUL = (CompletionStatus.SUCCESS, CompletionStatus.WARNING)


class Aggregated(NamedTuple):
    """
    What is aggregated: of this there is a usual duration.

    :param source: SailPoint's id of the source, in lower case
    :param kind: what is aggregated; never ``OTHER``
    """

    source: str
    kind: TaskKind


def aggregated_by(task: TaskStatus) -> Aggregated | None:
    """
    Say what a task aggregates.

    :param task: any task
    :return: ``None`` for one that is no aggregation, or doesn't name its source by an id
    """
    source = usable_id(source_of(task))
    return Aggregated(source, task.kind) if source and task.kind is not TaskKind.OTHER else None


def usual_durations(tasks: Iterable[TaskStatus]) -> dict[Aggregated, timedelta]:
    """
    Return how long aggregations usually take: the median of the last 10 that ended successfully.

    :param tasks: tasks of any sources, in any order; of one that comes more than once, the last state counts
    :return: what took place at least 3 times only
    """
    ends: dict[Aggregated, list[tuple[datetime, float]]] = {}
    for task in {task.id: task for task in tasks}.values():
        what, took = aggregated_by(task), successful_end(task)
        if what is not None and took is not None:
            ends.setdefault(what, []).append(took)
    return {what: _median(its_ends) for what, its_ends in ends.items() if len(its_ends) >= MIN_ENDS}


def successful_end(task: TaskStatus) -> tuple[datetime, float] | None:
    """
    Say when a task ended successfully, and after how long.

    :param task: any task
    :return: the time, UTC, and the seconds that it took; ``None`` where it did not end, or not so
    """
    took = task.duration
    if task.completed is None or took is None or task.completion_status not in SUCCESSFUL:
        return None
    return (task.completed, took.total_seconds()) if took >= timedelta(0) else None


def _median(ends: list[tuple[datetime, float]]) -> timedelta:
    last = sorted(ends, reverse=True)[:MAX_ENDS]
    return timedelta(seconds=median(seconds for _, seconds in last))
