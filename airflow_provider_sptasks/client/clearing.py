"""Clearing many tasks: each read shortly before it is patched, several at a time, each cleared once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_provider_sptasks.client.errors import NotFoundError, SailPointError
from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient

# A task is patched at most this many seconds after it was seen to be pending.
FRESHNESS = 5.0
# A batch is read at once, and is as large as the pace can patch in this many seconds.
BATCH_SECONDS = 4.0
# The tenant takes about 0.3 s for a PATCH; so many at once use up the pace of 8 per second.
WORKERS = 4


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


class _StoppedError(Exception):
    """Ends a wait, and all that stands around it, when the clearing is stopped."""


class Clearing:
    """
    Clears tasks, and never one that has ended by itself.

    A task is patched within 5 seconds after it was seen to be pending. After a failure that may pass it is
    read again first: if the tenant took the PATCH and only the answer was lost, it is not sent twice.

    :param client: talks to the tenant; the deadline of its retry policy is for how long failures may go on
        without any task being settled
    :param completion_status: the status to set
    :param stop: set it to stop: nothing more is sent
    """

    def __init__(self, client: TaskStatusClient, *, completion_status: str, stop: threading.Event) -> None:
        self._completion_status = completion_status
        self._stop = stop
        self._retry = replace(client.retry, sleep=self._sleep)
        self._client = client.with_retry(replace(self._retry, max_attempts=1))
        self._batch = max(1, int(client.settings.requests_per_10s / 10 * BATCH_SECONDS))
        self._sent: dict[str, datetime] = {}

    def run(self, task_status_ids: Iterable[str]) -> Iterator[ClearResult]:
        """
        Clear tasks, and tell what became of each as soon as it is known.

        :param task_status_ids: SailPoint's ids of the tasks, each once
        """
        todo = deque(task_status_ids)
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="sailpoint-clear") as pool:
            while todo and not self._stop.is_set():
                try:
                    results = self._retry.call(lambda: self._round(todo, pool), "Clearing tasks")
                except _StoppedError:
                    return
                except SailPointError as error:
                    results = [ClearResult(each, ClearOutcome.FAILED, error=str(error)) for each in todo]
                    todo.clear()
                yield from results

    def _round(self, todo: deque[str], pool: ThreadPoolExecutor) -> list[ClearResult]:
        """
        Read a batch and patch what is pending in it; what could not be settled goes to the end.

        :raises SailPointError: nothing was settled
        """
        batch = [todo.popleft() for _ in range(min(self._batch, len(todo)))]
        results: list[ClearResult] = []
        trouble: SailPointError | None = None
        try:
            fresh_until = time.monotonic() + FRESHNESS
            found = self._client.find(batch)
            attempts = pool.map(lambda each: self._settle(each, found.get(each), fresh_until), batch)
            for attempt in attempts:
                if isinstance(attempt, ClearResult):
                    results.append(attempt)
                else:
                    trouble = attempt
        finally:
            settled = {result.task_status_id for result in results}
            todo.extend(each for each in batch if each not in settled)
        if trouble is not None and not results:
            raise trouble
        return results

    def _settle(
        self, task_status_id: str, status: TaskStatus | None, fresh_until: float
    ) -> ClearResult | SailPointError | None:
        """Return what became of a task, or why that is not known yet; nothing when stopped."""
        if self._stop.is_set():
            return None
        try:
            if status is None:
                status = self._client.get(task_status_id)
            if status.is_complete:
                ours = self._is_cleared(status, self._sent.get(task_status_id))
                outcome = ClearOutcome.CLEARED if ours else ClearOutcome.ALREADY_COMPLETE
                return ClearResult(task_status_id, outcome, status)
            return self._patch(status, fresh_until)
        except _StoppedError:
            return None
        except NotFoundError:
            return ClearResult(task_status_id, ClearOutcome.NOT_FOUND, status)
        except SailPointError as error:
            if error.retryable:
                return error
            return ClearResult(task_status_id, ClearOutcome.FAILED, status, str(error))

    def _patch(self, status: TaskStatus, fresh_until: float) -> ClearResult:
        left = max(fresh_until - time.monotonic(), 0.0)
        client = self._client.with_retry(replace(self._client.retry, deadline=left))
        completed = self._sent[status.id] = datetime.now(UTC)
        after = client.clear(status.id, self._completion_status, completed)
        if self._is_cleared(after, completed):
            return ClearResult(status.id, ClearOutcome.CLEARED, after)
        shown = after.completion_status_text
        error = (
            f"The tenant took the PATCH, but shows completionStatus {shown!r} and completed {after.completed}"
        )
        return ClearResult(status.id, ClearOutcome.FAILED, after, error)

    def _is_cleared(self, status: TaskStatus, completed: datetime | None) -> bool:
        if completed is None or status.completed is None:
            return False
        same_time = abs((status.completed - completed).total_seconds()) < 0.001
        return same_time and status.completion_status is CompletionStatus.parse(self._completion_status)

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _StoppedError
