"""
One poller for all who wait in a process: ten thousand tasks cost as many requests as they fill.

There is one poller for each event loop, connection and API version, alive while anybody waits. It looks at
the tasks, or at what the sources launched lately, whose turn has come, as many as fit in a request, and hands
what it saw to whoever waits for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import logging
import math
import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_sptasks.client.errors import BadRequestError, SailPointError
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.models_sources import Source
from airflow_provider_sptasks.client.pacing import TENANT_LIMIT, WINDOW
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import DEFAULT_POLL_SHARE, ClientSettings
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.triggers._tenant import IDS_IN_A_REQUEST, JITTER, Tenant

log = logging.getLogger(__name__)

T = TypeVar("T")

_NOTHING: Mapping[str, Any] = MappingProxyType({})

# Nobody is looked at more often than that, unless it asks for it with its own interval. A larger share than
# the default makes it shorter in proportion: then a lone gate is looked at as often as a thousand.
SHORTEST_ROUND = 5.0
# Those whose turn comes within this part of a round ride along.
RIDE_ALONG = 0.5
# Those who are told run in the same breath: more of them would keep the event loop from everybody else.
TOLD_AT_ONCE = 5
LONGEST_BACKOFF = 30.0
# A source is asked for what it launched since what was seen last, less this: for what may show up late, and
# what waits to be launched.
OVERLAP = timedelta(minutes=15)
# For how long a connection that can't be found is looked for again.
CONNECTION_GRACE = 60.0

_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str | None], Poller]] = (
    WeakKeyDictionary()
)


@dataclass(slots=True)
class Look:
    """
    What is new for one waiter.

    :param found: the tasks that were seen and differ from when they were seen last
    :param missing: the tasks that were looked for and not seen, the sources that the tenant doesn't know
    :param trouble: why nothing could be seen, where that is so
    """

    found: dict[str, TaskStatus] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    trouble: SailPointError | None = None


class Waiter:
    """One who waits for news of some tasks. Made by :meth:`Poller.join`."""

    __slots__ = ("_error", "_future", "_news", "_poller", "interval", "turns")

    def __init__(self, poller: Poller, interval: float) -> None:
        self.interval = interval
        self.turns: Sequence[_Turn | _SourceTurn] = ()
        self._poller = poller
        self._news: Look | None = None
        self._error: BaseException | None = None
        self._future: asyncio.Future[None] | None = None

    async def look(self) -> Look:
        """
        Wait for news.

        :raises SailPointError: the tenant refuses, and will go on to do so
        """
        while self._news is None and self._error is None:
            self._future = asyncio.get_running_loop().create_future()
            await self._future
        if self._error is not None:
            raise self._error
        news, self._news = self._news, None
        assert news is not None  # noqa: S101 - for mypy: the loop saw to it
        return news

    def leave(self) -> None:
        """Wait no longer."""
        self._poller.leave(self)

    def tell_found(self, status: TaskStatus) -> None:
        """Hand it a task that was seen and is new or has changed."""
        self._tell().found[status.id] = status

    def tell_missing(self, wanted: str) -> None:
        """Hand it the id of a task, or a source, that was looked for and is not there."""
        self._tell().missing.add(wanted)

    def tell_looked(self) -> None:
        """Tell it that it was looked, whether anything was seen or not."""
        self._tell()

    def tell_trouble(self, error: SailPointError) -> None:
        """Hand it what keeps the poller from seeing anything at the moment."""
        self._tell().trouble = error

    def fail(self, error: BaseException) -> None:
        """Hand it what it can't wait out."""
        self._error = error
        self._wake()

    def _tell(self) -> Look:
        if self._news is None:
            self._news = Look()
            self._wake()
        return self._news

    def _wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


@dataclass(eq=False, slots=True)
class _Turn:
    """A task that somebody waits for, and when it is to be looked at next."""

    wanted: str
    due: float
    waiters: list[Waiter] = field(default_factory=list)
    seen: TaskStatus | None = None

    @property
    def is_new(self) -> bool:
        """Whether somebody waits for a first look at it; others' is handed to who comes later."""
        return False

    def forget(self) -> None:
        """Let the next look be news for everybody, whatever it shows."""
        self.seen = None


@dataclass(eq=False, slots=True)
class _SourceTurn:
    """A source whose tasks somebody waits for, and when it is to be looked at next."""

    wanted: str
    due: float
    since: datetime
    waiters: list[Waiter] = field(default_factory=list)
    seen: dict[str, TaskStatus] = field(default_factory=dict)
    newcomers: list[Waiter] = field(default_factory=list)
    known: bool = False

    @property
    def is_new(self) -> bool:
        """Whether somebody came while others were told, and waits for a first look that goes back further."""
        return bool(self.newcomers)

    def forget(self) -> None:
        """Let the next look be news for everybody, whatever it shows."""
        self.newcomers = list(self.waiters)


AnyTurn = TypeVar("AnyTurn", _Turn, _SourceTurn)


class _Line(ABC, Generic[AnyTurn]):
    """Those who wait for one kind of thing, in the order of their turns, and how it is asked for."""

    def __init__(self) -> None:
        self.turns: dict[str, AnyTurn] = {}
        self._queue: list[tuple[float, int, AnyTurn]] = []
        self._order = itertools.count()

    @abstractmethod
    def question(self, turns: Sequence[AnyTurn]) -> Callable[[SailPointHook], Callable[[AnyTurn], None]]:
        """
        Prepare a look.

        :param turns: whose turn has come
        :return: asks the tenant, in the poller's thread, and returns what tells each of them the answer
        """

    def enqueue(self, turn: AnyTurn) -> None:
        """Let it come when it is due."""
        heapq.heappush(self._queue, (turn.due, next(self._order), turn))

    @property
    def due(self) -> float:
        """When the first turn comes; never, if there is none."""
        while self._queue and not self._is_current(*self._queue[0][::2]):
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else math.inf

    def take(self, most: int, latest: float) -> list[AnyTurn]:
        """
        Take from the front.

        :param most: how many at the most
        :param latest: only turns that are due by then
        """
        turns: list[AnyTurn] = []
        while len(turns) < most and self.due <= latest:
            turn = heapq.heappop(self._queue)[2]
            turn.due = math.inf  # it may stand in the queue more than once, and must not be taken again
            turns.append(turn)
        return turns

    @staticmethod
    def _is_current(due: float, turn: AnyTurn) -> bool:
        return bool(turn.waiters) and turn.due == due


class _Tasks(_Line[_Turn]):
    def question(self, turns: Sequence[_Turn]) -> Callable[[SailPointHook], Callable[[_Turn], None]]:
        def ask(hook: SailPointHook) -> Callable[[_Turn], None]:
            found = {
                task.id: _lean(task) for task in hook.client.find(turn.wanted for turn in turns).values()
            }
            return lambda turn: self._tell(turn, found.get(turn.wanted))

        return ask

    @staticmethod
    def _tell(turn: _Turn, status: TaskStatus | None) -> None:
        for waiter in turn.waiters:
            if status is None:
                waiter.tell_missing(turn.wanted)
            elif status != turn.seen:
                waiter.tell_found(status)
        if status != turn.seen:
            turn.seen = status


class _Sources(_Line[_SourceTurn]):
    def __init__(self) -> None:
        super().__init__()
        self._newest = datetime.min.replace(tzinfo=UTC) + OVERLAP

    def question(
        self, turns: Sequence[_SourceTurn]
    ) -> Callable[[SailPointHook], Callable[[_SourceTurn], None]]:
        since = {turn.wanted: turn.since for turn in turns}
        to_be_known = [turn.wanted for turn in turns if not turn.known]
        newcomers = {turn.wanted: list(turn.newcomers) for turn in turns}

        def ask(hook: SailPointHook) -> Callable[[_SourceTurn], None]:
            launched = hook.client.aggregations(since)
            found = {source: [_lean(task) for task in tasks] for source, tasks in launched.items()}
            unknown = hook.sources.unknown(each for each in to_be_known if not found[each])
            created = (task.created for tasks in found.values() for task in tasks if task.created)
            self._newest = max(created, default=self._newest)
            return lambda turn: self._tell(
                turn, found[turn.wanted], newcomers[turn.wanted], turn.wanted in unknown
            )

        return ask

    def _tell(
        self, turn: _SourceTurn, tasks: Sequence[TaskStatus], newcomers: Sequence[Waiter], unknown: bool
    ) -> None:
        for waiter in turn.waiters:
            is_new = waiter in newcomers
            for status in tasks:
                if is_new or turn.seen.get(status.id) != status:
                    waiter.tell_found(status)
            if unknown:
                waiter.tell_missing(turn.wanted)
            if is_new:
                waiter.tell_looked()
        turn.seen = {status.id: status for status in tasks}
        turn.known = True
        turn.newcomers = [waiter for waiter in turn.newcomers if waiter not in newcomers]
        if not turn.newcomers:
            # Those that are still to end are wanted again, and what has come since.
            pending = [status.created or turn.since for status in tasks if not status.is_complete]
            turn.since = max(turn.since, min([self._newest - OVERLAP, *pending]))


def poller(sailpoint_conn_id: str, api_version: str | None) -> Poller:
    """
    Return the poller of the running event loop for a connection and API version; made if there is none.

    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    """
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    key = (sailpoint_conn_id, api_version)
    if key not in pollers:
        pollers[key] = Poller(*key, on_close=lambda: pollers.pop(key))
    return pollers[key]


class Poller:
    """
    Looks at tasks for all who wait for them, until the last one leaves. Made by :func:`poller`.

    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    :param on_close: called when the last one has left
    """

    def __init__(
        self, sailpoint_conn_id: str, api_version: str | None, *, on_close: Callable[[], object]
    ) -> None:
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._tasks = _Tasks()
        self._sources = _Sources()
        self._lines: tuple[_Line[Any], ...] = (self._tasks, self._sources)
        self._waiters = 0
        self._source_ids: dict[str, str] = {}
        self._slot = 0.0
        self._joined = asyncio.Event()
        self._tenant = Tenant(
            sailpoint_conn_id,
            api_version,
            retry=RetryPolicy(deadline=LONGEST_BACKOFF, max_attempts=1),
            thread="sailpoint-poller",
            grace=CONNECTION_GRACE,
        )
        # In a context of its own: it must not log into the task log of the trigger that came first.
        self._task = self._loop.create_task(self._run(), context=contextvars.Context())
        self._task.add_done_callback(self._ended)

    def join(self, task_status_ids: Iterable[str], interval: float) -> Waiter:
        """
        Wait for tasks; the first look comes at once.

        :param task_status_ids: SailPoint's ids of the tasks
        :param interval: the longest that a look at them may take to come, in seconds
        :return: whose ``look()`` gives the news, and whose ``leave()`` must be called in the end
        :raises ValueError: an id can't be one
        """
        ids = dict.fromkeys(check_id(each, "task_status_id") for each in task_status_ids)
        waiter = Waiter(self, interval)
        self._waiters += 1
        turns = []
        for task_status_id in ids:
            turn = self._tasks.turns.get(task_status_id)
            if turn is None:
                turn = self._tasks.turns[task_status_id] = _Turn(task_status_id, self._loop.time())
                self._tasks.enqueue(turn)
            elif turn.seen is not None:
                waiter.tell_found(turn.seen)
            turn.waiters.append(waiter)
            turns.append(turn)
        waiter.turns = turns
        self._joined.set()
        return waiter

    def join_sources(self, waiter: Waiter, source_ids: Iterable[str], since: datetime) -> None:
        """
        Let somebody who has joined wait for what sources launch; the first look comes at once.

        :param waiter: who came by :meth:`join`
        :param source_ids: SailPoint's ids of the sources
        :param since: when the tasks that are wanted were launched at the earliest, aware
        :raises ValueError: an id can't be one
        """
        turns = []
        for source_id in dict.fromkeys(check_id(each, "source_id") for each in source_ids):
            turn = self._sources.turns.get(source_id)
            if turn is None:
                turn = self._sources.turns[source_id] = _SourceTurn(source_id, 0.0, since)
            turn.since = min(turn.since, since)
            turn.due = self._loop.time()
            self._sources.enqueue(turn)
            turn.waiters.append(waiter)
            turn.newcomers.append(waiter)
            turns.append(turn)
        waiter.turns = [*waiter.turns, *turns]
        self._joined.set()

    def leave(self, waiter: Waiter) -> None:
        """
        Let somebody wait no longer, and end with the last one.

        :param waiter: who came by :meth:`join`
        """
        for turn in waiter.turns:
            turn.waiters.remove(waiter)
            if not turn.waiters:
                line = self._tasks if isinstance(turn, _Turn) else self._sources
                line.turns.pop(turn.wanted, None)
        waiter.turns = ()
        self._waiters -= 1
        if not self._waiters and not self._task.done():
            self._task.cancel()
            self._close()

    async def confirm(self, task_status_id: str) -> TaskStatus:
        """
        Ask for one task by itself, which tells for certain whether the tenant knows it.

        :param task_status_id: SailPoint's id of the task
        :raises NotFoundError: it doesn't
        """
        return await self._tenant.ask(lambda hook: hook.client.get(task_status_id))

    async def source_ids(self, names: Sequence[str]) -> list[str]:
        """
        Look sources up by their names.

        :param names: the names
        :raises SourceNotFoundError: the tenant has no source of a name
        :raises SourceNotUniqueError: it has several
        """
        for name in names:
            if name not in self._source_ids:
                source = await self._tenant.ask(partial(_find_by_name, name))
                self._source_ids[name] = source.id
        return [self._source_ids[name] for name in names]

    def source_page(self, source_id: str) -> str:
        """
        Return the URL of a source's page in SailPoint's UI; to be called after a look.

        :param source_id: SailPoint's id of the source
        """
        assert self._tenant.hook is not None  # noqa: S101 - for mypy: nothing is seen before it is connected
        return self._tenant.hook.sources.page(source_id)

    def _close(self) -> None:
        self._tenant.close()
        self._on_close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Let a fault of the poller itself reach everybody: nobody may wait for ever."""
        if task.cancelled():
            return
        error = task.exception() or RuntimeError("The poller ended while somebody waited")
        turns = [turn for line in self._lines for turn in line.turns.values()]
        waiters = {waiter for turn in turns for waiter in turn.waiters}
        for line in self._lines:
            line.turns.clear()
        self._close()
        for waiter in waiters:
            waiter.fail(error)

    async def _run(self) -> None:
        failures = 0
        await self._tenant.connect()
        while True:
            line, turns = await self._due()
            try:
                await self._look(line, turns)
            except SailPointError as error:
                if not error.retryable:
                    for turn in turns:
                        for waiter in turn.waiters:
                            waiter.fail(error)
                    continue
                failures += 1
                if failures == 1:
                    log.warning(
                        "Can't look at tasks of %s at the moment: %s", self._tenant.sailpoint_conn_id, error
                    )
                await self._back_off(line, turns, error, failures)
            else:
                if failures:
                    log.info("Can look at tasks of %s again", self._tenant.sailpoint_conn_id)
                failures = 0

    async def _due(self) -> tuple[_Line[Any], list[Any]]:
        """Wait until somebody's turn has come; take those who ride along, as many as fit in a request."""
        while True:
            line = min(self._lines, key=lambda line: line.due)
            wait = line.due - self._loop.time()
            if wait <= 0:
                break
            self._joined.clear()
            with suppress(TimeoutError):
                # Not wait_for(), which may swallow a cancellation that comes together with the event.
                async with asyncio.timeout(None if wait == math.inf else wait):
                    await self._joined.wait()
        # A list that holds completed tasks only is read after all pending ones, which is worth it once.
        most = IDS_IN_A_REQUEST if self._settings.version.lists_pending else len(line.turns)
        return line, line.take(most, self._loop.time() + self._round() * RIDE_ALONG)

    @property
    def _settings(self) -> ClientSettings:
        assert self._tenant.hook is not None  # noqa: S101 - for mypy: nothing is asked before it is connected
        return self._tenant.hook.settings

    def _shortest_round(self) -> float:
        return SHORTEST_ROUND * min(1.0, DEFAULT_POLL_SHARE / self._settings.poll_share)

    def _spacing(self) -> float:
        """How far apart requests are that keep to the poller's share of the limit, in seconds."""
        return WINDOW / (TENANT_LIMIT * self._settings.poll_share)

    def _round(self) -> float:
        """How long a round takes that keeps to the poller's share of the limit, in seconds."""
        requests = sum(math.ceil(len(line.turns) / IDS_IN_A_REQUEST) for line in self._lines)
        return max(self._shortest_round(), requests * self._spacing())

    def _next_slot(self, looked_at: float) -> float:
        """Take the time of the next look at those just looked at: within a round, apart from others."""
        jitter = random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
        earliest, latest = looked_at + self._shortest_round() * jitter, looked_at + self._round() * jitter
        self._slot = min(max(self._slot + self._spacing(), earliest), latest)
        return self._slot

    async def _look(self, line: _Line[Any], turns: Sequence[Any]) -> None:
        try:
            tell = await self._tenant.ask(line.question(turns))
        except BadRequestError:
            if len(turns) == 1:
                raise
            # One of them is to blame; the others must not suffer for it.
            await self._look_apart(line, turns)
            return
        looked_at = self._loop.time()
        slot = self._next_slot(looked_at)
        hurry = random.uniform(1 - JITTER, 1)  # noqa: S311 - no secret
        for number, turn in enumerate(turns, 1):
            tell(turn)
            if turn.waiters:
                interval = min(waiter.interval for waiter in turn.waiters)
                turn.due = looked_at if turn.is_new else min(slot, looked_at + interval * hurry)
                line.enqueue(turn)
            if number % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _look_apart(self, line: _Line[Any], turns: Sequence[Any]) -> None:
        middle = len(turns) // 2
        for half in (turns[:middle], turns[middle:]):
            try:
                await self._look(line, half)
            except BadRequestError as error:
                for waiter in half[0].waiters:
                    waiter.fail(error)

    async def _back_off(
        self, line: _Line[Any], turns: Sequence[Any], error: SailPointError, failures: int
    ) -> None:
        for turn in turns:
            turn.due = self._loop.time()
            line.enqueue(turn)
            turn.forget()  # so that the next look is news: the trouble is over
            for waiter in turn.waiters:
                waiter.tell_trouble(error)
        wait = backoff(failures) if error.retry_after is None else error.retry_after
        await asyncio.sleep(wait * random.uniform(1, 1 + JITTER))  # noqa: S311 - no secret


def _find_by_name(name: str, hook: SailPointHook) -> Source:
    return hook.sources.find_by_name(name)


def backoff(failures: int) -> float:
    """
    How long to wait before what has failed is tried again, in seconds.

    :param failures: how often it has failed in a row
    """
    return min(2.0 ** (failures - 1), LONGEST_BACKOFF)


def _lean(status: TaskStatus) -> TaskStatus:
    """Keep of a task what somebody looks at, and once what it has in common with others."""
    return replace(
        status,
        unique_name=_shared(status.unique_name),
        description=_shared(status.description),
        launcher=_shared(status.launcher),
        target_id=_shared(status.target_id),
        target_name=_shared(status.target_name),
        attributes={_shared(name): _shared(value) for name, value in status.attributes.items()},
        raw=_NOTHING,
    )


def _shared(value: Any) -> Any:
    return sys.intern(value) if type(value) is str else value
