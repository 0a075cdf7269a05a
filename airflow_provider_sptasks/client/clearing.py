"""Clearing many tasks: each read shortly before it is patched, several at a time, each cleared once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_provider_sptasks.client.errors import NotFoundError, NotSentError, SailPointError
from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus
from airflow_provider_sptasks.client.stopping import StoppedError

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient

__all__ = ["ClearOutcome", "ClearResult", "Clearing", "StoppedError", "stoppable"]

# A task is patched at most this many seconds after it was seen to be pending.
FRESHNESS = 5.0
# A batch is read at once, and is as large as the pace can patch in this many seconds.
BATCH_SECONDS = 4.0
# The tenant takes about 0.3 s for a PATCH; so many at once use up the pace of 8 per second.
WORKERS = 4
# The tenant may keep "completed" with less precision than it is sent.
SAME_TIME = 1.0


class ClearOutcome(StrEnum):
    """What became of a task that was to be cleared."""

    CLEARED = "cleared"
    ALREADY_COMPLETE = "already_complete"
    NOT_FOUND = "not_found"
    FAILED = "failed"
    WOULD_CLEAR = "would_clear"


@dataclass(frozen=True)
class ClearResult:
    """
    What became of one task.

    :param task_status_id: SailPoint's id of the task
    :param outcome: what became of it
    :param status: the task as it was last read; ``None`` where it never was
    :param error: why it could not be cleared
    """

    task_status_id: str
    outcome: ClearOutcome
    status: TaskStatus | None = None
    error: str | None = None


def stoppable(client: TaskStatusClient, stop: threading.Event) -> TaskStatusClient:
    """
    Return a client that sends nothing, and waits for nothing, after an event is set.

    :param client: what to make it of
    :param stop: the event
    """
    return client.with_stop(stop)


class Clearing:
    """
    Clears tasks, and never one that has ended by itself.

    A task is patched within 5 seconds after it was seen to be pending. After a failure that may pass it is
    read again first: if the tenant took the PATCH and only the answer was lost, it is not sent twice.

    :param client: talks to the tenant; the deadline of its retry policy is for how long failures may go on
        without any task being settled
    :param completion_status: the status to set
    :param stop: set it to stop: nothing more is sent
    :param note: told what became of each task as soon as it is known, from several threads
    """

    def __init__(
        self,
        client: TaskStatusClient,
        *,
        completion_status: str,
        stop: threading.Event,
        note: Callable[[ClearResult], object],
    ) -> None:
        self._completion_status = completion_status
        self._note = note
        self._retry = stoppable(client, stop).retry
        self._client = client.with_retry(replace(self._retry, max_attempts=1))
        self._batch = max(1, int(client.settings.requests_per_10s / 10 * BATCH_SECONDS))
        self._sent: dict[str, datetime] = {}

    def run(self, tasks: Iterable[TaskStatus]) -> None:
        """
        Clear tasks; return when what became of each was told.

        :param tasks: the tasks, as they were when they were selected
        :raises StoppedError: it was stopped before
        """
        todo = deque(tasks)
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="sailpoint-clear") as pool:
            while todo:
                try:
                    self._retry.call(lambda: self._round(todo, pool), "Clearing tasks")
                except SailPointError as error:
                    for task in todo:
                        self._note(ClearResult(task.id, ClearOutcome.FAILED, task, str(error)))
                    return

    def _round(self, todo: deque[TaskStatus], pool: ThreadPoolExecutor) -> None:
        """
        Read a batch and patch what is pending in it; what could not be settled goes to the end.

        :raises SailPointError: nothing was settled
        """
        self._retry.sleep(0)  # raises when stopped
        batch = [todo.popleft() for _ in range(min(self._batch, len(todo)))]
        unsettled = list(batch)
        trouble: SailPointError | None = None
        try:
            fresh_until = time.monotonic() + FRESHNESS
            found = self._client.find([task.id for task in batch])
            attempts = pool.map(lambda task: self._settle(task, found.get(task.id), fresh_until), batch)
            for task, problem in zip(batch, attempts, strict=True):
                if problem is None:
                    unsettled.remove(task)
                trouble = trouble or problem
        finally:
            todo.extend(unsettled)
        if trouble is not None and len(unsettled) == len(batch):
            raise trouble

    def _settle(
        self, task: TaskStatus, status: TaskStatus | None, fresh_until: float
    ) -> SailPointError | None:
        """Tell what became of a task; return why that is not known yet, where it isn't."""
        self._retry.sleep(0)  # raises when stopped
        try:
            if status is None:
                status = self._client.get(task.id)
            if status.is_complete:
                outcome = ClearOutcome.CLEARED if self._is_ours(status) else ClearOutcome.ALREADY_COMPLETE
                self._note(ClearResult(task.id, outcome, status))
            else:
                self._note(self._patch(status, fresh_until))
        except NotFoundError:
            self._note(ClearResult(task.id, ClearOutcome.NOT_FOUND, status or task))
        except SailPointError as error:
            if error.retryable:
                return error
            self._note(ClearResult(task.id, ClearOutcome.FAILED, status or task, str(error)))
        return None

    def _patch(self, status: TaskStatus, fresh_until: float) -> ClearResult:
        left = fresh_until - time.monotonic()
        if left <= 0:
            raise NotSentError(f"{status} was not cleared yet: it must be read again first")
        client = self._client.with_retry(replace(self._client.retry, deadline=left, strict=True))
        completed = datetime.now(UTC)
        try:
            after = client.clear(status.id, self._completion_status, completed)
        except NotSentError:
            raise
        except SailPointError:
            self._sent[status.id] = completed
            raise
        if after.completion_status is CompletionStatus.parse(self._completion_status):
            return ClearResult(status.id, ClearOutcome.CLEARED, after)
        error = f"The tenant took the PATCH, but shows completionStatus {after.completion_status_text!r}"
        return ClearResult(status.id, ClearOutcome.FAILED, after, error)

    def _is_ours(self, status: TaskStatus) -> bool:
        """Whether a task that has ended did so by a PATCH of ours whose answer was lost."""
        sent = self._sent.get(status.id)
        if sent is None or status.completed is None:
            return False
        same_time = abs((status.completed - sent).total_seconds()) <= SAME_TIME
        return same_time and status.completion_status is CompletionStatus.parse(self._completion_status)
