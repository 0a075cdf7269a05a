"""What makes one feed serve all watchers of a triggerer, from Airflow 3.3 on: imported there only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from airflow_provider_sptasks.triggers._feed import Feed, News


class FeedProducer(SharedStreamProducer):
    """
    Hands out a feed's news, and keeps how far it was read once that is in Airflow's database.

    :param feed: the feed
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def open_stream(self) -> AsyncIterator[tuple[News, News]]:
        """Yield the feed's news, each with itself as what :meth:`advance` gets."""
        async for news in self._feed.news():
            yield news, news

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Store the cursors of those who read the news, if all that they made of it is in the database."""
        for item in batch:
            news: News = item.broker_payload
            # Who left without having taken the news counts as failed too, but is not among them.
            if item.outcome.acked < len(news.read_by):
                for reader in news.read_by:
                    reader.rewind()
                continue
            for reader, (life, cursor) in news.read_by.items():
                if cursor is not None:
                    await reader.confirm(life, cursor)

    async def aclose(self) -> None:
        """Let go of the feed's thread."""
        self._feed.close()
