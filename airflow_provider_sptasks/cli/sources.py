"""The verbs that read sources."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_sptasks.cli.codes import ExitCode
from airflow_provider_sptasks.cli.printing import print_records
from airflow_provider_sptasks.cli.session import Session
from airflow_provider_sptasks.client.clock import clock_lead
from airflow_provider_sptasks.client.durations import (
    Aggregated,
    aggregated_by,
    successful_end,
    usual_durations,
)
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.models_sources import Source
from airflow_provider_sptasks.waiting.verdict import spelled

DEFAULT_SINCE = timedelta(days=7)


def list_sources(options: argparse.Namespace) -> ExitCode:
    """List the sources."""
    sources = list(Session(options).sources.list(options.filters))
    records = [
        dict(each.raw)
        if options.raw
        else {"id": each.id, "name": each.name, "type": each.type, "delimitedFile": each.delimited_file}
        for each in sources
    ]
    rows = [{"id": each.id, "name": each.name, "type": each.type} for each in sources]
    print_records(records, rows, options.output)
    return ExitCode.OK


def status(options: argparse.Namespace) -> ExitCode:
    """Show of each source what runs, how its last aggregations ended, and how long they usually take."""
    session = Session(options)
    sources = _sources(session, options)
    now = datetime.now(UTC) + clock_lead(session.client)
    since = options.since or now - DEFAULT_SINCE
    tasks = session.client.aggregations({each.id: since for each in sources})
    records: list[dict[str, Any]] = []
    rows = []
    for source in sources:
        usual = usual_durations(tasks[source.id])
        by_kind: dict[Aggregated, list[TaskStatus]] = {}
        for task in tasks[source.id]:
            if (what := aggregated_by(task)) is not None:
                by_kind.setdefault(what, []).append(task)
        for what, newest_first in by_kind.items():
            state = _State(source, what, newest_first, usual.get(what))
            records.append(state.record())
            rows.append(state.row(now))
        if not by_kind:
            nothing = _State(source, None, [], None)
            records.append(nothing.record())
            rows.append(nothing.row(now))
    print_records(records, rows, options.output)
    return ExitCode.OK


def _sources(session: Session, options: argparse.Namespace) -> list[Source]:
    if not options.source_id and not options.source_name:
        return list(session.sources.list())
    found = [session.sources.get(each) for each in options.source_id]
    found += [session.sources.find_by_name(each) for each in options.source_name or ()]
    return list({each.id: each for each in found}.values())


class _State:
    """
    How a source is.

    :param source: the source
    :param what: what it aggregates; ``None`` where it has launched nothing
    :param newest_first: its aggregations of that kind
    :param usual: how long they usually take
    """

    def __init__(
        self,
        source: Source,
        what: Aggregated | None,
        newest_first: list[TaskStatus],
        usual: timedelta | None,
    ) -> None:
        self._source = source
        self._kind = None if what is None else what.kind.value
        self._usual = usual
        self._running = next((each for each in newest_first if not each.is_complete), None)
        ended = [each for each in newest_first if each.is_complete]
        self._last = next(iter(ended), None)
        self._success = _first(each for each in ended if successful_end(each) is not None)
        self._failure = _first(each for each in ended if successful_end(each) is None)
        self._ended, self._succeeded = len(ended), sum(successful_end(each) is not None for each in ended)

    def record(self) -> dict[str, Any]:
        """Make plain JSON of it."""
        return {
            "id": self._source.id,
            "name": self._source.name,
            "kind": self._kind,
            "running": self._running and self._running.to_json(),
            "last": self._last and self._last.to_json(),
            "lastSuccess": self._success and self._success.to_json(),
            "lastFailure": self._failure and self._failure.to_json(),
            "ended": self._ended,
            "succeeded": self._succeeded,
            "usualDuration": None if self._usual is None else self._usual.total_seconds(),
        }

    def row(self, now: datetime) -> dict[str, object]:
        """
        Make the row for people.

        :param now: the time, by the tenant's clock
        """
        running, success = self._running, self._success
        started = running and (running.launched or running.created)
        return {
            "id": self._source.id,
            "name": self._source.name,
            "kind": self._kind,
            "running for": started and max(now, started) - started,
            "done": None if running is None else f"{running.percent_complete or 0} %",
            "usually": self._usual,
            "last status": self._last and spelled(self._last),
            "last success": success and success.completed,
            "age": success and success.completed and max(now, success.completed) - success.completed,
            "succeeded": f"{self._succeeded} of {self._ended}",
        }


def _first(tasks: Iterable[TaskStatus]) -> TaskStatus | None:
    return next(iter(tasks), None)
