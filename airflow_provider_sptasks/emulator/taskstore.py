"""The tasks of the tenant, and what lists of them are read from."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable

from airflow_provider_sptasks.emulator import filters
from airflow_provider_sptasks.emulator.kinds import AGGREGATIONS, KINDS
from airflow_provider_sptasks.emulator.tasks import Task

RETENTION = 90 * 86_400.0
"""Older tasks are not returned any more, in seconds."""


class UnknownTaskError(LookupError):
    """There is no such task, or none any more."""


class TaskStore:
    """The tasks by id and by source; ids ignore case."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._hidden: set[str] = set()
        self._next_number = itertools.count()
        self._numbers: dict[str, int] = {}
        self._by_source: dict[str, set[str]] = {}
        self._unfinished: dict[str, set[str]] = {}
        self._rendered: dict[str, tuple[Task, int, bytes]] = {}

    def add(self, task: Task) -> None:
        """
        Add a task.

        :param task: the task; an id that exists is refused.
        """
        key = task.id.casefold()
        if key in self._tasks:
            raise ValueError(f"id: there is already a task {task.id!r}")
        self._numbers[key] = next(self._next_number)
        self.replace(task)

    def replace(self, task: Task) -> None:
        """
        Put a task in the place of an earlier state of it.

        :param task: the task.
        """
        key = task.id.casefold()
        self._tasks[key] = task
        shown = task.shown_source_id()
        if shown is not None:
            self._by_source.setdefault(shown.casefold(), set()).add(key)
        if task.source_id is not None and task.kind in AGGREGATIONS:
            self._unfinished.setdefault(task.source_id.casefold(), set()).add(key)

    def hide(self, task_id: str, *, hidden: bool) -> None:
        """
        Leave a task out of all lists, or show it in them again.

        :param task_id: its id.
        :param hidden: leave it out.
        """
        key = self.get(task_id).id.casefold()
        if hidden:
            self._hidden.add(key)
        else:
            self._hidden.discard(key)

    def remove(self, task_id: str) -> None:
        """
        Forget a task.

        :param task_id: its id.
        """
        key = self.get(task_id).id.casefold()
        del self._tasks[key], self._numbers[key]
        self._rendered.pop(key, None)
        self._hidden.discard(key)
        for keys in (*self._by_source.values(), *self._unfinished.values()):
            keys.discard(key)

    def clear(self) -> None:
        """Forget all tasks."""
        for kept in (self._tasks, self._numbers, self._by_source, self._unfinished, self._rendered):
            kept.clear()
        self._hidden.clear()

    def get(self, task_id: str) -> Task:
        """
        Return a task, even one that is only about to start, or older than the retention.

        :param task_id: its id.
        """
        task = self._tasks.get(task_id.casefold())
        if task is None:
            raise UnknownTaskError(f"There is no task {task_id!r}.")
        return task

    def existing(self, task_id: str, now: float) -> Task:
        """
        Return a task that a client can get.

        :param task_id: its id.
        :param now: the tenant's time.
        """
        task = self.get(task_id)
        if not _exists(task, now):
            raise UnknownTaskError(f"There is no task {task_id!r} now.")
        return task

    def select(self, now: float, pending: bool | None, where: filters.Expression | None) -> list[Task]:
        """
        Return the tasks of a list, in the order in which they were added.

        :param now: the tenant's time.
        :param pending: only those that have ended (``False``), or that have not (``True``).
        :param where: only those that match.
        """
        found = []
        for key in self._candidates(where):
            task = self._tasks[key]
            if key in self._hidden or not _exists(task, now):
                continue
            if pending is not None and (task.completion_status(now) is None) != pending:
                continue
            if where is None or where.matches(_Lookup(task, now)):
                found.append(task)
        return found

    def runs(self, source_id: str, at: float, kinds: Collection[str]) -> bool:
        """
        Return whether an aggregation of a source runs.

        :param source_id: the id of the source.
        :param at: when, in seconds since 1970.
        :param kinds: aggregations of these kinds.
        """
        unfinished = self._unfinished.get(source_id.casefold(), set())
        for key in tuple(unfinished):
            task = self._tasks[key]
            if not _exists(task, at):
                continue
            if task.completion_status(at) is not None:
                # Most have, and are not checked again.
                unfinished.discard(key)
            elif task.kind in kinds:
                return True
        return False

    def render(self, task: Task, now: float) -> bytes:
        """
        Return a task's JSON, encoded.

        :param task: the task.
        :param now: the tenant's time.
        """
        key, phase = task.id.casefold(), task.phase(now)
        known = self._rendered.get(key)
        if known is not None and known[0] is task and known[1] == phase:
            return known[2]
        rendered = json.dumps(task.snapshot(now), separators=(",", ":")).encode()
        self._rendered[key] = (task, phase, rendered)
        return rendered

    def _candidates(self, where: filters.Expression | None) -> Iterable[str]:
        """Return the keys of tasks outside of which nothing can match."""
        ids = None if where is None else filters.bound(where, "id")
        sources = None if where is None or ids is not None else filters.bound(where, "sourceId")
        if ids is not None:
            keys = {key for key in ids if key in self._tasks}
        elif sources is not None:
            keys = {key for source in sources for key in self._by_source.get(source, ())}
        else:
            return self._tasks
        return sorted(keys, key=self._numbers.__getitem__)


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


def _exists(task: Task, now: float) -> bool:
    return 0 <= now - task.launched <= RETENTION
