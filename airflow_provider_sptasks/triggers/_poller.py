"""
One poller for all triggers that wait on a tenant: ten thousand tasks cost as many requests as they fill.

There is one poller for each event loop, tenant, client id and API version, alive while there are
subscriptions. It polls the queries that are due, as many as fit in a request, and with as many requests in
flight as its share of the rate limit needs; how fast it sends is up to ``client/pacing.py``. Queries of
different types fail apart from each other, each entry with a back-off of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from airflow_provider_sptasks.client.errors import SailPointError, UnauthorizedError
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.triggers._connection import MAX_IN_FLIGHT, Key, PollingClients, connect, key_of
from airflow_provider_sptasks.triggers._queue import COALESCE_SECONDS, UNANSWERED, Entry, Queue
from airflow_provider_sptasks.triggers._subscription import ConnectionChangedError, Subscription
from airflow_provider_sptasks.waiting.queries import Query

log = logging.getLogger(__name__)

T = TypeVar("T")

# What is due within this part of a round is polled along.
COALESCE_PART = 0.5
# Those that are notified run at once: more of them would keep the event loop from all others.
NOTIFY_BATCH = 5
SETTINGS_REFRESH_SECONDS = 300.0

_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, Poller]] = WeakKeyDictionary()


async def subscribe(sailpoint_conn_id: str, api_version: str | None, interval: float) -> Subscription:
    """
    Subscribe to the poller of a connection's tenant, made if there is none; to be used as a context manager.

    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    :param interval: maximum seconds between two polls of a query
    :raises ValueError: the connection has an invalid field
    :raises AirflowNotFoundException: there is no such connection, for longer than Airflow takes to restart
    """
    hook = await connect(sailpoint_conn_id, api_version)
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    key = key_of(hook.settings)
    poller = pollers.get(key)
    if poller is None:
        poller = pollers[key] = Poller(key, hook, pollers)
    else:
        poller.use(hook)
    return poller.open(interval, (sailpoint_conn_id, api_version))


class Poller:
    """
    Polls a tenant for all subscriptions, until the last one is closed. Made by :func:`subscribe`.

    :param key: the tenant, the client id and the API version
    :param hook: the connection that leads there
    :param pollers: where it is registered under its key
    """

    def __init__(self, key: Key, hook: SailPointHook, pollers: dict[Key, Poller]) -> None:
        self._key = key
        self._pollers = pollers
        self._loop = asyncio.get_running_loop()
        self._queues: dict[type[Query], Queue] = {}
        self._subscriptions: dict[Subscription, None] = {}
        self._changed = asyncio.Event()
        self._requests: set[asyncio.Task[None]] = set()
        self._executor = ThreadPoolExecutor(MAX_IN_FLIGHT, thread_name_prefix="sailpoint-poller")
        self.settings = hook.settings
        self._stop = threading.Event()
        self._clients = PollingClients(hook, self._stop)
        self._refresh_at = self._loop.time() + SETTINGS_REFRESH_SECONDS
        # In a context of its own: it must not log into the task log of the trigger that came first.
        self._task = self._loop.create_task(self._run(), context=contextvars.Context())
        self._task.add_done_callback(self._ended)

    def use(self, hook: SailPointHook) -> None:
        """Poll with other settings of the same tenant and client id, if they differ."""
        if hook.settings != self.settings:
            self.settings = hook.settings
            self._clients = PollingClients(hook, self._stop)

    def open(self, interval: float, connection: tuple[str, str | None]) -> Subscription:
        """
        Make a subscription.

        :param interval: maximum seconds between two polls of a query
        :param connection: the Airflow connection and the API version that was asked for
        """
        subscription = Subscription(self, interval, connection)
        self._subscriptions[subscription] = None
        return subscription

    def close_subscription(self, subscription: Subscription) -> None:
        """Forget a subscription that watches nothing any more, and end with the last one."""
        self._subscriptions.pop(subscription, None)
        if not self._subscriptions and self._pollers.get(self._key) is self:
            self._close()
            self._task.cancel()

    def add(self, subscription: Subscription, query: Query) -> None:
        """Poll a query for a subscription, soon for the first time."""
        queue = self._queues.setdefault(type(query), Queue(type(query)))
        entry = queue.entries.get(query)
        now = self._loop.time()
        if entry is None:
            entry = queue.entries[query] = Entry(query, now)
            entry.subscriptions.append(subscription)
            queue.push(entry, now)
        else:
            entry.subscriptions.append(subscription)
            if entry.answer is not UNANSWERED and query.lasts(entry.answer):
                subscription.answer(query, entry.answer)
            if entry.due != math.inf and not entry.failures:
                queue.push(entry, min(entry.due, max(now, entry.asked_at + COALESCE_SECONDS)))
        self._changed.set()

    def remove(self, subscription: Subscription, query: Query) -> None:
        """Poll a query no longer for a subscription."""
        queue = self._queues[type(query)]
        entry = queue.entries.get(query)
        if entry is None or subscription not in entry.subscriptions:
            return  # it was refused, and is a new entry for those who came after that
        entry.subscriptions.remove(subscription)
        if not entry.subscriptions:
            del queue.entries[query]

    def fails(self, query: Query) -> bool:
        """Whether a query that is polled could not be asked the last time."""
        entry = self._queues[type(query)].entries.get(query)
        return entry is not None and entry.failures > 0

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            now = self._loop.time()
            ready = [
                queue
                for queue in self._queues.values()
                if queue.due <= now and queue.in_flight < self._clients.max_in_flight
            ]
            if ready:
                queue = min(ready, key=lambda queue: queue.due)
                batch = queue.pop_batch(now + self._clients.round_seconds * COALESCE_PART)
                self._start(self._poll(queue, batch))
                queue.in_flight += 1
                continue
            if now >= self._refresh_at:
                self._refresh_at = now + SETTINGS_REFRESH_SECONDS
                self._start(self._refresh())
            due = [
                queue.due for queue in self._queues.values() if queue.in_flight < self._clients.max_in_flight
            ]
            wait = min([self._refresh_at, *due]) - now
            with suppress(TimeoutError):
                # Not wait_for(), which may swallow a cancellation that comes together with the event.
                async with asyncio.timeout(max(wait, 0.0)):
                    await self._changed.wait()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._requests.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _poll(self, queue: Queue, batch: Sequence[Entry]) -> None:
        asked_at = self._loop.time()
        try:
            try:
                answers = await self._ask(queue.kind, batch)
            finally:
                queue.in_flight -= 1
        except SailPointError as error:
            self._note_failure(queue, batch, error)
            return
        except Exception as error:  # noqa: BLE001 - a fault of these queries must not reach the others
            for entry in batch:
                self._refuse(queue, entry, error)
            return
        if queue.worked(batch, self._loop.time()):
            log.info("Polling %s of %s works again", queue.kind.subject, self._key.base_url)
        notified: dict[Subscription, None] = {}
        for entry in batch:
            notified |= dict.fromkeys(self._deliver(entry, answers[entry.query], asked_at))
            if entry.subscriptions:
                queue.push(entry, entry.next_due(asked_at, self._clients.round_seconds))
        # Only now: a trigger must not judge a part of an answer together with what was before.
        for number, subscription in enumerate(notified, 1):
            subscription.wake()
            if number % NOTIFY_BATCH == 0:
                await asyncio.sleep(0)

    @staticmethod
    def _deliver(entry: Entry, answer: Any, asked_at: float) -> list[Subscription]:
        """Hand an answer to those for whom it is new; return them, to be woken."""
        changed = entry.failures > 0 or answer != entry.answer
        notified = []
        for subscription in entry.subscriptions:
            if subscription.is_new(entry.query, asked_at):
                continue
            if changed or subscription.is_new(entry.query, entry.asked_at):
                subscription.answer(entry.query, answer)
                notified.append(subscription)
        entry.answered(answer if changed else entry.answer, asked_at)
        return notified

    def _note_failure(self, queue: Queue, batch: Sequence[Entry], error: SailPointError) -> None:
        watched = [entry for entry in batch if entry.subscriptions]
        refused = queue.failed(watched, error, self._loop.time()) if watched else []
        if not queue.is_out:
            queue.is_out = True
            log.warning("Polling %s of %s fails: %s", queue.kind.subject, self._key.base_url, error)
        for entry in watched:
            if entry in refused:
                self._refuse(queue, entry, error)
            elif entry.failures == 1:
                for subscription in entry.subscriptions:
                    subscription.outage(error)

    @staticmethod
    def _refuse(queue: Queue, entry: Entry, error: BaseException) -> None:
        """End an entry, and all who wait for it; who comes later gets a new one."""
        if queue.entries.get(entry.query) is entry:
            del queue.entries[entry.query]
        for subscription in entry.subscriptions:
            subscription.fail(error)

    async def _ask(self, kind: type[Query], batch: Sequence[Entry]) -> Mapping[Query, Any]:
        """Ask; after a 401 once more with the connection read again: credentials may have been rotated."""
        queries = [entry.query for entry in batch]
        try:
            return await self._work(partial(self._clients.ask, kind, queries))
        except UnauthorizedError:
            await self._refresh()
            return await self._work(partial(self._clients.ask, kind, queries))

    async def _work(self, work: Callable[[], T]) -> T:
        # Not in a plain thread: what talks to Airflow from one, as masking a token does, breaks the
        # triggerer's channel to its supervisor before Airflow 3.3.
        return await sync_to_async(work, thread_sensitive=False, executor=self._executor)()

    async def _refresh(self) -> None:
        """Read the connections again: they may have been changed."""
        for connection in {subscription.connection for subscription in self._subscriptions}:
            try:
                hook = await connect(*connection, grace=0.0)
                key = key_of(hook.settings)
            except Exception as error:  # noqa: BLE001 - Airflow may be restarting; what was read last holds
                log.warning("Connection %r can't be read again: %s", connection[0], error)
                continue
            if key == self._key:
                self.use(hook)
                continue
            for subscription in [each for each in self._subscriptions if each.connection == connection]:
                subscription.fail(ConnectionChangedError(connection[0]))

    def _close(self) -> None:
        self._pollers.pop(self._key, None)
        self._stop.set()
        for task in self._requests:
            task.cancel()
        self._executor.shutdown(wait=False)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._fail(task.exception() or RuntimeError("The poller ended while there were subscriptions"))

    def _fail(self, error: BaseException) -> None:
        """Let a fault of the poller itself reach all subscriptions: none may wait for ever."""
        if self._pollers.get(self._key) is self:
            self._close()
            self._task.cancel()
        for subscription in list(self._subscriptions):
            subscription.fail(error)
