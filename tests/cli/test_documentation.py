"""The page about the command line names what there is: verbs, exit codes, cmdlets and methods."""

from __future__ import annotations

import argparse
import re
import shlex

from airflow_provider_sptasks.cli.codes import MEANINGS
from airflow_provider_sptasks.cli.commands import VERBS
from airflow_provider_sptasks.cli.options import OUTPUTS
from airflow_provider_sptasks.cli.parser import PROGRAM, make_parser
from airflow_provider_sptasks.cli.session import VARIABLES
from tests.cli.test_start import parsers
from tests.documents import Table, page
from tests.test_sdks import SDKS

PAGE = page("docs/cli.md")
NAMES = [verb.name for verb in VERBS]


def table(heading: str) -> Table:
    (found,) = [each for each in PAGE.tables() if each.heading == heading]
    return found


def cells(heading: str, column: int) -> list[str]:
    return [row[column].strip("`") for row in table(heading).rows[1:]]


def test_every_verb_has_a_row_and_an_example() -> None:
    assert cells("verb", 0) == NAMES
    examples = [line for block in PAGE.blocks("bash") for line in block.code.splitlines()]
    typed = [
        make_parser().parse_args(shlex.split(line.removeprefix(PROGRAM))).verb.name
        for line in examples
        if line.startswith(PROGRAM)
    ]
    assert set(typed) == set(NAMES)


def test_what_changes_something_asks_first() -> None:
    changing = {row[0].strip("`") for row in table("verb").rows[1:] if row[2]}
    for flag in ("--yes", "--dry-run"):
        assert {name for name, parser in parsers(make_parser()) if flag in options(parser)} == changing


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for each in parser._actions for flag in each.option_strings}


def test_every_exit_code_has_its_meaning() -> None:
    documented = {int(code): meaning for code, meaning in table("code").rows[1:]}
    assert documented == {code.value: meaning for code, meaning in MEANINGS.items()}


def test_every_cmdlet_and_method_has_its_verb() -> None:
    rows = table("PowerShell").rows[1:]
    assert [row[0].strip("`") for row in rows] == sorted(SDKS["PowerShell v2024"])
    assert [row[1].strip("`") for row in rows] == sorted(SDKS["Python v2024"])
    assert [row[2].strip("`") for row in rows] == sorted(SDKS["Go beta"])
    assert set(SDKS["Go v2026"]) <= set(SDKS["Go beta"])
    verbs = {verb for row in rows for verb in re.findall(r"`([^`]+)`", row[3])}
    assert verbs <= set(NAMES)


def test_every_option_that_the_page_names_exists() -> None:
    known = {flag for _, parser in parsers(make_parser()) for flag in options(parser)}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.text)) <= known


def test_outputs_and_variables() -> None:
    named = {name for row in table("`--output`").rows[1:] for name in re.findall(r"`(\w+)`", row[0])}
    assert named == set(OUTPUTS)
    assert all(f"export {each}=" in PAGE.text for each in VARIABLES)
