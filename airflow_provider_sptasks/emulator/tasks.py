"""A task of the tenant: its simulated life, and the JSON that the API shows of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from airflow_provider_sptasks.emulator.clock import instant, timestamp
from airflow_provider_sptasks.emulator.kinds import KINDS

DURATION = 30.0
"""How long tasks run that nothing else is said of, in seconds."""
OUTCOME = "SUCCESS"
"""How tasks end that nothing else is said of."""
STUCK_AT = 40
"""Where the progress of a task that never ends comes to a halt, in percent."""

_CLOSING = 100
_ENDED = 101
_LAUNCHER = "cloudadmin"


@dataclass(frozen=True, slots=True)
class Task:
    """
    A task and the life that it leads by the tenant's clock.

    Its retention follows from this life, whatever ``fields`` shows instead. Lists filter by what is shown of
    ``completionStatus``, ``launcher`` and ``target``, and sort by what is shown of ``created``, if it is a
    time.

    :param id: the task's id.
    :param kind: a key of ``KINDS``.
    :param source: the name of its source, ``None`` for a kind that has none.
    :param source_id: the id of its source, ``None`` for a kind that has none.
    :param launched: when it starts, in seconds since 1970; before that it doesn't exist.
    :param duration: how long it runs, ``None`` for a task that never ends.
    :param outcome: its ``completionStatus`` in the end.
    :param completed_lead: how long before ``completionStatus`` ``completed`` is set.
    :param messages: its messages in the end, as JSON.
    :param fields: overrides of its JSON.
    :param record: the JSON that a client's PATCH left; from then on the task doesn't change any more.
    :param optimized: it leaves out accounts that haven't changed.
    :param without: the names of fields that its JSON lacks.
    """

    id: str
    kind: str
    source: str | None
    source_id: str | None
    launched: float
    duration: float | None
    outcome: str
    completed_lead: float = 0.0
    messages: tuple[Mapping[str, object], ...] = ()
    fields: Mapping[str, object] = field(default_factory=dict)
    record: Mapping[str, object] | None = None
    optimized: bool = True
    without: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r} is none of {', '.join(KINDS)}")
        if self.duration is not None and self.duration < 0:
            raise ValueError(f"duration: {self.duration!r} is negative")
        if self.completed_lead < 0:
            raise ValueError(f"completed_lead: {self.completed_lead!r} is negative")
        if not self.outcome:
            raise ValueError("outcome: is empty; a task that doesn't end has the duration None")

    def phase(self, now: float) -> int:
        """
        Return a number that changes whenever the JSON does: percent while it runs, more at the end.

        :param now: the tenant's time.
        """
        elapsed = now - self.launched
        if self.duration is None:
            return max(0, min(STUCK_AT, int(elapsed)))
        if elapsed >= self.duration:
            return _ENDED
        if elapsed >= self.duration - self.completed_lead:
            return _CLOSING
        return max(0, min(99, int(100 * elapsed / self.duration)))

    def snapshot(self, now: float) -> dict[str, object]:
        """
        Return the task's JSON.

        :param now: the tenant's time.
        """
        document = self._simulated(now) if self.record is None else dict(self.record)
        return {key: value for key, value in document.items() if key not in self.without}

    def _simulated(self, now: float) -> dict[str, object]:
        phase = self.phase(now)
        kind = KINDS[self.kind]
        percent = min(phase, 100)
        total = self.total
        done = total * percent // 100
        target = None
        optimized = "enabled" if self.optimized else "disabled"
        attributes: dict[str, object] = {"total": done, "optimizedAggregation": optimized}
        if kind.targeted:
            target = {"id": self.source_id, "type": "APPLICATION", "name": f"{self.source} [source]"}
            attributes = {"appId": self.source_id, "applications": f"{self.source} [source]", **attributes}
        attributes |= {"created": done // 50, "updated": done // 10, "deleted": done // 200}
        document: dict[str, object] = {
            "id": self.id,
            "type": "QUARTZ",
            "uniqueName": kind.unique_name,
            "description": kind.description.format(source=self.source),
            "parentName": None,
            "launcher": _LAUNCHER,
            "target": target,
            "created": timestamp(self.launched),
            "modified": self._modified(phase),
            "launched": timestamp(self.launched),
            "completed": self._completed(phase),
            "completionStatus": self.outcome if phase == _ENDED else None,
            "messages": list(self.messages) if phase == _ENDED else [],
            "returns": [
                {"name": "TASK_OUT_ACCOUNT_AGGREGATION_TOTAL", "attributeName": "total"},
                {"name": "TASK_OUT_ACCOUNT_AGGREGATION_CREATED", "attributeName": "created"},
                {"name": "TASK_OUT_ACCOUNT_AGGREGATION_UPDATED", "attributeName": "updated"},
                {"name": "TASK_OUT_ACCOUNT_AGGREGATION_DELETED", "attributeName": "deleted"},
            ],
            "attributes": attributes,
            "progress": kind.progress(percent, done, total),
            "percentComplete": percent,
            "taskDefinitionSummary": kind.summary(),
        }
        return document | dict(self.fields)

    def completion_status(self, now: float) -> str | None:
        """
        Return what ``completionStatus`` shows.

        :param now: the tenant's time.
        """
        shown = self.fields if self.record is None else self.record
        if "completionStatus" in self.without:
            return None
        if "completionStatus" in shown:
            status = shown["completionStatus"]
            return None if status is None else str(status)
        return self.outcome if self.phase(now) == _ENDED else None

    @property
    def total(self) -> int:
        """How many accounts, entitlements or identities it goes through."""
        return 100 + zlib.crc32(self.id.encode()) % 4900

    def ended_at(self, now: float) -> float | None:
        """
        Return when its ``completionStatus`` was set, in seconds since 1970; ``None`` if it isn't.

        :param now: the tenant's time.
        """
        if self.completion_status(now) is None:
            return None
        if self.record is not None:
            return instant(self.record["modified"]) or now
        return min(now, self.launched + (self.duration or 0.0))

    def launcher(self) -> str:
        """Return who launched it."""
        return str(self.fields.get("launcher", _LAUNCHER))

    def shown_source_id(self) -> str | None:
        """Return the id of its source as its JSON shows it, ``None`` if there is none or it is no string."""
        if "target" not in self.fields:
            return self.source_id
        target = self.fields["target"]
        shown = target.get("id") if isinstance(target, Mapping) else None
        return shown if isinstance(shown, str) else None

    def order(self) -> float:
        """Return what lists sort by: the time shown as ``created``, else when it was launched."""
        shown = instant(self.fields.get("created"))
        return self.launched if shown is None else shown

    def overridden(self, fields: Mapping[str, object], without: Iterable[str]) -> Task:
        """
        Return the task with other JSON.

        :param fields: fields to replace or to add, as they are.
        :param without: the names of fields to leave out.
        """
        return replace(
            self,
            fields={**self.fields, **fields},
            record=None if self.record is None else {**self.record, **fields},
            without=(self.without - fields.keys()) | frozenset(without),
        )

    def ended(self, now: float, outcome: str) -> Task:
        """
        Return the task as it would be had it ended now, whatever it was doing.

        :param now: the tenant's time.
        :param outcome: its ``completionStatus``.
        """
        launched = min(self.launched, now)
        fields = {key: value for key, value in self.fields.items() if key != "completionStatus"}
        return replace(
            self,
            launched=launched,
            duration=now - launched,
            outcome=outcome,
            fields=fields,
            record=None,
            without=self.without - {"completionStatus"},
        )

    def with_record(self, record: Mapping[str, object]) -> Task:
        """
        Return the task frozen in the state that a client's PATCH left.

        :param record: the JSON.
        """
        return replace(self, record=record)

    def _completed(self, phase: int) -> str | None:
        if phase < _CLOSING or self.duration is None:
            return None
        return timestamp(self.launched + max(0.0, self.duration - self.completed_lead))

    def _modified(self, phase: int) -> str | None:
        if phase == 0:
            return None
        if self.duration is None:
            return timestamp(self.launched + phase)
        return timestamp(self.launched + self.duration * min(phase, 100) / 100)


def message_json(text: str, outcome: str) -> dict[str, object]:
    """
    Return a task message as the API shows it.

    :param text: the English text.
    :param outcome: the ``completionStatus`` of the task, which decides the type of the message.
    """
    kind = {"SUCCESS": "INFO", "WARNING": "WARN"}.get(outcome.upper(), "ERROR")
    return {
        "type": kind,
        "localizedText": {"locale": "en-US", "message": text},
        "key": text,
        "parameters": None,
    }
