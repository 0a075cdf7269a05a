"""What makes one feed serve all watchers of a triggerer, from Airflow 3.3 on: imported there only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from airflow_provider_sptasks.triggers._feed import Feed
from airflow_provider_sptasks.triggers._watcher import Update


class FeedProducer(SharedStreamProducer):
    """
    Hands out a feed's updates, and stores cursors after what was found until then is in Airflow's database.

    :param feed: the feed
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def open_stream(self) -> AsyncIterator[tuple[Update, Update]]:
        """Yield the feed's updates, each with itself as what :meth:`advance` gets."""
        async for update in self._feed.updates():
            yield update, update

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Store the cursors of the watchers that took an update, if all their events are in the database."""
        for item in batch:
            update: Update = item.broker_payload
            # A watcher that left before it took the update counts as failed too, but is not among them.
            if item.outcome.acked < len(update.acks):
                for watcher in update.acks:
                    watcher.seek_acknowledged()
                continue
            for watcher, (generation, cursor) in update.acks.items():
                if cursor is not None:
                    await watcher.acknowledge(generation, cursor)

    async def aclose(self) -> None:
        """End the feed's polls."""
        self._feed.close()
