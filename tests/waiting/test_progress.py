from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_sptasks.client.errors import TransportError
from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus
from airflow_provider_sptasks.waiting.progress import ProgressLogger

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, *arguments: object) -> None:
        self.lines.append(message % arguments)

    warning = info


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def task(percent: int | None, status: str | None = None, number: int = 1) -> TaskStatus:
    return TaskStatus(
        id=f"task-{number}",
        unique_name="Cloud Account Aggregation",
        target_name="HR [source]",
        launched=NOON,
        completed=NOON + timedelta(minutes=10) if status else None,
        completion_status=CompletionStatus.parse(status) if status else None,
        completion_status_text=status,
        progress="Aggregating",
        percent_complete=percent,
        attributes={"total": 400} if status else {},
    )


@pytest.mark.parametrize(("hours", "sources", "most"), [(1, 1, 20), (6, 2, 84)])
def test_a_long_wait_does_not_flood_the_log(hours: int, sources: int, most: int) -> None:
    """FAULTS U2: with a poll each five seconds and something new at each, it was some 4,300 lines."""
    log, clock = Log(), Clock()
    progress = ProgressLogger(log, clock)
    for poll in range(hours * 720):
        clock.now = poll * 5.0
        tasks = [task(None, number=number) for number in range(sources)]
        progress.polled([replace(each, progress=f"Completed {poll}") for each in tasks])
    assert sources * 5 < len(log.lines) <= most


def test_each_tenth_of_the_work_and_the_end_are_logged() -> None:
    log = Log()
    progress = ProgressLogger(log, Clock())
    for percent in range(100):
        progress.polled([task(percent)])
    progress.polled([task(100, "SUCCESS")])
    progress.polled([task(100, "SUCCESS")])
    assert len(log.lines) == 11
    assert log.lines[3] == "Cloud Account Aggregation of HR: Aggregating (30 %) (task task-1)"
    assert log.lines[-1] == (
        "Cloud Account Aggregation of HR ended with SUCCESS after 0:10:00: total 400 (task task-1)"
    )


@pytest.mark.parametrize("spelled", ["Error", "ERROR"])
def test_a_status_has_one_spelling(spelled: str) -> None:
    """FAULTS U3."""
    log = Log()
    ProgressLogger(log, Clock()).polled([task(7, spelled)])
    assert "ended with ERROR after" in log.lines[0]


def test_what_is_awaited_is_logged_once() -> None:
    log = Log()
    progress = ProgressLogger(log, Clock())
    progress.begin("task-1")
    progress.begin("task-1")
    assert log.lines == ["Waiting for the completion of task-1"]


def test_each_outage_is_logged_when_it_begins_and_when_it_ends() -> None:
    log = Log()
    progress = ProgressLogger(log, Clock())
    for _ in range(2):
        progress.outage(TransportError("no route"))
        progress.outage(TransportError("no route"))
        progress.polled([])
        progress.polled([])
    assert log.lines == ["Polling fails, trying again: no route", "Polling works again"] * 2


def test_what_is_gone_is_logged() -> None:
    log = Log()
    progress = ProgressLogger(log, Clock())
    progress.polled([task(10)])
    progress.polled([])
    progress.polled([])
    assert log.lines[1:] == [
        "Cloud Account Aggregation of HR: Aggregating (10 %): gone from SailPoint's list, "
        "or a newer one decides (task task-1)"
    ]


def test_notes_are_logged_once() -> None:
    log = Log()
    progress = ProgressLogger(log, Clock())
    progress.polled([], ["a", "b"])
    progress.polled([], ["a", "c"])
    assert log.lines == ["a", "b", "c"]
