"""What is known of an aggregation that may have been started, and what came of starting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.launches import QUEUED
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
from airflow_provider_sptasks.client.start_options import alike

_NEVER = datetime.min.replace(tzinfo=UTC)


class StartResult(StrEnum):
    """What came of an attempt to start an aggregation."""

    STARTED = "started"
    FOUND = "found"
    ATTACHED = "attached"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Outcome:
    """
    What came of an attempt to start an aggregation.

    :param result: ``started``; ``found``, if it had been started already; ``attached`` to one that was
        started by others; or ``blocked`` by another one, which has to end first
    :param task_status_id: SailPoint's id of the aggregation, or of the blocking one; empty if the list
        doesn't show that
    :param is_own: whether it is known for certain that this was started here, and not by others
    :param task: the aggregation as it was read last; ``None`` where it wasn't
    :param seen_at: when it was read, by the tenant's clock
    :param reason: why it is blocked, in SailPoint's words
    """

    result: StartResult
    task_status_id: str
    is_own: bool = False
    task: TaskStatus | None = field(default=None, compare=False)
    seen_at: datetime | None = field(default=None, compare=False)
    reason: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Intent:
    """
    What is needed to find an aggregation again that may have been started, written down before it is.

    :param source_id: SailPoint's id of the source
    :param kind: what was to be started
    :param since: when it was launched at the earliest, by the tenant's clock if that can be known
    :param known: the ids of the source's tasks since then that had been launched before
    :param task_status_id: SailPoint's id of the aggregation, once it is known
    :param attached: whether it was started by others
    :param own: whether the id is known for certain to be that of what was started here
    :param sent: whether the request has left: it is not only possible that it has
    :param exact: whether ``known`` is complete: then the first new one is it. Otherwise the newest is the
        best guess
    """

    source_id: str
    kind: TaskKind
    since: datetime
    known: frozenset[str] = field(default_factory=frozenset)
    task_status_id: str | None = None
    attached: bool = False
    own: bool = False
    sent: bool = False
    exact: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "source_id": self.source_id,
            "kind": self.kind.value,
            "since": self.since.isoformat(),
            "known": sorted(self.known),
            "task_status_id": self.task_status_id,
            "attached": self.attached,
            "own": self.own,
            "sent": self.sent,
        }

    @classmethod
    def from_json(cls, payload: Mapping[str, Any]) -> Self:
        """
        Read what :meth:`to_json` made; version 0.1.0 didn't write ``own`` and ``sent``.

        :raises KeyError: something is missing
        :raises ValueError: something is invalid
        """
        task_status_id = payload["task_status_id"]
        return cls(
            source_id=payload["source_id"],
            kind=TaskKind(payload["kind"]),
            since=datetime.fromisoformat(payload["since"]),
            known=frozenset(payload["known"]),
            task_status_id=None if task_status_id is None else check_id(task_status_id, "task_status_id"),
            attached=payload["attached"],
            own=payload.get("own", False),
            sent=payload.get("sent", False),
        )

    def settled(self, task: TaskStatus, result: StartResult) -> Self:
        """
        Return the same with what came of it.

        :param task: the aggregation
        :param result: how it came about
        """
        evident = self.exact and self.sent and task.kind in alike(self.kind)
        return replace(
            self,
            task_status_id=task.id,
            attached=result is StartResult.ATTACHED,
            own=result is StartResult.STARTED or (result is StartResult.FOUND and evident),
        )

    def may_be(self, task: TaskStatus) -> bool:
        """
        Whether a task may be what was started: it is new, and of no other kind of aggregation.

        A tenant may have a name for its aggregations that no kind is known of.

        :param task: a task of the source
        """
        kinds = alike(self.kind) | ({TaskKind.OTHER} if self.exact else set())
        return task.kind in kinds and task.id not in self.known and start_of(task) >= self.since - QUEUED


def start_of(task: TaskStatus) -> datetime:
    """Return when a task was launched, or created, or the earliest of all times."""
    return task.launched or task.created or _NEVER
