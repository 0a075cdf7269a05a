"""
Polls a tenant's aggregations for all asset watchers of a connection in a process.

The feed has a loop of its own beside the sensors' poller. It reads a stream of everything by time, which
shares no request with queries by id.

There are two polls, each in a task of its own, so that neither waits for the other: one of what is new, for
the watchers that keep up, and one that reaches further, for those that begin or have been away for long.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import math
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from asgiref.sync import sync_to_async

from airflow_provider_sptasks.arguments import cut_list
from airflow_provider_sptasks.client.budget import TENANT_LIMIT, WINDOW
from airflow_provider_sptasks.client.clock import clock_lead
from airflow_provider_sptasks.client.errors import SailPointError, UnauthorizedError
from airflow_provider_sptasks.client.settings import DEFAULT_POLL_SHARE, ClientSettings
from airflow_provider_sptasks.completions import Snapshot
from airflow_provider_sptasks.triggers._completions_poll import CompletionsPoll
from airflow_provider_sptasks.triggers._connection import PollingClients, connect
from airflow_provider_sptasks.triggers._queue import JITTER, backoff
from airflow_provider_sptasks.triggers._watcher import Update, Watcher

log = logging.getLogger(__name__)

T = TypeVar("T")

# A refusal that repeats is tried again this seldom: a person has to change something.
REFUSAL_RETRY_SECONDS = 300.0
SETTINGS_REFRESH_SECONDS = 300.0
# No poll comes sooner after the one before, and new watchers are noticed within this time.
SHORTEST_PAUSE_SECONDS = 1.0
# A watcher that comes while no poll works is notified of the feed within this time.
GREETING_SECONDS = 2.0
# A watcher is behind if its cursor is that much older than the others'.
BEHIND_SECONDS = 3_600
# How far a credible time may be ahead of the tenant's clock.
CLOCK_TOLERANCE_SECONDS = 60.0
MAX_THREADS = 8
# How many sources are looked up at a time: the other threads are for the polls.
MAX_LOOKUPS = 4


class Feed:
    """
    Polls for all watchers that have subscribed.

    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    """

    def __init__(self, sailpoint_conn_id: str, api_version: str | None) -> None:
        self.sailpoint_conn_id = sailpoint_conn_id
        self.watchers: dict[Watcher, None] = {}
        self._api_version = api_version
        self._executor = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="sailpoint-completions")
        self._lookups = asyncio.Semaphore(MAX_LOOKUPS)
        self._stop = threading.Event()
        self._updates: asyncio.Queue[Update] = asyncio.Queue()
        self._polls: list[asyncio.Task[None]] = []
        self._connecting = asyncio.Lock()
        self._clients: PollingClients | None = None
        self._settings: ClientSettings | None = None
        self._refresh_at = -math.inf
        self._clock_lead = 0.0

    def subscribe(self, watcher: Watcher) -> None:
        """Poll for a watcher from now on."""
        self.watchers[watcher] = None

    def unsubscribe(self, watcher: Watcher) -> None:
        """Poll for a watcher no longer."""
        self.watchers.pop(watcher, None)

    def close(self) -> None:
        """End the polls; nothing more is sent."""
        self._stop.set()
        for task in self._polls:
            task.cancel()
        self._executor.shutdown(wait=False)

    async def updates(self) -> AsyncIterator[Update]:
        """
        Yield what the polls find, for as long as they are taken.

        Watchers learn of the feed by an update only, and subscribe after that. So there are updates also
        while there is no subscriber yet, or no poll works.
        """
        for choose in (self._keeping_up, self._behind):
            # In a context of its own: it must not log for the trigger that came first.
            poll = asyncio.get_running_loop().create_task(self._run(choose), context=contextvars.Context())
            self._polls.append(poll)
        update = Update(self)
        while True:
            yield update
            try:
                async with asyncio.timeout(GREETING_SECONDS):
                    update = await self._updates.get()
            except TimeoutError:
                update = Update(self)
            for task in self._polls:
                if task.done():
                    task.result()

    def _behind(self) -> set[Watcher]:
        """Return the watchers that begin, or whose cursors are much older than the newest."""
        seconds = [watcher.cursor.since for watcher in self.watchers if watcher.cursor is not None]
        latest = self._latest()
        newest = max((each for each in seconds if each <= latest), default=0)
        return {
            watcher
            for watcher in self.watchers
            if watcher.cursor is None or watcher.cursor.since < newest - BEHIND_SECONDS
        }

    def _keeping_up(self) -> set[Watcher]:
        return self.watchers.keys() - self._behind()

    async def _run(self, choose: Callable[[], set[Watcher]]) -> None:
        """Poll again and again for the watchers that are chosen; sooner if there are others among them."""
        poll = CompletionsPoll()
        what = f"Polling completions of {self.sailpoint_conn_id}"
        while True:
            watchers = choose()
            if watchers:
                due = time.monotonic()
                snapshot = await self.retry_forever(partial(self._poll, poll, choose), what)
                self._updates.put_nowait(Update(self, snapshot))
                due += self._interval(watchers, poll.requests)
                await asyncio.sleep(SHORTEST_PAUSE_SECONDS)
                while watchers >= choose() and (left := due - time.monotonic()) > 0:
                    await asyncio.sleep(min(SHORTEST_PAUSE_SECONDS, left))
            else:
                await asyncio.sleep(SHORTEST_PAUSE_SECONDS)

    async def _poll(self, poll: CompletionsPoll, choose: Callable[[], set[Watcher]]) -> Snapshot:
        # Chosen again at each attempt: those that left must not make it fail.
        cursors = [watcher.cursor for watcher in choose()]
        return await self._ask(lambda clients: poll.poll(clients.client, cursors, self._latest()))

    def _interval(self, watchers: Collection[Watcher], requests: int) -> float:
        """Return the seconds to the next poll, which may take up no more than its share of the limit."""
        wanted = min(watcher.poke_interval for watcher in watchers)
        share = DEFAULT_POLL_SHARE if self._settings is None else self._settings.poll_share
        interval = max(wanted, requests * WINDOW / (TENANT_LIMIT * share))
        return interval * random.uniform(1 - JITTER, 1)  # noqa: S311 - no secret

    def _latest(self) -> int:
        """Return the latest time that a record can have been created at, in seconds since 1970."""
        return int(time.time() + self._clock_lead + CLOCK_TOLERANCE_SECONDS)

    async def find_sources(self, names: Sequence[str]) -> frozenset[str]:
        """
        Find the ids of sources, in lower case; tries again until there are such sources.

        :param names: their names
        """

        def find(clients: PollingClients) -> frozenset[str]:
            return frozenset(clients.sources.find_by_name(name).id.casefold() for name in names)

        async def look_up() -> frozenset[str]:
            async with self._lookups:
                return await self._ask(find)

        return await self.retry_forever(
            look_up, f"Finding sources of {self.sailpoint_conn_id} ({cut_list(names)})"
        )

    async def retry_forever(self, attempt: Callable[[], Awaitable[T]], what: str) -> T:
        """
        Try until it succeeds: transient errors with back-off, repeated refusals every few minutes. If it
        raised, Airflow would start the trigger again every two seconds.

        :param attempt: what is tried
        :param what: what it does, for the log
        """
        logged: type[Exception] | None = None
        refusals = 0
        for failures in itertools.count(1):
            try:
                answer = await attempt()
            except Exception as error:  # anything, or a fault would become a busy loop
                refusals = refusals + 1 if _is_refusal(error) else 0
                if refusals:
                    self._refresh_at = -math.inf
                if refusals > 1:
                    wait = REFUSAL_RETRY_SECONDS
                    log.error("%s is refused, will be tried again in %.0f s: %s", what, wait, error)
                else:
                    wait = backoff(failures, getattr(error, "retry_after", None))
                    if logged is not type(error):
                        known = isinstance(error, SailPointError | AirflowNotFoundException | ValueError)
                        log.warning(
                            "%s fails, will be tried again: %s",
                            what,
                            error,
                            exc_info=None if known else error,
                        )
                logged = type(error)
            else:
                if logged is not None:
                    log.info("%s works again", what)
                return answer
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def work(self, work: Callable[[], T]) -> T:
        """
        Do in a thread what would keep the event loop from others.

        :param work: what to do
        """
        # Not in a plain thread: what talks to Airflow from one, as masking a token does, breaks the
        # triggerer's channel to its supervisor before Airflow 3.3.
        return await sync_to_async(work, thread_sensitive=False, executor=self._executor)()

    async def _ask(self, question: Callable[[PollingClients], T]) -> T:
        """Ask; after a 401 once more with the connection read again: credentials may have been rotated."""
        clients = await self._connected()
        try:
            return await self.work(partial(question, clients))
        except UnauthorizedError:
            self._refresh_at = -math.inf
            clients = await self._connected()
            return await self.work(partial(question, clients))

    async def _connected(self) -> PollingClients:
        async with self._connecting:
            clients = self._clients
            if clients is None or time.monotonic() >= self._refresh_at:
                clients = await self._read_connection()
                self._refresh_at = time.monotonic() + SETTINGS_REFRESH_SECONDS
            return clients

    async def _read_connection(self) -> PollingClients:
        """Read the connection and the tenant's clock again: the former may have been changed."""
        clients = self._clients
        try:
            hook = await connect(self.sailpoint_conn_id, self._api_version, grace=0.0)
            settings = hook.settings
        except Exception as error:
            if clients is None:
                raise
            # Airflow may be restarting; what was read last holds.
            log.warning("Connection %r can't be read again: %s", self.sailpoint_conn_id, error)
            return clients
        if clients is None or settings != self._settings:
            self._settings = settings
            self._clients = clients = PollingClients(hook, self._stop)
        with suppress(SailPointError):
            self._clock_lead = (await self.work(partial(clock_lead, clients.client))).total_seconds()
        return clients


def _is_refusal(error: Exception) -> bool:
    """Whether trying again helps only after a person has changed something."""
    return isinstance(error, ValueError) or (isinstance(error, SailPointError) and not error.retryable)
