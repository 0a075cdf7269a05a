"""The poller, for those who wait for what sources launch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_sptasks.client.errors import ForbiddenError, SourceNotFoundError
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.triggers import _poller
from airflow_provider_sptasks.triggers._poller import Poller, Waiter, poller
from tests.triggers.test_poller import CONN_ID, hurry, lists, run, until

HOUR = 3600.0

__all__ = ["hurry"]


def join(source_ids: Sequence[str], hours: float = -24, interval: float = 0.05) -> tuple[Poller, Waiter]:
    """Wait for what sources have launched since so many hours from now."""
    source = poller(CONN_ID, None)
    waiter = source.join((), interval)
    source.join_sources(waiter, source_ids, datetime.now(UTC) + timedelta(hours=hours))
    return source, waiter


async def find(waiter: Waiter, task_status_id: str) -> TaskStatus:
    while True:
        look = await waiter.look()
        if task_status_id in look.found:
            return look.found[task_status_id]


def sources(tenant: Emulator, number: int) -> list[str]:
    return [tenant.add_source(f"Source {each}").id for each in range(number)]


@pytest.mark.parametrize(("number", "requests"), [(1, 1), (200, 1), (1_000, 6)])
def test_requests_of_a_round(tenant: Emulator, number: int, requests: int) -> None:
    ids = sources(tenant, number)
    for each in ids:
        tenant.add_task(source_id=each, launched=-HOUR, duration=None)

    async def main() -> None:
        waiters = [join([each], interval=3600)[1] for each in ids]
        looks = await asyncio.gather(*(waiter.look() for waiter in waiters))
        assert all(look.found for look in looks)
        assert lists(tenant) <= requests
        for waiter in waiters:
            waiter.leave()

    run(main)
    assert {request.status for request in tenant.requests} == {200}


def test_looks_go_back_no_further_than_needed(tenant: Emulator) -> None:
    """A year of aggregations every hour is read once, and then what is new."""
    (ad,) = sources(tenant, 1)
    for hours in range(1, 1000):
        tenant.add_task(source_id=ad, launched=-hours * HOUR, duration=60)
    running = tenant.add_task(source_id=ad, launched=-60, duration=None).id

    async def main() -> None:
        _, waiter = join([ad], hours=-2000)
        first = await waiter.look()
        assert len(first.found) == 1000
        assert lists(tenant) == 5
        await until(lambda: lists(tenant) > 10)
        tenant.complete(running)
        assert (await find(waiter, running)).is_complete
        before = lists(tenant)
        launched = tenant.add_task(source_id=ad, duration=None).id
        assert not (await find(waiter, launched)).is_complete
        assert lists(tenant) < before + 10
        waiter.leave()

    run(main)
    last = tenant.requests[-1]
    assert last.query["offset"] == "0"


def test_unchanged_tasks_are_no_news(tenant: Emulator) -> None:
    (ad,) = sources(tenant, 1)
    task = tenant.add_task(source_id=ad, launched=-HOUR, duration=None).id

    async def main() -> None:
        _, waiter = join([ad])
        await waiter.look()
        news = asyncio.create_task(waiter.look())
        await until(lambda: lists(tenant) > 5)
        assert not news.done()
        tenant.complete(task)
        assert (await news).found[task].is_complete
        waiter.leave()

    run(main)


def test_who_comes_later_sees_as_far_back_as_wanted(tenant: Emulator) -> None:
    (ad,) = sources(tenant, 1)
    old = tenant.add_task(source_id=ad, launched=-100 * HOUR, duration=60).id
    new = tenant.add_task(source_id=ad, launched=-HOUR, duration=60).id

    async def main() -> None:
        _, first = join([ad])
        assert set((await first.look()).found) == {new}
        await until(lambda: lists(tenant) > 3)
        _, second = join([ad], hours=-200)
        assert set((await second.look()).found) == {new, old}
        first.leave()
        second.leave()

    run(main)


def test_long_running_aggregation_is_not_forgotten(tenant: Emulator) -> None:
    ad, hr = sources(tenant, 2)
    long = tenant.add_task(source_id=ad, launched=-20 * HOUR, duration=None).id

    async def main() -> None:
        _, waiter = join([ad, hr])
        await find(waiter, long)
        for _ in range(3):  # others move on meanwhile
            task = tenant.add_task(source_id=hr, duration=0).id
            await find(waiter, task)
        tenant.complete(long)
        assert (await find(waiter, long)).is_complete
        waiter.leave()

    run(main)


def test_first_look_at_nothing_is_news_too(tenant: Emulator) -> None:
    (ad,) = sources(tenant, 1)

    async def main() -> None:
        _, waiter = join([ad])
        look = await waiter.look()
        assert not look.found
        assert not look.missing
        assert look.trouble is None
        waiter.leave()

    run(main)


def test_source_that_the_tenant_does_not_know(tenant: Emulator) -> None:
    (ad,) = sources(tenant, 1)
    unknown = "f" * 32

    async def main() -> None:
        _, waiter = join([ad, unknown])
        assert (await waiter.look()).missing == {unknown}
        waiter.leave()

    run(main)


def test_trouble_is_told_and_its_end(tenant: Emulator) -> None:
    (ad,) = sources(tenant, 1)
    tenant.fail(503, path="/task-status/v1", times=1)

    async def main() -> None:
        _, waiter = join([ad])
        assert (await waiter.look()).trouble is not None
        assert (await waiter.look()).trouble is None
        waiter.leave()

    run(main)


def test_tasks_and_sources_side_by_side(tenant: Emulator) -> None:
    (ad,) = sources(tenant, 1)
    task = tenant.add_task(source_id=ad, launched=-HOUR, duration=None).id

    async def main() -> None:
        _, by_source = join([ad])
        by_task = poller(CONN_ID, None).join([task], interval=0.05)
        await asyncio.gather(find(by_source, task), find(by_task, task))
        tenant.complete(task)
        ends = await asyncio.gather(find(by_source, task), find(by_task, task))
        assert all(end.is_complete for end in ends)
        by_task.leave()
        by_source.leave()

    run(main)


def test_refusal_reaches_everybody_it_concerns(tenant: Emulator) -> None:
    ids = sources(tenant, 3)
    tenant.fail(403, path="/task-status/v1")

    async def main() -> None:
        waiters = [join([each])[1] for each in ids]
        errors = await asyncio.gather(*(waiter.look() for waiter in waiters), return_exceptions=True)
        assert [type(error) for error in errors] == [ForbiddenError] * 3
        for waiter in waiters:
            waiter.leave()

    run(main)


def test_names_are_looked_up_once(tenant: Emulator) -> None:
    ad = tenant.add_source("Active Directory").id

    async def main() -> None:
        waiter = poller(CONN_ID, None).join((), 1)
        for _ in range(3):
            assert await poller(CONN_ID, None).source_ids(["Active Directory"]) == [ad]
        with pytest.raises(SourceNotFoundError, match="HR"):
            await poller(CONN_ID, None).source_ids(["HR"])
        waiter.leave()

    run(main)
    asked = [request for request in tenant.requests if "Active" in request.query.get("filters", "")]
    assert len(asked) == 1


@pytest.mark.parametrize("version", ["beta", "v2024"])
def test_versions_whose_list_holds_completed_tasks_only(tenant: Emulator, version: str) -> None:
    (ad,) = sources(tenant, 1)
    task = tenant.add_task(source_id=ad, launched=-HOUR, duration=None).id

    async def main() -> None:
        source = poller(CONN_ID, version)
        waiter = source.join((), 0.05)
        source.join_sources(waiter, [ad], datetime.now(UTC) - timedelta(hours=2))
        assert not (await find(waiter, task)).is_complete
        tenant.complete(task)
        assert (await find(waiter, task)).is_complete
        waiter.leave()

    run(main)


def test_who_stands_in_the_queue_twice_is_looked_at_once(tenant: Emulator) -> None:
    """As after a look that failed, when somebody joined while it was under way."""
    (ad,) = sources(tenant, 1)

    async def main() -> None:
        source, waiter = join([ad])
        await waiter.look()
        (turn,) = source._sources.turns.values()
        turn.due = asyncio.get_running_loop().time()
        for _ in range(2):
            source._sources.enqueue(turn)
        assert source._sources.take(10, turn.due) == [turn]
        waiter.leave()

    run(main)


def test_overlap_covers_what_waits_to_be_launched() -> None:
    from airflow_provider_sptasks.client.launches import QUEUED

    assert _poller.OVERLAP > 2 * QUEUED
