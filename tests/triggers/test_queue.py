"""What is due, what shares a request, and who suffers from a failure: without a clock or a tenant."""

from __future__ import annotations

import math
import random
from typing import Any, cast

import pytest

from airflow_provider_sptasks.client.errors import (
    BadRequestError,
    ForbiddenError,
    RateLimitedError,
    SailPointError,
    ServerError,
    TransportError,
)
from airflow_provider_sptasks.triggers import _queue
from airflow_provider_sptasks.triggers._queue import Entry, Queue, backoff
from airflow_provider_sptasks.waiting.queries import TaskQuery

BAD_REQUEST = BadRequestError("GET", "/task-status/v1", 400)
FORBIDDEN = ForbiddenError("GET", "/task-status/v1", 403)
DOWN = ServerError("GET", "/task-status/v1", 503)


class Tenant:
    """Answers the queries of a queue, but for a culprit that makes any request fail; counts requests."""

    def __init__(self, queue: Queue, culprits: dict[str, SailPointError]) -> None:
        self.queue = queue
        self.culprits = culprits
        self.requests = 0
        self.answered: dict[str, int] = {}
        self.refused: list[str] = []
        self.is_down: SailPointError | None = None
        self.random = random.Random(1)

    def run(self, start: float, seconds: float, round_seconds: float = 5.0) -> float:
        """Ask for what is due, a request at a time, in virtual time."""
        now, end = start, start + seconds
        while self.queue.due <= end:
            now = max(now, self.queue.due)
            batch = self.queue.pop_batch(now + round_seconds / 2)
            self.requests += 1
            names = [cast(TaskQuery, entry.query).task_status_id for entry in batch]
            error = self.is_down or next(
                (self.culprits[each] for each in names if each in self.culprits), None
            )
            if error is None:
                self.queue.worked(batch, now)
                for entry, name in zip(batch, names, strict=True):
                    entry.answered(None, now)
                    self.answered[name] = self.answered.get(name, 0) + 1
                    self.queue.push(entry, now + round_seconds * self.random.uniform(1, 1.1))
            else:
                refused = self.queue.failed(batch, error, now)
                self.refused += [cast(TaskQuery, entry.query).task_status_id for entry in refused]
        return end


def queue_of(number: int) -> Queue:
    queue = Queue(TaskQuery)
    for each in range(number):
        query = TaskQuery(f"task-{each}")
        entry = queue.entries[query] = Entry(query, 0.0)
        entry.subscriptions.append(cast(Any, object()))
        queue.push(entry, 0.0)
    return queue


@pytest.mark.parametrize(
    ("entries", "batches"), [(1, [1]), (200, [200]), (201, [200, 1]), (1000, [200] * 5), (0, [])]
)
def test_a_request_has_as_many_as_fit(entries: int, batches: list[int]) -> None:
    queue = queue_of(entries)
    taken = []
    while queue.due < math.inf:
        taken.append(len(queue.pop_batch(0.0)))
    assert taken == batches


def test_what_is_due_later_stays() -> None:
    queue = queue_of(3)
    first, second, third = queue.entries.values()
    queue.push(second, 10.0)
    queue.push(third, 2.0)
    assert queue.pop_batch(2.5) == [first, third]
    assert queue.due == 10.0


def test_an_entry_is_taken_once_however_often_it_was_put_back() -> None:
    queue = queue_of(1)
    (entry,) = queue.entries.values()
    queue.push(entry, 1.0)
    queue.push(entry, 0.5)
    assert queue.pop_batch(5.0) == [entry]
    assert queue.pop_batch(5.0) == []


def test_an_entry_without_subscriptions_is_passed_over() -> None:
    queue = queue_of(2)
    first, second = queue.entries.values()
    first.subscriptions.clear()
    assert queue.pop_batch(0.0) == [second]


@pytest.mark.parametrize("position", [0, 1, 77, 149])
@pytest.mark.parametrize(
    "error", [BAD_REQUEST, ServerError("GET", "/task-status/v1", 500), TransportError("?")]
)
def test_a_culprit_is_isolated_and_suffers_alone(position: int, error: SailPointError) -> None:
    """FAULTS S3: one id among 150 that the tenant refuses, or that breaks it."""
    queue = queue_of(150)
    tenant = Tenant(queue, {})
    now = tenant.run(0.0, 4.9)
    tenant.culprits[f"task-{position}"] = error
    tenant.run(now, 60.0)
    before = dict(tenant.answered)
    requests = tenant.requests
    tenant.run(now + 60.0, 55.0)
    rounds = {name: tenant.answered[name] - before[name] for name in tenant.answered}
    assert rounds.pop(f"task-{position}") == 0
    assert min(rounds.values()) >= 9
    assert tenant.requests - requests <= 2 * 11 + 4, "not 217: the others are together again"


def test_two_culprits_are_isolated() -> None:
    queue = queue_of(200)
    tenant = Tenant(queue, {"task-3": BAD_REQUEST, "task-150": BAD_REQUEST})
    tenant.run(0.0, 30.0)
    assert {f"task-{each}" for each in range(200)} - set(tenant.answered) == {"task-3", "task-150"}


@pytest.mark.parametrize("entries", [1, 200, 10_000])
def test_an_outage_costs_few_requests_and_is_over_at_once(entries: int) -> None:
    queue = queue_of(entries)
    tenant = Tenant(queue, {})
    now = tenant.run(0.0, 4.9)
    tenant.requests = 0
    tenant.is_down = DOWN
    now = tenant.run(now, 600.0)
    chunks = math.ceil(entries / 200)
    assert tenant.requests <= chunks * 60, "a request a chunk and one that probes, each half minute"
    tenant.is_down = None
    tenant.answered.clear()
    tenant.run(now, 40.0)
    assert len(tenant.answered) == entries, "the longest back-off has passed"


def test_a_refusal_is_final_at_once_where_nothing_ever_worked() -> None:
    queue = queue_of(3)
    tenant = Tenant(queue, {})
    tenant.is_down = FORBIDDEN
    tenant.run(0.0, 1.0)
    assert len(tenant.refused) == 3


def test_a_refusal_has_to_last_after_polls_that_worked() -> None:
    queue = queue_of(3)
    tenant = Tenant(queue, {})
    now = tenant.run(0.0, 10.0)
    tenant.is_down = FORBIDDEN
    now = tenant.run(now, _queue.REFUSAL_SECONDS - 1)
    assert tenant.refused == []
    tenant.run(now, 60.0)
    assert sorted(tenant.refused) == ["task-0", "task-1", "task-2"]


def test_one_answer_between_refusals_makes_them_accidents() -> None:
    queue = queue_of(3)
    tenant = Tenant(queue, {})
    now = tenant.run(0.0, 10.0)
    for _ in range(5):
        tenant.is_down = FORBIDDEN
        now = tenant.run(now, 100.0)
        tenant.is_down = None
        now = tenant.run(now, 40.0)
    assert tenant.refused == []


def test_another_error_between_refusals_breaks_them_off() -> None:
    queue = queue_of(1)
    tenant = Tenant(queue, {})
    now = tenant.run(0.0, 10.0)
    for error in (FORBIDDEN, DOWN) * 5:
        tenant.is_down = error
        now = tenant.run(now, 60.0)
    assert tenant.refused == []


@pytest.mark.parametrize(
    ("failures", "retry_after", "least"),
    [
        (1, None, 1),
        (2, None, 2),
        (5, None, 16),
        (50, None, 30),
        (1, 0, 1),
        (1, -5, 1),
        (3, 1.0, 4),
        (1, 90.0, 90),
    ],
)
def test_retry_after_never_shortens_the_back_off(
    failures: int, retry_after: float | None, least: float
) -> None:
    """FAULTS S2."""
    for _ in range(20):
        assert least <= backoff(failures, retry_after) <= least * 1.1


def test_a_rate_limit_is_heeded() -> None:
    queue = queue_of(1)
    (entry,) = queue.pop_batch(0.0)
    queue.failed([entry], RateLimitedError("GET", "/task-status/v1", 429, retry_after=60.0), 100.0)
    assert 160.0 <= queue.due <= 166.0


def test_an_outage_begins_and_ends_once() -> None:
    queue = queue_of(2)
    first, second = queue.pop_batch(0.0)
    assert not queue.worked([first, second], 0.0)
    queue.failed([first], DOWN, 1.0)
    queue.is_out = True
    assert not queue.worked([second], 2.0), "one still fails"
    assert queue.worked([first], 3.0)
    assert not queue.worked([first], 4.0)
