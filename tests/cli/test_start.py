"""Both forms of the command line: what they load, and that they have the same verbs."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from airflow_provider_sptasks.cli.commands import GROUPS, VERBS
from airflow_provider_sptasks.cli.definition import get_sailpoint_cli_commands
from airflow_provider_sptasks.cli.options import Verb
from airflow_provider_sptasks.cli.parser import make_parser
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.emulator.__main__ import _parser as emulator_parser
from tests.cli.conftest import environment

LOADED = """
import json, sys
from airflow_provider_sptasks.cli.main import main
try:
    main({arguments})
except SystemExit:
    pass
sys.stderr.write(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def loaded_by(*arguments: str, **variables: str) -> set[str]:
    """What a command loads."""
    finished = subprocess.run(
        [sys.executable, "-c", LOADED.format(arguments=list(arguments))],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(finished.stderr.splitlines()[-1]))


def test_help_loads_neither_airflow_nor_http() -> None:
    loaded = loaded_by("--help")
    assert "airflow_provider_sptasks" in loaded
    assert loaded & {"airflow", "requests", "urllib3", "tenacity", "yaml", "statistics", "starlette"} == set()


@pytest.mark.parametrize(
    "verb",
    ["tasks list", "tasks wait a", "tasks clear a", "aggregate a --dry-run", "whoami", "sources status"],
)
def test_with_variables_airflow_is_not_loaded(emulator: Emulator, verb: str) -> None:
    emulator.add_task(id="a", launched=-60, duration=1)
    emulator.add_source("A", id="a")
    loaded = loaded_by(*verb.split(), **environment(emulator))
    assert "requests" in loaded
    assert "airflow" not in loaded


def parsers(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """All verbs of a parser, by their names."""
    subparsers = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not subparsers:
        yield name, parser
    for each in subparsers:
        for verb, below in each.choices.items():
            yield from parsers(below, f"{name} {verb}".strip())


def arguments_of(parser: argparse.ArgumentParser) -> set[tuple[str, ...]]:
    return {tuple(each.option_strings) or (each.dest,) for each in parser._actions if each.dest != "help"}


def test_both_forms_have_the_same_verbs_and_arguments() -> None:
    from airflow.cli.cli_parser import ALL_COMMANDS_DICT, get_parser

    plain = {name: arguments_of(parser) for name, parser in parsers(make_parser())}
    airflows = {
        name.removeprefix("sailpoint "): arguments_of(parser)
        for name, parser in parsers(get_parser())
        if name.startswith("sailpoint ")
    }
    assert plain == airflows
    assert plain.keys() == {verb.name for verb in VERBS}
    assert ALL_COMMANDS_DICT["sailpoint"].name == get_sailpoint_cli_commands()[0].name


def test_each_group_has_verbs() -> None:
    assert {verb.name.rpartition(" ")[0] for verb in VERBS} == {"", *GROUPS}


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_example_can_be_typed(verb: Verb) -> None:
    assert make_parser().parse_args(shlex.split(verb.example)).verb is verb


def test_the_emulators_arguments_are_its_own() -> None:
    (emulator,) = (parser for name, parser in parsers(make_parser()) if name == "emulator")
    assert arguments_of(emulator) == arguments_of(emulator_parser())


def test_the_emulator_serves() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_sptasks", "emulator", "--port", "0", "--scenario", "empty"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(
                "sailpoint://http://emulator:emulator-secret@127.0.0.1:"
            )
            process.terminate()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


def test_airflows_own_command(emulator: Emulator) -> None:
    """For real: its help, a verb with a connection, and an exit code."""
    task = emulator.add_task(source="HR", launched=-60, duration=1)

    def airflow(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "airflow", "sailpoint", *arguments],
            env={**os.environ, "AIRFLOW_CONN_SAILPOINT_DEFAULT": emulator.connection_uri},
            capture_output=True,
            text=True,
            check=False,
        )

    helped = airflow("--help")
    assert helped.returncode == 0
    assert {"tasks", "sources", "aggregate", "whoami", "emulator"} <= set(helped.stdout.split())
    got = airflow("tasks", "get", task.id, "nix", "-o", "json")
    assert [record["id"] for record in json.loads(got.stdout)] == [task.id]
    assert got.returncode == 5
