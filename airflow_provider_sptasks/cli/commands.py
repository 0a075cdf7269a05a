"""The verbs and their arguments, as one table that both forms of the command line are made of."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_sptasks.cli import values
from airflow_provider_sptasks.cli.options import (
    ACCEPT,
    DRY_RUN,
    FILTERS,
    IDS,
    INTERVAL,
    LAUNCHER,
    OFFSET,
    RAW,
    SOURCE,
    SOURCES,
    STATUS,
    TIMEOUT,
    YES,
    Verb,
    option,
)
from airflow_provider_sptasks.client.kinds import STARTABLE_KINDS, TaskKind
from airflow_provider_sptasks.waiting.options import NOT_FOUND_GRACE_SECONDS, RETRY_GRACE_SECONDS

VERBS = (
    Verb(
        "tasks list",
        "list tasks, newest first",
        "tasks:list_tasks",
        (
            option("--id", action="append", metavar="ID", dest="ids", help="only this; may be repeated"),
            SOURCES,
            STATUS,
            option("--pending", action="store_true", help="only those that have not ended"),
            LAUNCHER,
            FILTERS,
            option("--sorters", default="-created", metavar="FIELD", help="the order (default: -created)"),
            option("--limit", type=values.count, default=50, metavar="N", help="how many (default: 50)"),
            OFFSET,
            RAW,
        ),
        "tasks list --source-id 2c918085 --status ERROR --limit 10",
    ),
    Verb(
        "tasks get",
        "show tasks by their ids",
        "tasks:get",
        (IDS, RAW),
        "tasks get 0000000001 -o json",
    ),
    Verb(
        "tasks pending",
        "list the tasks that have not ended, oldest first",
        "tasks:pending",
        (
            SOURCES,
            option("--limit", type=values.count, metavar="N", help="how many (default: all)"),
            OFFSET,
            RAW,
        ),
        "tasks pending",
    ),
    Verb(
        "tasks count",
        "count the tasks that have not ended; with a criterion, those of all that meet it",
        "tasks:count",
        (SOURCES, STATUS, LAUNCHER, FILTERS),
        "tasks count --status ERROR -o json",
    ),
    Verb(
        "tasks wait",
        "wait until tasks, or the newest aggregations of sources, have ended, as the sensors do",
        "waits:wait",
        (
            option("task_id", nargs="*", metavar="TASK_ID", help="SailPoint's id of a task, or several"),
            option("--source-id", action="append", metavar="ID", help="of this source instead"),
            option("--source-name", action="append", metavar="NAME", help="the same by its name"),
            option(
                "--kind",
                choices=(*(each.value for each in TaskKind if each is not TaskKind.OTHER), "any"),
                default="accounts",
                help="what is aggregated (default: accounts)",
            ),
            option(
                "--launched-after",
                type=values.moment,
                metavar="TIME",
                help="when an aggregation was launched at the earliest (default: 1d, which is a day ago)",
            ),
            option(
                "--if-failed",
                choices=("fail", "wait_for_next"),
                default="fail",
                help="after an aggregation that ended otherwise (default: fail)",
            ),
            option(
                "--retry-grace",
                type=values.duration,
                default=timedelta(seconds=RETRY_GRACE_SECONDS),
                metavar="TIME",
                help="how long SailPoint's own retry after a TEMPERROR may take "
                f"(default: {RETRY_GRACE_SECONDS / 60:g}m)",
            ),
            option(
                "--not-found-grace",
                type=values.duration,
                default=timedelta(seconds=NOT_FOUND_GRACE_SECONDS),
                metavar="TIME",
                help=f"how long a task may be unknown at first (default: {NOT_FOUND_GRACE_SECONDS:g}s)",
            ),
            ACCEPT,
            TIMEOUT,
            INTERVAL,
        ),
        "tasks wait --source-name 'Active Directory' --launched-after 2h --timeout 1h",
    ),
    Verb(
        "tasks clear",
        "clear pending tasks that match all selectors: corrects the record, doesn't stop the work",
        "clearing:clear",
        (
            option("task_id", nargs="*", metavar="TASK_ID", help="only these tasks"),
            SOURCES,
            option("--unique-name", action="append", metavar="NAME", help="only tasks of this name"),
            option("--older-than", type=values.positive_duration, metavar="TIME", help="only older ones"),
            option(
                "--stuck-factor",
                type=values.factor,
                metavar="N",
                help="only aggregations that have run N times longer than usual",
            ),
            option("--completion-status", default="Error", metavar="STATUS", help="to set (default: Error)"),
            option("--allow-success", action="store_true", help="allow SUCCESS and WARNING"),
            option(
                "--max-tasks",
                type=values.count,
                default=100,
                metavar="N",
                help="with more matches nothing is cleared (default: 100)",
            ),
            DRY_RUN,
            YES,
        ),
        "tasks clear --older-than 1d --stuck-factor 3 --dry-run",
    ),
    Verb(
        "tasks update",
        "change a task with JSON Patch",
        "tasks:update",
        (
            option("task_id", metavar="TASK_ID", help="SailPoint's id of the task"),
            option(
                "--patch",
                metavar="JSON",
                help="the operations as JSON; @FILE for those in a file, - for standard input",
            ),
            option(
                "--set",
                action="append",
                metavar="PATH=VALUE",
                dest="replacements",
                help="one operation: replace; may be repeated",
            ),
            DRY_RUN,
            YES,
        ),
        "tasks update 0000000001 --set /completionStatus=Error --set /completed=2026-03-01T06:00:00Z",
    ),
    Verb(
        "sources list",
        "list the sources by name",
        "sources:list_sources",
        (
            FILTERS,
            RAW,
        ),
        "sources list -o plain",
    ),
    Verb(
        "sources status",
        "show of each source what runs, how its last aggregations ended, and how long they usually take",
        "sources:status",
        (
            option("source_id", nargs="*", metavar="SOURCE_ID", help="only these sources (default: all)"),
            option("--source-name", action="append", metavar="NAME", help="only the source of this name"),
            option(
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
            *SOURCE,
            option(
                "--kind",
                choices=tuple(each.value for each in STARTABLE_KINDS),
                default="accounts",
                help="what is aggregated (default: accounts)",
            ),
            option("--file", metavar="PATH", help="a CSV file, for delimited-file sources"),
            option("--object-type", metavar="NAME", help="the entitlement schema that the file is for"),
            option("--dataset-id", action="append", metavar="ID", help="a dataset; may be repeated"),
            option("--disable-optimization", action="store_true", help="process what is unchanged as well"),
            option(
                "--if-running",
                choices=("wait", "attach", "fail", "skip"),
                default="wait",
                help="while another aggregation of the source runs (default: wait)",
            ),
            option("--no-wait", action="store_true", help="end when it was started"),
            ACCEPT,
            TIMEOUT,
            INTERVAL,
            DRY_RUN,
            YES,
        ),
        "aggregate --source-name 'Active Directory' --if-running attach --yes",
    ),
    Verb("whoami", "show what the credentials may do", "whoami:whoami", (), "whoami"),
    Verb(
        "emulator",
        "serve a SailPoint tenant on 127.0.0.1, for development and for tests",
        "emulating:serve",
        (
            option("--port", metavar="PORT", help="where to listen, 0 for any (default: 8787)"),
            option("--scenario", metavar="NAME|FILE", help="what the tenant holds (default: demo)"),
            option("--no-rate-limit", action="store_true", help="accept any number of requests"),
            option("--list-scenarios", action="store_true", help="say what each scenario holds, and exit"),
        ),
        "emulator --port 0 --scenario busy",
        connects=False,
    ),
)
GROUPS = {"tasks": "read, wait for and clear tasks", "sources": "read sources"}
