"""One asset watcher: what it wants, how far it has read, and where that is kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.completions import Cursor, Selection, Snapshot

if TYPE_CHECKING:
    from airflow_provider_sptasks.triggers._feed import Feed

log = logging.getLogger(__name__)

# A cursor is made by the tenant's clock, which may be ahead of this machine's by less than that.
MAX_CLOCK_LEAD_SECONDS = 7 * 86_400


class Store(Protocol):
    """Where a cursor outlives the process: what Airflow's accessor of an asset's state store offers."""

    async def aget(self, key: str, default: Any = None) -> Any:
        """Read a value."""

    async def aset(self, key: str, value: Any) -> None:
        """Write a value."""


@dataclass(frozen=True, eq=False)
class Update:
    """
    What the feed hands to all watchers.

    :param feed: the feed
    :param snapshot: what a poll found; ``None`` in updates that only show new watchers which feed it is
    :param acks: the watchers that took it, each with its generation and its cursor after it; without a cursor
        where the snapshot was of no use to it
    """

    feed: Feed
    snapshot: Snapshot | None = None
    acks: dict[Watcher, tuple[int, Cursor | None]] = field(default_factory=dict)


class Watcher:
    """
    Reads the updates of a feed.

    :param source_names: the names of the sources, if their ids are not known
    :param selection: what is wanted; of the sources with these names only, if there are names
    :param poke_interval: maximum seconds between two polls
    :param stores: where its cursor is kept
    :param key: under which key
    """

    def __init__(
        self,
        *,
        source_names: Sequence[str],
        selection: Selection,
        poke_interval: float,
        stores: Sequence[Store],
        key: str,
    ) -> None:
        self.selection = selection
        self.poke_interval = poke_interval
        self.cursor: Cursor | None = None
        self._source_names = source_names
        self._stores = stores
        self._key = key
        self._acknowledged: Cursor | None = None
        self._stored: Cursor | None = None
        self._generation = 0
        self._is_logged = False

    async def prepare(self, feed: Feed) -> None:
        """
        Find the sources and the stored cursor, then subscribe to the feed; tries again until it succeeds.

        :param feed: the feed
        """
        if self._source_names:
            ids = await feed.find_sources(self._source_names)
            self.selection = replace(self.selection, source_ids=ids)
        # Equal watchers of several assets are one; an asset that was added later has no cursor yet.
        loaded = await feed.retry_forever(self._load, "Loading how far completions were read")
        cursors = [cursor for cursor in loaded if cursor is not None]
        self._stored = max(cursors, key=lambda cursor: cursor.since, default=None)
        self.cursor = self._acknowledged = self._stored
        feed.subscribe(self)

    async def read(self, update: Update) -> list[TaskStatus]:
        """
        Read what this watcher has not read yet.

        :param update: what the feed handed out
        :return: the accepted completions, oldest first
        """
        generation, cursor, snapshot = self._generation, self.cursor, update.snapshot
        update.acks[self] = generation, None
        if snapshot is None or self not in update.feed.watchers:
            return []
        found: list[TaskStatus] = []
        if cursor is None:
            if not snapshot.has_pending:
                return []
            # It holds nothing that could get lost, so it needs no event to be acknowledged.
            self._acknowledged = cursor = await update.feed.work(
                lambda: Cursor.begin(snapshot, self.selection)
            )
        elif cursor.is_covered_by(snapshot):
            before = cursor
            cursor, found = await update.feed.work(lambda: before.read(snapshot, self.selection))
        else:
            return []
        if generation != self._generation:
            return []
        self.cursor = cursor
        update.acks[self] = generation, cursor
        return found

    async def acknowledge(self, generation: int, cursor: Cursor) -> None:
        """
        Keep a cursor: what was found until then is in Airflow's database.

        :param generation: the generation in which it was read
        :param cursor: the cursor
        """
        if generation != self._generation:
            return
        self._acknowledged = cursor
        if cursor == self._stored:
            return
        try:
            for each in self._stores:
                await each.aset(self._key, cursor.to_json())
        except Exception as error:  # noqa: BLE001 - any error: the cursor of the next update makes up for it
            if not self._is_logged:
                log.warning("Storing how far completions were read fails, will be tried again: %s", error)
            self._is_logged = True
        else:
            self._stored = cursor
            self._is_logged = False

    def seek_acknowledged(self) -> None:
        """Go back to the cursor that was acknowledged last: what was found since then may be lost."""
        self._generation += 1
        self.cursor = self._acknowledged

    async def _load(self) -> list[Cursor | None]:
        return [_cursor(await store.aget(self._key)) for store in self._stores]


def _cursor(value: Any) -> Cursor | None:
    try:
        latest = int(time.time()) + MAX_CLOCK_LEAD_SECONDS
        return None if value is None else Cursor.from_json(value, latest)
    except ValueError as error:
        log.error("Completions are read from now on, because the asset's state is invalid: %s", error)
        return None
