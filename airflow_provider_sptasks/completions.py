"""Which completions of aggregations are news, and how far somebody has read them; asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus

AGGREGATIONS = frozenset(set(TaskKind) - {TaskKind.OTHER})
# A task may show up in lists some time after it was created.
OVERLAP = 600
# SailPoint keeps tasks for 90 days.
KEPT = 90 * 86_400


@dataclass(frozen=True)
class Selection:
    """
    The aggregations whose completions are wanted.

    :param source_ids: of these sources, whatever their ids' case; ``None`` for all
    :param kinds: of these kinds
    :param accepted: that ended so; ``None`` for any way
    """

    source_ids: frozenset[str] | None
    kinds: frozenset[TaskKind]
    accepted: frozenset[CompletionStatus] | None

    def watches(self, status: TaskStatus) -> bool:
        """Whether to watch an aggregation; one that hasn't ended may not say yet of which source it is."""
        if status.kind not in self.kinds:
            return False
        if self.source_ids is None:
            return True
        if status.source_id is None:
            return not status.is_complete
        return status.source_id.casefold() in self.source_ids

    def accepts(self, status: TaskStatus) -> bool:
        """Whether an aggregation ended as it should."""
        return self.accepted is None or status.completion_status in self.accepted


@dataclass(frozen=True, eq=False)
class Look:
    """
    What was seen of a tenant's aggregations at a time.

    :param tasks: the aggregations that were created at ``since`` or later, and those of ``asked`` that are
        still there
    :param since: from when on they are all there, in seconds since 1970
    :param asked: the ids that were asked for beside
    :param newest: when the newest task of the tenant was created, in seconds since 1970
    :param has_pending: whether all aggregations that had not ended are there, whenever they were created
    """

    tasks: Mapping[str, TaskStatus]
    since: int
    asked: frozenset[str] = frozenset()
    newest: int = 0
    has_pending: bool = False


@dataclass(frozen=True)
class Cursor:
    """
    How far somebody has read the completions. Goes by the tenant's times only, and needs no clock.

    Tasks end in another order than they were created, and can be listed in the latter only. So it holds what
    had not ended at the last look, and what had of all that was created lately.

    :param since: the instant from which on everything is looked at again, in seconds since 1970
    :param reported: what had ended of that: ids, each with the second of its creation
    :param awaited: what had not ended, whenever it was created: ids, as above
    """

    since: int
    reported: Mapping[str, int] = field(default_factory=dict)
    awaited: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, look: Look, selection: Selection) -> Self:
        """
        Begin to read: what has ended counts as reported.

        :param look: a look at all pending tasks
        :param selection: what is wanted
        """
        return cls(0)._after(look, selection, max(look.newest - OVERLAP, 0))

    def is_covered_by(self, look: Look) -> bool:
        """Whether a look has everything that may be news."""
        return look.since <= self.since and look.asked.issuperset(self.awaited)

    def read(self, look: Look, selection: Selection) -> tuple[Self, list[TaskStatus]]:
        """
        Read what a look has.

        :param look: one that covers this cursor
        :param selection: what is wanted
        :return: how far it is read then, and the accepted completions that are news, oldest first
        """
        news = [
            status
            for status in look.tasks.values()
            if status.is_complete and self._is_new(status) and selection.watches(status)
        ]
        accepted = [status for status in news if selection.accepts(status)]
        accepted.sort(key=lambda status: (status.completed or status.created or _created(status), status.id))
        return self._after(look, selection, max(look.newest - OVERLAP, self.since)), accepted

    def _is_new(self, status: TaskStatus) -> bool:
        if status.id in self.reported:
            return False
        return status.id in self.awaited or _created(status) >= self.since

    def _after(self, look: Look, selection: Selection, since: int) -> Self:
        reported = {each: created for each, created in self.reported.items() if created >= since}
        oldest = look.newest - KEPT
        # One that a look passed over may be there next time.
        awaited = {
            each: created
            for each, created in self.awaited.items()
            if each not in look.tasks and created >= oldest
        }
        for status in look.tasks.values():
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
    def from_json(cls, value: Any) -> Self:
        """
        Read a cursor from what :meth:`to_json` made.

        :raises ValueError: it is something else
        """
        try:
            ids = [{str(k): int(v) for k, v in value[name].items()} for name in ("reported", "awaited")]
            return cls(int(value["since"]), *ids)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{value!r:.200} is no cursor") from error

    def to_json(self) -> dict[str, Any]:
        """The cursor as JSON."""
        return {"since": self.since, "reported": dict(self.reported), "awaited": dict(self.awaited)}


def created_second(status: TaskStatus) -> int | None:
    """When a task was created, in whole seconds since 1970."""
    moment = status.created or status.launched or status.completed
    return None if moment is None else int(moment.timestamp() // 1)


def _created(status: TaskStatus) -> int:
    return created_second(status) or 0
