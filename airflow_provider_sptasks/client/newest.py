"""Reads what sources launched lately: newest first, many together, no further back than needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from airflow_provider_sptasks.client import tasks as api
from airflow_provider_sptasks.client.chunks import send_in_chunks
from airflow_provider_sptasks.client.collecting import Launches, NewestAggregations
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE, one_of
from airflow_provider_sptasks.client.launches import AggregationQuery, NewestAggregation
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.reader import TaskReader


class Collector(Protocol):
    """Collects the tasks of sources, and knows of which more must be read."""

    @property
    def source_ids(self) -> Sequence[str]:
        """The sources' ids."""

    def add(self, tasks: Iterable[TaskStatus]) -> None:
        """Take in tasks of any source."""

    def unfinished(self, source_ids: Sequence[str], reached: datetime) -> Sequence[str]:
        """Return the sources of which older tasks must be read than those created at a time."""


def newest_aggregations(
    reader: TaskReader, source_ids: Mapping[AggregationQuery, str]
) -> dict[AggregationQuery, NewestAggregation]:
    """
    Read what queries ask for.

    :param source_ids: the queries, each with its source's id as it is to be sent
    """
    found = NewestAggregations(source_ids)
    collect(reader, found)
    return found.results()


def launched_tasks(
    reader: TaskReader, since: Mapping[str, datetime], source_ids: Mapping[str, str]
) -> dict[str, tuple[TaskStatus, ...]]:
    """
    Read all tasks that sources launched lately.

    :param since: sources' ids, each with the time, aware, from which on its tasks are wanted
    :param source_ids: these ids as they are to be sent
    """
    launches = Launches(since, source_ids)
    collect(reader, launches)
    return launches.by_source()


def collect(reader: TaskReader, collector: Collector, *, with_pending: bool = True) -> None:
    """
    Read the tasks of a collector's sources; where pending tasks have a list of their own, these first.

    :param reader: reads lists of tasks
    :param collector: what collects them
    :param with_pending: whether pending tasks are wanted; with ``False`` some may come nevertheless
    """
    version = reader.transport.version
    if with_pending and collector.source_ids and not version.lists_pending:
        collector.add(reader.pending(collector.source_ids))
    send_in_chunks(
        collector.source_ids,
        reader.max_sources,
        lambda chunk: _read_newest(reader, chunk, collector),
    )


def _read_newest(reader: TaskReader, source_ids: Sequence[str], collector: Collector) -> Sequence[str]:
    """
    Read the tasks of some sources, as far back as they are wanted.

    :return: the sources to ask for again, without the others: when they are half of them or fewer, so that a
        source of which much is wanted doesn't make that much of the others be read
    """
    version = reader.transport.version
    filters = one_of("sourceId", source_ids)
    for page in reader.pages(
        lambda offset: api.list_tasks(version, filters=filters, sorters="-created", offset=offset)
    ):
        collector.add(page.items)
        reached = next((task.created for task in reversed(page.items) if task.created), None)
        unfinished = source_ids if reached is None else collector.unfinished(source_ids, reached)
        if not unfinished:
            break
        if len(unfinished) <= len(source_ids) // 2 and len(page.keys) >= MAX_PAGE_SIZE:
            return unfinished
    return ()
