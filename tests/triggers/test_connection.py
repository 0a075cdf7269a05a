"""What the poller asks with, as tables: how fast, how much at a time, and what it keeps of answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_sptasks.client.launches import NewestAggregation
from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.triggers import _connection
from airflow_provider_sptasks.triggers._connection import PollingClients, connect
from airflow_provider_sptasks.waiting.queries import Query
from tests.conftest import CONNECTION


class Client:
    """A client that polls with a share of the limit, and whose answers take some time."""

    def __init__(self, poll_share: float, answer_seconds: float) -> None:
        self.settings = SimpleNamespace(poll_share=poll_share)
        self.transport = SimpleNamespace(answer_seconds=answer_seconds)
        self.stop: threading.Event | None = None

    def polling(self) -> Client:
        return Client(self.settings.poll_share, self.transport.answer_seconds)

    def with_stop(self, stop: threading.Event) -> Client:
        self.stop = stop
        return self


def clients(poll_share: float = 0.5, answer_seconds: float = 0.1) -> PollingClients:
    hook = SimpleNamespace(client=Client(poll_share, answer_seconds))
    return PollingClients(cast(SailPointHook, hook), threading.Event())


@pytest.mark.parametrize(("share", "seconds"), [(0.05, 5.0), (0.1, 5.0), (0.2, 2.5), (1.0, 0.5)])
def test_a_larger_share_makes_rounds_shorter(share: float, seconds: float) -> None:
    assert clients(share).round_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("share", "answer_seconds", "requests"),
    [
        (0.5, 0.0, 2),
        (0.5, 0.2, 2),
        (0.5, 0.21, 3),
        (0.5, 1.0, 6),
        (1.0, 1.0, 11),
        (0.1, 1.0, 2),
        (0.1, 3.0, 4),
        (1.0, 3.1, 32),
        (1.0, 60.0, 32),
    ],
)
def test_slow_answers_take_more_at_a_time(share: float, answer_seconds: float, requests: int) -> None:
    assert clients(share, answer_seconds).max_in_flight == requests


class Named(Query):
    """Answers with what it was made with."""

    subject = "answers"

    def __init__(self, answer: object) -> None:
        self.answer = answer

    @classmethod
    def ask(cls, clients: Any, queries: Sequence[Named]) -> dict[Named, object]:
        return {query: query.answer for query in queries}


def task(status: CompletionStatus | None = CompletionStatus.SUCCESS) -> TaskStatus:
    """A task whose strings are objects of their own, as each answer's are."""

    def own(value: str) -> str:
        return "".join(list(value))

    return TaskStatus(
        id="t1",
        unique_name=own("Cloud Account Aggregation"),
        description=own("Aggregates"),
        launcher=own("slpt.services"),
        target_id=own("a" * 32),
        target_name=own("HR [source]"),
        completion_status=status,
        attributes={"count": 7},
        raw={"id": "t1"},
    )


def test_what_tasks_have_in_common_is_kept_once() -> None:
    polling = clients()
    one, two = (polling.ask(Named, [query])[query] for query in (Named(task()), Named(task())))
    assert one == two == task()
    assert one.raw == {}
    for name in ("unique_name", "description", "launcher", "target_id", "target_name"):
        assert getattr(one, name) is getattr(two, name), name
    assert one.attributes == {"count": 7}


def test_the_counters_of_a_running_task_are_not_kept() -> None:
    query = Named(task(None))
    assert clients().ask(Named, [query])[query] == replace(task(None), attributes={})


@pytest.mark.parametrize(("newest", "last"), [(True, True), (True, False), (False, True), (False, False)])
def test_nor_is_the_raw_answer_of_aggregations_kept(newest: bool, last: bool) -> None:
    query = Named(NewestAggregation(task() if newest else None, task() if last else None, ("x",)))
    answer = clients().ask(Named, [query])[query]
    assert answer == query.answer
    assert [None if each is None else each.raw for each in (answer.newest, answer.last_complete)] == [
        {} if newest else None,
        {} if last else None,
    ]


def test_other_answers_stay_as_they_are() -> None:
    query = Named("a" * 32)
    assert clients().ask(Named, [query])[query] is query.answer


def test_strings_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection, "MAX_SHARED_STRINGS", 3)
    polling = clients()
    for number in range(10):
        polling._shared(f"name {number}")
        assert len(polling._strings) <= 3
    assert polling._shared("name 9") is polling._shared("".join(["name", " 9"]))


class TestConnect:
    """One read of a connection serves all who come within moments, and a failed one no others."""

    CONN_ID = "sailpoint_default"

    def test_many_share_a_read(self, tenant: Emulator) -> None:
        async def main() -> None:
            hooks = await asyncio.gather(*(connect(self.CONN_ID, None) for _ in range(20)))
            assert {id(hook) for hook in hooks} == {id(await connect(self.CONN_ID, None))}
            other = await connect(self.CONN_ID, "beta")
            assert other.settings.version.name == "beta"

        asyncio.run(main())

    def test_it_is_read_again_after_moments(self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_connection, "CONNECTION_CACHE_SECONDS", 0.05)

        async def main() -> None:
            first = await connect(self.CONN_ID, None)
            await asyncio.sleep(0.1)
            assert await connect(self.CONN_ID, None) is not first

        asyncio.run(main())

    @pytest.mark.parametrize(
        ("uri", "error"),
        [
            ("sailpoint://client:hidden@acme/?api_version=v3", ValueError),
            (None, AirflowNotFoundException),
        ],
    )
    def test_who_mends_it_need_not_wait(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch, uri: str | None, error: type[Exception]
    ) -> None:
        async def main() -> None:
            if uri is None:
                monkeypatch.delenv(CONNECTION)
            else:
                monkeypatch.setenv(CONNECTION, uri)
            with pytest.raises(error):
                await connect(self.CONN_ID, None, grace=0.0)
            monkeypatch.setenv(CONNECTION, tenant.connection_uri)
            assert (await connect(self.CONN_ID, None, grace=0.0)).settings.base_url == tenant.url

        asyncio.run(main())

    def test_one_that_leaves_takes_nothing_from_the_others(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        goes_on = threading.Event()
        read = SailPointHook.get_conn

        def slowly(hook: SailPointHook) -> object:
            assert goes_on.wait(10)
            return read(hook)

        monkeypatch.setattr(SailPointHook, "get_conn", slowly)

        async def main() -> None:
            one, other = (asyncio.create_task(connect(self.CONN_ID, None)) for _ in range(2))
            await asyncio.sleep(0)
            one.cancel()
            await asyncio.sleep(0)
            goes_on.set()
            assert (await other).settings.base_url == tenant.url
            assert one.cancelled()

        asyncio.run(main())
