"""What verbs and their arguments are, and the arguments that several verbs have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_sptasks.cli import values
from airflow_provider_sptasks.client.kinds import CompletionStatus
from airflow_provider_sptasks.client.versions import API_VERSIONS

OUTPUTS = ("table", "json", "yaml", "plain")
STATUSES = tuple(each.value for each in CompletionStatus if each is not CompletionStatus.UNKNOWN)
DESCRIPTION = "See and steer the tasks of a SailPoint tenant."
CONNECTING = (
    "Connects with the Airflow connection --conn-id; without that, with SAIL_BASE_URL, SAIL_CLIENT_ID and "
    "SAIL_CLIENT_SECRET where they are set, and else with the Airflow connection sailpoint_default."
)


@dataclass(frozen=True)
class Option:
    """
    An argument of a verb.

    :param flags: its flags, or its name where it has none
    :param help: what it is
    :param settings: what else ``argparse`` takes
    """

    flags: tuple[str, ...]
    help: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verb:
    """
    A verb.

    :param name: of one or two words
    :param help: what it does
    :param run: the function that does it, ``module:function``, in this package
    :param options: its arguments besides those of all
    :param example: how it is typed
    :param connects: whether it talks to a tenant
    """

    name: str
    help: str
    run: str
    options: tuple[Option, ...] = ()
    example: str = ""
    connects: bool = True

    @property
    def arguments(self) -> tuple[Option, ...]:
        """All of its arguments."""
        return (*self.options, *(COMMON if self.connects else ()))


def option(*flags: str, help: str, **settings: Any) -> Option:  # noqa: A002 - as argparse calls it
    """Make an argument, written as ``argparse`` takes it."""
    return Option(flags, help, settings)


COMMON = (
    option("--conn-id", metavar="ID", help="the Airflow connection"),
    option("--api-version", choices=tuple(API_VERSIONS), help="the API version (default: the connection's)"),
    option("-o", "--output", choices=OUTPUTS, default="table", help="how to print (default: table)"),
    option(
        "--retry-for",
        type=values.duration,
        default=values.duration("60s"),
        metavar="TIME",
        help="how long a request is tried again after transient errors (default: 60s)",
    ),
    option("-v", "--verbose", action="store_true", help="log each request that is tried again"),
)
IDS = option("task_id", nargs="+", metavar="TASK_ID", help="SailPoint's id of a task, or several")
RAW = option("--raw", action="store_true", help="with json and yaml: what SailPoint sent, as it came")
SOURCES = option("--source-id", action="append", metavar="ID", help="only of this source; may be repeated")
STATUS = option("--status", action="append", choices=STATUSES, help="only those that ended so")
LAUNCHER = option("--launcher", action="append", metavar="NAME", help="only of this launcher (v2026, v1)")
FILTERS = option("--filters", default="", metavar="EXPRESSION", help="a filter expression of SailPoint's")
OFFSET = option("--offset", type=values.offset, default=0, metavar="N", help="how many to pass over first")
YES = option("-y", "--yes", action="store_true", help="don't ask before changing anything")
DRY_RUN = option("--dry-run", action="store_true", help="only say what would be done")
ACCEPT = option(
    "--accept",
    action="append",
    choices=(*STATUSES, "any"),
    help="a status to succeed with; may be repeated (default: SUCCESS and WARNING)",
)
TIMEOUT = option(
    "--timeout",
    type=values.positive_duration,
    default=values.duration("7d"),
    metavar="TIME",
    help="how long to wait (default: 7d)",
)
INTERVAL = option(
    "--interval",
    type=values.positive_duration,
    default=values.duration("10s"),
    metavar="TIME",
    help="time between two polls (default: 10s)",
)
SOURCE = (
    option("source_id", nargs="?", metavar="SOURCE_ID", help="SailPoint's id of the source"),
    option("--source-name", metavar="NAME", help="its name instead, case-insensitive"),
)
