"""When the next tasks are read: late enough to be fresh, early enough for the pace."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from airflow_provider_sptasks.client import RetryPolicy, TaskStatus, clearing_flow
from airflow_provider_sptasks.client.clearing import FRESHNESS, Clearing
from airflow_provider_sptasks.client.clearing_flow import Flow
from airflow_provider_sptasks.client.errors import SailPointError, ServerError, UnauthorizedError
from airflow_provider_sptasks.client.pacing import MAX_BURST, Pacer
from tests.client.conftest import Connect

INTERVAL = 0.125


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(clearing_flow, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def tasks(count: int) -> deque[TaskStatus]:
    return deque(TaskStatus(id=str(n)) for n in range(count))


def clearing_with(connect: Connect, answer_seconds: float) -> Clearing:
    from threading import Event

    client = connect(pacer=Pacer(80), retry=RetryPolicy())
    client.transport._exchange._answer_seconds = answer_seconds
    return Clearing(client, completion_status="Error", stop=Event(), note=lambda _: None)


@pytest.mark.parametrize(
    ("answer_seconds", "in_flight", "batch"),
    [
        (0.0, 4, 32),  # what the pace of 8 a second can patch in 4 seconds
        (0.3, 5, 32),
        (1.0, 10, 28),
        (3.0, 26, 12),
        (4.5, 32, 1),
        (60.0, 32, 1),
    ],
)
def test_slow_answers_take_more_requests_at_a_time(
    answer_seconds: float, in_flight: int, batch: int, connect: Connect
) -> None:
    clearing = clearing_with(connect, answer_seconds)
    assert (clearing._in_flight, clearing._batch_size) == (in_flight, batch)


@pytest.mark.parametrize("answer_seconds", [0.01, 0.3, 1.0, 2.0, 3.0])
def test_keeps_the_pace(answer_seconds: float, clock: Clock, connect: Connect) -> None:
    """Simulated: 8 requests a second in the order in which they are submitted, none sent too late."""
    clearing = clearing_with(connect, answer_seconds)
    flow = Flow(tasks(800), INTERVAL)
    reads: list[tuple[float, Future[dict[str, TaskStatus]], list[TaskStatus]]] = []
    settling: list[tuple[float, Future[SailPointError | None]]] = []
    late = settled = 0
    next_at = began = clock.now

    def send() -> float:
        nonlocal next_at
        next_at = max(next_at, clock.now - (MAX_BURST - 1) * INTERVAL) + INTERVAL
        return max(next_at - INTERVAL, clock.now)

    while flow.goes_on:
        if flow.next_read_in(answer_seconds) == 0:
            batch = flow.next_batch(clearing._batch_size)
            read: Future[dict[str, TaskStatus]] = Future()
            flow.add_read(read, batch)
            reads.append((send() + answer_seconds, read, batch))
        while flow.next_settling_in() == 0 and flow.settling < clearing._in_flight:
            candidate = flow.next_ready()
            settle: Future[SailPointError | None] = Future()
            flow.add_settling(settle, candidate.task)
            sent_at = send()
            settling.append((sent_at + answer_seconds, settle))
            late += sent_at > candidate.read_at + FRESHNESS
            settled += 1
        clock.now += INTERVAL / 5
        for at, read, batch in reads:
            if at <= clock.now and not read.done():
                read.set_result({task.id: task for task in batch})
        for at, settle in settling:
            if at <= clock.now and not settle.done():
                settle.set_result(None)
        flow.collect()
    assert (settled, flow.settled, late) == (800, 800, 0)
    # At the beginning and at the end nothing can be patched.
    assert (settled + len(reads)) / (clock.now - began - 2 * answer_seconds) >= 7.5


def test_is_settled_at_the_pace(clock: Clock) -> None:
    """Not all that is ready at once: the next read would queue behind it."""
    flow = Flow(tasks(32), INTERVAL)
    assert flow.next_settling_in() is None
    read: Future[dict[str, TaskStatus]] = Future()
    read.set_result({})
    flow.add_read(read, flow.next_batch(32))
    flow.collect()
    taken = 0
    while flow.next_settling_in() == 0:
        flow.next_ready()
        taken += 1
    assert taken == clearing_flow.BURST  # and the read
    assert flow.next_settling_in() == pytest.approx(INTERVAL)


def test_nothing_is_read_ahead_of_time(clock: Clock) -> None:
    flow = Flow(tasks(100), INTERVAL)
    assert flow.next_read_in(0.3) == 0
    read: Future[dict[str, TaskStatus]] = Future()
    flow.add_read(read, flow.next_batch(32))
    # It comes in 0.3 s, its tasks take 4 s, and that long before its turn the next one is to be asked for.
    assert flow.next_read_in(0.3) == pytest.approx(4.0)
    clock.now += 1
    read.set_result({})
    flow.collect()
    assert len(flow.ready) == 32
    assert flow.next_read_in(0.3) == pytest.approx(3.7)


def test_what_is_not_settled_comes_back(clock: Clock) -> None:
    left = tasks(5)
    flow = Flow(left, INTERVAL)
    ready, refused = flow.next_batch(2), flow.next_batch(2)
    read: Future[dict[str, TaskStatus]] = Future()
    read.set_result({})
    flow.add_read(read, ready)
    flow.collect()
    settled, failed = Future[SailPointError | None](), Future[SailPointError | None]()
    settled.set_result(None)
    failed.set_result(ServerError("PATCH", "/", 503))
    flow.add_settling(settled, TaskStatus(id="settled"))
    flow.add_settling(failed, TaskStatus(id="failed"))
    flow.collect()
    assert (flow.settled, flow.failures_in_a_row) == (1, 1)
    assert flow.goes_on
    unread: Future[dict[str, TaskStatus]] = Future()
    unread.set_exception(UnauthorizedError("GET", "/", 401))
    flow.add_read(unread, refused)
    flow.collect()
    assert not flow.goes_on
    assert isinstance(flow.error, UnauthorizedError)
    flow.give_back()
    assert [task.id for task in left] == ["4", "failed", "2", "3", "0", "1"]
