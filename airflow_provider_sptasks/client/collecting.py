"""Collects the tasks of sources while they are read, and knows of which sources more must be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from airflow_provider_sptasks.client.launches import (
    QUEUED,
    AggregationQuery,
    NewestAggregation,
    NewestSearch,
    launch_order,
    launched_since,
    normalize,
    source_of,
)
from airflow_provider_sptasks.client.models import TaskStatus


class NewestAggregations:
    """
    Finds what many queries ask for, while the tasks of their sources are read.

    :param source_ids: what is asked for, each with its source's id as it is to be sent
    """

    def __init__(self, source_ids: Mapping[AggregationQuery, str]) -> None:
        self._searches = {query: NewestSearch(query) for query in source_ids}
        self._of_source: dict[str, list[NewestSearch]] = {}
        earliest: dict[str, datetime] = {}
        for query, search in self._searches.items():
            self._of_source.setdefault(query.source, []).append(search)
            earliest[query.source] = min(
                query.launched_after, earliest.get(query.source, query.launched_after)
            )
        sent = {query.source: source_id for query, source_id in source_ids.items()}
        self._source_ids = [sent[each] for each in _latest_first(earliest)]

    @property
    def source_ids(self) -> Sequence[str]:
        """Each source's id once; those of which the least is wanted come first."""
        return self._source_ids

    def add(self, tasks: Iterable[TaskStatus]) -> None:
        """Take in tasks of any source."""
        of_source: dict[str, list[TaskStatus]] = {}
        for task in tasks:
            of_source.setdefault(source_of(task), []).append(task)
        for source, its_tasks in of_source.items():
            for search in self._of_source.get(source, ()):
                search.add(its_tasks)

    def unfinished(self, source_ids: Sequence[str], reached: datetime) -> list[str]:
        """
        Return the sources of which more must be read.

        :param source_ids: the sources that were asked for, newest ``created`` first
        :param reached: the ``created`` of the last task that was read
        """
        return [
            each
            for each in source_ids
            if any(search.needs(reached) for search in self._of_source[each.casefold()])
        ]

    def results(self) -> dict[AggregationQuery, NewestAggregation]:
        """Return what was found."""
        return {query: search.result() for query, search in self._searches.items()}


class Launches:
    """
    Collects the tasks of sources, and picks those that were launched late enough.

    Ids of sources compare without case. Times count to the millisecond, as SailPoint's do.

    :param since: sources' ids, each with the time from which on its tasks are wanted
    :param source_ids: these ids as they are to be sent
    :raises ValueError: a time has no time zone
    """

    def __init__(self, since: Mapping[str, datetime], source_ids: Mapping[str, str]) -> None:
        self._since = {given: normalize(each, "since", given) for given, each in since.items()}
        self._given: dict[str, list[str]] = {}
        self._earliest: dict[str, datetime] = {}
        for given, moment in self._since.items():
            source = source_ids[given].casefold()
            self._given.setdefault(source, []).append(given)
            self._earliest[source] = min(moment, self._earliest.get(source, moment))
        self._source_ids = [source_ids[self._given[each][0]] for each in _latest_first(self._earliest)]
        self._tasks: dict[str, TaskStatus] = {}

    @property
    def source_ids(self) -> Sequence[str]:
        """Each source's id once; those of which the least is wanted come first."""
        return self._source_ids

    def add(self, tasks: Iterable[TaskStatus]) -> None:
        """Take in tasks of any source; of a task that was read more than once, the last state counts."""
        self._tasks.update((task.id, task) for task in tasks if source_of(task) in self._given)

    def unfinished(self, source_ids: Sequence[str], reached: datetime) -> list[str]:
        """Return the sources of which more must be read, as :meth:`NewestAggregations.unfinished` does."""
        return [each for each in source_ids if reached >= self._earliest[each.casefold()] - QUEUED]

    def by_source(self) -> dict[str, tuple[TaskStatus, ...]]:
        """Return what is wanted of each source, newest first, under the ids that were given."""
        picked: dict[str, list[TaskStatus]] = {given: [] for given in self._since}
        tasks = (task for task in self._tasks.values() if task.created or task.launched)
        for task in sorted(tasks, key=launch_order, reverse=True):
            for given in self._given[source_of(task)]:
                if launched_since(task, self._since[given]):
                    picked[given].append(task)
        return {given: tuple(tasks) for given, tasks in picked.items()}


def _latest_first(earliest: Mapping[str, datetime]) -> list[str]:
    return sorted(earliest, key=earliest.__getitem__, reverse=True)
