"""Starting an aggregation once: neither a lost answer nor a lost worker makes it two. Knows no Airflow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_sptasks.client.clearing import stoppable
from airflow_provider_sptasks.client.errors import AggregationRunningError, AmbiguousError, SailPointError
from airflow_provider_sptasks.client.launches import QUEUED
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient
    from airflow_provider_sptasks.client.retry import RetryPolicy
    from airflow_provider_sptasks.client.sources_client import SourcesClient

log = logging.getLogger(__name__)

# An aggregation whose start nobody answered shows within this many seconds, or was not started.
SHOWS_WITHIN = 15.0
# How far back to look for what the source launched before, by a clock that is not the tenant's.
LOOKS_BACK = timedelta(days=1)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0

_NEVER = datetime.min.replace(tzinfo=UTC)


class IfRunning(StrEnum):
    """What to do while another aggregation of the source runs, of whichever kind."""

    WAIT = "wait"
    ATTACH = "attach"
    FAIL = "fail"
    SKIP = "skip"


class How(StrEnum):
    """What came of an attempt to start an aggregation."""

    STARTED = "started"
    FOUND = "found"
    ATTACHED = "attached"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Outcome:
    """
    What came of an attempt to start an aggregation.

    :param how: ``started``; ``found``, where it had been started already; ``attached`` to one that somebody
        else started; or ``blocked`` by another one, which has to end first
    :param task_status_id: SailPoint's id of the aggregation, or of the one in the way
    """

    how: How
    task_status_id: str


@dataclass(frozen=True)
class Intent:
    """
    What is needed to find an aggregation again that may have been started, written down before it is.

    :param source_id: SailPoint's id of the source
    :param kind: what was to be started
    :param since: when it was launched at the earliest, by the tenant's clock where that can be known
    :param known: the ids of the aggregations since then that had been launched before
    :param task_status_id: SailPoint's id of the aggregation, once it is known
    :param attached: whether somebody else had started it
    :param exact: whether ``known`` is all that there was: then the first new one is it. Otherwise the newest
        is the best guess
    """

    source_id: str
    kind: TaskKind
    since: datetime
    known: frozenset[str] = field(default_factory=frozenset)
    task_status_id: str | None = None
    attached: bool = False
    exact: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "source_id": self.source_id,
            "kind": self.kind.value,
            "since": self.since.isoformat(),
            "known": sorted(self.known),
            "task_status_id": self.task_status_id,
            "attached": self.attached,
        }

    @classmethod
    def from_json(cls, payload: Mapping[str, Any]) -> Self:
        """
        Read what :meth:`to_json` made.

        :raises KeyError: something is missing
        :raises ValueError: something can't be right
        """
        return cls(
            source_id=payload["source_id"],
            kind=TaskKind(payload["kind"]),
            since=datetime.fromisoformat(payload["since"]),
            known=frozenset(payload["known"]),
            task_status_id=payload["task_status_id"],
            attached=payload["attached"],
        )


class Starting:
    """
    Starts an aggregation, and never two.

    What the source launched is read and noted before anything is sent. After a failure that leaves open
    whether the tenant acted, the aggregation is looked for among what is new, for 15 seconds, before it is
    sent again. An aggregation of the same source and kind that somebody else started within the same
    moment can't be told apart from one's own.

    What may pass is tried again until the deadline.

    :param client: talks to the tenant
    :param sources: the same tenant's sources
    :param source_id: SailPoint's id of the source
    :param kind: ``accounts``, ``entitlements`` or ``uncorrelated_accounts``
    :param file: path of a CSV file
    :param disable_optimization: whether accounts that have not changed are processed as well
    :param if_running: what to do while another aggregation of the source runs
    :param deadline: until when to try, by the monotonic clock
    :param stop: set it to stop: nothing more is sent
    :param note: told what a later attempt needs to know, before anything depends on it; ``None`` when
        there is nothing to know
    """

    def __init__(
        self,
        client: TaskStatusClient,
        sources: SourcesClient,
        *,
        source_id: str,
        kind: TaskKind,
        file: str | None,
        disable_optimization: bool,
        if_running: IfRunning,
        deadline: float,
        stop: threading.Event,
        note: Callable[[Intent | None], object],
    ) -> None:
        self._client = stoppable(client, stop)
        self._sources = sources
        self._source_id = source_id
        self._kind = kind
        self._file = file
        self._disable_optimization = disable_optimization
        self._if_running = if_running
        self._deadline = deadline
        self._note = note
        self._pause = FIRST_PAUSE

    def run(self, earlier: Intent | None = None) -> Outcome:
        """
        Start it, unless an earlier attempt did.

        :param earlier: what an earlier attempt noted last; it may have been cut short anywhere
        :raises AggregationRunningError: another one runs, with ``if_running`` ``fail`` or ``skip``
        :raises TimeoutError: another one was in the way until the deadline
        :raises StoppedError: it was stopped before
        :raises SailPointError: the tenant refuses, or what may pass did not before the deadline
        """
        if earlier is not None and earlier.task_status_id is not None:
            return Outcome(How.ATTACHED if earlier.attached else How.FOUND, earlier.task_status_id)
        intent = earlier
        trouble: AmbiguousError | None = None
        while True:
            if intent is not None and (found := self._look_for(intent)) is not None:
                return self._settle(How.FOUND, found, intent)
            if trouble is not None and time.monotonic() >= self._deadline:
                raise trouble
            # One that was sent without an answer may show yet: what was known before it stays the base.
            sent_before, intent = intent, intent if intent and intent.exact else self._intend()
            self._note(intent)
            try:
                return self._settle(How.STARTED, self._send(), intent)
            except AmbiguousError as error:
                log.warning("Looking whether the aggregation was started: %s", error)
                trouble = error
                continue
            except AggregationRunningError as error:
                if sent_before is not None and (found := self._look_for(sent_before)) is not None:
                    return self._settle(How.FOUND, found, intent)
                self._note(None)
                if (outcome := self._while_running(error, intent)) is not None:
                    return outcome
                intent = trouble = None
            except (SailPointError, ValueError):
                if sent_before is None:
                    self._note(None)
                raise
            self._rest()

    def _intend(self) -> Intent:
        """Note what there is, by the tenant's own clock where it has launched anything lately."""
        since = datetime.now(UTC) - LOOKS_BACK
        tasks = self._patient().aggregations({self._source_id: since})[self._source_id]
        if tasks:
            since = max(since, max(map(_start, tasks)) - QUEUED)
        known = {task.id for task in tasks if task.kind is self._kind and _start(task) >= since - QUEUED}
        return Intent(self._source_id, self._kind, since, frozenset(known))

    def _look_for(self, intent: Intent) -> TaskStatus | None:
        """Look for an aggregation that may have been started, until it shows or would have."""
        shows_until = time.monotonic() + SHOWS_WITHIN
        pause = FIRST_PAUSE
        while True:
            asked = time.monotonic()
            tasks = self._patient().aggregations({self._source_id: intent.since})[self._source_id]
            new = [task for task in tasks if task.kind is self._kind and task.id not in intent.known]
            if new:
                return new[-1 if intent.exact else 0]  # newest first
            if asked >= shows_until:
                return None
            self._client.retry.sleep(min(pause, max(0.0, shows_until - asked)))
            pause *= 1.5

    def _send(self) -> TaskStatus:
        return self._sources.with_retry(self._retry()).start_aggregation(
            self._source_id, self._kind, self._file, self._disable_optimization
        )

    def _settle(self, how: How, task: TaskStatus, intent: Intent) -> Outcome:
        self._note(replace(intent, task_status_id=task.id, attached=how is How.ATTACHED))
        return Outcome(how, task.id)

    def _while_running(self, error: AggregationRunningError, intent: Intent) -> Outcome | None:
        """Do as ``if_running`` says; ``None`` where the other one can't be seen, or not any more."""
        if self._if_running in (IfRunning.FAIL, IfRunning.SKIP):
            raise error
        pending = self._patient().pending([self._source_id])
        running = max((task for task in pending if task.kind is not TaskKind.OTHER), key=_start, default=None)
        if running is None:
            log.info("%s. It can't be seen among the pending tasks", error)
            return None
        log.info("%s. What runs is %s", error, running)
        if self._if_running is IfRunning.ATTACH and running.kind is self._kind:
            return self._settle(How.ATTACHED, running, intent)
        return Outcome(How.BLOCKED, running.id)

    def _rest(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("another aggregation of the source was in the way")
        self._client.retry.sleep(min(self._pause, left))
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _patient(self) -> TaskStatusClient:
        return self._client.with_retry(self._retry())

    def _retry(self) -> RetryPolicy:
        return replace(self._client.retry, deadline=max(0.0, self._deadline - time.monotonic()))


def clear_record(client: TaskStatusClient, task_status_id: str) -> TaskStatus | None:
    """
    Give a task the completion status ``Error``, unless it has ended: that does not stop its work.

    :param client: talks to the tenant
    :param task_status_id: SailPoint's id of the task
    :return: the task after that; ``None`` where it had ended
    """
    if client.get(task_status_id).is_complete:
        return None
    return client.clear(task_status_id)


def _start(task: TaskStatus) -> datetime:
    return task.launched or task.created or _NEVER
