"""How the triggerer reads an Airflow connection, and what the poller asks a tenant with."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from asgiref.sync import sync_to_async

from airflow_provider_sptasks.client.budget import TENANT_LIMIT, WINDOW
from airflow_provider_sptasks.client.launches import NewestAggregation
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import DEFAULT_POLL_SHARE, ClientSettings
from airflow_provider_sptasks.client.sources_client import SourcesClient
from airflow_provider_sptasks.hooks.sailpoint import (
    CONNECTION_GRACE_SECONDS,
    CONNECTION_RETRY_SECONDS,
    SailPointHook,
)
from airflow_provider_sptasks.waiting.queries import Query

# Many triggers that start together read a connection once.
CONNECTION_CACHE_SECONDS = 2.0
# A page that fails is tried again by itself, without the others that were read before it.
RETRY = RetryPolicy(deadline=10.0, min_answer_seconds=math.inf, max_attempts=3)
MAX_SHARED_STRINGS = 10_000
# Nothing is polled more often than that, unless a subscription's own interval asks for it. A larger share of
# the limit than the default makes it shorter in proportion.
SHORTEST_ROUND_SECONDS = 5.0
MAX_IN_FLIGHT = 32

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Key(NamedTuple):
    """What SailPoint counts requests by."""

    base_url: str
    client_id: str
    api_version: str


def key_of(settings: ClientSettings) -> Key:
    """
    Return what SailPoint counts requests by.

    :param settings: a connection's
    """
    return Key(settings.base_url, settings.client_id, settings.version.name)


_Read = tuple[float, "asyncio.Task[SailPointHook]"]
_reads: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str | None], _Read]] = (
    WeakKeyDictionary()
)


async def connect(
    sailpoint_conn_id: str, api_version: str | None, grace: float = CONNECTION_GRACE_SECONDS
) -> SailPointHook:
    """
    Read a connection, or share what another trigger has read a moment ago.

    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    :param grace: seconds for which a connection that isn't there is looked for again
    :raises ValueError: the connection has an invalid field
    :raises AirflowNotFoundException: there is no such connection
    """
    reads = _reads.setdefault(asyncio.get_running_loop(), {})
    connection = (sailpoint_conn_id, api_version)
    give_up_at = time.monotonic() + grace
    while True:
        read_at, read = reads.get(connection, (0.0, None))
        if read is None or time.monotonic() - read_at > CONNECTION_CACHE_SECONDS:
            read = asyncio.get_running_loop().create_task(_read(*connection), context=contextvars.Context())
            reads[connection] = (time.monotonic(), read)
        try:
            return await asyncio.shield(read)
        except AirflowNotFoundException:
            reads.pop(connection, None)
            if time.monotonic() >= give_up_at:
                raise
        except BaseException:
            reads.pop(connection, None)
            raise
        await asyncio.sleep(CONNECTION_RETRY_SECONDS)


async def _read(sailpoint_conn_id: str, api_version: str | None) -> SailPointHook:
    hook = SailPointHook(sailpoint_conn_id, api_version, retry=RETRY)
    # Not in a plain thread: see the poller's _work.
    await sync_to_async(hook.get_conn, thread_sensitive=False)()
    return hook


class PollingClients:
    """
    What answers the poller's queries, within the share of the limit that polling may take up.

    :param hook: the connection
    :param stop: ends what is under way: nothing more is sent
    """

    def __init__(self, hook: SailPointHook, stop: threading.Event) -> None:
        self.client = hook.client.polling().with_stop(stop)
        self.sources = SourcesClient(self.client.transport)
        self._strings: dict[str, str] = {}

    @property
    def round_seconds(self) -> float:
        """Seconds between two polls of a query; keeping to the share of the limit may take longer."""
        return SHORTEST_ROUND_SECONDS * min(1.0, DEFAULT_POLL_SHARE / self.client.settings.poll_share)

    @property
    def max_in_flight(self) -> int:
        """How many requests it takes to use up the share of the limit at the tenant's present answer time."""
        rate = self.client.settings.poll_share * TENANT_LIMIT / WINDOW
        needed = math.ceil(rate * self.client.transport.answer_seconds) + 1
        return max(2, min(MAX_IN_FLIGHT, needed))

    def ask(self, kind: type[Query], queries: Sequence[Query]) -> Mapping[Query, Any]:
        """
        Ask, and keep of the answers what a wait goes by.

        :param kind: the queries' type
        :param queries: no more than fit in a request
        """
        return {query: self._lean(answer) for query, answer in kind.ask(self, queries).items()}

    def _lean(self, answer: Any) -> Any:
        if isinstance(answer, TaskStatus):
            return self._lean_status(answer)
        if isinstance(answer, NewestAggregation):
            newest, last = answer.newest, answer.last_complete
            return replace(
                answer,
                newest=None if newest is None else self._lean_status(newest),
                last_complete=None if last is None else self._lean_status(last),
            )
        return answer

    def _lean_status(self, status: TaskStatus) -> TaskStatus:
        """Keep once what many tasks have in common, and no counters of one that still runs."""
        return replace(
            status,
            unique_name=self._shared(status.unique_name),
            description=self._shared(status.description),
            launcher=self._shared(status.launcher),
            target_id=self._shared(status.target_id),
            target_name=self._shared(status.target_name),
            attributes=status.attributes if status.is_complete else _NOTHING,
            raw=_NOTHING,
        )

    def _shared(self, value: Any) -> Any:
        # Not sys.intern(), which keeps strings for the life of the process.
        if type(value) is not str:
            return value
        if len(self._strings) >= MAX_SHARED_STRINGS:
            self._strings = {}
        return self._strings.setdefault(value, value)
