"""The tenant's state. It knows no HTTP."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Mapping

from airflow_provider_sptasks.emulator import filters
from airflow_provider_sptasks.emulator.clock import Clock, timestamp
from airflow_provider_sptasks.emulator.credentials import Credentials
from airflow_provider_sptasks.emulator.patching import patched
from airflow_provider_sptasks.emulator.schedules import Launch, Launches, Schedule, is_temporary
from airflow_provider_sptasks.emulator.sources import Source, Sources
from airflow_provider_sptasks.emulator.tasks import AGGREGATIONS, KINDS, Task, new_task
from airflow_provider_sptasks.emulator.uploads import Upload

RETENTION = 90 * 86_400.0
"""Older tasks are not returned any more, in seconds."""


class UnknownTaskError(LookupError):
    """There is no such task, or none any more."""


class AggregationRunningError(Exception):
    """An aggregation of the source is running, so that no other one was started."""


class Tenant:
    """
    A SailPoint tenant. Whoever uses it from several threads brings the lock.

    What its schedules launch comes into being when somebody looks, each task at the time it was due.

    :param clock: the tenant's time.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.credentials = Credentials()
        self.sources = Sources()
        self.uploads: list[Upload] = []
        self._launches = Launches()
        self._started: dict[str, Task] = {}
        self._tasks: dict[str, Task] = {}
        self._hidden: set[str] = set()
        self._number = itertools.count()
        self._numbers: dict[str, int] = {}
        self._by_source: dict[str, set[str]] = {}
        self._unfinished: dict[str, set[str]] = {}
        self._rendered: dict[str, tuple[Task, int, bytes]] = {}

    def add(self, task: Task) -> None:
        """
        Add a task, and its source if nobody knows it.

        :param task: the task; an id that exists is refused.
        """
        self._launch_due()
        self._add(task)

    def schedule(self, schedule: Schedule) -> None:
        """
        Launch aggregations from now on, and those that were due before.

        :param schedule: when, and what.
        """
        self._launch_due()
        self.sources.imply(schedule.source_id, schedule.source, self.clock.now())
        self._launches.add(schedule)
        self._launch_due()

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
        if self._runs(source.id, now, AGGREGATIONS):
            raise AggregationRunningError
        launch = Launch(now, source.id, source.name, source.id, kind, source.plan)
        task = self._launch(launch, optimized=optimized)
        self._started[task.id.casefold()] = task
        return task

    def started(self) -> list[Task]:
        """Return the tasks that clients have started, oldest first."""
        return list(self._started.values())

    def clear(self) -> None:
        """Remove all tasks, sources, schedules, and what was noted of starts."""
        self._launches.clear()
        self.sources.clear()
        for kept in (self._tasks, self._numbers, self._by_source, self._unfinished, self._rendered):
            kept.clear()
        self._started.clear()
        self._hidden.clear()
        self.uploads.clear()

    def task(self, task_id: str) -> Task:
        """
        Return a task that exists now.

        :param task_id: its id.
        """
        self._launch_due()
        task = self._tasks.get(task_id.casefold())
        if task is None or not self._visible(task, self.clock.now()):
            raise UnknownTaskError(f"There is no task {task_id!r}.")
        return task

    def tasks(self, *, pending: bool | None = None, where: filters.Expression | None = None) -> list[Task]:
        """
        Return tasks, in the order in which they were added.

        :param pending: only those that have ended (``False``), or that have not (``True``).
        :param where: only those that match.
        """
        self._launch_due()
        now = self.clock.now()
        found = []
        for task in self._candidates(where):
            if task.id.casefold() in self._hidden or not self._visible(task, now):
                continue
            if pending is not None and (task.completion_status(now) is None) != pending:
                continue
            if where is None or where.matches(_Lookup(task, now)):
                found.append(task)
        return found

    def complete(self, task_id: str, outcome: str) -> Task:
        """
        End a task now, whatever it was doing, even if it was only about to start.

        :param task_id: its id.
        :param outcome: its ``completionStatus``.
        """
        return self._replace(self._known(task_id).ended(self.clock.now(), outcome))

    def override(self, task_id: str, fields: Mapping[str, object], without: Iterable[str]) -> Task:
        """
        Show other JSON of a task than its own.

        :param task_id: its id.
        :param fields: fields to replace or to add, as they are.
        :param without: the names of fields to leave out.
        """
        task = self._known(task_id).overridden(fields, without)
        source_id = task.shown_source_id()
        if source_id is not None:
            self._index(task, source_id)
        return self._replace(task)

    def hide(self, task_id: str, *, hidden: bool) -> None:
        """
        Leave a task out of all lists, or show it in them again.

        :param task_id: its id.
        :param hidden: leave it out.
        """
        key = self._known(task_id).id.casefold()
        if hidden:
            self._hidden.add(key)
        else:
            self._hidden.discard(key)

    def remove(self, task_id: str) -> None:
        """
        Forget a task; it stays among those that clients have started.

        :param task_id: its id.
        """
        task = self._known(task_id)
        key = task.id.casefold()
        for kept in (self._tasks, self._numbers, self._rendered):
            kept.pop(key, None)
        self._hidden.discard(key)
        for keys in (*self._by_source.values(), *self._unfinished.values()):
            keys.discard(key)

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
        now = self.clock.now()
        phase = task.phase(now)
        key = task.id.casefold()
        known = self._rendered.get(key)
        if known is not None and known[0] is task and known[1] == phase:
            return known[2]
        rendered = json.dumps(task.snapshot(now), separators=(",", ":")).encode()
        self._rendered[key] = (task, phase, rendered)
        return rendered

    def _candidates(self, where: filters.Expression | None) -> Iterable[Task]:
        ids = None if where is None else filters.bound(where, "id")
        sources = None if where is None or ids is not None else filters.bound(where, "sourceId")
        if ids is not None:
            keys = {key for key in ids if key in self._tasks}
        elif sources is not None:
            keys = {key for source in sources for key in self._by_source.get(source, ())}
        else:
            return self._tasks.values()
        return [self._tasks[key] for key in sorted(keys, key=self._numbers.__getitem__)]

    def _add(self, task: Task) -> None:
        key = task.id.casefold()
        if key in self._tasks:
            raise ValueError(f"id: there is already a task {task.id!r}")
        self._tasks[key] = task
        self._numbers[key] = next(self._number)
        if task.source is not None and task.source_id is not None:
            self.sources.imply(task.source_id, task.source, self.clock.now())
            shown = task.shown_source_id()
            if shown is not None:
                self._index(task, shown)
            self._watch(task)

    def _launch_due(self) -> None:
        """Launch what was due until now; SailPoint leaves out what would overlap with its own kind."""
        now = self.clock.now()
        while (launch := self._launches.next(now)) is not None:
            if self._runs(launch.source_id, launch.at, (launch.kind,)):
                continue
            if launch.retried is not None:
                failed = self._tasks.get(launch.retried.casefold())
                if failed is not None and not is_temporary(failed.completion_status(launch.at)):
                    continue
            self._launch(launch)

    def _launch(self, launch: Launch, *, optimized: bool = True) -> Task:
        task = new_task(
            launch.at,
            source=launch.source,
            source_id=launch.source_id,
            kind=launch.kind,
            duration=launch.plan.duration,
            outcome=self._launches.outcome(launch),
            optimized=optimized,
        )
        self._add(task)
        self._launches.retry(launch, task)
        return task

    def _runs(self, source_id: str, at: float, kinds: Collection[str]) -> bool:
        """Tell whether an aggregation of a source runs at an instant."""
        unfinished = self._unfinished.get(source_id.casefold(), set())
        for key in tuple(unfinished):
            task = self._tasks[key]
            if not self._visible(task, at):
                continue
            if task.completion_status(at) is not None:
                # Most have, and are not looked at again.
                unfinished.discard(key)
            elif task.kind in kinds:
                return True
        return False

    def _replace(self, task: Task) -> Task:
        key = task.id.casefold()
        self._tasks[key] = task
        if key in self._started:
            self._started[key] = task
        self._watch(task)
        return task

    def _known(self, task_id: str) -> Task:
        """Return a task, even one that is only about to start."""
        self._launch_due()
        task = self._tasks.get(task_id.casefold())
        if task is None:
            raise UnknownTaskError(f"There is no task {task_id!r}.")
        return task

    def _index(self, task: Task, source_id: str) -> None:
        """Let lists that are filtered by a source find a task."""
        self._by_source.setdefault(source_id.casefold(), set()).add(task.id.casefold())

    def _watch(self, task: Task) -> None:
        """Let a task keep others of its source from being launched while it runs."""
        if task.source_id is not None and task.kind in AGGREGATIONS:
            self._unfinished.setdefault(task.source_id.casefold(), set()).add(task.id.casefold())

    @staticmethod
    def _visible(task: Task, now: float) -> bool:
        return 0 <= now - task.launched <= RETENTION


class _Lookup:
    """The fields of a task that lists can be filtered by."""

    __slots__ = ("_now", "_task")

    def __init__(self, task: Task, now: float) -> None:
        self._task = task
        self._now = now

    def __call__(self, field: str) -> str | None:
        match field:
            case "id":
                return self._task.id
            case "sourceId":
                return self._task.shown_source_id()
            case "completionStatus":
                return self._task.completion_status(self._now)
            case "type":
                return KINDS[self._task.kind].type
            case "launcher":
                return self._task.launcher()
        raise LookupError(field)
