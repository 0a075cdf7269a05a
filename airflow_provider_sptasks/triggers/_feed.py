"""
One look at a tenant's aggregations for all who watch them in a process.

A feed serves the watchers of one connection and API version. Each watcher is a :class:`Reader` with a cursor
of its own, and says what it needs the next look to have; a look has what all of them need.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_sptasks.arguments import cut_list
from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.pacing import TENANT_LIMIT, WINDOW
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.completions import (
    AGGREGATIONS,
    OVERLAP,
    Cursor,
    Look,
    Selection,
    created_second,
)
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.triggers._tenant import IDS_IN_A_REQUEST, JITTER, Tenant

log = logging.getLogger(__name__)

T = TypeVar("T")

# For how long the client tries a call by itself.
PATIENCE = 30.0
LONGEST_BACKOFF = 60.0
# What is refused will be refused again, until somebody sees to it.
REFUSED = 300.0
# A look for somebody who needs more than the last one had comes as soon as that.
SHORTEST = 1.0


class Store(Protocol):
    """Where a cursor outlives the process: what Airflow's accessor of an asset's state store offers."""

    async def aget(self, key: str, default: Any = None) -> Any:
        """Read a value."""

    async def aset(self, key: str, value: Any) -> None:
        """Write a value."""


@dataclass(frozen=True, eq=False)
class News:
    """
    What the feed hands to all who watch.

    :param feed: the feed
    :param look: what was seen; ``None`` before the first look, so that they can say what they need
    :param read_by: those who took it, each with how far it has read then, and the life in which it did
    """

    feed: Feed
    look: Look | None = None
    read_by: dict[Reader, tuple[int, Cursor | None]] = field(default_factory=dict)


class Reader:
    """
    One watcher: what it wants, and how far it has read.

    :param source_names: the names of the sources, where their ids are yet to be found
    :param selection: what is wanted; where there are names, of these sources only
    :param poke_interval: how long a look may take to come, in seconds
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
        self._confirmed: Cursor | None = None
        self._stored: Cursor | None = None
        self._life = 0
        self._is_troubled = False

    async def prepare(self, feed: Feed) -> None:
        """
        Find the sources and where it stopped reading, then join the feed; however long that takes.

        :param feed: the feed
        """
        if self._source_names:
            ids = await feed.find_sources(self._source_names)
            self.selection = replace(self.selection, source_ids=ids)
        # Equal watchers of several assets are one; an asset that was added later has no cursor yet.
        loaded = await feed.insist(self._load, "how far completions were read")
        cursors = [cursor for cursor in loaded if cursor is not None]
        self._stored = max(cursors, key=lambda cursor: cursor.since, default=None)
        self.cursor = self._confirmed = self._stored
        feed.join(self)

    async def read(self, news: News) -> list[TaskStatus]:
        """
        Read what is new for this watcher.

        :param news: what the feed handed out
        :return: the accepted completions that are news, oldest first
        """
        life, cursor, look = self._life, self.cursor, news.look
        news.read_by[self] = life, None
        if look is None or self not in news.feed.readers:
            return []
        found: list[TaskStatus] = []
        if cursor is None and look.has_pending:
            # There is nothing in it that could get lost.
            self._confirmed = cursor = await news.feed.tenant.work(lambda: Cursor.begin(look, self.selection))
        elif cursor is not None and cursor.is_covered_by(look):
            before = cursor
            cursor, found = await news.feed.tenant.work(lambda: before.read(look, self.selection))
        else:
            news.feed.hurry()
            return []
        if life != self._life:
            return []
        self.cursor = cursor
        news.read_by[self] = life, cursor
        return found

    async def confirm(self, life: int, cursor: Cursor) -> None:
        """
        Keep how far it has read: what was found until then is in Airflow's database.

        :param life: the life in which it read so far
        :param cursor: how far
        """
        if life != self._life:
            return
        self._confirmed = cursor
        if cursor == self._stored:
            return
        try:
            for each in self._stores:
                await each.aset(self._key, cursor.to_json())
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look's cursor makes up for it
            if not self._is_troubled:
                log.warning("Can't store how far completions were read, will try again: %s", error)
            self._is_troubled = True
        else:
            self._stored = cursor
            self._is_troubled = False

    def rewind(self) -> None:
        """Go back to what was confirmed last: what was found since then may be lost."""
        self._life += 1
        self.cursor = self._confirmed

    async def _load(self) -> list[Cursor | None]:
        return [_cursor(await store.aget(self._key)) for store in self._stores]


class Feed:
    """
    Looks at a tenant's aggregations for all who have joined.

    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    """

    def __init__(self, sailpoint_conn_id: str, api_version: str | None) -> None:
        self.tenant = Tenant(
            sailpoint_conn_id,
            api_version,
            retry=RetryPolicy(deadline=PATIENCE, max_attempts=3),
            thread="sailpoint-completions",
        )
        self.readers: dict[Reader, None] = {}
        self._requests = 0
        self._needed = asyncio.Event()
        self._hurried = asyncio.Event()

    def join(self, reader: Reader) -> None:
        """Look for somebody from now on."""
        self.readers[reader] = None
        self._needed.set()
        self.hurry()

    def leave(self, reader: Reader) -> None:
        """Look for somebody no longer."""
        self.readers.pop(reader, None)
        if not self.readers:
            self._needed.clear()

    def hurry(self) -> None:
        """Look soon: somebody needs more than the last look had."""
        self._hurried.set()

    def close(self) -> None:
        """Let go of the thread."""
        self.tenant.close()

    async def news(self) -> AsyncIterator[News]:
        """Look again and again, for as long as somebody watches."""
        yield News(self)
        while True:
            await self._needed.wait()
            self._hurried.clear()
            yield News(self, await self.insist(self._look, f"completions of {self.tenant.sailpoint_conn_id}"))
            await asyncio.sleep(SHORTEST)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval() - SHORTEST):
                    await self._hurried.wait()

    def _interval(self) -> float:
        """How long to the next look: no longer than wanted, unless looks take up more than their share."""
        wanted = min((reader.poke_interval for reader in self.readers), default=math.inf)
        share = self.tenant.hook.settings.poll_share if self.tenant.hook else 1.0
        interval = max(wanted, self._requests * WINDOW / (TENANT_LIMIT * share))
        return interval * random.uniform(1 - JITTER, 1)  # noqa: S311 - no secret

    async def _look(self) -> Look:
        needs = _Needs.of([reader.cursor for reader in self.readers])
        return await self.tenant.ask(lambda hook: self._see(hook, needs))

    def _see(self, hook: SailPointHook, needs: _Needs) -> Look:
        tasks: dict[str, TaskStatus] = {}
        read = newest = 0
        since = needs.since
        if needs.has_newcomer:
            tasks = {task.id: _lean(task) for task in hook.client.pending() if task.kind in AGGREGATIONS}
            newest = _newest(itertools.islice(hook.client.list(sorters="-created", page_size=10), 10))
            since = min(since, max(newest - OVERLAP, 0))
        for task in hook.client.created_since(datetime.fromtimestamp(since, UTC), needs.asked):
            read += 1
            newest = max(newest, _newest([task]))
            if task.kind in AGGREGATIONS:
                tasks[task.id] = _lean(task)
        self._requests = read // MAX_PAGE_SIZE + 1 + math.ceil(len(needs.asked) / IDS_IN_A_REQUEST)
        return Look(tasks, since, needs.asked, newest, needs.has_newcomer)

    async def find_sources(self, names: Sequence[str]) -> frozenset[str]:
        """
        Find the ids of sources, in lower case.

        :param names: their names
        """

        def find(hook: SailPointHook) -> frozenset[str]:
            return frozenset(hook.sources.find_by_name(name).id.casefold() for name in names)

        return await self.insist(
            lambda: self.tenant.ask(find), f"sources of {self.tenant.sailpoint_conn_id}: {cut_list(names)}"
        )

    async def insist(self, attempt: Callable[[], Awaitable[T]], what: str) -> T:
        """
        Try until it succeeds: soon again what may pass, seldom what is refused. Airflow would do so every
        two seconds.

        :param attempt: what is tried
        :param what: what it gives, for the log
        """
        told: type[Exception] | None = None
        for failures in itertools.count():
            try:
                answer = await attempt()
            except Exception as error:  # noqa: BLE001 - or a fault would become a busy loop
                if _is_refusal(error) or told is not type(error):
                    _tell(error, what)
                told, wait = type(error), self._backoff(error, failures)
            else:
                if told is not None:
                    log.info("Can see %s again", what)
                return answer
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    def _backoff(self, error: Exception, failures: int) -> float:
        if _is_refusal(error):
            self.tenant.forget()
            return REFUSED
        told = error.retry_after if isinstance(error, SailPointError) else None
        wait = max(min(2.0 ** min(failures, 10), LONGEST_BACKOFF), told or 0.0)
        return wait * random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret


@dataclass(frozen=True)
class _Needs:
    """
    What a look must have for all who watch.

    :param since: from when on everything, in seconds since 1970
    :param asked: the ids of tasks, whenever they were created
    :param has_newcomer: whether somebody needs all that has not ended
    """

    since: int
    asked: frozenset[str]
    has_newcomer: bool

    @classmethod
    def of(cls, cursors: Collection[Cursor | None]) -> _Needs:
        known = [cursor for cursor in cursors if cursor is not None]
        return cls(
            since=min((cursor.since for cursor in known), default=int(time.time())),
            asked=frozenset().union(*(cursor.awaited for cursor in known)),
            has_newcomer=len(known) < len(cursors),
        )


def _is_refusal(error: Exception) -> bool:
    """Whether trying again helps only after somebody has changed something."""
    return isinstance(error, ValueError) or (isinstance(error, SailPointError) and not error.retryable)


def _cursor(value: Any) -> Cursor | None:
    try:
        return None if value is None else Cursor.from_json(value)
    except ValueError as error:
        log.error("Completions are read from now on, since the asset's state is unusable: %s", error)
        return None


def _tell(error: Exception, what: str) -> None:
    if _is_refusal(error):
        advice = "until somebody sees to it, will try again"
        log.error("Can't see %s %s in %.0f s: %s", what, advice, REFUSED, error)
        return
    known = isinstance(error, SailPointError | AirflowNotFoundException)
    log.warning("Can't see %s at the moment, waiting on: %s", what, error, exc_info=None if known else error)


def _lean(task: TaskStatus) -> TaskStatus:
    return replace(task, raw={})


def _newest(tasks: Iterable[TaskStatus]) -> int:
    """When the newest task was created; one from the future says nothing about the others."""
    return min(max((created_second(task) or 0 for task in tasks), default=0), int(time.time()))
