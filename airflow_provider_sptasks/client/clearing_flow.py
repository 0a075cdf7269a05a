"""Tasks on their way to be cleared: which are read, which are ready, and when to read the next ones."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.models import TaskStatus

MAX_READS = 4
# What was not settled in time may be made up for by that many tasks at once.
BURST = 4


class Candidate(NamedTuple):
    """
    A task that was read, and is ready to be settled.

    :param task: as it was selected
    :param status: as it was read; ``None`` where the list doesn't have it
    :param read_at: when it was asked for, by the monotonic clock
    """

    task: TaskStatus
    status: TaskStatus | None
    read_at: float


@dataclass(frozen=True)
class _Read:
    batch: list[TaskStatus]
    at: float
    sent_at: list[float]


class Flow:
    """
    The tasks of one pass.

    :param todo: those that are left; what could not be settled comes back to its end
    :param interval: seconds from one task to the next, by the client's pace; may be changed
    """

    def __init__(self, todo: deque[TaskStatus], interval: float) -> None:
        self.ready: deque[Candidate] = deque()
        self.settled = 0
        self.failures_in_a_row = 0
        self.error: SailPointError | None = None
        self._todo = todo
        self.interval = interval
        self._next_settling_at = 0.0
        self._reads: dict[Future[dict[str, TaskStatus]], _Read] = {}
        self._settling: dict[Future[SailPointError | None], TaskStatus] = {}
        self._unsettled: list[TaskStatus] = []
        self._readable = True

    @property
    def goes_on(self) -> bool:
        """Whether there is something to do, and reading works."""
        return self._readable and bool(self._todo or self._reads or self.ready or self._settling)

    @property
    def under_way(self) -> list[Future[Any]]:
        """What is to be waited for."""
        return [*self._reads, *self._settling]

    @property
    def settling(self) -> int:
        """How many tasks are being settled."""
        return len(self._settling)

    def next_settling_in(self) -> float | None:
        """
        Say when to settle the next task: at the client's pace, or a read would have to queue behind all that
        is ready.

        :return: seconds from now; ``None`` where none is ready
        """
        return max(self._next_settling_at - time.monotonic(), 0.0) if self.ready else None

    def take_back(self, read_before: float) -> None:
        """
        Have tasks read again with the next ones, but for one: that one goes on, so that something does.

        :param read_before: those that were read before that time
        """
        while len(self.ready) > 1 and self.ready[0].read_at < read_before:
            self._todo.append(self.ready.popleft().task)

    def next_ready(self) -> Candidate:
        """Take the next task that is ready."""
        self._take_place()
        return self.ready.popleft()

    def _take_place(self) -> None:
        earliest = time.monotonic() - BURST * self.interval
        self._next_settling_at = max(self._next_settling_at, earliest) + self.interval

    def next_read_in(self, answer_seconds: float) -> float | None:
        """
        Say when to read the next batch, so that it comes when those before it have been settled.

        :param answer_seconds: how long an answer takes
        :return: seconds from now; ``None`` where there is none, or not before another one has come
        """
        if not self._todo or len(self._reads) >= MAX_READS:
            return None
        now = time.monotonic()
        settled_at = now + len(self.ready) * self.interval
        for read in self._reads.values():  # in the order in which they were asked for
            settled_at = max(settled_at, read.at + answer_seconds) + len(read.batch) * self.interval
        return max(settled_at - answer_seconds - now, 0.0)

    def next_batch(self, size: int) -> list[TaskStatus]:
        """
        Take the next tasks.

        :param size: how many, as a maximum
        """
        return [self._todo.popleft() for _ in range(min(size, len(self._todo)))]

    def add_read(
        self, read: Future[dict[str, TaskStatus]], batch: list[TaskStatus], sent_at: list[float] | None = None
    ) -> None:
        """
        Add a batch that is being read from now on.

        :param read: its statuses by id
        :param batch: the tasks
        :param sent_at: gets the times at which its requests are sent, after they waited for the pace
        """
        self._take_place()
        self._reads[read] = _Read(batch, time.monotonic(), [] if sent_at is None else sent_at)

    def add_settling(self, outcome: Future[SailPointError | None], task: TaskStatus) -> None:
        """
        Add a task that is being settled.

        :param outcome: why it could not be, where it couldn't
        :param task: the task
        """
        self._settling[outcome] = task

    def collect(self) -> None:
        """
        Take what has been done.

        :raises StoppedError: it was stopped
        """
        for read in [each for each in self._reads if each.done()]:
            self._collect_read(read, self._reads.pop(read))
        for outcome in [each for each in self._settling if each.done()]:
            self._collect_outcome(outcome, self._settling.pop(outcome))

    def _collect_read(self, future: Future[dict[str, TaskStatus]], read: _Read) -> None:
        try:
            found = future.result()
        except SailPointError as error:
            self._unsettled.extend(read.batch)
            self.error = error
            self._readable = False
        else:
            read_at = min(read.sent_at, default=read.at)
            self.ready.extend(Candidate(task, found.get(task.id), read_at) for task in read.batch)

    def _collect_outcome(self, outcome: Future[SailPointError | None], task: TaskStatus) -> None:
        problem = outcome.result()
        if problem is None:
            self.settled += 1
            self.failures_in_a_row = 0
        else:
            self.error = self.error or problem
            self.failures_in_a_row += 1
            self._unsettled.append(task)

    def give_back(self) -> None:
        """Put what could not be settled to the end of what is left."""
        self._todo.extend(self._unsettled)
        self._todo.extend(candidate.task for candidate in self.ready)
