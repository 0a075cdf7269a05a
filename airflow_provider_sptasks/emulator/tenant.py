"""The tenant's state. It knows no HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterable

from airflow_provider_sptasks.emulator import filters
from airflow_provider_sptasks.emulator.clock import Clock, timestamp
from airflow_provider_sptasks.emulator.credentials import Credentials
from airflow_provider_sptasks.emulator.patching import patched
from airflow_provider_sptasks.emulator.tasks import KINDS, Task

RETENTION = 90 * 86_400.0
"""Older tasks are not returned any more, in seconds."""


class UnknownTaskError(LookupError):
    """There is no such task, or none any more."""


class Tenant:
    """
    A SailPoint tenant. Whoever uses it from several threads brings the lock.

    :param clock: the tenant's time.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.credentials = Credentials()
        self._tasks: dict[str, Task] = {}
        self._rendered: dict[str, tuple[Task, int, bytes]] = {}

    def add(self, task: Task) -> None:
        """
        Add a task.

        :param task: the task; an id that exists is refused.
        """
        if task.id.casefold() in self._tasks:
            raise ValueError(f"id: there is already a task {task.id!r}")
        self._tasks[task.id.casefold()] = task

    def clear(self) -> None:
        """Remove all tasks."""
        self._tasks.clear()
        self._rendered.clear()

    def task(self, task_id: str) -> Task:
        """
        Return a task that exists now.

        :param task_id: its id.
        """
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
        now = self.clock.now()
        found = []
        for task in self._candidates(where):
            if not self._visible(task, now):
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
        task = self._tasks.get(task_id.casefold())
        if task is None:
            raise UnknownTaskError(f"There is no task {task_id!r}.")
        return self._replace(task.ended(self.clock.now(), outcome))

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
        known = self._rendered.get(task.id)
        if known is not None and known[0] is task and known[1] == phase:
            return known[2]
        rendered = json.dumps(task.snapshot(now), separators=(",", ":")).encode()
        self._rendered[task.id] = (task, phase, rendered)
        return rendered

    def _candidates(self, where: filters.Expression | None) -> Iterable[Task]:
        ids = None if where is None else filters.bound(where, "id")
        if ids is None:
            return self._tasks.values()
        return [self._tasks[key] for key in sorted(ids) if key in self._tasks]

    def _replace(self, task: Task) -> Task:
        self._tasks[task.id.casefold()] = task
        return task

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
                return self._task.source_id
            case "completionStatus":
                return self._task.completion_status(self._now)
            case "type":
                return KINDS[self._task.kind].type
            case "launcher":
                return self._task.launcher()
        raise LookupError(field)
