"""Reads how long aggregations usually take, in few requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_sptasks.client.durations import (
    MAX_ENDS,
    Aggregated,
    aggregated_by,
    successful_end,
    usual_durations,
)
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.newest import collect
from airflow_provider_sptasks.client.reader import TaskReader

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient

# How many pages of 250 tasks are read, besides one for each further request that the sources' ids need.
MAX_PAGES = 4


def read_usual_durations(
    client: TaskStatusClient, wanted: Iterable[Aggregated], *, max_pages: int = MAX_PAGES
) -> dict[Aggregated, timedelta]:
    """
    Read how long aggregations usually take, in few requests.

    The sources' tasks are read newest first, those of about 200 sources together, until there is enough of
    each or the limit is reached; so one that is seldom aggregated may have no usual duration.

    :param client: talks to the tenant
    :param wanted: what is aggregated
    :param max_pages: maximum pages of 250 tasks; one more for each request after the first that the sources'
        ids need
    :return: as :func:`usual_durations` does, of what is wanted
    :raises SailPointError: the tenant refuses, or transient errors lasted until the client's deadline
    :raises ValueError: an id of a source can't be one
    """
    ends = _Ends(wanted, max_pages)
    collect(TaskReader.over(client.transport), ends, with_pending=False)
    return ends.usual_durations()


class _Ends:
    """
    Collects successful ends while tasks are read.

    :param wanted: what is aggregated
    :param max_pages: after how many pages no more are wanted
    """

    def __init__(self, wanted: Iterable[Aggregated], max_pages: int) -> None:
        checked = (Aggregated(check_id(source, "source_id").casefold(), kind) for source, kind in wanted)
        self._ends = dict.fromkeys(checked, 0)
        self._tasks: dict[str, TaskStatus] = {}
        self._pages_left = max_pages

    @property
    def source_ids(self) -> Sequence[str]:
        """Each source's id once."""
        return list(dict.fromkeys(each.source for each in self._ends))

    def add(self, tasks: Iterable[TaskStatus]) -> None:
        """Take in tasks of any source."""
        for task in tasks:
            what = aggregated_by(task)
            if what in self._ends and task.id not in self._tasks and successful_end(task) is not None:
                self._tasks[task.id] = task
                self._ends[what] += 1

    def unfinished(self, source_ids: Sequence[str], reached: datetime) -> list[str]:  # noqa: ARG002 - any age
        """Return the sources of which more must be read."""
        self._pages_left -= 1
        if self._pages_left <= 0:
            return []
        short = {what.source for what, number in self._ends.items() if number < MAX_ENDS}
        return [each for each in source_ids if each in short]

    def usual_durations(self) -> dict[Aggregated, timedelta]:
        """Return how long what is wanted usually takes."""
        return usual_durations(self._tasks.values())
