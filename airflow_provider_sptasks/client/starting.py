"""Starting an aggregation once: neither a lost answer nor a lost worker makes it two. Knows no Airflow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_provider_sptasks.client.clock import clock_lead
from airflow_provider_sptasks.client.errors import (
    AggregationRunningError,
    AmbiguousError,
    NotSentError,
    SailPointError,
)
from airflow_provider_sptasks.client.intent import Intent, Outcome, StartResult, start_of
from airflow_provider_sptasks.client.launches import QUEUED
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
from airflow_provider_sptasks.client.start_options import StartOptions, alike

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient
    from airflow_provider_sptasks.client.retry import RetryPolicy
    from airflow_provider_sptasks.client.sources_client import SourcesClient

log = logging.getLogger(__name__)

# An aggregation whose start got no answer shows in the list within this time, or was not started.
SHOWS_WITHIN_SECONDS = 120.0
# How far back to look for what the source launched before.
HISTORY = timedelta(days=1)
# Between two attempts, and between two polls for what may have been started.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, LONGEST_POLL_PAUSE_SECONDS = 1.0, 60.0, 15.0
# What an error leaves open.
MAY_BE_STARTED = "an aggregation was started"


class IfRunning(StrEnum):
    """What to do while another aggregation of the source runs, of whichever kind."""

    WAIT = "wait"
    ATTACH = "attach"
    FAIL = "fail"
    SKIP = "skip"


class Pauses:
    """Pauses that grow from one second to one minute."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE_SECONDS

    def next(self) -> float:
        """Return the next one, in seconds."""
        pause = self._next
        self._next = min(pause * 2, LONGEST_PAUSE_SECONDS)
        return pause

    def reset(self) -> None:
        """Begin with the first one again."""
        self._next = FIRST_PAUSE_SECONDS


class Starter:
    """
    Starts an aggregation, and never two.

    What the source launched is read and noted before anything is sent. After a failure that leaves open
    whether the tenant acted, the aggregation is looked for among what is new, for two minutes, before it is
    sent again; and what runs then is that one, unless it ran before. An aggregation of the same source and
    kind that others started within the same moment can't be told apart from one's own.

    Transient errors are retried until the deadline, and nothing is started after it.

    :param client: talks to the tenant
    :param sources: the same tenant's sources
    :param source_id: SailPoint's id of the source
    :param kind: what to start
    :param options: what it is started with
    :param if_running: what to do while another aggregation of the source runs
    :param deadline: until when to try, by the monotonic clock
    :param stop: set it to stop: nothing more is sent
    :param note: called with what a later attempt needs to know, before anything depends on it; with ``None``
        when there is nothing to know
    """

    def __init__(
        self,
        client: TaskStatusClient,
        sources: SourcesClient,
        *,
        source_id: str,
        kind: TaskKind,
        options: StartOptions,
        if_running: IfRunning,
        deadline: float,
        stop: threading.Event,
        note: Callable[[Intent | None], object],
    ) -> None:
        self._client = client.with_stop(stop)
        self._sources = sources
        self._source_id = source_id
        self._kind = kind
        self._options = options
        self._if_running = if_running
        self._deadline = deadline
        self._note = note
        self._pauses = Pauses()
        self._clock_lead = timedelta(0)

    def run(self, earlier: Intent | None = None) -> Outcome:
        """
        Start it, unless an earlier attempt did.

        :param earlier: what an earlier attempt noted last; it may have ended at any point
        :raises TimeoutError: another one ran until the deadline, or that has passed
        :raises StoppedError: it was stopped before
        :raises AmbiguousError: whether it was started could not be found out
        :raises SailPointError: the tenant refuses, or transient errors went on until the deadline; nothing
            was started
        """
        if earlier is not None and earlier.task_status_id is not None:
            result = StartResult.ATTACHED if earlier.attached else StartResult.FOUND
            return Outcome(result, earlier.task_status_id, is_own=earlier.own)
        doubt = earlier  # what may have been started; the tasks that were known before it stay the base
        unanswered: AmbiguousError | None = None
        why = "no time is left to wait for an aggregation"
        while True:
            if doubt is not None and (found := self._find_started(doubt)) is not None:
                return self._settle(StartResult.FOUND, found, doubt)
            if self._seconds_left() <= 0:
                raise unanswered or _too_late(doubt, why)
            intent = doubt if doubt is not None and doubt.exact else self._intend()
            self._note(intent)
            try:
                return self._settle(StartResult.STARTED, self._send(), intent)
            except AmbiguousError as error:
                log.warning("Checking whether the aggregation was started: %s", error)
                unanswered, doubt = error, replace(intent, sent=True)
                self._note(doubt)
            except AggregationRunningError as error:
                if (outcome := self._refused(error, intent, doubt)) is not None:
                    return outcome
                why = "another aggregation of the source ran until then"
                self._client.retry.sleep(min(self._pauses.next(), self._seconds_left()))
            except (SailPointError, ValueError) as error:
                if doubt is None:
                    self._note(None)
                if unanswered is not None and isinstance(error, NotSentError):
                    raise unanswered from None
                raise

    def _intend(self) -> Intent:
        """Write down what there is, by the tenant's own clock."""
        self._clock_lead = clock_lead(self._patient())
        now = datetime.now(UTC) + self._clock_lead
        since = now - HISTORY
        tasks = self._launched(since)
        if tasks:
            # A record may claim to be of the future: what is started now would seem to be older.
            since = max(since, min(max(map(start_of, tasks)), now) - QUEUED)
        known = frozenset(task.id for task in tasks if start_of(task) >= since - QUEUED)
        return Intent(self._source_id, self._kind, since, known)

    def _find_started(self, intent: Intent) -> TaskStatus | None:
        """Look for an aggregation that may have been started, until it shows or would have."""
        with _ambiguous(intent):
            return self._until_it_shows(intent)

    def _until_it_shows(self, intent: Intent) -> TaskStatus | None:
        shows_until = min(time.monotonic() + SHOWS_WITHIN_SECONDS, self._deadline)
        pause = FIRST_PAUSE_SECONDS
        while True:
            is_last = time.monotonic() >= shows_until
            new = [task for task in self._launched(intent.since) if self._may_be(intent, task)]
            # One whose name has no kind is taken only where none shows whose name does.
            found = [task for task in new if task.kind in alike(self._kind)] or (new if is_last else [])
            if found:
                return found[-1 if intent.exact else 0]  # newest first
            if is_last:
                return None
            self._client.retry.sleep(min(pause, max(0.0, shows_until - time.monotonic())))
            pause = min(pause * 1.5, LONGEST_POLL_PAUSE_SECONDS)

    def _may_be(self, intent: Intent, task: TaskStatus) -> bool:
        """Whether a task may be it; a guess, which knows no older ones, takes none of the future."""
        latest = self._client.transport.clock.now() + QUEUED
        return intent.may_be(task) and (intent.exact or start_of(task) <= latest)

    def _launched(self, since: datetime) -> tuple[TaskStatus, ...]:
        return self._patient().aggregations({self._source_id: since})[self._source_id]

    def _send(self) -> TaskStatus:
        # Strictly: nothing is sent after the deadline, however long the token took.
        sources = self._sources.with_retry(replace(self._retry(), strict=True))
        options = self._options
        return sources.start_aggregation(
            self._source_id,
            self._kind,
            options.file,
            options.disable_optimization,
            object_type=options.object_type,
            dataset_ids=options.dataset_ids,
        )

    def _settle(self, result: StartResult, task: TaskStatus, intent: Intent) -> Outcome:
        settled = intent.settled(task, result)
        self._note(settled)
        return Outcome(result, task.id, settled.own, task)

    def _refused(
        self, error: AggregationRunningError, intent: Intent, doubt: Intent | None
    ) -> Outcome | None:
        """Do as ``if_running`` says; ``None`` where what runs is one's own, or can't be seen yet."""
        if doubt is None:
            self._note(None)
        with _ambiguous(doubt):
            running = self._running()
        if doubt is not None:
            if running is None or doubt.may_be(running):
                return None
            self._note(None)
        waits = self._if_running in (IfRunning.WAIT, IfRunning.ATTACH)
        if running is None:
            if not waits:
                return Outcome(StartResult.BLOCKED, "", reason=error.text)
            log.info("%s. The list of tasks doesn't show it: trying again", error)
            return None
        if self._if_running is IfRunning.ATTACH and running.kind in alike(self._kind):
            return self._settle(StartResult.ATTACHED, running, intent)
        seen_at = datetime.now(UTC) + self._clock_lead
        return Outcome(StartResult.BLOCKED, running.id, task=running, seen_at=seen_at, reason=error.text)

    def _running(self) -> TaskStatus | None:
        """Return the newest aggregation of the source that runs, as far as the list shows one."""
        pending = self._patient().pending([self._source_id])
        aggregations = (task for task in pending if task.kind is not TaskKind.OTHER)
        return max(aggregations, key=start_of, default=None)

    def _seconds_left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _patient(self) -> TaskStatusClient:
        return self._client.with_retry(self._retry())

    def _retry(self) -> RetryPolicy:
        return replace(self._client.retry, deadline=self._seconds_left())


def _too_late(doubt: Intent | None, why: str) -> Exception:
    if doubt is not None and doubt.exact:
        return AmbiguousError(NotSentError(why), MAY_BE_STARTED)
    return TimeoutError(why)


@contextmanager
def _ambiguous(doubt: Intent | None) -> Iterator[None]:
    """Let no error of a check hide that there may be an aggregation: a guess is not enough to say so."""
    try:
        yield
    except SailPointError as error:
        if doubt is None or not doubt.exact:
            raise
        raise AmbiguousError(error, MAY_BE_STARTED) from error
