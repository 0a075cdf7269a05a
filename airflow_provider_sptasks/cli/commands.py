"""The verbs and their arguments, as one table that both forms of the command line are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_sptasks.cli import values
from airflow_provider_sptasks.client.kinds import STARTABLE_KINDS, CompletionStatus, TaskKind
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


def _option(*flags: str, help: str, **settings: Any) -> Option:  # noqa: A002 - as argparse calls it
    return Option(flags, help, settings)


COMMON = (
    _option("--conn-id", metavar="ID", help="the Airflow connection"),
    _option("--api-version", choices=tuple(API_VERSIONS), help="the API version (default: the connection's)"),
    _option("-o", "--output", choices=OUTPUTS, default="table", help="how to print (default: table)"),
    _option(
        "--retry-for",
        type=values.duration,
        default=values.duration("60s"),
        metavar="TIME",
        help="how long a request is tried again after transient errors (default: 60s)",
    ),
    _option("-v", "--verbose", action="store_true", help="log each request that is tried again"),
)
_IDS = _option("task_id", nargs="+", metavar="TASK_ID", help="SailPoint's id of a task, or several")
_RAW = _option("--raw", action="store_true", help="with json and yaml: what SailPoint sent, as it came")
_SOURCES = _option("--source-id", action="append", metavar="ID", help="only of this source; may be repeated")
_YES = _option("-y", "--yes", action="store_true", help="don't ask before changing anything")
_DRY_RUN = _option("--dry-run", action="store_true", help="only say what would be done")
_ACCEPT = _option(
    "--accept",
    action="append",
    choices=(*STATUSES, "any"),
    help="a status to succeed with; may be repeated (default: SUCCESS and WARNING)",
)
_TIMEOUT = _option(
    "--timeout",
    type=values.positive_duration,
    default=values.duration("7d"),
    metavar="TIME",
    help="how long to wait (default: 7d)",
)
_INTERVAL = _option(
    "--interval",
    type=values.positive_duration,
    default=values.duration("10s"),
    metavar="TIME",
    help="time between two polls (default: 10s)",
)
_SOURCE = (
    _option("source_id", nargs="?", metavar="SOURCE_ID", help="SailPoint's id of the source"),
    _option("--source-name", metavar="NAME", help="its name instead, case-insensitive"),
)

VERBS = (
    Verb(
        "tasks list",
        "list tasks, newest first",
        "tasks:list_tasks",
        (
            _option("--id", action="append", metavar="ID", dest="ids", help="only this task; may be repeated"),
            _SOURCES,
            _option("--status", action="append", choices=STATUSES, help="only those that ended so"),
            _option("--pending", action="store_true", help="only those that have not ended"),
            _option("--launcher", action="append", metavar="NAME", help="only of this launcher (v2026, v1)"),
            _option("--filters", default="", metavar="EXPRESSION", help="a filter expression of SailPoint's"),
            _option("--sorters", default="-created", metavar="FIELD", help="the order (default: -created)"),
            _option(
                "--limit", type=values.count, default=50, metavar="N", help="maximum tasks (default: 50)"
            ),
            _RAW,
        ),
        "tasks list --source-id 2c918085 --status ERROR --limit 10",
    ),
    Verb(
        "tasks get", "show tasks by their ids", "tasks:get", (_IDS, _RAW), "tasks get 0000000001 -o json --raw"
    ),
    Verb(
        "tasks pending",
        "list the tasks that have not ended, oldest first",
        "tasks:pending",
        (_SOURCES, _RAW),
        "tasks pending",
    ),
    Verb("tasks count", "count the tasks that have not ended", "tasks:count", (), "tasks count -o plain"),
    Verb(
        "tasks wait",
        "wait until tasks, or the newest aggregations of sources, have ended, as the sensors do",
        "waits:wait",
        (
            _option("task_id", nargs="*", metavar="TASK_ID", help="SailPoint's id of a task, or several"),
            _option("--source-id", action="append", metavar="ID", help="an aggregation of this source instead"),
            _option("--source-name", action="append", metavar="NAME", help="the same by the source's name"),
            _option(
                "--kind",
                choices=(*(each.value for each in TaskKind if each is not TaskKind.OTHER), "any"),
                default="accounts",
                help="what is aggregated (default: accounts)",
            ),
            _option(
                "--launched-after",
                type=values.moment,
                metavar="TIME",
                help="when an aggregation was launched at the earliest (default: 1d, which is a day ago)",
            ),
            _option(
                "--if-failed",
                choices=("fail", "wait_for_next"),
                default="fail",
                help="after an aggregation that ended otherwise (default: fail)",
            ),
            _option(
                "--retry-grace",
                type=values.duration,
                default=values.duration("10m"),
                metavar="TIME",
                help="how long SailPoint's own retry after a TEMPERROR may take (default: 10m)",
            ),
            _option(
                "--not-found-grace",
                type=values.duration,
                default=values.duration("60s"),
                metavar="TIME",
                help="how long a task may be unknown at first (default: 60s)",
            ),
            _ACCEPT,
            _TIMEOUT,
            _INTERVAL,
        ),
        "tasks wait --source-name 'Active Directory' --launched-after 2h --timeout 1h",
    ),
    Verb(
        "tasks clear",
        "clear pending tasks that match all selectors: corrects the record, doesn't stop the work",
        "clearing:clear",
        (
            _option("task_id", nargs="*", metavar="TASK_ID", help="only these tasks"),
            _SOURCES,
            _option("--unique-name", action="append", metavar="NAME", help="only tasks of this name"),
            _option("--older-than", type=values.positive_duration, metavar="TIME", help="only older ones"),
            _option(
                "--stuck-factor",
                type=values.factor,
                metavar="N",
                help="only aggregations that have run N times longer than usual",
            ),
            _option(
                "--completion-status", default="Error", metavar="STATUS", help="to set (default: Error)"
            ),
            _option("--allow-success", action="store_true", help="allow SUCCESS and WARNING"),
            _option(
                "--max-tasks",
                type=values.count,
                default=100,
                metavar="N",
                help="with more matches nothing is cleared (default: 100)",
            ),
            _DRY_RUN,
            _YES,
        ),
        "tasks clear --older-than 1d --stuck-factor 3 --dry-run",
    ),
    Verb(
        "tasks update",
        "change a task with JSON Patch",
        "tasks:update",
        (
            _option("task_id", metavar="TASK_ID", help="SailPoint's id of the task"),
            _option(
                "--patch",
                metavar="JSON",
                help="the operations as JSON; @FILE for those in a file, - for standard input",
            ),
            _option(
                "--set",
                action="append",
                metavar="PATH=VALUE",
                dest="replacements",
                help="one operation: replace; may be repeated",
            ),
            _DRY_RUN,
            _YES,
        ),
        "tasks update 0000000001 --set /completionStatus=Error --set /completed=2026-03-01T06:00:00Z",
    ),
    Verb(
        "sources list",
        "list the sources by name",
        "sources:list_sources",
        (
            _option("--filters", default="", metavar="EXPRESSION", help="a filter expression of SailPoint's"),
            _RAW,
        ),
        "sources list -o plain",
    ),
    Verb(
        "sources status",
        "show of each source what runs, how its last aggregations ended, and how long they usually take",
        "sources:status",
        (
            _option("source_id", nargs="*", metavar="SOURCE_ID", help="only these sources (default: all)"),
            _option("--source-name", action="append", metavar="NAME", help="only the source of this name"),
            _option(
                "--since",
                type=values.moment,
                metavar="TIME",
                help="how far to read back (default: 7d, which is 7 days ago)",
            ),
        ),
        "sources status --source-name 'Active Directory' --since 30d",
    ),
    Verb(
        "aggregate",
        "start an aggregation of a source, never twice, and wait until it has ended",
        "aggregating:aggregate",
        (
            *_SOURCE,
            _option(
                "--kind",
                choices=tuple(each.value for each in STARTABLE_KINDS),
                default="accounts",
                help="what is aggregated (default: accounts)",
            ),
            _option("--file", metavar="PATH", help="a CSV file, for delimited-file sources"),
            _option("--disable-optimization", action="store_true", help="process unchanged accounts as well"),
            _option(
                "--if-running",
                choices=("wait", "attach", "fail", "skip"),
                default="wait",
                help="while another aggregation of the source runs (default: wait)",
            ),
            _option("--no-wait", action="store_true", help="end when it was started"),
            _ACCEPT,
            _TIMEOUT,
            _INTERVAL,
            _DRY_RUN,
            _YES,
        ),
        "aggregate --source-name 'Active Directory' --if-running attach --yes",
    ),
    Verb("whoami", "show what the credentials may do", "whoami:whoami", (), "whoami"),
    Verb(
        "emulator",
        "serve a SailPoint tenant on 127.0.0.1, for development and for tests",
        "emulating:serve",
        (
            _option("--port", metavar="PORT", help="where to listen, 0 for any (default: 8787)"),
            _option("--scenario", metavar="NAME|FILE", help="what the tenant holds (default: demo)"),
            _option("--no-rate-limit", action="store_true", help="accept any number of requests"),
            _option("--list-scenarios", action="store_true", help="say what each scenario holds, and exit"),
        ),
        "emulator --port 0 --scenario busy",
        connects=False,
    ),
)
GROUPS = {"tasks": "read, wait for and clear tasks", "sources": "read sources"}
