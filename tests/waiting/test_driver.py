"""
How a wait is driven on a worker: what refusals and outages do, and what is read besides what it waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_sptasks.client import ClientSettings, RetryPolicy, SourcesClient, TaskStatusClient
from airflow_provider_sptasks.client.errors import (
    ForbiddenError,
    NotFoundError,
    SailPointError,
    ServerError,
    UnauthorizedError,
)
from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.waiting import driver as driving
from airflow_provider_sptasks.waiting.driver import REFUSAL_RETRY_SECONDS, REFUSAL_SECONDS, Driver
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
    wait = TaskWait((task_id,), SUCCESS, timedelta(0), single=False).begun(datetime.now(UTC))
    driver = Driver(
        Connection(emulator),
        wait,
        ProgressLogger(log),
        seconds_left=lambda: 60.0,
        estimates=estimates,
        defers=False,
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


PATH = "/task-status/v1"
EXPIRED, REFUSED, DOWN = (
    UnauthorizedError("GET", PATH, 401),
    ForbiddenError("GET", PATH, 403),
    ServerError("GET", PATH, 503),
)
ENDED = TaskStatus(id="t1", completion_status=CompletionStatus.SUCCESS)


class Tenant:
    """Gives the answers that it was made with, in a time that only passes while it is waited."""

    def __init__(self, *answers: SailPointError | None) -> None:
        self.answers = list(answers)
        self.now = 1000.0
        self.waited: list[float] = []
        self.reconnected = 0
        self.status: TaskStatus | None = ENDED
        self.status_after_reconnect: TaskStatus | None = None
        self.client = cast(TaskStatusClient, SimpleNamespace(reader=self, get=self.get))
        self.sources = cast(SourcesClient, None)

    def find(self, wanted: Mapping[str, str]) -> dict[str, TaskStatus]:
        self._fail()
        return {} if self.status is None else dict.fromkeys(wanted, self.status)

    def get(self, task_status_id: str) -> TaskStatus:
        self._fail()
        raise NotFoundError("GET", f"{PATH}/{task_status_id}", 404)

    def _fail(self) -> None:
        error = self.answers.pop(0) if self.answers else None
        if error is not None:
            raise error

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds

    def reconnect(self) -> None:
        self.reconnected += 1
        self.status = self.status_after_reconnect or self.status


Make = Callable[..., Driver]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(tenant: Tenant, seconds_left: float = 3600.0, **arguments: Any) -> Driver:
        monkeypatch.setattr(driving, "time", SimpleNamespace(monotonic=lambda: tenant.now))
        wait = TaskWait(("t1",), SUCCESS, timedelta(0), single=False).begun(datetime.now(UTC))
        end = tenant.now + seconds_left
        return Driver(
            tenant,
            wait,
            ProgressLogger(Log()),
            seconds_left=lambda: end - tenant.now,
            sleep=tenant.sleep,
            defers=False,
            **arguments,
        )

    return make


class TestErrors:
    def test_a_first_refusal_is_taken_at_its_word(self, make: Make) -> None:
        tenant = Tenant(REFUSED)
        with pytest.raises(ForbiddenError):
            make(tenant).poll()
        assert tenant.waited == []

    def test_a_refusal_after_polls_that_worked_has_to_last(self, make: Make) -> None:
        tries = int(REFUSAL_SECONDS // REFUSAL_RETRY_SECONDS)
        tenant = Tenant(*[REFUSED] * tries)
        assert make(tenant, has_worked=True).poll() is not None, "the last moment is soon enough"
        assert tenant.waited == [REFUSAL_RETRY_SECONDS] * tries
        tenant = Tenant(*[REFUSED] * (tries + 1))
        with pytest.raises(ForbiddenError):
            make(tenant, has_worked=True).poll()

    def test_a_poll_that_works_is_remembered(self, make: Make) -> None:
        tenant = Tenant(DOWN, DOWN, None, REFUSED)
        driver = make(tenant)
        assert [driver.poll() is None for _ in range(3)] == [True, True, False]
        driver.answers.clear()  # or what has ended would not be asked for again
        assert driver.poll() is not None
        assert tenant.waited == [REFUSAL_RETRY_SECONDS]

    @pytest.mark.parametrize(("seconds_left", "waits"), [(10.0, 0), (10.5, 1), (25.0, 2)])
    def test_it_is_not_waited_past_the_deadline(self, make: Make, seconds_left: float, waits: int) -> None:
        tenant = Tenant(*[REFUSED] * 10)
        assert make(tenant, seconds_left, has_worked=True).poll() is None
        assert tenant.waited == [REFUSAL_RETRY_SECONDS] * waits

    def test_an_outage_is_the_caller_s_to_wait_out(self, make: Make) -> None:
        tenant = Tenant(DOWN)
        driver = make(tenant, has_worked=True)
        assert driver.poll() is None
        assert tenant.waited == []
        verdict = driver.poll()
        assert verdict is not None
        assert verdict.accepted == (ENDED,)

    def test_credentials_are_read_again_once(self, make: Make) -> None:
        tenant = Tenant(EXPIRED)
        assert make(tenant).poll() is not None
        assert tenant.reconnected == 1
        tenant = Tenant(EXPIRED, EXPIRED)
        with pytest.raises(UnauthorizedError):
            make(tenant).poll()
        assert tenant.reconnected == 1

    def test_all_answers_of_a_poll_are_of_one_connection(self, make: Make) -> None:
        """What was read before the 401 may be of another tenant."""
        tenant = Tenant(None, EXPIRED)
        running = replace(ENDED, completion_status=None)
        tenant.status, tenant.status_after_reconnect = None, running
        driver = make(tenant)
        verdict = driver.poll()
        assert verdict is not None
        assert list(driver.answers.values()) == [running]
        assert tenant.reconnected == 1

    def test_a_second_401_of_a_poll_is_a_refusal(self, make: Make) -> None:
        tenant = Tenant(EXPIRED, None, EXPIRED)
        tenant.status = None
        with pytest.raises(UnauthorizedError):
            make(tenant).poll()
        assert tenant.reconnected == 1

    def test_what_has_ended_is_not_asked_for_again(self, make: Make) -> None:
        tenant = Tenant(None, REFUSED)
        driver = make(tenant)
        assert driver.poll() == driver.poll()
        assert tenant.answers == [REFUSED]
