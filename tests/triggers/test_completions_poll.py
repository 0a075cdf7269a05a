"""One poll of a feed, by the requests that the emulator gets."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from airflow_provider_sptasks.client.client import TaskStatusClient
from airflow_provider_sptasks.client.errors import ServerError
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.completions import Cursor
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.triggers import _completions_poll
from airflow_provider_sptasks.triggers._completions_poll import CompletionsPoll

DAY = 86_400
LATEST = int(time.time()) + DAY


@pytest.fixture
def tenant() -> Iterator[Emulator]:
    with Emulator(rate_limit=None) as emulator:
        yield emulator


def client_of(tenant: Emulator) -> TaskStatusClient:
    settings = ClientSettings(tenant.url, tenant.client_id, tenant.client_secret)
    return TaskStatusClient(settings, retry=RetryPolicy(deadline=5.0, max_attempts=1))


def test_an_id_that_the_tenant_refuses_is_found_and_left_out(
    tenant: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.monotonic()
    old = [tenant.add_task(launched=-DAY, duration=None).id for _ in range(100)]
    tenant.fail(400, query="*culprit*")
    cursor = Cursor(int(time.time()), awaited=dict.fromkeys([*old, "culprit"], 1))
    poll = CompletionsPoll(lambda: now)
    with client_of(tenant) as client:
        assert set(poll.poll(client, [cursor], LATEST).tasks) == set(old)
        assert len(tenant.requests) < 20
        tenant.reset_requests()
        assert set(poll.poll(client, [cursor], LATEST).tasks) == set(old)
        assert len(tenant.requests) == 2
        assert poll.requests == 2
        now += _completions_poll.EXCLUSION_SECONDS
        tenant.clear_faults()
        tenant.add_task("culprit", launched=-DAY, duration=None)
        assert "culprit" in poll.poll(client, [cursor], LATEST).tasks
    failed, excluded = caplog.messages
    assert failed.startswith("Asking for 101 tasks by their ids failed: GET /task-status/v1")
    assert excluded == "Not asked for in the next 120 s: tasks culprit"


def test_an_outage_of_all_ids_costs_few_requests(tenant: Emulator) -> None:
    tenant.fail(500, query="*filters*")
    cursor = Cursor(int(time.time()) - 60, awaited={f"task-{n}": 1 for n in range(200)})
    task = tenant.add_task(launched=0, duration=None)
    with client_of(tenant) as client:
        assert set(CompletionsPoll().poll(client, [cursor], LATEST).tasks) == {task.id}
    lists = [each for each in tenant.requests if each.path.endswith("/task-status/v1")]
    assert len(lists) <= _completions_poll.MAX_SEARCH_REQUESTS + 4


def test_what_is_not_about_ids_is_raised(tenant: Emulator) -> None:
    tenant.fail(500)
    with client_of(tenant) as client, pytest.raises(ServerError):
        CompletionsPoll().poll(client, [Cursor(1, awaited={"a": 1})], LATEST)


def test_reaches_as_far_back_as_the_oldest_cursor(tenant: Emulator) -> None:
    now = int(time.time())
    for days in range(1, 5):
        tenant.add_task(f"day-{days}", launched=-days * DAY, duration=1)
    cursors = [Cursor(now - DAY // 2), Cursor(now - 5 * DAY // 2)]
    with client_of(tenant) as client:
        snapshot = CompletionsPoll().poll(client, cursors, LATEST)
    assert set(snapshot.tasks) == {"day-1", "day-2"}
    assert (snapshot.since, snapshot.has_pending) == (cursors[1].since, False)


@pytest.mark.parametrize("odd", [0, 3, 60])
def test_begins_at_the_newest_credible_time(tenant: Emulator, odd: int) -> None:
    """At the present, where not one of the newest is credible; never at the beginning of all time."""
    now = int(time.time())
    tenant.add_task("real", launched=-3_600, duration=1)
    tenant.add_task("old", launched=-DAY, duration=None)
    for _ in range(odd):
        tenant.override_task(tenant.add_task(launched=-1, duration=1).id, created="2099-01-01T00:00:00Z")
    with client_of(tenant) as client:
        snapshot = CompletionsPoll().poll(client, [None], now)
    assert snapshot.has_pending
    assert "old" in snapshot.tasks
    newest = now - 3_600 if odd < _completions_poll.NEWEST_TASKS else now
    assert abs(snapshot.since - (newest - 600)) <= 2
