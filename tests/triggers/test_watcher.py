"""What a watcher makes of a feed's updates."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.completions import AGGREGATIONS, Cursor, Selection, Snapshot
from airflow_provider_sptasks.triggers._feed import Feed
from airflow_provider_sptasks.triggers._watcher import Update, Watcher

EVERYTHING = Selection(source_ids=None, kinds=AGGREGATIONS, accepted=None)
CURSORS: list[dict[str, Any]] = [{"since": each, "reported": {}, "awaited": {}} for each in (1_000, 2_000)]


class Store:
    """A state store of one value."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.values: list[Any] = []
        self.error: Exception | None = None

    async def aget(self, key: str, default: Any = None) -> Any:
        return self.value

    async def aset(self, key: str, value: Any) -> None:
        if self.error is not None:
            raise self.error
        self.values.append(value)


def make(stores: Sequence[Store] = ()) -> Watcher:
    return Watcher(source_names=(), selection=EVERYTHING, poke_interval=1.0, stores=stores, key="key")


async def subscribed(watcher: Watcher) -> Feed:
    feed = Feed("sailpoint_default", None)
    await watcher.prepare(feed)
    return feed


def test_one_that_comes_while_a_poll_is_under_way_sees_as_far_back_as_it_wants() -> None:
    async def main() -> None:
        store = Store({"since": 1_000, "reported": {}, "awaited": {}})
        watcher = make([store])
        feed = await subscribed(watcher)
        old = TaskStatus.from_json(
            {
                "id": "a",
                "uniqueName": "Cloud Account Aggregation",
                "created": 1_100_000,
                "completionStatus": "SUCCESS",
            }
        )
        for snapshot in (Snapshot({}, 5_000, 9_000), Snapshot({}, 5_000, 9_000, has_pending=True), None):
            update = Update(feed, snapshot)
            assert await watcher.read(update) == []
            assert update.acks == {watcher: (0, None)}
            assert watcher.cursor == Cursor(1_000)
        assert await watcher.read(Update(feed, Snapshot({"a": old}, 1_000, 1_100))) == [old]
        feed.close()

    asyncio.run(main())


def test_one_that_begins_waits_for_all_that_is_pending() -> None:
    async def main() -> None:
        watcher = make()
        feed = await subscribed(watcher)
        await watcher.read(Update(feed, Snapshot({}, 0, 9_000)))
        assert watcher.cursor is None
        await watcher.read(Update(feed, Snapshot({}, 0, 9_000, has_pending=True)))
        assert watcher.cursor == Cursor(8_400)
        feed.close()

    asyncio.run(main())


def test_an_ack_of_an_earlier_generation_is_ignored() -> None:
    async def main() -> None:
        store = Store({"since": 1_000, "reported": {}, "awaited": {}})
        watcher = make([store])
        feed = await subscribed(watcher)
        late = Update(feed, Snapshot({}, 1_000, 9_000))
        await watcher.read(late)
        assert watcher.cursor == Cursor(8_400)
        watcher.seek_acknowledged()
        assert watcher.cursor == Cursor(1_000)
        generation, cursor = late.acks[watcher]
        assert cursor is not None
        await watcher.acknowledge(generation, cursor)
        assert store.values == []
        await watcher.acknowledge(generation + 1, cursor)
        assert store.values == [cursor.to_json()]
        await watcher.acknowledge(generation + 1, cursor)
        assert len(store.values) == 1
        feed.close()

    asyncio.run(main())


def test_the_cursor_of_the_asset_that_was_read_furthest_counts() -> None:
    async def main() -> None:
        stores = [Store(value) for value in (CURSORS[0], None, CURSORS[1], "invalid")]
        watcher = make(stores)
        feed = await subscribed(watcher)
        assert watcher.cursor == Cursor(2_000)
        feed.close()

    asyncio.run(main())


def test_each_outage_of_the_store_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """And nothing is stored by halves: the next cursor makes up for it in all of them."""
    stores = [Store(None), Store(None)]
    watcher = make(stores)
    error = ConnectionError("no api-server")

    async def main() -> None:
        for second, fails in enumerate([True, True, False, True, False]):
            stores[1].error = error if fails else None
            await watcher.acknowledge(0, Cursor(second))

    asyncio.run(main())
    message = "Storing how far completions were read fails, will be tried again: no api-server"
    assert caplog.messages == [message, message]
    assert [each["since"] for each in stores[0].values] == [0, 1, 2, 3, 4]
    assert [each["since"] for each in stores[1].values] == [2, 4]


def test_what_could_not_be_stored_is_stored_again() -> None:
    store = Store(None)
    watcher = make([store])

    async def main() -> None:
        store.error = ConnectionError("no api-server")
        await watcher.acknowledge(0, Cursor(1))
        store.error = None
        await watcher.acknowledge(0, Cursor(1))

    asyncio.run(main())
    assert [each["since"] for each in store.values] == [1]


def test_one_that_has_left_reads_nothing() -> None:
    async def main() -> None:
        watcher = make([Store(CURSORS[0])])
        feed = await subscribed(watcher)
        feed.unsubscribe(watcher)
        update = Update(feed, Snapshot({}, 1_000, 9_000))
        assert await watcher.read(update) == []
        assert update.acks == {watcher: (0, None)}
        assert watcher.cursor == Cursor(1_000)
        feed.close()

    asyncio.run(main())


def test_what_is_read_while_it_goes_back_is_read_again() -> None:
    """Airflow could not store an event: what comes after that must not move the cursor on."""

    async def main() -> None:
        watcher = make([Store(CURSORS[0])])
        feed = await subscribed(watcher)
        done = replace(TaskStatus(id="a"), kind=next(iter(AGGREGATIONS)))
        reading = asyncio.ensure_future(watcher.read(Update(feed, Snapshot({"a": done}, 1_000, 9_000))))
        await asyncio.sleep(0)
        watcher.seek_acknowledged()
        assert await reading == []
        assert watcher.cursor == Cursor(1_000)
        feed.close()

    asyncio.run(main())
