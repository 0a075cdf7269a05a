"""What Airflow 3.2 and later reads of the command line: ``airflow sailpoint …``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow_provider_sptasks.cli.commands import GROUPS, VERBS
from airflow_provider_sptasks.cli.options import CONNECTING, DESCRIPTION, Verb

if TYPE_CHECKING:
    from airflow.cli.cli_config import ActionCommand, CLICommand


def get_sailpoint_cli_commands() -> list[CLICommand]:
    """Return the group of commands, made of the same table as the plain form."""
    from airflow.cli.cli_config import GroupCommand

    groups = [GroupCommand(name, text, _commands(name)) for name, text in GROUPS.items()]
    return [
        GroupCommand(
            "sailpoint", DESCRIPTION, [*groups, *_commands("")], description=f"{DESCRIPTION} {CONNECTING}"
        )
    ]


def _commands(group: str) -> Iterable[ActionCommand]:
    return [_command(verb) for verb in VERBS if verb.name.rpartition(" ")[0] == group]


def _command(verb: Verb) -> ActionCommand:
    from airflow.cli.cli_config import ActionCommand, Arg

    def run(options: argparse.Namespace) -> None:
        from airflow_provider_sptasks.cli.main import run_verb

        options.verb = verb
        sys.exit(run_verb(options))

    make: Any = Arg
    arguments = [make(option.flags, help=option.help, **option.settings) for option in verb.arguments]
    return ActionCommand(
        verb.name.rpartition(" ")[2],
        verb.help,
        run,
        arguments,
        epilog=f"example: airflow sailpoint {verb.example}",
    )
