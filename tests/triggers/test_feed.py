"""Several watchers in one feed: what one of them has wrong harms no other."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_sptasks.assets import aggregation_completed
from airflow_provider_sptasks.client.errors import (
    ForbiddenError,
    RateLimitedError,
    ServerError,
    UnexpectedPayloadError,
)
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.completions import AGGREGATIONS, Cursor, Selection
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.triggers import _connection, _feed
from airflow_provider_sptasks.triggers._feed import Feed
from airflow_provider_sptasks.triggers._watcher import Watcher
from airflow_provider_sptasks.triggers.completions import (
    ARGUMENTS_VERSION,
    SailPointAggregationCompletedTrigger,
)
from tests.conftest import CONNECTION
from tests.triggers.triggerer import Database, Triggerer

DAY = 86_400
EVERYTHING = Selection(source_ids=None, kinds=AGGREGATIONS, accepted=None)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_feed, "SHORTEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(_feed, "GREETING_SECONDS", 0.02)
    monkeypatch.setattr(_feed, "WINDOW", 0.1)
    monkeypatch.setattr(_connection, "RETRY", RetryPolicy(deadline=5.0, max_attempts=1))
    monkeypatch.setattr("airflow_provider_sptasks.client.pacing.WINDOW", 0.4)


@pytest.fixture
def tenant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(rate_limit=None) as emulator:
        monkeypatch.setenv(CONNECTION, emulator.connection_uri)
        yield emulator


def trigger(source_id: str | None = "*", **settings: Any) -> SailPointAggregationCompletedTrigger:
    made = aggregation_completed(source_id, **{"kind": "any"} | settings).trigger
    assert isinstance(made, SailPointAggregationCompletedTrigger)
    made.poke_interval = 0.05
    return made


def stale(asset: str, database: Database, value: str) -> SailPointAggregationCompletedTrigger:
    """A watcher of accounts, in whose state store there is something."""
    made = trigger(kind="accounts", accepted_statuses=None)
    database.values[asset, made._store_key()] = value
    return made


CURSOR = '{"since": %s, "reported": %s, "awaited": %s}'
BAD: dict[str, Callable[[Database], SailPointAggregationCompletedTrigger]] = {
    "a name that the tenant doesn't know": lambda _: trigger(None, source_name="Nowhere"),
    "a cursor of another form": lambda database: stale("bad", database, '"2024-05-17"'),
    "a cursor of long ago": lambda database: stale("bad", database, CURSOR % (0, "{}", "{}")),
    "a cursor before all time": lambda database: stale("bad", database, CURSOR % (-(10**30), "{}", "{}")),
    "a cursor of the future": lambda database: stale("bad", database, CURSOR % (10**30, "{}", "{}")),
    "odd ids": lambda database: stale(
        "bad", database, CURSOR % (1, '{"bad id/1": 1}', '{"bad id/1": 1, "_x": 1, "a": 1e400, "b": -1}')
    ),
    "an id that the tenant refuses": lambda database: stale(
        "bad", database, CURSOR % (int(time.time()), "{}", f'{{"refused": {time.time():.0f}}}')
    ),
    "arguments that make no sense": lambda _: SailPointAggregationCompletedTrigger(
        source_id="*", kind="of tomorrow", version=ARGUMENTS_VERSION
    ),
    "no sources": lambda _: SailPointAggregationCompletedTrigger(version=ARGUMENTS_VERSION),
    "an interval of nothing": lambda _: SailPointAggregationCompletedTrigger("*", poke_interval=0),
    "no interval": lambda _: SailPointAggregationCompletedTrigger("*", poke_interval=float("nan")),
}


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("bad", BAD)
def test_one_bad_watcher_harms_no_other(tenant: Emulator, bad: str, place: int) -> None:
    """Each subscribes after the one before has been started: the first, the middle or the last is bad."""
    database = Database()
    tenant.fail(400, query="*refused*")
    good = [trigger(), trigger(accepted_statuses="SUCCESS")]
    watchers: list[tuple[BaseEventTrigger, list[str]]] = [
        (each, [f"good {n}"]) for n, each in enumerate(good)
    ]
    watchers.insert(place, (BAD[bad](database), ["bad"]))

    async def main() -> None:
        async with Triggerer(database, dict(watchers), stagger=0.1) as triggerer:
            await triggerer.until(lambda: triggerer.starts == 3)
            for asset in ("good 0", "good 1"):
                await triggerer.until(lambda: asset in {name for name, _ in database.values})  # noqa: B023
            task = tenant.add_task(duration=0)
            await triggerer.until(lambda: database.found("good 0") == database.found("good 1") == [task.id])
            assert triggerer.starts == 3

    asyncio.run(main())


def test_a_watcher_that_can_not_load_its_cursor_harms_no_other(
    tenant: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database()

    watchers: dict[BaseEventTrigger, list[str]] = {trigger(kind="accounts"): ["bad"], trigger(): ["good"]}

    async def main() -> None:
        async with Triggerer(database, watchers) as triggerer:
            triggerer.unreadable = {"bad"}
            await triggerer.until(lambda: database.values)
            task = tenant.add_task(duration=0)
            await triggerer.until(lambda: database.found("good") == [task.id])
            assert {name for name, _ in database.values} == {"good"}
            triggerer.unreadable = set()
            await triggerer.until(lambda: len(database.values) == 2)

    asyncio.run(main())
    assert "Loading how far completions were read fails, will be tried again" in caplog.text


def test_watchers_that_begin_are_refused_by_themselves(tenant: Emulator) -> None:
    """Who may not list what is pending can't begin; those that have begun go on."""
    database = Database()
    old, new = trigger(), trigger(kind="accounts")

    async def main() -> None:
        async with Triggerer(database, {old: ["old"]}) as triggerer:
            await triggerer.until(lambda: database.values)
        tenant.fail(403, query="*isnull*")
        async with Triggerer(database, {new: ["new"], old: ["old"]}, stagger=0.1) as triggerer:
            task = tenant.add_task(duration=0)
            await triggerer.until(lambda: database.found("old") == [task.id])
            assert len(database.values) == 1

    asyncio.run(main())


ODD: dict[str, Mapping[str, object]] = {
    "created in 2099": {"created": "2099-01-01T00:00:00.000Z"},
    "created in 9999": {"created": "9999-12-31T23:59:59.999Z"},
    "created in year 1": {"created": "0001-01-01T00:00:00.000Z"},
    "created at no time": {"created": "yesterday", "launched": None},
    "a refused id": {"id": "bad id/1"},
    "an id with an underscore": {"id": "_x"},
    "a long id": {"id": "x" * 200},
    "no id": {"id": None},
    "half a surrogate": {"description": "half a \ud83d"},
    "a huge number": {"attributes": {"total": 2**64}, "percentComplete": 1e20},
}


@pytest.mark.parametrize("is_pending", [True, False])
@pytest.mark.parametrize("odd", ODD)
def test_one_odd_record_harms_no_watcher(tenant: Emulator, odd: str, is_pending: bool) -> None:
    """Neither before watchers begin nor after, and those that begin later find it too."""
    database = Database()
    one, two = trigger(), trigger(kind="accounts")

    def add() -> None:
        task = tenant.add_task(launched=-30, duration=None if is_pending else 10)
        tenant.override_task(task.id, ODD[odd])

    async def main() -> None:
        add()
        async with Triggerer(database, {one: ["one"]}) as triggerer:
            await triggerer.until(lambda: database.values)
            add()
            first = tenant.add_task(duration=0)
            await triggerer.until(lambda: first.id in database.found("one"))
        async with Triggerer(database, {one: ["one"], two: ["two"]}) as triggerer:
            await triggerer.until(lambda: len(database.values) == 2)
            second = tenant.add_task(duration=0)
            await triggerer.until(
                lambda: second.id in database.found("one") and second.id in database.found("two")
            )

    asyncio.run(main())
    assert all(cursor <= time.time() + 60 for cursor in _seconds(database))


def _seconds(database: Database) -> list[int]:
    return [json.loads(value)["since"] for value in database.values.values()]


class TestRetryForever:
    """What is waited between attempts; nothing waits here."""

    REFUSED = ForbiddenError("GET", "/task-status", 403)
    FAILED = ServerError("GET", "/task-status", 503)
    BUSY = RateLimitedError("GET", "/task-status", 429, retry_after=77.0)

    @pytest.mark.parametrize(
        ("errors", "waits"),
        [
            ([], []),
            ([FAILED] * 7, [1, 2, 4, 8, 16, 30, 30]),
            ([BUSY, FAILED], [77, 2]),
            ([REFUSED] * 3, [1, 300, 300]),
            ([REFUSED, FAILED, REFUSED, REFUSED], [1, 2, 4, 300]),
            ([ValueError("no such version")] * 2, [1, 300]),
            ([KeyError("a fault")] * 3, [1, 2, 4]),
            ([UnexpectedPayloadError("HTML")] * 2, [1, 2]),
        ],
    )
    def test_waits(
        self, errors: list[Exception], waits: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waited: list[float] = []
        left = list(errors)

        async def sleep(seconds: float) -> None:
            waited.append(seconds)

        async def attempt() -> str:
            if left:
                raise left.pop(0)
            return "answer"

        async def main() -> None:
            feed = Feed("sailpoint_default", None)
            monkeypatch.setattr(asyncio, "sleep", sleep)
            assert await feed.retry_forever(attempt, "Trying") == "answer"
            feed.close()

        asyncio.run(main())
        assert len(waited) == len(waits)
        assert all(each <= seconds <= each * 1.1 for each, seconds in zip(waits, waited, strict=True))

    def test_logs_the_beginning_and_the_end_of_an_outage(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each outage, and each refusal that repeats; what was not foreseen with its traceback."""
        outages: list[list[Exception]] = [
            [self.FAILED] * 3,
            [self.FAILED],
            [self.REFUSED] * 3,
            [KeyError("a fault")],
        ]

        async def sleep(_: float) -> None:
            pass

        async def main() -> None:
            feed = Feed("sailpoint_default", None)
            monkeypatch.setattr(asyncio, "sleep", sleep)
            for outage in outages:

                async def attempt(outage: list[Exception] = outage) -> None:
                    if outage:
                        raise outage.pop()

                await feed.retry_forever(attempt, "Trying")
            feed.close()

        with caplog.at_level(logging.INFO, logger=_feed.__name__):
            asyncio.run(main())
        fails, works = "Trying fails, will be tried again: ", "Trying works again"
        refused = "Trying is refused, will be tried again in 300 s: "
        expected = [fails, works, fails, works, fails, refused, refused, works, fails, works]
        assert len(caplog.messages) == len(expected)
        assert all(
            message.startswith(start) for message, start in zip(caplog.messages, expected, strict=True)
        )
        assert [bool(record.exc_info) for record in caplog.records if "a fault" in record.message] == [True]


@pytest.mark.parametrize(
    ("intervals", "requests", "share", "seconds"),
    [
        ([15.0], 1, None, 15.0),
        ([60.0, 5.0, 15.0], 1, 0.1, 5.0),
        ([5.0], 20, None, 20.0),
        ([5.0], 20, 0.5, 5.0),
        ([5.0], 100, 0.5, 20.0),
        ([0.5], 0, 0.1, 0.5),
    ],
)
def test_polls_come_as_often_as_wanted_and_as_their_share_allows(
    intervals: list[float],
    requests: int,
    share: float | None,
    seconds: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At most a tenth sooner, so that triggerers that were started together drift apart."""
    monkeypatch.setattr(_feed, "WINDOW", 10.0)

    async def main() -> None:
        feed = Feed("sailpoint_default", None)
        if share is not None:
            feed._settings = ClientSettings("acme", "id", "secret", poll_share=share)
        watchers = [
            Watcher(source_names=(), selection=EVERYTHING, poke_interval=each, stores=(), key="key")
            for each in intervals
        ]
        found = {feed._interval(watchers, requests) for _ in range(50)}
        assert all(0.9 * seconds <= each <= seconds for each in found)
        assert len(found) > 1
        feed.close()

    asyncio.run(main())


def test_an_edited_connection_is_followed(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same clients stay as long as it says the same: they have a token, and a place in the pace."""
    monkeypatch.setattr(_connection, "CONNECTION_CACHE_SECONDS", 0.0)

    async def main() -> None:
        feed = Feed("sailpoint_default", None)
        clients = await feed._connected()
        feed._refresh_at = 0.0
        assert await feed._connected() is clients
        monkeypatch.setenv(CONNECTION, f"{tenant.connection_uri}?api_version=v2025")
        assert await feed._connected() is clients
        feed._refresh_at = 0.0
        assert (await feed._connected()).client.settings.api_version == "v2025"
        feed.close()

    asyncio.run(main())


def test_a_fault_of_a_poll_reaches_the_watchers(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or they would wait for ever, and no log would say so."""

    def broken(*_: object) -> float:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Feed, "_interval", broken)

    async def main() -> None:
        made = trigger()
        async with asyncio.timeout(20):
            with pytest.raises(RuntimeError, match="a fault"):
                await anext(made.run())

    asyncio.run(main())


def test_those_that_are_behind_are_polled_for_apart() -> None:
    async def main() -> None:
        feed = Feed("sailpoint_default", None)
        now = int(time.time())
        seconds = {"late": now - 7_200, "new": None, "current": now - 600, "future": now + DAY}
        watchers = {
            name: Watcher(source_names=(), selection=EVERYTHING, poke_interval=1.0, stores=(), key="key")
            for name in seconds
        }
        for name, since in seconds.items():
            watchers[name].cursor = None if since is None else Cursor(since)
            feed.subscribe(watchers[name])
        assert feed._behind() == {watchers["late"], watchers["new"]}
        assert feed._keeping_up() == {watchers["current"], watchers["future"]}
        feed.unsubscribe(watchers["current"])
        assert feed._behind() == {watchers["new"]}
        feed.close()

    asyncio.run(main())
