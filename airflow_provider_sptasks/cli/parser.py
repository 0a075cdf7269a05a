"""The parser of the plain form: ``python -m airflow_provider_sptasks …``."""

from __future__ import annotations

import argparse

from airflow_provider_sptasks.cli.codes import epilog
from airflow_provider_sptasks.cli.commands import GROUPS, VERBS
from airflow_provider_sptasks.cli.options import CONNECTING, DESCRIPTION, Verb

PROGRAM = "python -m airflow_provider_sptasks"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; ``verb`` in what it parses is the verb."""
    parser = _Parser(
        prog=PROGRAM,
        description=f"{DESCRIPTION} {CONNECTING}",
        epilog=epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)
    groups = {
        name: verbs.add_parser(name, help=text, description=text).add_subparsers(
            metavar="VERB", required=True, parser_class=_Parser
        )
        for name, text in GROUPS.items()
    }
    for verb in VERBS:
        group, _, name = verb.name.rpartition(" ")
        _add(groups[group] if group else verbs, name, verb)
    return parser


class _Parser(argparse.ArgumentParser):
    """Takes no abbreviations: a script's would change their meaning when an option is added."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**{"allow_abbrev": False, **kwargs})  # type: ignore[arg-type]


def _add(verbs: argparse._SubParsersAction[_Parser], name: str, verb: Verb) -> None:
    parser = verbs.add_parser(
        name, help=verb.help, description=f"{verb.help}.", epilog=f"example: {PROGRAM} {verb.example}"
    )
    parser.set_defaults(verb=verb)
    for option in verb.arguments:
        parser.add_argument(*option.flags, help=option.help.replace("%", "%%"), **option.settings)
