"""What triggers do in threads: beside each other, under names of their own, and for no single task's log."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_sptasks.client.client import TaskStatusClient
from airflow_provider_sptasks.client.reader import TaskReader
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.triggers import _base
from airflow_provider_sptasks.triggers._connection import connect
from airflow_provider_sptasks.triggers._feed import Feed
from airflow_provider_sptasks.triggers._poller import subscribe
from airflow_provider_sptasks.triggers.completions import ARGUMENTS_VERSION as COMPLETIONS_VERSION
from airflow_provider_sptasks.triggers.completions import SailPointAggregationCompletedTrigger
from airflow_provider_sptasks.triggers.sailpoint import SailPointStartedTaskTrigger
from airflow_provider_sptasks.waiting.events import ARGUMENTS_VERSION
from airflow_provider_sptasks.waiting.queries import TaskQuery
from tests.conftest import CONNECTION
from tests.context import triggerer

LOGS_FOR = contextvars.ContextVar[str]("LOGS_FOR", default="no task")
CONN_ID = "sailpoint_default"


def made(task_status_id: str = "a", **kwargs: Any) -> SailPointStartedTaskTrigger:
    return SailPointStartedTaskTrigger(task_status_id=task_status_id, version=ARGUMENTS_VERSION, **kwargs)


async def push(number: int) -> None:
    trigger = made()
    with triggerer(trigger):
        await trigger._push("key", number, BaseXCom)


async def ask_whether_it_may_end(_: int) -> None:
    trigger = made(end_from_trigger=True)
    with triggerer(trigger):
        await trigger._may_end_here()


async def kill(_: int) -> None:
    await made().on_kill()


async def read_a_connection(number: int) -> None:
    await connect(f"sailpoint_{number}", None)


TOGETHER: dict[str, tuple[object, str, Callable[[int], Awaitable[None]]]] = {
    "an XCom": (BaseXCom, "set", push),
    "plugins": (_base, "success_is_listened_to", ask_whether_it_may_end),
    "a kill": (SailPointStartedTaskTrigger, "_clear", kill),
    "a connection": (SailPointHook, "get_conn", read_a_connection),
}


@pytest.mark.parametrize("what", TOGETHER)
def test_two_triggers_do_not_wait_for_each_other(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow database, API server or tenant delays the trigger that needs it, and no others."""
    place, name, work = TOGETHER[what]
    both = threading.Barrier(2, timeout=10)

    def wait_for_the_other(*_: object, **__: object) -> None:
        both.wait()

    monkeypatch.setattr(place, name, wait_for_the_other)

    async def main() -> None:
        await asyncio.gather(work(1), work(2))

    asyncio.run(main())


async def poll(tenant: Emulator) -> None:
    query = TaskQuery(tenant.add_task(duration=None).id)
    with await subscribe(CONN_ID, None, 60.0) as updates:
        updates.watch([query])
        assert await updates.update() is not None


async def poll_completions(tenant: Emulator) -> None:
    feed = Feed(CONN_ID, None)
    trigger = SailPointAggregationCompletedTrigger("*", version=COMPLETIONS_VERSION)
    watching = asyncio.ensure_future(anext(trigger.filter_shared_stream(feed.updates())))
    while polls(tenant) < 2:  # the first one asks for the tenant's time
        await asyncio.sleep(0.01)
    watching.cancel()
    feed.close()


async def read_one(_: Emulator) -> None:
    await connect(CONN_ID, None)


SHARED: dict[str, tuple[type, str, Callable[[Emulator], Awaitable[None]], str]] = {
    "polls": (TaskReader, "find", poll, "sailpoint-poller"),
    "polls of completions": (TaskStatusClient, "pending", poll_completions, "sailpoint-completions"),
    "the connection": (SailPointHook, "get_conn", read_one, ""),
}


@pytest.mark.parametrize("what", SHARED)
def test_what_all_share_logs_for_no_task(
    tenant: Emulator, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Or its lines would be in the log of the task whose trigger came first; and a dump names its threads."""
    place, name, work, prefix = SHARED[what]
    monkeypatch.setenv(CONNECTION, tenant.connection_uri)
    seen: list[tuple[str, str]] = []
    real = getattr(place, name)

    def noting(*args: Any, **kwargs: Any) -> Any:
        seen.append((LOGS_FOR.get(), threading.current_thread().name))
        return real(*args, **kwargs)

    monkeypatch.setattr(place, name, noting)

    async def main() -> None:
        LOGS_FOR.set("the first task")
        async with asyncio.timeout(20):
            await work(tenant)

    asyncio.run(main())
    assert {logs_for for logs_for, _ in seen} == {"no task"}
    assert all(thread.startswith(prefix) for _, thread in seen)


async def stop_polling(tenant: Emulator) -> None:
    query = TaskQuery(tenant.add_task(duration=None).id)
    with await subscribe(CONN_ID, None, 60.0) as updates:
        updates.watch([query])
        await until_polled(tenant)


async def stop_polling_completions(tenant: Emulator) -> None:
    feed = Feed(CONN_ID, None)
    trigger = SailPointAggregationCompletedTrigger("*", version=COMPLETIONS_VERSION)
    watching = asyncio.ensure_future(anext(trigger.filter_shared_stream(feed.updates())))
    await until_polled(tenant)
    assert feed.watchers
    watching.cancel()
    await asyncio.wait([watching])
    assert not feed.watchers, "or it would poll for a watcher that has left"
    feed.close()


async def until_polled(tenant: Emulator) -> None:
    while not polls(tenant):
        await asyncio.sleep(0.001)


def polls(tenant: Emulator) -> int:
    return sum(request.path == "/task-status/v1" for request in tenant.requests)


@pytest.mark.parametrize(
    ("stop", "prefix"),
    [(stop_polling, "sailpoint-poller"), (stop_polling_completions, "sailpoint-completions")],
)
def test_what_is_under_way_sends_no_more_after_the_end(
    tenant: Emulator, stop: Callable[[Emulator], Awaitable[None]], prefix: str
) -> None:
    """Its next attempt would come within a second."""
    tenant.fail(503, path="/task-status/v1")

    async def main() -> None:
        async with asyncio.timeout(20):
            await stop(tenant)

    asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name.startswith(prefix):
            thread.join(timeout=10)
            assert not thread.is_alive()
    assert polls(tenant) == 1
