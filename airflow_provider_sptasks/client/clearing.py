"""Clearing many tasks: each read shortly before it is patched, several at a time, each cleared once."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_sptasks.client.clearing_flow import MAX_READS, Flow
from airflow_provider_sptasks.client.clearing_record import is_cleared
from airflow_provider_sptasks.client.errors import (
    NotFoundError,
    NotSentError,
    RateLimitedError,
    SailPointError,
)
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE
from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus
from airflow_provider_sptasks.client.stopping import StoppedError
from airflow_provider_sptasks.client.tasks import clear_operations

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient

__all__ = ["ClearOutcome", "ClearResult", "Clearing", "OneClearing", "StoppedError"]

# A task is patched at most this many seconds after it was seen to be pending.
FRESHNESS = 5.0
# A batch is read at once, and is as large as the pace can patch in this many seconds.
BATCH_SECONDS = 4.0
# What is left of the freshness when the last PATCH of a batch is sent.
FRESHNESS_MARGIN = 0.5
# How many tasks are settled at a time: more where answers take longer.
MIN_IN_FLIGHT = 4
MAX_IN_FLIGHT = 32


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


class OneClearing:
    """
    Clears one task; after an attempt whose outcome is unknown, only if it still is pending.

    :param client: talks to the tenant
    :param task_status_id: SailPoint's id of the task
    :param operations: the JSON Patch that clears it
    """

    def __init__(
        self, client: TaskStatusClient, task_status_id: str, operations: Sequence[Mapping[str, Any]]
    ) -> None:
        self._client = client
        self._task_status_id = task_status_id
        self._operations = operations
        self._may_be_cleared = False

    def run(self) -> TaskStatus:
        """
        Clear it.

        :return: the task as it is then: cleared, or as it ended by itself after an attempt that failed
        :raises SailPointError: the tenant refuses, or transient errors lasted until the client's deadline
        """
        ends_at = time.monotonic() + self._client.retry.deadline
        return self._client.retry.call(
            lambda: self._attempt(ends_at), f"Clearing task {self._task_status_id}"
        )

    def _attempt(self, ends_at: float) -> TaskStatus:
        retry = replace(self._client.retry, deadline=max(ends_at - time.monotonic(), 0.0), max_attempts=1)
        if self._may_be_cleared:
            client, sent_at = _timed(self._client.with_retry(retry))
            status = client.get(self._task_status_id)
            if status.is_complete:
                return status
            left = max(sent_at[-1] + FRESHNESS - time.monotonic(), 0.0)
            retry = replace(retry, deadline=min(retry.deadline, left), strict=True)
        try:
            return self._client.with_retry(retry).update(self._task_status_id, self._operations)
        except (NotSentError, RateLimitedError):
            raise
        except SailPointError:
            self._may_be_cleared = True
            raise


class Clearing:
    """
    Clears tasks, and never one that has ended by itself.

    A task is patched within 5 seconds after it was seen to be pending. After a failure that may pass it is
    read again first: if the tenant took the PATCH and only the answer was lost, it is not sent twice.

    As many requests are under way as the client's pace needs while answers take as long as they do, and the
    next tasks are read while the last ones are patched: so it keeps its pace with answers of up to 3 seconds.

    :param client: talks to the tenant; the deadline of its retry policy is for how long failures may go on
        without any task being settled
    :param completion_status: the status to set
    :param stop: set it to stop: nothing more is sent
    :param note: called with what became of each task as soon as it is known, from several threads
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
        self._retry = client.with_stop(stop).retry
        self._client = client.with_retry(replace(self._retry, max_attempts=1))
        self._pacer = client.transport.pacer
        self._sent: dict[str, list[datetime]] = {}

    def run(self, tasks: Iterable[TaskStatus]) -> None:
        """
        Clear tasks; return when what became of each was noted.

        :param tasks: the tasks, as they were when they were selected
        :raises StoppedError: it was stopped before
        """
        todo = deque(tasks)
        with ThreadPoolExecutor(MAX_IN_FLIGHT + MAX_READS, thread_name_prefix="sailpoint-clear") as pool:
            while todo:
                try:
                    self._retry.call(lambda: self._pass(todo, pool), "Clearing tasks")
                except SailPointError as error:
                    for task in todo:
                        self._note(ClearResult(task.id, ClearOutcome.FAILED, task, str(error)))
                    return

    def _pass(self, todo: deque[TaskStatus], pool: ThreadPoolExecutor) -> None:
        """
        Clear tasks until all are settled, or a read fails, or a whole batch in a row.

        :raises SailPointError: nothing was settled, or the tenant refuses to be read
        """
        flow = Flow(todo, 1 / self._per_second)
        patience = min(self._batch_size, len(todo))
        while flow.goes_on and flow.failures_in_a_row < patience:
            self._retry.check()
            flow.interval = 1 / self._per_second
            flow.take_back(time.monotonic() - FRESHNESS)
            if flow.next_read_in(self._answer_seconds) == 0:
                batch = flow.next_batch(self._batch_size)
                client, sent_at = _timed(self._client)
                flow.add_read(pool.submit(client.find, [task.id for task in batch]), batch, sent_at)
            while flow.next_settling_in() == 0 and flow.settling < self._in_flight:
                candidate = flow.next_ready()
                flow.add_settling(pool.submit(self._settle, *candidate), candidate.task)
            next_in = [flow.next_read_in(self._answer_seconds)]
            if flow.settling < self._in_flight:
                next_in.append(flow.next_settling_in())
            timeout = min((seconds for seconds in next_in if seconds is not None), default=None)
            wait(flow.under_way, timeout, FIRST_COMPLETED)
            flow.collect()
        wait(flow.under_way)
        flow.collect()
        flow.give_back()
        if flow.error is not None and not (flow.settled and flow.error.retryable):
            raise flow.error

    @property
    def _per_second(self) -> float:
        return self._pacer.per_second

    @property
    def _answer_seconds(self) -> float:
        return self._client.transport.answer_seconds

    @property
    def _in_flight(self) -> int:
        """How many tasks to settle at a time: what the pace needs while answers take as long as they do."""
        needed = math.ceil(self._per_second * self._answer_seconds) + 2
        fewest = min(MIN_IN_FLIGHT, math.ceil(self._per_second) + 1)  # or they would wait until it's too late
        return min(max(fewest, needed), MAX_IN_FLIGHT)

    @property
    def _batch_size(self) -> int:
        """How many tasks to read at once: as many as can be patched while they are fresh."""
        seconds = min(BATCH_SECONDS, FRESHNESS - self._answer_seconds - FRESHNESS_MARGIN)
        return min(max(int(self._per_second * seconds), 1), MAX_PAGE_SIZE)

    def _settle(self, task: TaskStatus, status: TaskStatus | None, read_at: float) -> SailPointError | None:
        """Note what became of a task; return why that is not known yet, where it isn't."""
        try:
            if status is None or time.monotonic() >= read_at + FRESHNESS:
                client, sent_at = _timed(self._client)
                status = client.get(task.id)
                read_at = sent_at[-1]
            if status.is_complete:
                wanted = CompletionStatus.parse(self._completion_status)
                is_ours = is_cleared(status, wanted, self._sent.get(status.id, ()))
                outcome = ClearOutcome.CLEARED if is_ours else ClearOutcome.ALREADY_COMPLETE
                self._note(ClearResult(task.id, outcome, status))
            else:
                self._note(self._patch(status, read_at + FRESHNESS))
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
        if self._pacer.interval > FRESHNESS / 4:
            # Its turn might come when it must be read again, and so for ever.
            client = client.with_pacer(self._pacer.urgent())
        completed = client.transport.clock.now()
        try:
            after = client.update(status.id, clear_operations(self._completion_status, completed))
        except NotSentError:
            raise
        except SailPointError:
            self._sent.setdefault(status.id, []).append(completed)
            raise
        if after.completion_status is CompletionStatus.parse(self._completion_status):
            return ClearResult(status.id, ClearOutcome.CLEARED, after)
        error = f"The tenant took the PATCH, but shows completionStatus {after.completion_status_text!r}"
        return ClearResult(status.id, ClearOutcome.FAILED, after, error)


def _timed(client: TaskStatusClient) -> tuple[TaskStatusClient, list[float]]:
    """Return a client, and the times at which its requests are sent: they may have to wait before."""
    sent_at: list[float] = []
    return client.with_answers(lambda answer: sent_at.append(answer.sent_at)), sent_at
