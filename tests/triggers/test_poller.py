from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_sptasks.client.errors import BadRequestError, ForbiddenError, UnauthorizedError
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.emulator import Emulator, RateLimit
from airflow_provider_sptasks.triggers import _poller
from airflow_provider_sptasks.triggers._poller import Look, Waiter, poller
from tests.conftest import CONNECTION

CONN_ID = "sailpoint_default"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of a twenty-fifth of their length."""
    monkeypatch.setattr(_poller, "SHORTEST_ROUND", 0.2)
    monkeypatch.setattr(_poller, "WINDOW", 0.4)
    monkeypatch.setattr("airflow_provider_sptasks.client.pacing.WINDOW", 0.4)


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> Any:
    with Emulator(rate_limit=RateLimit(requests=100, seconds=0.4)) as emulator:
        monkeypatch.setenv(CONNECTION, emulator.connection_uri)
        yield emulator


def lists(tenant: Emulator) -> int:
    return sum(1 for request in tenant.requests if request.path == "/task-status/v1")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def completion(waiter: Waiter, task_status_id: str) -> TaskStatus:
    while True:
        look = await waiter.look()
        status = look.found.get(task_status_id)
        if status is not None and status.is_complete:
            return status


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run, and see to it that nothing is left behind."""

    async def checked() -> None:
        try:
            await main()
        except BaseException:
            # So that the next test doesn't fail for this one.
            for left in list(_poller._pollers.get(asyncio.get_running_loop(), {}).values()):
                left._tenant.close()
            raise
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert not _poller._pollers[asyncio.get_running_loop()], "the poller should be gone"

    asyncio.run(checked())
    for thread in threading.enumerate():
        if thread.name.startswith("sailpoint-poller"):
            thread.join(timeout=5)
            assert not thread.is_alive()


@pytest.mark.parametrize(("tasks", "requests"), [(1, 1), (200, 1), (201, 2), (1_000, 5), (10_000, 50)])
def test_requests_of_a_round(unlimited: Emulator, tasks: int, requests: int) -> None:
    ids = [unlimited.add_task(duration=None).id for _ in range(tasks)]

    async def main() -> None:
        waiters = [poller(CONN_ID, None).join([each], interval=3600) for each in ids]
        await asyncio.gather(*(waiter.look() for waiter in waiters))
        assert lists(unlimited) == requests
        for waiter in waiters:
            waiter.leave()

    run(main)
    assert {request.status for request in unlimited.requests} == {200}


@pytest.mark.parametrize(
    ("share", "tasks", "seconds"),
    [
        (0.01, 1, 10),
        (0.01, 1_000, 50),
        (0.1, 1, 5),
        (0.1, 1_000, 5),
        (0.1, 1_001, 6),
        (0.1, 10_000, 50),
        (0.5, 1, 1),
        (0.5, 1_000, 1),
        (0.5, 5_000, 5),
        (1.0, 10_000, 5),
    ],
)
def test_a_round_keeps_to_the_share(
    tenant: Emulator, monkeypatch: pytest.MonkeyPatch, share: float, tasks: int, seconds: float
) -> None:
    monkeypatch.setenv(CONNECTION, f"{tenant.connection_uri}/?poll_share={share}")
    task = tenant.add_task(duration=None)

    async def main() -> None:
        first = poller(CONN_ID, None).join([task.id], interval=3600)
        await first.look()
        monkeypatch.setattr(_poller, "SHORTEST_ROUND", 5.0)
        monkeypatch.setattr(_poller, "WINDOW", 10.0)
        others = poller(CONN_ID, None).join([f"task-{number}" for number in range(tasks - 1)], interval=3600)
        assert poller(CONN_ID, None)._round() == pytest.approx(seconds)
        others.leave()
        first.leave()

    run(main)


def test_looks_of_a_large_fleet_are_spread_over_the_round(
    tenant: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tenant.add_task(duration=None)

    async def main() -> None:
        first = poller(CONN_ID, None).join([task.id], interval=3600)
        await first.look()
        monkeypatch.setattr(_poller, "SHORTEST_ROUND", 5.0)
        monkeypatch.setattr(_poller, "WINDOW", 10.0)
        source = poller(CONN_ID, None)
        others = source.join([f"task-{number}" for number in range(9_999)], interval=3600)
        source._slot = 0.0
        slots = [source._next_slot(1_000.0) for _ in range(50)]
        assert 1_005 <= slots[0] <= 1_005.5
        gaps = [later - earlier for earlier, later in pairwise(slots[:45])]
        assert gaps == pytest.approx([1.0] * 44), "one request a second"
        assert max(slots) <= 1_055
        others.leave()
        first.leave()

    run(main)


def test_keeps_little_of_each_task(tenant: Emulator) -> None:
    ids = [tenant.add_task(launched=-3600, duration=None).id for _ in range(2)]

    async def main() -> None:
        waiter = poller(CONN_ID, None).join(ids, interval=3600)
        found = (await waiter.look()).found
        one, other = (found[each] for each in ids)
        assert one.raw == other.raw == {}
        assert one.counters["total"] > 0
        assert one.description is other.description
        assert one.attributes["applications"] is other.attributes["applications"]
        waiter.leave()

    run(main)


def test_two_waiters_on_a_task_get_one_look(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_poller, "SHORTEST_ROUND", 2.0)
    task = tenant.add_task(duration=None)

    async def main() -> None:
        waiters = [poller(CONN_ID, None).join([task.id], interval=3600) for _ in range(2)]
        looks = await asyncio.gather(*(waiter.look() for waiter in waiters))
        assert [list(look.found) for look in looks] == [[task.id], [task.id]]
        assert lists(tenant) == 1
        late = poller(CONN_ID, None).join([task.id], interval=3600)
        assert list((await late.look()).found) == [task.id], "what was seen already is handed over at once"
        assert lists(tenant) == 1
        waiters[0].leave()
        tenant.complete(task.id)
        assert (await completion(waiters[1], task.id)).completion_status == "SUCCESS"
        assert (await completion(late, task.id)).completion_status == "SUCCESS"
        waiters[1].leave()
        late.leave()

    run(main)


def test_unchanged_tasks_are_no_news(tenant: Emulator) -> None:
    task = tenant.add_task(launched=-3600, duration=None)

    async def main() -> None:
        waiter = poller(CONN_ID, None).join([task.id], interval=0.05)
        await waiter.look()
        news = asyncio.create_task(waiter.look())
        await until(lambda: lists(tenant) > 5)
        assert not news.done()
        tenant.complete(task.id)
        assert (await news).found[task.id].is_complete
        waiter.leave()

    run(main)


def test_each_waiter_keeps_its_own_interval(tenant: Emulator) -> None:
    hasty, patient = (tenant.add_task(duration=None) for _ in range(2))

    async def main() -> None:
        waiters = [
            poller(CONN_ID, None).join([patient.id], interval=3600),
            poller(CONN_ID, None).join([hasty.id], interval=0.02),
        ]
        await until(lambda: lists(tenant) > 10)
        for waiter in waiters:
            waiter.leave()

    run(main)
    asked = [request.query["filters"] for request in tenant.requests if "filters" in request.query]
    assert sum(hasty.id in filters for filters in asked) > 2 * sum(patient.id in filters for filters in asked)


def test_one_who_leaves_is_not_looked_for_any_more(tenant: Emulator) -> None:
    gone, waiting = (tenant.add_task(duration=None) for _ in range(2))

    async def main() -> None:
        first = poller(CONN_ID, None).join([gone.id], interval=0.05)
        second = poller(CONN_ID, None).join([waiting.id], interval=0.05)
        await asyncio.gather(first.look(), second.look())
        first.leave()
        before = lists(tenant)
        await until(lambda: lists(tenant) > before + 4)
        second.leave()

    run(main)
    last = [request for request in tenant.requests if "filters" in request.query][-1]
    assert gone.id not in last.query["filters"]


def test_joined_and_left_in_one_breath(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_poller, "SHORTEST_ROUND", 60.0)
    task = tenant.add_task(duration=None)

    async def main() -> None:
        waiter = poller(CONN_ID, None).join([task.id], interval=3600)
        await waiter.look()
        await asyncio.sleep(0.05)  # the poller waits for the next turn
        poller(CONN_ID, None).join(["another"], interval=3600).leave()
        waiter.leave()

    run(main)
    assert lists(tenant) == 1


def test_cancelled_in_the_middle_of_a_look(tenant: Emulator) -> None:
    task = tenant.add_task(duration=None)
    tenant.fail(kind="delay", path="/task-status/v1", delay=0.3)

    async def main() -> None:
        waiter = poller(CONN_ID, None).join([task.id], interval=1)
        look = asyncio.create_task(waiter.look())
        await until(lambda: any(request.path == "/oauth/token" for request in tenant.requests))
        look.cancel()
        waiter.leave()
        again = poller(CONN_ID, None).join([task.id], interval=1)
        assert task.id in (await again.look()).found
        again.leave()

    run(main)


def test_what_passes_is_waited_out_and_told_once(tenant: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    ids = [tenant.add_task(duration=None).id for _ in range(3)]
    tenant.fail(503, times=3)
    troubled: list[Look] = []

    async def main() -> None:
        waiter = poller(CONN_ID, None).join(ids, interval=0.05)
        while True:
            look = await waiter.look()
            if look.found:
                break
            troubled.append(look)
        waiter.leave()

    with caplog.at_level(logging.INFO, logger=_poller.__name__):
        run(main)
    assert troubled
    assert "503" in str(troubled[0].trouble)
    told = [record.message for record in caplog.records if record.name == _poller.__name__]
    assert len(told) == 2
    assert told[0].startswith(f"Can't look at tasks of {CONN_ID} at the moment")
    assert told[1] == f"Can look at tasks of {CONN_ID} again"


def test_refusal_reaches_everybody_it_concerns(tenant: Emulator) -> None:
    ids = [tenant.add_task(duration=None).id for _ in range(3)]
    tenant.fail(403, path="/task-status/v1")

    async def main() -> None:
        waiters = [poller(CONN_ID, None).join([each], interval=1) for each in ids]
        errors = await asyncio.gather(*(waiter.look() for waiter in waiters), return_exceptions=True)
        assert [type(error) for error in errors] == [ForbiddenError] * 3
        for waiter in waiters:
            waiter.leave()

    run(main)
    assert lists(tenant) == 1


def test_rotated_credentials_heal(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tenant.add_task(duration=None)

    async def main() -> None:
        waiter = poller(CONN_ID, None).join([task.id], interval=0.05)
        await waiter.look()
        tenant.rotate_secret(tenant.client_id, "rotated")
        monkeypatch.setenv(CONNECTION, tenant.connection_uri)
        tenant.revoke_tokens()
        tenant.complete(task.id)
        assert (await completion(waiter, task.id)).completion_status == "SUCCESS"
        waiter.leave()

    run(main)


def test_wrong_credentials_are_a_refusal(tenant: Emulator) -> None:
    tenant.rotate_secret(tenant.client_id, "another")

    async def main() -> None:
        waiter = poller(CONN_ID, None).join(["a" * 32], interval=1)
        with pytest.raises(UnauthorizedError):
            await waiter.look()
        waiter.leave()

    run(main)


def test_a_fault_of_the_poller_reaches_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION, "sailpoint://client:secret@acme/?api_version=v3")

    async def main() -> None:
        waiters = [poller(CONN_ID, None).join([each], interval=1) for each in ("a", "b")]
        errors = await asyncio.gather(*(waiter.look() for waiter in waiters), return_exceptions=True)
        assert [str(error) for error in errors] == [str(errors[0])] * 2
        assert "api_version 'v3' is unknown" in str(errors[0])
        for waiter in waiters:
            waiter.leave()

    run(main)


@pytest.mark.parametrize("version", ["beta", "v2024"])
def test_pending_tasks_cost_no_request_each(tenant: Emulator, version: str) -> None:
    ids = [tenant.add_task(duration=None).id for _ in range(300)]
    ended = tenant.add_task(launched=-60, duration=1)

    async def main() -> None:
        waiter = poller(CONN_ID, version).join([*ids, ended.id], interval=3600)
        found: set[str] = set()
        while len(found) < 301:
            found |= (await waiter.look()).found.keys()
        waiter.leave()

    run(main)
    asked = [request for request in tenant.requests if request.api_version == version]
    assert len(asked) == 3, "two pages of pending tasks, and one list for the one that is not"


def test_bad_request_is_told_apart(tenant: Emulator) -> None:
    """Four ids are refused, then two, then one; asked for apart, all of them are there."""
    ids = [tenant.add_task(duration=None).id for _ in range(4)]
    tenant.fail(400, path="/task-status/v1", times=3)

    async def main() -> None:
        waiters = [poller(CONN_ID, None).join([each], interval=3600) for each in ids]
        looks = await asyncio.gather(*(waiter.look() for waiter in waiters))
        assert [list(look.found) for look in looks] == [[each] for each in ids]
        for waiter in waiters:
            waiter.leave()

    run(main)


def test_bad_request_for_each_is_told_each(tenant: Emulator) -> None:
    ids = [tenant.add_task(duration=None).id for _ in range(4)]
    tenant.fail(400, path="/task-status/v1")

    async def main() -> None:
        waiters = [poller(CONN_ID, None).join([each], interval=3600) for each in ids]
        errors = await asyncio.gather(*(waiter.look() for waiter in waiters), return_exceptions=True)
        assert [type(error) for error in errors] == [BadRequestError] * 4
        for waiter in waiters:
            waiter.leave()

    run(main)


def test_what_can_be_no_id_is_refused_at_once(tenant: Emulator) -> None:
    task = tenant.add_task(duration=None)

    async def main() -> None:
        waiter = poller(CONN_ID, None).join([task.id], interval=3600)
        with pytest.raises(ValueError, match="is not an id"):
            poller(CONN_ID, None).join(["not an id"], interval=3600)
        assert task.id in (await waiter.look()).found
        waiter.leave()

    run(main)
