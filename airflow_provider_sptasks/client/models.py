"""What SailPoint's answers mean. Tolerant in what they read, small in what they write."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from airflow_provider_sptasks.client.errors import UnexpectedPayloadError
from airflow_provider_sptasks.client.reading import (
    MAX_TEXT,
    cut,
    letters,
    read_instant,
    read_mapping,
    read_number,
    read_text,
    shown,
)

MAX_MESSAGES = 10
MAX_ATTRIBUTES = 50


class CompletionStatus(StrEnum):
    """
    How a task ended.

    The API documents ``SUCCESS WARNING ERROR TERMINATED TEMPERROR`` and is seen to send other spellings
    (``Success``, ``TEMP_ERROR``), which :meth:`parse` understands. ``UNKNOWN`` is any other text: the task
    has ended, but nobody can say how, so it never counts as a success.
    """

    SUCCESS = "SUCCESS"
    WARNING = "WARNING"
    ERROR = "ERROR"
    TERMINATED = "TERMINATED"
    TEMPERROR = "TEMPERROR"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read a status, whatever its case, underscores and spaces.

        :param text: as the API or a DAG author spells it
        :return: the status; ``UNKNOWN`` for what the API doesn't document
        """
        name = re.sub(r"[\s_-]", "", text).upper()
        return cls(name) if name in cls.__members__ else cls("UNKNOWN")


class TaskKind(StrEnum):
    """What a task does, told from its name: the API's ``type`` is ``QUARTZ`` for all of them."""

    ACCOUNTS = "accounts"
    ENTITLEMENTS = "entitlements"
    UNCORRELATED_ACCOUNTS = "uncorrelated_accounts"
    OTHER = "other"


# The first match decides: "Cloud Process Uncorrelated Accounts" also speaks of accounts.
_KIND_MARKS = (
    ("uncorrelated", TaskKind.UNCORRELATED_ACCOUNTS),
    ("groupaggregation", TaskKind.ENTITLEMENTS),
    ("entitlementaggregation", TaskKind.ENTITLEMENTS),
    ("entitlementimport", TaskKind.ENTITLEMENTS),
    ("accountaggregation", TaskKind.ACCOUNTS),
)


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """
    One task of a tenant, as it was when it was read.

    Made by :meth:`from_json`. A field that the answer lacks, or that has a shape nobody documented, is
    ``None`` or empty; only a task without an id is refused.

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
    :param messages: texts of the task's messages, in English where it can be had
    :param attributes: the task's counters and settings
    :param kind: what the task does
    :param raw: the whole answer
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
        """Say for a person how the task ended, and after how long."""
        ended = f"{self} ended with {self.completion_status_text}"
        return ended if self.duration is None else f"{ended} after {_rounded(self.duration)}"

    @classmethod
    def from_json(cls, payload: object) -> Self:
        """
        Read a task status from the API's JSON, or from :meth:`to_json`.

        :param payload: the decoded JSON object
        :raises UnexpectedPayloadError: it is no object, or has no id
        """
        if not isinstance(payload, Mapping):
            raise UnexpectedPayloadError(f"A task status should be a JSON object, not {shown(payload)}")
        task_id = read_text(payload.get("id"))
        if task_id is None or len(task_id) > MAX_TEXT:
            raise UnexpectedPayloadError(f"A task status without a usable id came: {shown(dict(payload))}")
        target = read_mapping(payload.get("target"))
        attributes = read_mapping(payload.get("attributes"))
        status = read_text(payload.get("completionStatus"))
        unique_name = read_text(payload.get("uniqueName")) or read_text(payload.get("name"))
        definition = read_text(read_mapping(payload.get("taskDefinitionSummary")).get("uniqueName"))
        return cls(
            id=task_id,
            unique_name=unique_name or definition,
            description=read_text(payload.get("description")),
            launcher=read_text(payload.get("launcher")),
            target_id=read_text(target.get("id")) or read_text(attributes.get("appId")),
            target_name=read_text(target.get("name")),
            created=read_instant(payload.get("created")),
            launched=read_instant(payload.get("launched")),
            completed=read_instant(payload.get("completed")),
            completion_status=CompletionStatus.parse(status) if status else None,
            completion_status_text=status,
            progress=read_text(payload.get("progress")),
            percent_complete=read_number(payload.get("percentComplete")),
            messages=tuple(_messages(payload.get("messages"))),
            attributes=dict(attributes),
            kind=_kind(payload.get("kind"), unique_name, definition),
            raw=dict(payload),
        )

    def to_json(self) -> dict[str, Any]:
        """
        The task status as small JSON, with the API's field names, for XComs and trigger events.

        At most 10 messages of 500 characters and 50 attributes with plain values; ``raw`` is left out. A
        documented ``completionStatus`` is in capitals whatever the tenant's spelling, times are ISO 8601
        in UTC, and ``kind`` and ``duration`` (seconds) are added.
        """
        known = self.completion_status not in (None, CompletionStatus.UNKNOWN)
        return {
            "id": self.id,
            "kind": self.kind.value,
            "uniqueName": cut(self.unique_name),
            "description": cut(self.description),
            "launcher": cut(self.launcher),
            "target": {"id": cut(self.target_id), "name": cut(self.target_name)},
            "created": _iso(self.created),
            "launched": _iso(self.launched),
            "completed": _iso(self.completed),
            "duration": self.duration.total_seconds() if self.duration is not None else None,
            "completionStatus": str(self.completion_status) if known else cut(self.completion_status_text),
            "progress": cut(self.progress),
            "percentComplete": self.percent_complete,
            "messages": [cut(message) for message in self.messages[:MAX_MESSAGES]],
            "attributes": dict(_plain_items(self.attributes)),
        }


def _rounded(duration: timedelta) -> timedelta:
    return timedelta(seconds=round(duration.total_seconds()))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def _messages(value: object) -> Iterable[str]:
    for item in value if isinstance(value, (list, tuple)) else ():
        if isinstance(item, str):
            text = read_text(item)
        else:
            message = read_mapping(item)
            localized = read_mapping(message.get("localizedText"))
            texts = (localized.get("message"), message.get("text"), message.get("key"))
            text = next(filter(None, map(read_text, texts)), None)
        if text:
            yield text


def _plain_items(attributes: Mapping[str, Any]) -> Iterable[tuple[str, str | int | float | bool]]:
    plain = ((key, value) for key, value in attributes.items() if isinstance(value, (str, int, float, bool)))
    for _, (key, value) in zip(range(MAX_ATTRIBUTES), plain, strict=False):
        if isinstance(value, float) and not math.isfinite(value):
            continue
        yield cut(str(key)) or "", (cut(value) or "") if isinstance(value, str) else value


def _kind(written: object, *names: str | None) -> TaskKind:
    """Tell the kind from the task's names, unless :meth:`TaskStatus.to_json` has written it down."""
    if isinstance(written, str) and written in [kind.value for kind in TaskKind]:
        return TaskKind(written)
    for name in names:
        spelled = letters(name)
        for mark, kind in _KIND_MARKS:
            if mark in spelled:
                return kind
    return TaskKind.OTHER
