"""
Scenarios: what is in a tenant when it starts, as a small TOML file.

.. code-block:: toml

    description = "One aggregation that hangs"

    [[task]]
    source = "Active Directory"
    kind = "accounts"
    launched = "-2h"
    duration = "never"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from airflow_provider_sptasks.emulator.tasks import KINDS, Task, new_task

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?P<number>[+-]?\d+(?:\.\d+)?)\s*(?P<unit>[smhd])?")
_TEXTS = ("id", "source", "source_id", "kind", "outcome")
_DURATIONS = ("launched", "duration", "completed_lead", "every")
_KEYS = (*_TEXTS, *_DURATIONS, "count", "messages", "fields")


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
        return [] if self.id is None else [self._numbered(self.id, n) for n in range(1, self.count + 1)]

    def tasks(self, now: float) -> Iterator[Task]:
        """
        Yield the tasks.

        :param now: the tenant's time.
        """
        for number in range(1, self.count + 1):
            yield new_task(
                now,
                id=None if self.id is None else self._numbered(self.id, number),
                source=self._numbered(self.source, number),
                source_id=self.source_id,
                kind=self.kind,
                launched=self.launched - (number - 1) * self.every,
                duration=self.duration,
                outcome=self.outcome,
                completed_lead=self.completed_lead,
                messages=self.messages,
                fields=self.fields,
            )

    @staticmethod
    def _numbered(text: str, number: int) -> str:
        return text.replace("{n}", str(number))


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    What is in a tenant when it starts.

    :param name: its name, or the path of its file.
    :param description: what it is good for.
    :param plans: its tasks.
    """

    name: str
    description: str
    plans: tuple[TaskPlan, ...]

    def tasks(self, now: float) -> Iterator[Task]:
        """
        Yield its tasks.

        :param now: the tenant's time.
        """
        for plan in self.plans:
            yield from plan.tasks(now)


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
        if key not in ("description", "task"):
            raise ScenarioError(f"scenario {name}: unknown key {key!r}; use description and [[task]]")
    description = content.get("description", "")
    if not isinstance(description, str):
        raise ScenarioError(f"scenario {name}: description = {description!r} must be a text")
    tables = content.get("task", [])
    if not isinstance(tables, list):
        raise ScenarioError(f"scenario {name}: task = {tables!r} must be tables; write [[task]]")
    plans: list[TaskPlan] = []
    known: set[str] = set()
    for number, table in enumerate(tables, 1):
        where = f"scenario {name}, task {number}"
        plan = parse_task(table, where)
        for task_id in plan.ids():
            if task_id.casefold() in known:
                raise ScenarioError(f"{where}: id = {task_id!r} is taken by an earlier task; choose another")
            known.add(task_id.casefold())
        plans.append(plan)
    return Scenario(name, description, tuple(plans))


def parse_task(table: object, where: str) -> TaskPlan:
    """
    Return the tasks that a table of a scenario describes.

    :param table: the table.
    :param where: what error messages say first.
    """
    if not isinstance(table, dict):
        raise ScenarioError(f"{where}: {table!r} is not a table of keys and values")
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in _KEYS:
            raise ScenarioError(f"{where}: unknown key {key!r}; use {', '.join(_KEYS)}")
        values[key] = _value(key, value, f"{where}: {key} = {value!r}")
    plan = TaskPlan(**values)  # type: ignore[arg-type]
    if plan.count > 1 and plan.id is not None and "{n}" not in plan.id:
        raise ScenarioError(
            f"{where}: id = {plan.id!r} is the same for {plan.count} tasks; put {{n}} into it"
        )
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
        if key != "launched" and seconds < 0:
            raise ScenarioError(f"{where} is negative; write a duration of 0 or more")
        return seconds
    if key == "count":
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ScenarioError(f"{where} must be a whole number of at least 1")
        return value
    if key == "messages":
        if not isinstance(value, list) or not all(isinstance(item, str | dict) for item in value):
            raise ScenarioError(f'{where} must be a list of texts, such as ["Connection refused"]')
        return tuple(value)
    if not isinstance(value, dict) or "id" in value:
        raise ScenarioError(f"{where} must be a table of fields of the task's JSON other than id")
    return value
