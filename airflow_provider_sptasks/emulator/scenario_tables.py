"""The tables of a scenario file, which the admin routes take as JSON: what each key may be."""

from __future__ import annotations

from typing import cast

from airflow_provider_sptasks.emulator.durations import parse_duration
from airflow_provider_sptasks.emulator.kinds import AGGREGATIONS, KINDS
from airflow_provider_sptasks.emulator.scenario import Batch

MAX_COUNT = 10_000
"""How many tasks, sources or schedules one table may stand for."""

_TASK_KEYS = (
    "id",
    "source",
    "source_id",
    "kind",
    "outcome",
    "launched",
    "duration",
    "completed_lead",
    "every",
    "count",
    "messages",
    "fields",
)
_SOURCE_KEYS = ("name", "id", "delimited_file", "duration", "outcome", "retry_after", "fields", "count")
_SCHEDULE_KEYS = (
    "source",
    "source_id",
    "kind",
    "every",
    "offset",
    "duration",
    "outcome",
    "retry_after",
    "count",
)
_TEXTS = frozenset({"id", "name", "source", "source_id", "kind", "outcome"})
_DURATIONS = frozenset({"launched", "duration", "completed_lead", "every", "offset", "retry_after"})
_SIGNED = frozenset({"launched", "offset"})


class ScenarioError(ValueError):
    """A scenario that doesn't exist or isn't right; the message says where, what, and what to do."""


def parse_task(table: object, where: str) -> Batch:
    """
    Return the tasks that a table of a scenario describes.

    :param table: the table.
    :param where: what error messages say first.
    """
    return _batch(_values(table, _TASK_KEYS, where), "tasks", ("id",), where, spacing=True)


def parse_source(table: object, where: str) -> Batch:
    """
    Return the sources that a table of a scenario describes.

    :param table: the table.
    :param where: what error messages say first.
    """
    values = _values(table, _SOURCE_KEYS, where, required=("name",), several=("outcome",))
    return _batch(values, "sources", ("name", "id"), where)


def parse_schedule(table: object, where: str) -> Batch:
    """
    Return the schedules that a table of a scenario describes.

    :param table: the table.
    :param where: what error messages say first.
    """
    values = _values(table, _SCHEDULE_KEYS, where, required=("source", "every"), several=("outcome",))
    kind = values.get("kind")
    if kind is not None and kind not in AGGREGATIONS:
        raise ScenarioError(f"{where}: kind = {kind!r} can't be scheduled; use {', '.join(AGGREGATIONS)}")
    if values["every"] == 0:
        raise ScenarioError(f'{where}: every = 0 is no interval; write a duration such as "1h"')
    return _batch(values, "schedules", ("source",), where)


def _values(
    table: object,
    keys: tuple[str, ...],
    where: str,
    *,
    required: tuple[str, ...] = (),
    several: tuple[str, ...] = (),
) -> dict[str, object]:
    """Return the values of a table; those of ``several`` may be lists of texts."""
    if not isinstance(table, dict):
        raise ScenarioError(f"{where}: {table!r} is not a table of keys and values")
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in keys:
            raise ScenarioError(f"{where}: unknown key {key!r}; use {', '.join(keys)}")
        shown = f"{where}: {key} = {value!r}"
        if key in several and isinstance(value, list) and value:
            values[key] = tuple(_value(key, item, shown) for item in value)
        else:
            values[key] = _value(key, value, shown)
    for key in required:
        if key not in values:
            raise ScenarioError(f"{where}: {key} is missing")
    return values


def _batch(
    values: dict[str, object], what: str, unique: tuple[str, ...], where: str, *, spacing: bool = False
) -> Batch:
    """Return what values stand for; a text that is ``unique`` is to differ from one to the next."""
    count = cast(int, values.pop("count", 1))
    for key in unique:
        text = values.get(key)
        if count > 1 and text is not None and "{n}" not in str(text):
            raise ScenarioError(
                f"{where}: {key} = {text!r} is the same for {count} {what}; put {{n}} into it"
            )
    return Batch(values, count, cast(float, values.pop("every", 0.0)) if spacing else 0.0)


def _value(key: str, value: object, where: str) -> object:
    if key in _TEXTS:
        if not isinstance(value, str) or not value.strip():
            raise ScenarioError(f"{where} must be a text that is not empty")
        if key == "kind" and value not in KINDS:
            raise ScenarioError(f"{where} is not a kind; use {', '.join(KINDS)}")
        return value
    if key in _DURATIONS:
        if key == "duration" and (value is None or value == "never"):
            return None
        try:
            seconds = parse_duration(value, where)
        except ValueError as error:
            raise ScenarioError(str(error)) from error
        if key not in _SIGNED and seconds < 0:
            raise ScenarioError(f"{where} is negative; write a duration of 0 or more")
        return seconds
    if key == "delimited_file":
        if not isinstance(value, bool):
            raise ScenarioError(f"{where} must be true or false")
        return value
    if key == "count":
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ScenarioError(f"{where} must be a whole number of at least 1")
        if value > MAX_COUNT:
            raise ScenarioError(f"{where} is more than {MAX_COUNT}; write several tables")
        return value
    if key == "messages":
        if not isinstance(value, list) or not all(isinstance(item, str | dict) for item in value):
            raise ScenarioError(f'{where} must be a list of texts, such as ["Connection refused"]')
        return tuple(value)
    if not isinstance(value, dict) or "id" in value:
        raise ScenarioError(f"{where} must be a table of fields of its JSON other than id")
    return value
