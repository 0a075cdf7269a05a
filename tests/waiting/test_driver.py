"""What a wait on a worker reads besides what it waits for: how long that usually takes, once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_sptasks.client import ClientSettings, RetryPolicy, SourcesClient, TaskStatusClient
from airflow_provider_sptasks.client.models import CompletionStatus
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.waiting.driver import Driver
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.tasks import TaskWait
from tests.waiting.test_progress import Log

SUCCESS = frozenset({CompletionStatus.SUCCESS})


class Connection:
    def __init__(self, emulator: Emulator) -> None:
        settings = ClientSettings(emulator.url, emulator.client_id, emulator.client_secret)
        self.client = TaskStatusClient(settings, retry=RetryPolicy(deadline=5.0))
        self.sources = SourcesClient(self.client.transport)

    def reconnect(self) -> None:
        raise AssertionError("the credentials are right")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(rate_limit=None) as emulator:
        for number in range(1, 4):
            emulator.add_task(source="HR", launched=-number * 7200.0, duration=720)
        yield emulator


def drive(emulator: Emulator, task_id: str, polls: int, *, estimates: bool = True) -> tuple[list[str], int]:
    """Poll for a task; return what was logged, and how many requests for the source's tasks were sent."""
    log = Log()
    wait = TaskWait((task_id,), SUCCESS, timedelta(0)).begun(datetime.now(UTC))
    driver = Driver(
        Connection(emulator), wait, ProgressLogger(log), seconds_left=lambda: 60.0, estimates=estimates
    )
    for _ in range(polls):
        assert driver.poll() is not None
    return log.lines, sum("sourceId" in str(each.query) for each in emulator.requests)


def test_the_history_is_read_once(emulator: Emulator) -> None:
    running = emulator.add_task(source="HR", launched=-420, duration=1000)
    lines, reads = drive(emulator, running.id, 5)
    assert "usually 12 min, about 5 min left" in lines[0]
    assert reads == 1


def test_a_long_history_costs_two_requests(emulator: Emulator) -> None:
    for number in range(600):
        emulator.add_task(source="HR", kind="entitlements", launched=-5.0 * number - 60, duration=1)
    running = emulator.add_task(source="HR", launched=-420, duration=1000)
    lines, reads = drive(emulator, running.id, 3)
    assert "usually" not in lines[0]
    assert reads == 2


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_a_failure_to_read_it_harms_nothing(emulator: Emulator, status: int) -> None:
    running = emulator.add_task(source="HR", launched=-420, duration=1000)
    emulator.fail(status, query="*sourceId*")
    lines, reads = drive(emulator, running.id, 3)
    assert "usually" not in lines[0]
    assert reads == 1


@pytest.mark.parametrize(("estimates", "duration"), [(False, 1000.0), (True, 60.0)])
def test_it_is_not_read_in_vain(emulator: Emulator, estimates: bool, duration: float) -> None:
    """Neither where it isn't wanted, nor of what has ended."""
    task = emulator.add_task(source="HR", launched=-420, duration=duration)
    assert drive(emulator, task.id, 2, estimates=estimates)[1] == 0
