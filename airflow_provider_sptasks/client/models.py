"""What SailPoint's answers mean. Tolerant in what they read, small in what they write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Self, TypedDict

from airflow_provider_sptasks.client.errors import UnexpectedPayloadError
from airflow_provider_sptasks.client.ids import usable_id
from airflow_provider_sptasks.client.kinds import STARTABLE_KINDS, CompletionStatus, TaskKind, kind_of
from airflow_provider_sptasks.client.reading import (
    MAX_NAME,
    describe,
    printable,
    read_datetime,
    read_mapping,
    read_name,
    read_percent,
    read_plain,
    read_text,
)

__all__ = [
    "STARTABLE_KINDS",
    "CompletionStatus",
    "TaskKind",
    "TaskStatus",
    "TaskStatusDict",
    "TaskTargetDict",
    "read_messages",
]

MAX_MESSAGES = 10
MAX_ATTRIBUTES = 50


class TaskTargetDict(TypedDict):
    """
    What a task works on; for an aggregation, the source.

    :param id: SailPoint's id
    :param name: its name, such as ``Active Directory [source]``
    """

    id: str | None
    name: str | None


class TaskStatusDict(TypedDict):
    """
    A task status as plain JSON, with SailPoint's field names: the XCom of sensors and of the operator that
    starts aggregations, and what asset events hold.

    Every key is there. What SailPoint doesn't say is ``None`` or empty. The limits of
    :class:`~airflow_provider_sptasks.client.TaskStatus` hold.

    :param id: SailPoint's id of the task
    :param kind: a value of :class:`~airflow_provider_sptasks.client.TaskKind`, such as ``accounts``
    :param uniqueName: name of the task, such as ``Cloud Account Aggregation``
    :param description: description of the task
    :param launcher: who or what started it
    :param target: the source, by id and name
    :param created: when the record was made, ISO 8601 in UTC with milliseconds
    :param launched: when the task started, likewise
    :param completed: when the task ended, likewise
    :param duration: seconds from launch (or creation) to completion
    :param completionStatus: ``SUCCESS``, ``WARNING``, ``ERROR``, ``TERMINATED`` or ``TEMPERROR``, or another
        text of the tenant's; ``None`` until the task has ended
    :param progress: what the task is doing, such as ``Completed 120 of 400``
    :param percentComplete: 0 to 100
    :param messages: up to 10 texts of the task's messages
    :param attributes: up to 50 of the task's counters and settings
    """

    id: str
    kind: str
    uniqueName: str | None
    description: str | None
    launcher: str | None
    target: TaskTargetDict
    created: str | None
    launched: str | None
    completed: str | None
    duration: float | None
    completionStatus: str | None
    progress: str | None
    percentComplete: int | None
    messages: list[str]
    attributes: dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """
    One task of a tenant, as it was when it was read.

    Made by :meth:`from_json`. A field that the answer lacks, or that has an undocumented shape, is ``None``
    or empty; only a task without a usable id is refused. All but ``raw`` is bounded, printable and storable:
    strings have up to 500 characters (names 200), times lie between 1970 and 2200, integers have 64 bits.

    :param id: SailPoint's id of the task
    :param unique_name: name of the task, such as ``Cloud Account Aggregation``
    :param description: description of the task
    :param launcher: who or what started it
    :param target_id: id of what the task works on; for an aggregation, the source's id
    :param target_name: name of what the task works on, such as ``Active Directory [source]``
    :param created: when the record was made, UTC
    :param launched: when the task started, UTC
    :param completed: when the task ended, UTC; may be set a moment before the completion status
    :param completion_status: how the task ended; ``None`` until it has
    :param completion_status_text: the same as the API spelled it
    :param progress: what the task is doing, such as ``Completed 120 of 400``
    :param percent_complete: 0 to 100
    :param messages: up to 10 texts of the task's messages, in English where it can be had
    :param attributes: up to 50 of the task's counters and settings, plain values only
    :param kind: what the task does
    :param raw: the whole answer as it came; no part of comparisons, representations and :meth:`to_json`
    """

    id: str
    unique_name: str | None = None
    description: str | None = None
    launcher: str | None = None
    target_id: str | None = None
    target_name: str | None = None
    created: datetime | None = None
    launched: datetime | None = None
    completed: datetime | None = None
    completion_status: CompletionStatus | None = None
    completion_status_text: str | None = None
    progress: str | None = None
    percent_complete: int | None = None
    messages: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    kind: TaskKind = TaskKind.OTHER
    raw: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False, repr=False)

    def __str__(self) -> str:
        """Name the task for a person: what it does, for which source, and its id."""
        name = self.unique_name or self.description or "Task"
        return f"{name} of {self.source_name} ({self.id})" if self.source_name else f"{name} ({self.id})"

    @property
    def is_complete(self) -> bool:
        """Whether ``completionStatus`` is set: the one sign that a task has ended."""
        return self.completion_status is not None

    @property
    def source_id(self) -> str | None:
        """The id of the source that is aggregated."""
        return self.target_id

    @property
    def source_name(self) -> str | None:
        """The name of the source, without the ``[source]`` that SailPoint appends."""
        return self.target_name and self.target_name.removesuffix(" [source]")

    @property
    def duration(self) -> timedelta | None:
        """From launch (or creation) to completion; ``None`` while either is unknown."""
        start = self.launched or self.created
        return self.completed - start if start and self.completed else None

    @property
    def counters(self) -> dict[str, int]:
        """The whole numbers among the attributes: what the task has counted."""
        return {
            name: value
            for name, value in self.attributes.items()
            if isinstance(value, int) and not isinstance(value, bool)
        }

    def outcome(self) -> str:
        """Return a sentence for a person: how the task ended, and after how long."""
        ended = f"{self} ended with {self.completion_status_text}"
        return ended if self.duration is None else f"{ended} after {_rounded(self.duration)}"

    @classmethod
    def from_json(cls, payload: object) -> Self:
        """
        Return a task status read from the API's JSON, or from :meth:`to_json`.

        :param payload: the decoded JSON object
        :raises UnexpectedPayloadError: it is no object, or has no id
        """
        if not isinstance(payload, Mapping):
            raise UnexpectedPayloadError(f"A task status should be a JSON object, not {describe(payload)}")
        task_id = usable_id(payload.get("id"))
        if task_id is None:
            raise UnexpectedPayloadError(
                f"A task status without a usable id came: {describe(payload.get('id'))} "
                f"in a {describe(payload)}"
            )
        target = read_mapping(payload.get("target"))
        attributes = read_mapping(payload.get("attributes"))
        status = read_name(payload.get("completionStatus"))
        unique_name = read_name(payload.get("uniqueName")) or read_name(payload.get("name"))
        definition = read_name(read_mapping(payload.get("taskDefinitionSummary")).get("uniqueName"))
        return cls(
            id=task_id,
            unique_name=unique_name or definition,
            description=read_text(payload.get("description")),
            launcher=read_name(payload.get("launcher")),
            target_id=read_name(target.get("id")) or read_name(attributes.get("appId")),
            target_name=read_name(target.get("name")),
            created=read_datetime(payload.get("created")),
            launched=read_datetime(payload.get("launched")),
            completed=read_datetime(payload.get("completed")),
            completion_status=CompletionStatus.parse(status) if status else None,
            completion_status_text=status,
            progress=read_text(payload.get("progress")),
            percent_complete=read_percent(payload.get("percentComplete")),
            messages=tuple(read_messages(payload.get("messages"))),
            attributes=dict(islice(_plain_items(attributes), MAX_ATTRIBUTES)),
            kind=kind_of(payload.get("kind"), unique_name, definition, read_name(payload.get("type"))),
            raw=dict(payload),
        )

    def to_json(self) -> TaskStatusDict:
        """
        Return the task status as small JSON, with the API's field names, for XComs and trigger events.

        ``raw`` is left out. A documented ``completionStatus`` is in capitals whatever the tenant's spelling,
        times are ISO 8601 in UTC, and ``kind`` and ``duration`` (seconds) are added.
        """
        known = self.completion_status not in (None, CompletionStatus.UNKNOWN)
        return {
            "id": self.id,
            "kind": self.kind.value,
            "uniqueName": self.unique_name,
            "description": self.description,
            "launcher": self.launcher,
            "target": {"id": self.target_id, "name": self.target_name},
            "created": _iso(self.created),
            "launched": _iso(self.launched),
            "completed": _iso(self.completed),
            "duration": self.duration.total_seconds() if self.duration is not None else None,
            "completionStatus": str(self.completion_status) if known else self.completion_status_text,
            "progress": self.progress,
            "percentComplete": self.percent_complete,
            "messages": list(self.messages),
            "attributes": dict(self.attributes),
        }


def read_messages(value: object) -> list[str]:
    """
    Read the texts of a task's messages.

    :param value: any JSON value; what has an undocumented shape is passed over
    """
    texts: list[str] = []
    for item in value if isinstance(value, (list, tuple)) else ():
        message = read_mapping(item)
        localized = message.get("localizedText")  # an object, or a plain text in the answers of load-accounts
        places = (
            item,
            read_mapping(localized).get("message"),
            localized,
            message.get("text"),
            message.get("key"),
        )
        text = next((text for place in places if isinstance(place, str) and (text := read_text(place))), None)
        if text:
            texts.append(text)
        if len(texts) == MAX_MESSAGES:
            break
    return texts


def _rounded(duration: timedelta) -> timedelta:
    return timedelta(seconds=round(duration.total_seconds()))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def _plain_items(attributes: Mapping[str, Any]) -> Iterable[tuple[str, str | int | float | bool]]:
    for name, value in attributes.items():
        plain = read_plain(value)
        if plain is not None:
            yield printable(str(name), MAX_NAME), plain
