"""The trigger behind :mod:`airflow_provider_sptasks.assets`: fires when aggregations complete."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_sptasks.arguments import completion_statuses
from airflow_provider_sptasks.client.models import TaskKind
from airflow_provider_sptasks.completions import AGGREGATIONS, Selection

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

    from airflow_provider_sptasks.triggers._feed import News, Reader, Store

EVERY_SOURCE = "*"
ANY_KIND = "any"
# Only after a long time in which nobody looked are there more.
MAX_IN_AN_EVENT = 1_000


class SailPointAggregationCompletedTrigger(BaseEventTrigger):
    """
    Fires an event whenever aggregations have completed, together with all its like in the same triggerer.

    An event has all that one look found: ``{"aggregations": [...]}``, oldest completion first, each as
    :meth:`~airflow_provider_sptasks.client.models.TaskStatus.to_json` gives it. What had completed before the
    first look is left out. Failures of the tenant or the network make no event: they are told in the
    triggerer's log and waited out.

    From Airflow 3.3 on all watchers of a connection share one look, and each remembers in the state store of
    its asset how far it has read: completions are found after any downtime, and come again only where the
    triggerer ended within moments after an event, or Airflow could not store it. Before 3.3 each watcher
    looks for itself and begins anew with each start of its triggerer.

    :param source_id: SailPoint's id of the source, several of them, or ``*`` for every source
    :param source_name: the source's name instead, or several, whatever their case
    :param kind: ``accounts``, ``entitlements``, ``uncorrelated_accounts``, or ``any`` of these
    :param accepted_statuses: the completion statuses that count; ``None`` for any
    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    :param poke_interval: the longest that a look may take to come, in seconds
    """

    def __init__(
        self,
        source_id: str | Sequence[str] | None,
        source_name: str | Sequence[str] | None,
        kind: str,
        accepted_statuses: Sequence[str] | None,
        sailpoint_conn_id: str,
        api_version: str | None,
        poke_interval: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.source_id = source_id
        self.source_name = source_name
        self.kind = kind
        self.accepted_statuses = accepted_statuses
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments that make it anew: settings only, no secret."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "source_id": _plain(self.source_id),
                "source_name": _plain(self.source_name),
                "kind": self.kind,
                "accepted_statuses": _plain(self.accepted_statuses),
                "sailpoint_conn_id": self.sailpoint_conn_id,
                "api_version": self.api_version,
                "poke_interval": self.poke_interval,
            },
        )

    def shared_stream_key(self) -> Hashable:
        """Share a look with all watchers of the same connection and API version."""
        return (type(self).__name__, self.sailpoint_conn_id, self.api_version)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """
        Make what looks for all who share it.

        :param kwargs: the arguments of one of them
        """
        from airflow_provider_sptasks.triggers._feed import Feed
        from airflow_provider_sptasks.triggers._producer import FeedProducer

        return FeedProducer(Feed(kwargs["sailpoint_conn_id"], kwargs["api_version"]))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[News]) -> AsyncIterator[TriggerEvent]:
        """
        Yield an event for each look that found something for this watcher.

        :param shared_stream: the looks
        """
        reader = self._reader()
        preparing: asyncio.Task[None] | None = None
        feed = None
        try:
            async for news in shared_stream:
                if preparing is None:
                    feed = news.feed
                    # Not awaited here: who doesn't take the news in time is dropped by Airflow.
                    preparing = asyncio.create_task(reader.prepare(feed))
                found = await reader.read(news)
                for start in range(0, len(found), MAX_IN_AN_EVENT):
                    aggregations = [status.to_json() for status in found[start : start + MAX_IN_AN_EVENT]]
                    yield TriggerEvent({"aggregations": aggregations})  # type: ignore[no-untyped-call]
        finally:
            if preparing is not None and feed is not None:
                preparing.cancel()
                feed.leave(reader)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for this watcher alone: where Airflow doesn't share streams, before 3.3."""
        from airflow_provider_sptasks.triggers._feed import Feed

        feed = Feed(self.sailpoint_conn_id, self.api_version)
        try:
            async for event in self.filter_shared_stream(feed.news()):
                yield event
        finally:
            feed.close()

    def _reader(self) -> Reader:
        from airflow_provider_sptasks.triggers._feed import Reader

        ids, names = _texts(self.source_id), _texts(self.source_name)
        every = EVERY_SOURCE in ids
        return Reader(
            source_names=names,
            selection=Selection(
                source_ids=None if every else frozenset(each.casefold() for each in ids),
                kinds=AGGREGATIONS if self.kind == ANY_KIND else frozenset({TaskKind(self.kind)}),
                accepted=completion_statuses(self.accepted_statuses),
            ),
            poke_interval=self.poke_interval,
            stores=_stores(getattr(self, "asset_state_store", None)),
            key=self._store_key(),
        )

    def _store_key(self) -> str:
        """The same for as long as the same completions are wanted: an asset may have several watchers."""
        wanted = [self.sailpoint_conn_id, sorted(_texts(self.source_id)), sorted(_texts(self.source_name))]
        wanted += [self.kind, sorted(_texts(self.accepted_statuses))]
        digest = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()
        return f"sailpoint_completions_{self.kind}_{digest[:16]}"


def _stores(accessors: Any) -> list[Store]:
    """
    The state stores of the assets that are watched, from Airflow 3.3 on.

    Airflow makes one trigger of equal watchers, and offers no other way to the stores of several assets.
    """
    return [] if accessors is None else list(accessors._by_name.values())


def _texts(value: str | Sequence[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _plain(value: str | Sequence[str] | None) -> str | list[str] | None:
    return value if value is None or isinstance(value, str) else list(value)
