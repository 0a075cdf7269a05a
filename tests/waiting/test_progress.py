from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_sptasks.client.durations import Aggregated
from airflow_provider_sptasks.client.errors import TransportError
from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus
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


HR_ACCOUNTS = Aggregated("a" * 32, TaskKind.ACCOUNTS)


@pytest.mark.parametrize(
    ("minutes_ago", "usual", "estimate"),
    [
        (7, timedelta(minutes=12), ", usually 12 min, about 5 min left"),
        (15, timedelta(minutes=12), ", usually 12 min, 3 min longer by now"),
        (1, timedelta(seconds=90), ", usually 90 s, about 30 s left"),
        (10, timedelta(hours=2), ", usually 2 h, about 1 h 50 min left"),
        (10, timedelta(days=3, minutes=30), ", usually 3 days, about 3 days left"),
        (10, None, ""),
    ],
)
def test_an_estimate(minutes_ago: float, usual: timedelta | None, estimate: str) -> None:
    log = Log()
    progress = ProgressLogger(log, Clock())
    progress.usual = {} if usual is None else {HR_ACCOUNTS: usual}
    launched = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    running = replace(task(63), launched=launched, target_id="A" * 32, kind=TaskKind.ACCOUNTS)
    progress.polled([running])
    progress.polled([running])
    ended = replace(running, completed=NOON, completion_status=CompletionStatus.SUCCESS)
    progress.polled([ended])
    assert log.lines[0] == f"Cloud Account Aggregation of HR: Aggregating (63 %){estimate} (task task-1)"
    assert "usually" not in log.lines[1]
    assert len(log.lines) == 2, "that less is left by now is no progress"
