"""The tenant's state. It knows no HTTP."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable, Mapping

from airflow_provider_sptasks.emulator import filters
from airflow_provider_sptasks.emulator.clock import Clock, timestamp
from airflow_provider_sptasks.emulator.credentials import Credentials
from airflow_provider_sptasks.emulator.kinds import AGGREGATIONS
from airflow_provider_sptasks.emulator.patching import patched
from airflow_provider_sptasks.emulator.schedules import MAX_DUE, Launch, Launches, Schedule, is_temporary
from airflow_provider_sptasks.emulator.sources import Source, Sources
from airflow_provider_sptasks.emulator.tasks import Task
from airflow_provider_sptasks.emulator.taskstore import TaskStore, UnknownTaskError
from airflow_provider_sptasks.emulator.uploads import Upload

MAX_UPLOADS = 10_000
"""How many uploads are known, the latest."""


class AggregationRunningError(Exception):
    """An aggregation of the source is running, so that no other one was started."""


class Tenant:
    """
    A SailPoint tenant. Whoever uses it from several threads brings the lock.

    What its schedules launch comes into being at the next request, each task at the time it was due.

    :param clock: the tenant's time.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.credentials = Credentials()
        self.sources = Sources()
        self.uploads: deque[Upload] = deque(maxlen=MAX_UPLOADS)
        self._launches = Launches()
        self._started: dict[str, Task] = {}
        self._tasks = TaskStore()

    def add(self, task: Task) -> None:
        """
        Add a task, and its source if there is none.

        :param task: the task; an id that exists is refused.
        """
        self._launch_due()
        self._add(task)

    def schedule(self, schedule: Schedule) -> None:
        """
        Launch aggregations from now on, and those that were due before.

        :param schedule: when, and what.
        """
        if (self.clock.now() - schedule.first) / schedule.every > MAX_DUE:
            raise ValueError(f"offset: more than {MAX_DUE} aggregations would be due")
        self._launch_due()
        self.sources.imply(schedule.source_id, schedule.source, self.clock.now())
        self._launches.add(schedule)
        self._launch_due()

    def advance(self, seconds: float) -> None:
        """
        Move the clock, unless far too much would be due then.

        :param seconds: how far.
        """
        self._launch_due()
        self._launches.check(self.clock.now() + seconds)
        self.clock.advance(seconds)

    def schedules(self) -> list[Schedule]:
        """Return the schedules, in the order in which they were added."""
        return self._launches.schedules()

    def clear_schedules(self) -> None:
        """Launch nothing any more; what was launched stays."""
        self._launch_due()
        self._launches.clear()

    def start(self, source: Source, kind: str, *, optimized: bool) -> Task:
        """
        Start an aggregation, as a client asks for it.

        :param source: its source; while an aggregation of that source runs, of whichever kind, no other one
            can be started.
        :param kind: a key of ``KINDS``.
        :param optimized: leave out accounts that haven't changed.
        """
        self._launch_due()
        now = self.clock.now()
        if self._tasks.runs(source.id, now, AGGREGATIONS):
            raise AggregationRunningError
        launch = Launch(now, source.id, source.name, source.id, kind, source.plan)
        task = self._launch(launch, optimized=optimized)
        self._started[task.id.casefold()] = task
        return task

    def started(self) -> list[Task]:
        """Return the tasks that clients have started, oldest first, removed ones too."""
        return list(self._started.values())

    def clear(self) -> None:
        """Remove all tasks, sources, schedules, and what was noted of starts."""
        self._launches.clear()
        self.sources.clear()
        self._tasks.clear()
        self._started.clear()
        self.uploads.clear()

    def task(self, task_id: str) -> Task:
        """
        Return a task that exists now.

        :param task_id: its id.
        """
        self._launch_due()
        return self._tasks.existing(task_id, self.clock.now())

    def tasks(self, *, pending: bool | None = None, where: filters.Expression | None = None) -> list[Task]:
        """
        Return tasks, in the order in which they were added.

        :param pending: only those that have ended (``False``), or that have not (``True``).
        :param where: only those that match.
        """
        self._launch_due()
        return self._tasks.select(self.clock.now(), pending, where)

    def complete(self, task_id: str, outcome: str) -> Task:
        """
        End a task now, whatever it was doing, even if it was only about to start.

        :param task_id: its id.
        :param outcome: its ``completionStatus``.
        """
        self._launch_due()
        return self._replace(self._tasks.get(task_id).ended(self.clock.now(), outcome))

    def override(self, task_id: str, fields: Mapping[str, object], without: Iterable[str]) -> Task:
        """
        Show other JSON of a task than its own.

        :param task_id: its id.
        :param fields: fields to replace or to add, as they are.
        :param without: the names of fields to leave out.
        """
        self._launch_due()
        return self._replace(self._tasks.get(task_id).overridden(fields, without))

    def hide(self, task_id: str, *, hidden: bool) -> None:
        """
        Leave a task out of all lists, or show it in them again.

        :param task_id: its id.
        :param hidden: leave it out.
        """
        self._launch_due()
        self._tasks.hide(task_id, hidden=hidden)

    def remove(self, task_id: str) -> None:
        """
        Forget a task; it stays among those that clients have started.

        :param task_id: its id.
        """
        self._launch_due()
        self._tasks.remove(task_id)

    def patch(self, task_id: str, operations: object) -> Task:
        """
        Apply a JSON Patch to a task, which ends its simulated life.

        :param task_id: its id.
        :param operations: the decoded document.
        """
        task = self.task(task_id)
        now = self.clock.now()
        before = task.snapshot(now)
        after = patched(before, operations)
        if after == before:
            return task
        return self._replace(task.with_record(after | {"modified": timestamp(now)}))

    def render(self, task: Task) -> bytes:
        """
        Return a task's JSON, encoded.

        :param task: the task.
        """
        return self._tasks.render(task, self.clock.now())

    def _add(self, task: Task) -> None:
        self._tasks.add(task)
        if task.source is not None and task.source_id is not None:
            self.sources.imply(task.source_id, task.source, self.clock.now())

    def _replace(self, task: Task) -> Task:
        self._tasks.replace(task)
        key = task.id.casefold()
        if key in self._started:
            self._started[key] = task
        return task

    def _launch_due(self) -> None:
        """Launch what was due until now; SailPoint leaves out what would overlap with its own kind."""
        now = self.clock.now()
        while (launch := self._launches.next(now)) is not None:
            if self._tasks.runs(launch.source_id, launch.at, (launch.kind,)):
                continue
            if launch.retried is None or self._failed(launch.retried, launch.at):
                self._launch(launch)

    def _failed(self, task_id: str, at: float) -> bool:
        """Return whether a task ended with what SailPoint retries, as one that was removed did."""
        try:
            return is_temporary(self._tasks.get(task_id).completion_status(at))
        except UnknownTaskError:
            return True

    def _launch(self, launch: Launch, *, optimized: bool = True) -> Task:
        task = Task(
            id=uuid.uuid4().hex,
            kind=launch.kind,
            source=launch.source,
            source_id=launch.source_id,
            launched=launch.at,
            duration=launch.plan.duration,
            outcome=self._launches.outcome(launch),
            optimized=optimized,
        )
        self._add(task)
        self._launches.retry(launch, task)
        return task
