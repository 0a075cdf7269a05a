"""Behaviours of the first release that let sensors wait for ever or open wrongly, to put them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sptasks.client import launches, reader
from airflow_provider_sptasks.client.entries import Page
from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.launches import newest_of
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.reading import EARLIEST, LATEST
from airflow_provider_sptasks.triggers._connection import PollingClients
from airflow_provider_sptasks.triggers._poller import Poller
from airflow_provider_sptasks.triggers._queue import Entry, Queue
from airflow_provider_sptasks.waiting.queries import Clients, SourceQuery

OVERLAP = timedelta(minutes=15)


def read_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in a trigger only what was created since the newest task that was seen, less 15 minutes."""
    seen: dict[SourceQuery, dict[str, TaskStatus]] = {}

    def ask(clients: Clients, queries: Sequence[SourceQuery]) -> dict[SourceQuery, Any]:
        known = [task.created or EARLIEST for query in queries for task in seen.get(query, {}).values()]
        mark = max(known, default=EARLIEST) - OVERLAP if known else EARLIEST
        for query in queries:
            wanted = query.aggregations
            since = max(mark, wanted.launched_after) if query in seen else wanted.launched_after
            found = clients.client.aggregations({wanted.source_id: since})[wanted.source_id]
            seen.setdefault(query, {}).update((task.id, task) for task in found)
        return {query: newest_of(query.aggregations, seen[query].values()) for query in queries}

    _ask_in_triggers(monkeypatch, ask)


def forget_what_was_launched_before_created(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pass over in a trigger what was launched a millisecond before it was created."""

    def ask(clients: Clients, queries: Sequence[SourceQuery]) -> dict[SourceQuery, Any]:
        answers = {}
        for query in queries:
            wanted = query.aggregations
            found = clients.client.aggregations({wanted.source_id: wanted.launched_after})
            answers[query] = newest_of(wanted, filter(_is_in_order, found[wanted.source_id]))
        return answers

    _ask_in_triggers(monkeypatch, ask)


def read_pages_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each page of a list where the one before has ended, wherever that is meanwhile."""

    def read_pages(fetch: Callable[[int], Page[Any]], what: str, page_size: int) -> Iterator[Page[Any]]:
        offset = 0
        while True:
            page = fetch(offset)
            yield page
            if len(page.keys) < page_size:
                return
            offset += len(page.keys)

    monkeypatch.setattr(reader, "read_pages", read_pages)


def let_queued_tasks_outrank_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a task that is queued for the newest, however long it has been."""

    def launch_order(task: TaskStatus) -> tuple[datetime, datetime, str]:
        queued = task.launched is None and not task.is_complete
        return LATEST if queued else original(task)[0], *original(task)[1:]

    original = launches.launch_order
    monkeypatch.setattr(launches, "launch_order", launch_order)
    monkeypatch.setattr(launches.NewestSearch, "_floor_below", lambda search, _: search._floor)


def keep_what_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a query that was refused, which is never due again, while a subscription to it isn't closed."""
    original = Poller._note_failure

    def note_failure(self: Poller, queue: Queue, batch: Sequence[Entry], error: SailPointError) -> None:
        entries = dict(queue.entries)
        original(self, queue, batch, error)
        queue.entries = entries

    monkeypatch.setattr(Poller, "_note_failure", note_failure)


def _ask_in_triggers(
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[Clients, Sequence[SourceQuery]], Mapping[SourceQuery, Any]],
) -> None:
    original = SourceQuery.ask

    def chosen(_: type[SourceQuery], clients: Clients, queries: Sequence[SourceQuery]) -> Any:
        return (ask if isinstance(clients, PollingClients) else original)(clients, queries)

    monkeypatch.setattr(SourceQuery, "ask", classmethod(chosen))


def _is_in_order(task: TaskStatus) -> bool:
    return task.launched is None or task.created is None or task.launched >= task.created


ALL: Iterable[Callable[[pytest.MonkeyPatch], None]] = (
    read_what_is_new,
    forget_what_was_launched_before_created,
    read_pages_apart,
    let_queued_tasks_outrank_all,
    keep_what_was_refused,
)
