"""Which completions of aggregations a watcher has not read yet, and how far it has read. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from airflow_provider_sptasks.client.ids import usable_id
from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus
from airflow_provider_sptasks.client.reading import LATEST, describe, read_integer

AGGREGATIONS = frozenset(set(TaskKind) - {TaskKind.OTHER})
# A task may show up in lists some time after it was created.
OVERLAP_SECONDS = 600
# SailPoint keeps tasks for 90 days.
RETENTION_SECONDS = 90 * 86_400

_MAX_SECOND = int(LATEST.timestamp())


@dataclass(frozen=True)
class Selection:
    """
    The aggregations whose completions are wanted.

    :param source_ids: of these sources, in lower case; ``None`` for all
    :param kinds: of these kinds
    :param accepted: with one of these completion statuses; ``None`` for any
    """

    source_ids: frozenset[str] | None
    kinds: frozenset[TaskKind]
    accepted: frozenset[CompletionStatus] | None

    def watches(self, status: TaskStatus) -> bool:
        """Whether to watch an aggregation; one that hasn't ended may not have a source yet."""
        if status.kind not in self.kinds:
            return False
        if self.source_ids is None:
            return True
        if status.source_id is None:
            return not status.is_complete
        return status.source_id.casefold() in self.source_ids

    def accepts(self, status: TaskStatus) -> bool:
        """Whether the completion status is one of those that are wanted."""
        return self.accepted is None or status.completion_status in self.accepted


@dataclass(frozen=True, eq=False)
class Snapshot:
    """
    A tenant's aggregations, as a poll found them.

    :param tasks: by id, all aggregations that were created at ``since`` or later, and older ones besides
    :param since: seconds since 1970
    :param newest: when the newest task of the tenant was created, in seconds since 1970, of those whose time
        is credible; 0 if there was none
    :param has_pending: whether all aggregations that had not ended are among them, however old
    """

    tasks: Mapping[str, TaskStatus]
    since: int
    newest: int = 0
    has_pending: bool = False


@dataclass(frozen=True)
class Cursor:
    """
    How far a watcher has read the completions. It goes by the tenant's times, and needs no clock.

    Tasks end in another order than they were created, and can be listed in the latter only. So it holds what
    had not ended at the last poll, and what had of all that was created lately. Snapshots may come in another
    order than they were taken.

    :param since: the time from which on everything is read again, in seconds since 1970; never decreases
    :param reported: what had ended of that: ids, each with the second of its creation
    :param awaited: what had not ended, however old: ids, as above
    """

    since: int
    reported: Mapping[str, int] = field(default_factory=dict)
    awaited: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, snapshot: Snapshot, selection: Selection) -> Self:
        """
        Begin to read: what has ended counts as reported.

        :param snapshot: one that has all pending tasks
        :param selection: what is wanted
        """
        return cls(0)._after(snapshot, selection, max(snapshot.newest - OVERLAP_SECONDS, 0))

    def is_covered_by(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot reaches back far enough; awaited tasks that it lacks stay awaited."""
        return snapshot.since <= self.since

    def read(self, snapshot: Snapshot, selection: Selection) -> tuple[Self, list[TaskStatus]]:
        """
        Read what a snapshot has.

        :param snapshot: one that covers this cursor
        :param selection: what is wanted
        :return: the cursor after it, and the accepted completions that were not read yet, oldest first
        """
        unread = [
            status
            for status in snapshot.tasks.values()
            if status.is_complete and self._is_new(status) and selection.watches(status)
        ]
        accepted = [status for status in unread if selection.accepts(status)]
        accepted.sort(key=lambda status: (status.completed or status.created or _created(status), status.id))
        since = max(snapshot.newest - OVERLAP_SECONDS, self.since)
        return self._after(snapshot, selection, since), accepted

    def _is_new(self, status: TaskStatus) -> bool:
        if status.id in self.reported:
            return False
        return status.id in self.awaited or _created(status) >= self.since

    def _after(self, snapshot: Snapshot, selection: Selection, since: int) -> Self:
        reported = {each: created for each, created in self.reported.items() if created >= since}
        oldest = snapshot.newest - RETENTION_SECONDS
        # One that is missing from a snapshot may be in the next.
        awaited = {
            each: created
            for each, created in self.awaited.items()
            if each not in snapshot.tasks and created >= oldest
        }
        for status in snapshot.tasks.values():
            created = _created(status)
            if not selection.watches(status):
                continue
            if status.is_complete:
                if created >= since:
                    reported[status.id] = created
            elif created >= oldest and self._is_new(status):
                awaited[status.id] = created
        return type(self)(since, reported, awaited)

    @classmethod
    def from_json(cls, value: Any, latest: int = _MAX_SECOND) -> Self:
        """
        Read a cursor from what :meth:`to_json` made. An entry that can't be one is left out.

        :param value: any JSON value
        :param latest: the latest credible time, in seconds since 1970
        :raises ValueError: it is no cursor, or one from the future, which would find nothing until then
        """
        if not isinstance(value, Mapping) or any(
            not isinstance(value.get(name), Mapping) for name in ("reported", "awaited")
        ):
            raise ValueError(f"{describe(value)} is no cursor")
        since = _second(value.get("since"), latest)
        if since is None:
            raise ValueError(f"a cursor can't begin at {describe(value.get('since'))}")
        return cls(since, _entries(value["reported"]), _entries(value["awaited"]))

    def to_json(self) -> dict[str, Any]:
        """Return the cursor as JSON."""
        return {"since": self.since, "reported": dict(self.reported), "awaited": dict(self.awaited)}


def created_second(status: TaskStatus) -> int | None:
    """Return when a task was created, in whole seconds since 1970."""
    moment = status.created or status.launched or status.completed
    return None if moment is None else int(moment.timestamp() // 1)


def newest_second(tasks: Iterable[TaskStatus], latest: int) -> int:
    """
    Return when the newest of some tasks was created, in seconds since 1970; 0 if there is none.

    :param tasks: the tasks
    :param latest: tasks that were created later than that say nothing about the others, and don't count
    """
    return max((second for each in tasks if (second := _created(each)) <= latest), default=0)


def _created(status: TaskStatus) -> int:
    return created_second(status) or 0


def _second(value: object, latest: int = _MAX_SECOND) -> int | None:
    number = read_integer(value)
    return number if number is not None and 0 <= number <= latest else None


def _entries(value: Mapping[object, object]) -> dict[str, int]:
    entries: dict[str, int] = {}
    for key, created in value.items():
        task_id, second = usable_id(key), _second(created)
        if task_id is not None and second is not None:
            entries[task_id] = second
    return entries
