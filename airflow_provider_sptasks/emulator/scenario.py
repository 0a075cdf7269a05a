"""
Scenarios: what is in a tenant when it starts, as a small TOML file.

.. code-block:: toml

    description = "One aggregation that hangs"

    [[task]]
    source = "Active Directory"
    kind = "accounts"
    launched = "-2h"
    duration = "never"

    [[source]]
    name = "HR export"
    delimited_file = true

    [[schedule]]
    source = "Workday"
    every = "1h"
    offset = "-1d"
    duration = "10m"
    outcome = ["SUCCESS", "WARNING"]
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from airflow_provider_sptasks.emulator.schedules import Schedule, new_schedule
from airflow_provider_sptasks.emulator.sources import Source, new_source
from airflow_provider_sptasks.emulator.tasks import AGGREGATIONS, KINDS, Task, new_task, stable_id
from airflow_provider_sptasks.emulator.tenant import Tenant

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?P<number>[+-]?\d+(?:\.\d+)?)\s*(?P<unit>[smhd])?")
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


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """
    Tasks of a scenario, ``count`` of them; times are seconds from the start of the tenant.

    In ``id`` and ``source``, ``{n}`` stands for the number of the task, from 1 on.

    :param count: how many tasks.
    :param every: how much earlier than the one before each is launched.
    """

    id: str | None = None
    source: str = "Active Directory"
    source_id: str | None = None
    kind: str = "accounts"
    launched: float = 0.0
    duration: float | None = 30.0
    outcome: str = "SUCCESS"
    completed_lead: float = 0.0
    messages: tuple[str | Mapping[str, object], ...] = ()
    fields: Mapping[str, object] | None = None
    count: int = 1
    every: float = 0.0

    def ids(self) -> list[str]:
        """Return the ids that it fixes."""
        return [] if self.id is None else [_numbered(self.id, n) for n in range(1, self.count + 1)]

    def tasks(self, now: float, source_id: Callable[[str], str] = stable_id) -> Iterator[Task]:
        """
        Yield the tasks.

        :param now: the tenant's time.
        :param source_id: tells the id of the source with a name.
        """
        for number in range(1, self.count + 1):
            source = _numbered(self.source, number)
            yield new_task(
                now,
                id=None if self.id is None else _numbered(self.id, number),
                source=source,
                source_id=self.source_id or source_id(source),
                kind=self.kind,
                launched=self.launched - (number - 1) * self.every,
                duration=self.duration,
                outcome=self.outcome,
                completed_lead=self.completed_lead,
                messages=self.messages,
                fields=self.fields,
            )


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """
    Sources of a scenario, ``count`` of them.

    In ``name`` and ``id``, ``{n}`` stands for the number of the source, from 1 on.

    :param count: how many sources.
    """

    name: str
    id: str | None = None
    delimited_file: bool = False
    duration: float | None = 30.0
    outcome: str | tuple[str, ...] = "SUCCESS"
    retry_after: float | None = None
    fields: Mapping[str, object] | None = None
    count: int = 1

    def sources(self, now: float) -> Iterator[Source]:
        """
        Yield the sources.

        :param now: the tenant's time.
        """
        for number in range(1, self.count + 1):
            yield new_source(
                now,
                _numbered(self.name, number),
                None if self.id is None else _numbered(self.id, number),
                delimited_file=self.delimited_file,
                duration=self.duration,
                outcome=self.outcome,
                retry_after=self.retry_after,
                fields=self.fields,
            )


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """
    Schedules of a scenario, ``count`` of them; times are seconds from the start of the tenant.

    In ``source``, ``{n}`` stands for the number of the schedule, from 1 on.

    :param count: how many schedules.
    """

    source: str
    every: float
    source_id: str | None = None
    kind: str = "accounts"
    offset: float = 0.0
    duration: float | None = 30.0
    outcome: str | tuple[str, ...] = "SUCCESS"
    retry_after: float | None = None
    count: int = 1

    def schedules(self, now: float, source_id: Callable[[str], str] = stable_id) -> Iterator[Schedule]:
        """
        Yield the schedules.

        :param now: the tenant's time.
        :param source_id: tells the id of the source with a name.
        """
        for number in range(1, self.count + 1):
            source = _numbered(self.source, number)
            yield new_schedule(
                now,
                source,
                self.source_id or source_id(source),
                every=self.every,
                offset=self.offset,
                kind=self.kind,
                duration=self.duration,
                outcome=self.outcome,
                retry_after=self.retry_after,
            )


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    What is in a tenant when it starts.

    :param name: its name, or the path of its file.
    :param description: what it is good for.
    :param plans: its tasks.
    :param source_plans: its sources, besides those that tasks and schedules name.
    :param schedule_plans: its schedules.
    """

    name: str
    description: str
    plans: tuple[TaskPlan, ...]
    source_plans: tuple[SourcePlan, ...] = ()
    schedule_plans: tuple[SchedulePlan, ...] = ()

    def tasks(self, now: float) -> Iterator[Task]:
        """
        Yield its tasks.

        :param now: the tenant's time.
        """
        for plan in self.plans:
            yield from plan.tasks(now)

    def fill(self, tenant: Tenant) -> None:
        """
        Put everything into a tenant; it begins now.

        :param tenant: the tenant.
        """
        now = tenant.clock.now()
        for sources in self.source_plans:
            for source in sources.sources(now):
                tenant.sources.add(source)
        for tasks in self.plans:
            for task in tasks.tasks(now, tenant.sources.id_of):
                tenant.add(task)
        for schedules in self.schedule_plans:
            for schedule in schedules.schedules(now, tenant.sources.id_of):
                tenant.schedule(schedule)


def builtin_scenarios() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the emulator."""
    folder = resources.files("airflow_provider_sptasks.emulator").joinpath("scenarios")
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml")))


def load_scenario(name: str | Path) -> Scenario:
    """
    Return a scenario.

    :param name: one that comes with the emulator, or the path of a TOML file.
    """
    names = builtin_scenarios()
    if name in names:
        folder = resources.files("airflow_provider_sptasks.emulator").joinpath("scenarios")
        return parse_scenario(folder.joinpath(f"{name}.toml").read_text("utf-8"), str(name))
    path = Path(name)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"scenario {str(name)!r} is neither one of {', '.join(names)}, nor a readable file ({error})"
        ) from error
    return parse_scenario(text, str(name))


def parse_scenario(text: str, name: str) -> Scenario:
    """
    Return the scenario that a TOML text describes.

    :param text: the TOML.
    :param name: what error messages call it.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"scenario {name}: it is not valid TOML: {error}") from error
    for key in content:
        if key not in ("description", "task", "source", "schedule"):
            raise ScenarioError(
                f"scenario {name}: unknown key {key!r}; use description, [[task]], [[source]], [[schedule]]"
            )
    description = content.get("description", "")
    if not isinstance(description, str):
        raise ScenarioError(f"scenario {name}: description = {description!r} must be a text")
    plans = [parse_task(table, where) for table, where in _tables(content, "task", name)]
    sources = [parse_source(table, where) for table, where in _tables(content, "source", name)]
    schedules = [parse_schedule(table, where) for table, where in _tables(content, "schedule", name)]
    _refuse_twins("task", "id", [plan.ids() for plan in plans], name)
    _refuse_twins("source", "id", [[s.id for s in plan.sources(0.0)] for plan in sources], name)
    return Scenario(name, description, tuple(plans), tuple(sources), tuple(schedules))


def parse_task(table: object, where: str) -> TaskPlan:
    """
    Return the tasks that a table of a scenario describes.

    :param table: the table.
    :param where: what error messages say first.
    """
    plan = TaskPlan(**_values(table, _TASK_KEYS, where))  # type: ignore[arg-type]
    _check_numbered("id", plan.id, "tasks", plan.count, where)
    return plan


def parse_source(table: object, where: str) -> SourcePlan:
    """
    Return the sources that a table of a scenario describes.

    :param table: the table.
    :param where: what error messages say first.
    """
    values = _values(table, _SOURCE_KEYS, where, required=("name",), several=("outcome",))
    plan = SourcePlan(**values)  # type: ignore[arg-type]
    _check_numbered("name", plan.name, "sources", plan.count, where)
    _check_numbered("id", plan.id, "sources", plan.count, where)
    return plan


def parse_schedule(table: object, where: str) -> SchedulePlan:
    """
    Return the schedules that a table of a scenario describes.

    :param table: the table.
    :param where: what error messages say first.
    """
    values = _values(table, _SCHEDULE_KEYS, where, required=("source", "every"), several=("outcome",))
    plan = SchedulePlan(**values)  # type: ignore[arg-type]
    if plan.kind not in AGGREGATIONS:
        raise ScenarioError(
            f"{where}: kind = {plan.kind!r} can't be scheduled; use {', '.join(AGGREGATIONS)}"
        )
    if plan.every == 0:
        raise ScenarioError(f'{where}: every = 0 is no interval; write a duration such as "1h"')
    _check_numbered("source", plan.source, "schedules", plan.count, where)
    return plan


def parse_duration(value: object, where: str) -> float:
    """
    Return a duration in seconds.

    :param value: a number of seconds, or a text such as ``90s``, ``5m``, ``2h``, ``3d``, ``-2h``.
    :param where: what error messages say first.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ScenarioError(
            f'{where} is not a duration; write "90s", "5m", "2h", "3d", or a number of seconds'
        )
    return float(match["number"]) * _UNITS[match["unit"] or "s"]


def _tables(content: Mapping[str, object], key: str, name: str) -> Iterator[tuple[object, str]]:
    """Yield the tables below a key, each with what error messages say first."""
    tables = content.get(key, [])
    if not isinstance(tables, list):
        raise ScenarioError(f"scenario {name}: {key} = {tables!r} must be tables; write [[{key}]]")
    for number, table in enumerate(tables, 1):
        yield table, f"scenario {name}, {key} {number}"


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


def _check_numbered(key: str, text: str | None, what: str, count: int, where: str) -> None:
    if count > 1 and text is not None and "{n}" not in text:
        raise ScenarioError(f"{where}: {key} = {text!r} is the same for {count} {what}; put {{n}} into it")


def _refuse_twins(what: str, key: str, plans: list[list[str]], name: str) -> None:
    known: set[str] = set()
    for number, texts in enumerate(plans, 1):
        for text in texts:
            if text.casefold() in known:
                raise ScenarioError(
                    f"scenario {name}, {what} {number}: {key} = {text!r} is taken by an earlier {what}; "
                    "choose another"
                )
            known.add(text.casefold())


def _numbered(text: str, number: int) -> str:
    return text.replace("{n}", str(number))


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
        seconds = parse_duration(value, where)
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
        return value
    if key == "messages":
        if not isinstance(value, list) or not all(isinstance(item, str | dict) for item in value):
            raise ScenarioError(f'{where} must be a list of texts, such as ["Connection refused"]')
        return tuple(value)
    if not isinstance(value, dict) or "id" in value:
        raise ScenarioError(f"{where} must be a table of fields of its JSON other than id")
    return value
