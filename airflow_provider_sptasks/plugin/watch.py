"""Reads what the tenant of a connection does, while it is watched: once for all who watch."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_sptasks.client.client import TaskStatusClient
from airflow_provider_sptasks.client.durations import usual_durations
from airflow_provider_sptasks.client.errors import SailPointError, UnauthorizedError
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.stopping import StoppedError
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.plugin.history import TaskHistory
from airflow_provider_sptasks.plugin.overview import failing_sources
from airflow_provider_sptasks.plugin.snapshot import Outage, Snapshot

log = logging.getLogger(__name__)

# Of SailPoint's limit: whoever watches must not starve sensors in other processes.
SHARE_OF_LIMIT = 0.05
PENDING_SECONDS, HISTORY_SECONDS, CONNECTION_SECONDS = 5.0, 60.0, 60.0
# Some 10,000 tasks: of a tenant with more, older ones are left out.
MAX_PAGES = 40
# After this nothing is read any more: the page asks every few seconds while it is seen.
UNWATCHED_SECONDS = 20.0
# How long an answer to the page may wait for the tenant, with nothing to show and with older data.
FIRST_WAIT_SECONDS, WAIT_SECONDS, STEP_SECONDS = 8.0, 0.3, 0.02
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 60.0
# An answer may need a place in the pace, a token, and itself.
RETRY = RetryPolicy(deadline=20.0, min_answer_seconds=math.inf, max_attempts=1)


class Watch:
    """
    Reads the tenant of a connection in a thread of its own, which ends its work when it is watched no more.

    The pending tasks are read every 5 seconds, the others every minute: the tasks of the last 7 days at
    first, page by page, and later what was created since. What was pending and isn't any more is read by its
    id. All of it stays below a twentieth of SailPoint's limit. After an error the old data stay, and the
    pauses grow.

    :param connect: reads the connection
    :param clock: returns seconds, monotonic
    :param share_of_limit: the part of SailPoint's limit that it may use up
    """

    def __init__(
        self,
        connect: Callable[[], SailPointHook],
        clock: Callable[[], float] = time.monotonic,
        share_of_limit: float = SHARE_OF_LIMIT,
    ) -> None:
        self.watched_at = clock()
        self.snapshot = Snapshot()
        self._connect = connect
        self._clock = clock
        self._share = share_of_limit
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sailpoint-page")
        self._stop = threading.Event()
        self._work: Future[None] | None = None
        self._hook: SailPointHook | None = None
        self._base_url: str | None = None
        self._forget()
        self._connection_due = self._retry_at = 0.0
        self._pause = SHORTEST_PAUSE_SECONDS

    def _forget(self) -> None:
        self._history = TaskHistory()
        self._older: Iterator[TaskStatus] | None = None
        self._since = datetime.now(UTC)
        self._pages = 0
        self._read_at: datetime | None = None
        self._history_begun_at = self._since
        self._pending_due = self._history_due = 0.0

    async def watch(self) -> Snapshot:
        """Return what is known, after a short wait for what is due."""
        self.watched_at = self._clock()
        if self._work is not None and self._work.done():
            work, self._work = self._work, None
            work.result()  # raises what is neither the tenant's nor the connection's fault
        if self._work is None and self._is_due():
            self._work = self._executor.submit(self._read)
        if self._work is not None and not self._work.done():
            is_first = self.snapshot.read_at is None and self.snapshot.outage is None
            await self._changed(self._work, FIRST_WAIT_SECONDS if is_first else WAIT_SECONDS)
        return self.snapshot

    async def _changed(self, work: Future[None], seconds: float) -> None:
        """Wait until something was read: the whole of it may take a minute."""
        before = self.snapshot
        deadline = time.monotonic() + seconds
        while not work.done() and self.snapshot is before and time.monotonic() < deadline:
            await asyncio.sleep(STEP_SECONDS)

    def _is_due(self) -> bool:
        now = self._clock()
        if now < self._retry_at:
            return False
        return now >= min(self._pending_due, self._history_due) or self._older is not None

    def take_in(self, task: TaskStatus) -> None:
        """
        Take in a task that was read or changed elsewhere, and read the pending ones soon.

        :param task: the task
        """
        self._executor.submit(self._take_in, task)

    def _take_in(self, task: TaskStatus) -> None:
        self._history.add([task])
        self._pending_due = 0.0
        self._publish()

    def close(self) -> None:
        """Read nothing more."""
        self._stop.set()
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._hook is not None:
            self._hook.reconnect()

    def _read(self) -> None:
        """Read what is due, until nothing is or it is watched no more."""
        try:
            client = self._client()
            while self._clock() - self.watched_at < UNWATCHED_SECONDS and self._read_next(client):
                self._publish()
        except StoppedError:
            return
        except (SailPointError, ValueError, AirflowNotFoundException) as error:
            self._fail(error)
        else:
            self._pause = SHORTEST_PAUSE_SECONDS

    def hook(self) -> SailPointHook:
        """Return the connection, with the token that it has; read it if that hasn't been done."""
        return self._hook or self._connect()

    def reader(self) -> TaskStatusClient:
        """Return a client whose requests keep to the page's share of the limit."""
        return self._limited(self.hook())

    def source_page(self, source_id: str) -> str:
        """
        Return the URL of a source's page in SailPoint's UI.

        :param source_id: SailPoint's id of the source
        """
        return self.hook().sources.page(source_id)

    def _client(self) -> TaskStatusClient:
        if self._hook is None or self._clock() >= self._connection_due:
            hook = self._connect()
            if self._hook is None or hook.settings != self._hook.settings:
                if self._base_url not in (None, hook.settings.base_url):
                    self._forget()
                self._base_url = hook.settings.base_url
                self._hook = hook
                self._older = None
            self._connection_due = self._clock() + CONNECTION_SECONDS
        return self._limited(self._hook)

    def _limited(self, hook: SailPointHook) -> TaskStatusClient:
        client = hook.client.with_retry(RETRY).with_stop(self._stop)
        return client.with_pacer(client.transport.pacer.lane(self._share))

    def _read_next(self, client: TaskStatusClient) -> bool:
        """Read one thing that is due; say whether there was any."""
        if self._clock() >= self._pending_due:
            self._read_pending(client)
        elif self._clock() >= self._history_due or self._older is not None:
            self._read_history(client)
        else:
            return False
        return True

    def _read_pending(self, client: TaskStatusClient) -> None:
        begun = self._clock()
        self._history.set_pending(client.pending())
        self._read_at = datetime.now(UTC)
        self._publish()
        if gone := self._history.gone:
            self._history.resolve(gone, client.find(gone).values())
        # What takes long is asked for less often.
        self._pending_due = begun + max(PENDING_SECONDS, 2 * (self._clock() - begun))

    def _read_history(self, client: TaskStatusClient) -> None:
        """Read a page of the tasks that may not be known yet, the newest first."""
        if self._older is None:
            self._history_begun_at = datetime.now(UTC)
            self._since = self._history.since(self._history_begun_at)
            self._older = client.list(sorters="-created")
            self._pages = 0
        try:
            page = list(islice(self._older, MAX_PAGE_SIZE))
        except BaseException:
            self._older = None
            raise
        self._history.add(page)
        reached = page[-1].created if page else None
        self._pages += 1
        is_last = len(page) < MAX_PAGE_SIZE or reached is None or reached < self._since
        if is_last or self._pages >= MAX_PAGES:
            self._history.read_back_to(self._since if is_last else reached or self._since, is_cut=not is_last)
            self._history.prune(self._history_begun_at)
            self._older = None
            self._history_due = self._clock() + HISTORY_SECONDS

    def _fail(self, error: Exception) -> None:
        if isinstance(error, SailPointError) and self._hook is not None:
            message = self._hook.diagnosis(error)
        else:
            message = str(error)
        if isinstance(error, UnauthorizedError) or not isinstance(error, SailPointError):
            self._hook = None  # the connection may have been edited
        retryable = isinstance(error, SailPointError) and error.retryable
        asked = (isinstance(error, SailPointError) and error.retry_after) or 0.0
        self._retry_at = self._clock() + max(self._pause, asked)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        before = self.snapshot.outage
        since = before.since if before is not None else datetime.now(UTC)
        self.snapshot = replace(self.snapshot, outage=Outage(message, not retryable, since))
        if before is None or before.message != message:
            log.warning("The page can't be updated: %s", message)

    def _publish(self) -> None:
        before, history = self.snapshot, self._history
        is_new = history.version != before.version
        ended = tuple(history.ended) if is_new else before.ended
        self.snapshot = Snapshot(
            pending=tuple(history.pending),
            ended=ended,
            usual=usual_durations(ended) if is_new else before.usual,
            failing=failing_sources(ended) if is_new else before.failing,
            version=history.version,
            read_at=self._read_at,
            reaches_back_to=history.reaches_back_to,
            is_reading=history.reaches_back_to is None,
            is_cut=history.is_cut,
        )


class Watches:
    """
    The watches of a process, by the connections' ids.

    :param connect: reads the connection with an id
    :param share_of_limit: the part of SailPoint's limit that each may use up
    """

    # One that was not watched for that long is forgotten, with all that it knows.
    KEPT_SECONDS = 1800.0

    def __init__(
        self, connect: Callable[[str], SailPointHook], share_of_limit: float = SHARE_OF_LIMIT
    ) -> None:
        self._connect = connect
        self._share = share_of_limit
        self._watches: dict[str, Watch] = {}

    def of(self, connection_id: str) -> Watch:
        """
        Return the watch of a connection; only the event loop's thread may ask for it.

        :param connection_id: the Airflow connection's id
        """
        now = time.monotonic()
        for key, watch in list(self._watches.items()):
            if key != connection_id and now - watch.watched_at > self.KEPT_SECONDS:
                self._watches.pop(key).close()
        if connection_id not in self._watches:
            self._watches[connection_id] = Watch(
                lambda: self._connect(connection_id), share_of_limit=self._share
            )
        return self._watches[connection_id]
