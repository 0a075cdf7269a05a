"""What is known of a tenant's tasks: the pending ones, and those of the last days. Sends nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.reading import LATEST
from airflow_provider_sptasks.plugin.tasks import began, ended, lean

# As far back as the page shows.
KEPT = timedelta(days=7)
MAX_KEPT = 10_000
# Tasks appear in a tenant's list somewhat later than they were created, and not in that order.
OVERLAP = timedelta(minutes=5)


class TaskHistory:
    """
    The tasks of a tenant, each as it was read last.

    Not safe to share between threads; the tasks are, which are replaced and never changed.
    """

    def __init__(self) -> None:
        self.reaches_back_to: datetime | None = None
        """From when on all tasks are known; ``None`` before the list has been read."""
        self.is_cut = False
        """Whether there are more tasks than are kept."""
        self._ended: dict[str, TaskStatus] = {}
        self._pending: dict[str, TaskStatus] = {}
        self._gone: set[str] = set()
        self._changes = 0
        # A version of another process, or of a tenant that was forgotten meanwhile, is never the same.
        self._epoch = secrets.token_hex(4)

    @property
    def version(self) -> str:
        """Changes whenever a task has ended, or others were read."""
        return f"{self._epoch}-{self._changes}"

    @property
    def pending(self) -> list[TaskStatus]:
        """The pending tasks, the longest running first."""
        return sorted(self._pending.values(), key=lambda task: (began(task) or LATEST, task.id))

    @property
    def ended(self) -> list[TaskStatus]:
        """The tasks that have ended, in any order."""
        return list(self._ended.values())

    def set_pending(self, tasks: Iterable[TaskStatus]) -> None:
        """
        Take in the whole list of pending tasks.

        :param tasks: all that are pending
        """
        before = self._pending.keys()
        self._pending = {
            task.id: lean(task) for task in tasks if not task.is_complete and task.id not in self._ended
        }
        self._gone = (self._gone | before) - self._pending.keys() - self._ended.keys()

    @property
    def gone(self) -> list[str]:
        """The ids of the tasks that are pending no more, and of which it isn't known how they ended."""
        return sorted(self._gone)

    def resolve(self, asked: Iterable[str], tasks: Iterable[TaskStatus]) -> None:
        """
        Take in what became of tasks that are pending no more.

        :param asked: their ids; one that no task has is unknown to the tenant
        :param tasks: those that the tenant knows
        """
        found = list(tasks)
        self.add(found)
        self._gone -= set(asked) - {task.id for task in found if not task.is_complete}

    def add(self, tasks: Iterable[TaskStatus]) -> None:
        """
        Take in tasks that have ended; of others, only the list of pending ones says that they are.

        :param tasks: tasks in any state
        """
        for task in filter(lambda task: task.is_complete, tasks):
            kept = lean(task)
            if self._ended.get(task.id) != kept:
                self._ended[task.id] = kept
                self._pending.pop(task.id, None)
                self._gone.discard(task.id)
                self._changes += 1

    def read_back_to(self, since: datetime, *, is_cut: bool = False) -> None:
        """
        Note how far back the list of tasks has been read.

        :param since: from when on all tasks are known
        :param is_cut: whether that is because there were too many
        """
        if is_cut or self.reaches_back_to is None or since < self.reaches_back_to:
            self.reaches_back_to = since
            self.is_cut = is_cut
            self._changes += 1

    def since(self, now: datetime) -> datetime:
        """
        Say from when on tasks are to be read: those that may not be known yet.

        :param now: the time, aware
        """
        if self.reaches_back_to is None:
            return now - KEPT
        # Not by a record that claims to be of the future: all that comes until then would be passed over.
        times = (task.created for task in self._ended.values())
        created = (time for time in times if time is not None and time <= now + OVERLAP)
        return max(max(created, default=now - KEPT) - OVERLAP, now - KEPT)

    def prune(self, now: datetime) -> None:
        """
        Forget what is older than the page shows, or more than is kept, the oldest first.

        :param now: the time, aware
        """
        horizon = now - KEPT
        kept = [task for task in self._ended.values() if (ended(task) or now) >= horizon]
        if len(kept) > MAX_KEPT:
            kept.sort(key=lambda task: ended(task) or now)
            kept = kept[-MAX_KEPT:]
            self.reaches_back_to = ended(kept[0])
            self.is_cut = True
        if len(kept) < len(self._ended):
            self._ended = {task.id: task for task in kept}
            self._changes += 1
