"""The trigger behind :mod:`airflow_provider_sptasks.assets`: fires when aggregations complete."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_sptasks.arguments import completion_statuses
from airflow_provider_sptasks.client.kinds import ANY_KIND
from airflow_provider_sptasks.client.models import TaskKind
from airflow_provider_sptasks.completions import AGGREGATIONS, Selection
from airflow_provider_sptasks.times import MAX_SECONDS, show

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

    from airflow_provider_sptasks.triggers._watcher import Store, Update, Watcher

EVERY_SOURCE = "*"
ARGUMENTS_VERSION = 2
# More are found only after a long time without polls.
MAX_IN_AN_EVENT = 1_000

log = logging.getLogger(__name__)


class SailPointAggregationCompletedTrigger(BaseEventTrigger):
    """
    Fires an event whenever aggregations have completed, together with all its like in the same triggerer.

    An event has all that one poll found: ``{"aggregations": [...]}``, oldest completion first, each as
    :class:`~airflow_provider_sptasks.client.TaskStatusDict`. What had completed before the first poll is left
    out. Errors of the tenant or the network make no event: they are logged by the
    triggerer and waited out.

    From Airflow 3.3 on all watchers of a connection share their polls, and each remembers in the state store
    of its asset how far it has read: completions are found after any downtime, and come again only if the
    triggerer ended within moments after an event, or Airflow could not store it. Before 3.3 each watcher
    polls for itself and begins again with each start of its triggerer.

    Arguments of another version, as after an upgrade, don't end it: a watcher can't be handed to a worker. It
    takes defaults for those that are missing, and ignores those that it doesn't know.

    :param source_id: SailPoint's id of the source, several of them, or ``*`` for every source
    :param source_name: the source's name instead, or several, case-insensitive
    :param kind: ``accounts``, ``entitlements``, ``uncorrelated_accounts``, ``machine_identities``,
        ``ai_agents``, ``datasets``, ``application_discovery``, or ``any`` of these
    :param accepted_statuses: the completion statuses that count; ``None`` for any
    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    :param poke_interval: maximum seconds between two polls
    :param version: which form the arguments have
    :param unknown: arguments of another version, as after a downgrade: ignored and logged, where a
        ``TypeError`` would be raised again at each start of the triggerer
    """

    def __init__(
        self,
        source_id: str | Sequence[str] | None = None,
        source_name: str | Sequence[str] | None = None,
        kind: str = "accounts",
        accepted_statuses: Sequence[str] | None = ("SUCCESS", "WARNING"),
        sailpoint_conn_id: str = "sailpoint_default",
        api_version: str | None = None,
        poke_interval: float = 15.0,
        version: int = 1,
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.source_id = source_id
        self.source_name = source_name
        self.kind = kind
        self.accepted_statuses = accepted_statuses
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self.poke_interval = poke_interval
        self.version = version
        self._unknown = unknown

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments that make it again: settings only, no secret."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self._unknown,
                "source_id": _plain(self.source_id),
                "source_name": _plain(self.source_name),
                "kind": self.kind,
                "accepted_statuses": _plain(self.accepted_statuses),
                "sailpoint_conn_id": self.sailpoint_conn_id,
                "api_version": self.api_version,
                "poke_interval": self.poke_interval,
                "version": self.version,
            },
        )

    def shared_stream_key(self) -> Hashable:
        """Return what watchers of the same connection and API version have in common: they share polls."""
        return (type(self).__name__, self.sailpoint_conn_id, self.api_version)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """
        Return what polls for all that share it.

        :param kwargs: the arguments of one of them
        """
        from airflow_provider_sptasks.triggers._feed import Feed
        from airflow_provider_sptasks.triggers._producer import FeedProducer

        return FeedProducer(Feed(kwargs["sailpoint_conn_id"], kwargs["api_version"]))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Update]) -> AsyncIterator[TriggerEvent]:
        """
        Yield an event for each update that has something for this watcher.

        :param shared_stream: the feed's updates
        """
        watcher = self._usable_watcher()
        if watcher is None:
            async for _ in shared_stream:
                pass
            return
        preparing: asyncio.Task[None] | None = None
        try:
            async for update in shared_stream:
                if preparing is None:
                    # Not awaited here: Airflow drops a watcher that doesn't take its updates in time.
                    preparing = asyncio.create_task(watcher.prepare(update.feed))
                found = await watcher.read(update)
                for start in range(0, len(found), MAX_IN_AN_EVENT):
                    aggregations = [status.to_json() for status in found[start : start + MAX_IN_AN_EVENT]]
                    yield TriggerEvent({"aggregations": aggregations})  # type: ignore[no-untyped-call]
        finally:
            if preparing is not None:
                preparing.cancel()
                update.feed.unsubscribe(watcher)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield events, polling for this watcher alone: if Airflow doesn't share streams, before 3.3."""
        from airflow_provider_sptasks.triggers._feed import Feed

        feed = Feed(self.sailpoint_conn_id, self.api_version)
        try:
            async for event in self.filter_shared_stream(feed.updates()):
                yield event
        finally:
            feed.close()

    def _usable_watcher(self) -> Watcher | None:
        """Make the watcher; none for arguments that make no sense, which Airflow would try again for ever."""
        if self._unknown or self.version > ARGUMENTS_VERSION:
            log.warning(
                "The arguments of a watcher of %s have version %s, later than %d: ignored %s.",
                self.sailpoint_conn_id,
                self.version,
                ARGUMENTS_VERSION,
                ", ".join(sorted(self._unknown)) or "none",
            )
        try:
            return self._watcher()
        except (TypeError, ValueError) as error:
            log.error("A watcher of %s finds nothing: %s", self.sailpoint_conn_id, error)
            return None

    def _watcher(self) -> Watcher:
        from airflow_provider_sptasks.triggers._watcher import Watcher

        ids, names = _texts(self.source_id), _texts(self.source_name)
        every = EVERY_SOURCE in ids
        if not ids and not names:
            raise ValueError("neither source_id nor source_name is among its arguments")
        if not 0 < self.poke_interval <= MAX_SECONDS:
            raise ValueError(
                f"poke_interval must be a positive number of seconds, got {show(self.poke_interval)}"
            )
        return Watcher(
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
    if accessors is None:
        return []
    by_name = getattr(accessors, "_by_name", None)
    return [accessors] if by_name is None else list(by_name.values())


def _texts(value: str | Sequence[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _plain(value: str | Sequence[str] | None) -> str | list[str] | None:
    return value if value is None or isinstance(value, str) else list(value)
