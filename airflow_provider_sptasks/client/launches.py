"""
Which aggregation of a source decides: the newest one since a time, by a rule that doesn't depend on how much
else was read.

SailPoint lists tasks by ``created``, while a task counts from when it was launched. So a source's tasks are
taken newest ``created`` first, and no further back than where one could still have been launched later than
the newest that was found. Whatever lies beyond is ignored even where it is known: a sensor that asks for one
source and a poll that asks for 200 together come to the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
from airflow_provider_sptasks.client.reading import EARLIEST, LATEST, to_milliseconds

# A task may wait this long between ``created`` and ``launched``.
QUEUED = timedelta(minutes=5)
MAX_OTHER_NAMES = 5


@dataclass(frozen=True, slots=True)
class AggregationQuery:
    """
    Asks for the newest aggregation of a source.

    Queries are equal when their sources' ids are the same without case. The time is kept in UTC, truncated
    to the millisecond, and between 1970 and 2200.

    :param source_id: SailPoint's id of the source
    :param kind: what is aggregated; ``None`` for any kind of aggregation
    :param launched_after: when it was launched at the earliest, aware
    :raises ValueError: ``launched_after`` has no time zone
    """

    source_id: str = field(compare=False)
    kind: TaskKind | None
    launched_after: datetime
    source: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", self.source_id.strip().casefold())
        after = normalize(self.launched_after, "launched_after", self.source_id)
        object.__setattr__(self, "launched_after", after)


@dataclass(frozen=True, slots=True)
class NewestAggregation:
    """
    The answer to a query.

    :param newest: the newest aggregation that the query is about
    :param last_complete: the newest one before it that has ended; only where ``newest`` hasn't
    :param other_names: names of up to 5 tasks of the source that were launched since then and are of another
        kind, or of none that is known, newest first; only where there is no ``newest``
    """

    newest: TaskStatus | None = None
    last_complete: TaskStatus | None = None
    other_names: tuple[str, ...] = ()


def normalize(moment: datetime, name: str, source_id: str) -> datetime:
    """
    Make a time comparable with those of tasks.

    :raises ValueError: it has no time zone
    """
    if moment.tzinfo is None:
        raise ValueError(
            f"{name} {moment.isoformat()} of source {source_id} has no time zone. Give an aware datetime."
        )
    return to_milliseconds(min(max(moment, EARLIEST), LATEST).astimezone(UTC))


def launched_since(task: TaskStatus, since: datetime) -> bool:
    """
    Whether a task was launched at a time or later, or is queued since not much earlier.

    :param task: the task
    :param since: the time, aware
    """
    started = task.launched or task.created
    if started is None:
        return False
    return started >= since or (_is_queued(task) and since - started <= QUEUED)


def newest_of(query: AggregationQuery, tasks: Iterable[TaskStatus]) -> NewestAggregation:
    """
    Find the aggregation that a query asks for.

    A task counts from its ``launched``, or from its ``created`` while that is missing; the latest such time
    is the newest, then the latest ``created``, then the greatest id. A task without ``created`` has no place
    in SailPoint's lists and is passed over.

    :param query: what is asked for
    :param tasks: tasks of any sources, in any order; of a task that comes more than once, the last state
        counts
    """
    search = NewestSearch(query)
    search.add(task for task in tasks if source_of(task) == query.source)
    return search.result()


class NewestSearch:
    """
    Finds the aggregation that a query asks for while the source's tasks are read, and knows when to stop.

    :param query: what is asked for
    """

    def __init__(self, query: AggregationQuery) -> None:
        self._query = query
        self._floor = query.launched_after - QUEUED
        self._candidates: dict[str, TaskStatus] = {}
        self._others: dict[str, TaskStatus] = {}

    def add(self, tasks: Iterable[TaskStatus]) -> None:
        """
        Take in tasks of the query's source.

        :param tasks: in any order
        """
        for task in tasks:
            self._candidates.pop(task.id, None)
            self._others.pop(task.id, None)
            if task.created is None or task.created < self._floor:
                continue
            if not self._is_asked_for(task):
                if (task.launched or task.created) >= self._query.launched_after:
                    self._others[task.id] = task
            elif launched_since(task, self._query.launched_after):
                self._candidates[task.id] = task

    def needs(self, created: datetime) -> bool:
        """
        Whether tasks that were created at a time may change the result, with what was added so far.

        :param created: the time
        """
        newest = self._newest()
        if newest is not None and not newest.is_complete:
            newest = self._newest(before=newest)
        return created >= self._floor_below(newest)

    def result(self) -> NewestAggregation:
        """Return what was found."""
        newest = self._newest()
        if newest is None:
            return NewestAggregation(other_names=self._other_names())
        return NewestAggregation(newest, None if newest.is_complete else self._newest(before=newest))

    def _newest(self, before: TaskStatus | None = None) -> TaskStatus | None:
        """Find the newest candidate, or the newest one before another that has ended."""
        found: TaskStatus | None = None
        for task in sorted(self._candidates.values(), key=_by_created, reverse=True):
            if _created(task) < self._floor_below(found):
                break
            if before is not None and not (task.is_complete and launch_order(task) < launch_order(before)):
                continue
            if found is None or launch_order(task) > launch_order(found):
                found = task
        return found

    def _floor_below(self, found: TaskStatus | None) -> datetime:
        """When a task was created at the earliest that could still be newer than one that was found."""
        if found is None:
            return self._floor
        # SailPoint lists tasks that were created at the same time in any order: all of them are read.
        return max(self._floor, min(_started(found) - QUEUED, _created(found)))

    def _is_asked_for(self, task: TaskStatus) -> bool:
        kind = self._query.kind
        return task.kind is not TaskKind.OTHER if kind is None else task.kind is kind

    def _other_names(self) -> tuple[str, ...]:
        newest_first = sorted(self._others.values(), key=_by_created, reverse=True)
        names = dict.fromkeys(task.unique_name or task.description or task.id for task in newest_first)
        return tuple(names)[:MAX_OTHER_NAMES]


def source_of(task: TaskStatus) -> str:
    """The id of a task's source in one case, empty where it has none."""
    return (task.source_id or "").casefold()


def _is_queued(task: TaskStatus) -> bool:
    return task.launched is None and not task.is_complete


def _created(task: TaskStatus) -> datetime:
    return task.created or task.launched or EARLIEST


def _started(task: TaskStatus) -> datetime:
    return task.launched or _created(task)


def _by_created(task: TaskStatus) -> tuple[datetime, str]:
    return _created(task), task.id


def launch_order(task: TaskStatus) -> tuple[datetime, datetime, str]:
    """Order tasks by when they count from, then by ``created``, then by id."""
    return _started(task), _created(task), task.id
