"""
Scenarios as small TOML files.

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

import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from airflow_provider_sptasks.emulator.ids import stable_id
from airflow_provider_sptasks.emulator.scenario import Batch, Scenario
from airflow_provider_sptasks.emulator.scenario_tables import (
    ScenarioError,
    parse_schedule,
    parse_source,
    parse_task,
)


def builtin_scenarios() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the emulator."""
    folder = resources.files("airflow_provider_sptasks.emulator").joinpath("scenarios")
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml")))


def load_scenario(name: str | Path) -> Scenario:
    """
    Return a scenario.

    :param name: one that comes with the emulator, or the path of a TOML file.
    :raises ScenarioError: there is no such scenario, or the file can't be read as one.
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
    :raises ScenarioError: it can't be read as one.
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
    tasks = tuple(parse_task(table, where) for table, where in _tables(content, "task", name))
    sources = tuple(parse_source(table, where) for table, where in _tables(content, "source", name))
    schedules = tuple(parse_schedule(table, where) for table, where in _tables(content, "schedule", name))
    _refuse_twins("task", tasks, name)
    _refuse_twins("source", sources, name)
    return Scenario(name, description, tasks, sources, schedules)


def _tables(content: Mapping[str, object], key: str, name: str) -> Iterator[tuple[object, str]]:
    """Yield the tables below a key, each with what error messages say first."""
    tables = content.get(key, [])
    if not isinstance(tables, list):
        raise ScenarioError(f"scenario {name}: {key} = {tables!r} must be tables; write [[{key}]]")
    for number, table in enumerate(tables, 1):
        yield table, f"scenario {name}, {key} {number}"


def _refuse_twins(what: str, batches: tuple[Batch, ...], name: str) -> None:
    known: set[str] = set()
    for number, batch in enumerate(batches, 1):
        for values in batch.arguments():
            text = str(values.get("id") or (stable_id(str(values["name"])) if "name" in values else ""))
            if text and text.casefold() in known:
                raise ScenarioError(
                    f"scenario {name}, {what} {number}: id = {text!r} is taken by an earlier {what}; "
                    "choose another"
                )
            known.add(text.casefold())
