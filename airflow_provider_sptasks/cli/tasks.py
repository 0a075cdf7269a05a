"""The verbs that read tasks, and the one that changes any field of one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_provider_sptasks.cli.codes import ExitCode
from airflow_provider_sptasks.cli.printing import note, print_line, print_records
from airflow_provider_sptasks.cli.session import Session, UsageError
from airflow_provider_sptasks.client.errors import NotFoundError
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.waiting.verdict import spelled


def list_tasks(options: argparse.Namespace) -> ExitCode:
    """List tasks."""
    session = Session(options)
    if options.pending and not session.client.settings.version.lists_pending:
        others = (options.ids, options.status, options.launcher, options.filters)
        if any(others):
            raise UsageError("--pending goes with --source-id only in this API version.")
        tasks = session.client.pending(options.source_id, limit=options.limit + 1, offset=options.offset)
    else:
        tasks = session.client.list(
            task_status_ids=options.ids,
            source_ids=options.source_id,
            completion_statuses=options.status,
            pending=options.pending,
            launchers=options.launcher,
            filters=options.filters,
            sorters=options.sorters,
            limit=options.limit + 1,
            offset=options.offset,
        )
    found = list(tasks)
    print_tasks(found[: options.limit], options)
    if len(found) > options.limit:
        note(f"There are more than {options.limit}: see --limit.")
    return ExitCode.OK


def get(options: argparse.Namespace) -> ExitCode:
    """Show tasks by their ids."""
    client = Session(options).client
    found = []
    missing = []
    for task_id in dict.fromkeys(options.task_id):
        try:
            found.append(client.get(task_id))
        except NotFoundError:
            missing.append(task_id)
    if options.output == "table":
        for task in found:
            print_records([], [{"field": name, "value": value} for name, value in _fields(task)], "table")
    else:
        print_tasks(found, options)
    for task_id in missing:
        note(f"Error: the tenant has no task {task_id}, or dropped it after 90 days")
    return ExitCode.NOT_FOUND if missing else ExitCode.OK


def pending(options: argparse.Namespace) -> ExitCode:
    """List the tasks that have not ended."""
    tasks = Session(options).client.pending(options.source_id, limit=options.limit, offset=options.offset)
    print_tasks(tasks, options)
    return ExitCode.OK


def count(options: argparse.Namespace) -> ExitCode:
    """Count the tasks that have not ended, or those that ended."""
    client = Session(options).client
    if any((options.source_id, options.status, options.launcher, options.filters)):
        number = client.count(
            source_ids=options.source_id,
            completion_statuses=options.status,
            launchers=options.launcher,
            filters=options.filters,
        )
    else:
        number = client.count_pending()
    if options.output in ("table", "plain"):
        print_line(str(number))
    else:
        print_records([{"count": number}], [], options.output)
    return ExitCode.OK


def update(options: argparse.Namespace) -> ExitCode:
    """Change a task with JSON Patch."""
    operations = _operations(options)
    session = Session(options)
    before = session.client.get(options.task_id)
    for operation in operations:
        note(f"{before}: {json.dumps(operation)}")
    if options.dry_run:
        return ExitCode.OK
    session.confirm("This changes the task in SailPoint.")
    after = session.uninterrupted(
        lambda work: session.client.with_stop(work.event).update(options.task_id, operations)
    )
    print_tasks([after], argparse.Namespace(output=options.output, raw=False))
    return ExitCode.OK


def print_tasks(tasks: Iterable[TaskStatus], options: argparse.Namespace) -> None:
    """
    Print tasks.

    :param tasks: the tasks
    :param options: say how, as ``output`` and ``raw``
    """
    listed = list(tasks)
    now = datetime.now(UTC)
    records = [dict(task.raw) if options.raw else task.to_json() for task in listed]
    print_records(records, [task_row(task, now) for task in listed], options.output)


def task_row(task: TaskStatus, now: datetime) -> dict[str, object]:
    """
    Make the row of a task, for people.

    :param task: the task
    :param now: the time, aware
    """
    started = task.launched or task.created
    return {
        "id": task.id,
        "source": task.source_name,
        "task": task.unique_name or task.description,
        "status": spelled(task) or _progress(task),
        "launched": started,
        "took": task.duration if task.is_complete else started and max(now, started) - started,
    }


def _progress(task: TaskStatus) -> str:
    return "pending" if task.percent_complete is None else f"pending {task.percent_complete} %"


def _fields(task: TaskStatus) -> Iterable[tuple[str, object]]:
    for name, value in task.to_json().items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", each) for key, each in value.items())
        elif isinstance(value, list):
            yield from ((name, each) for each in value)
        else:
            yield name, value


def _operations(options: argparse.Namespace) -> list[dict[str, Any]]:
    operations = _patch(options.patch) if options.patch is not None else []
    for replacement in options.replacements or ():
        path, sign, value = replacement.partition("=")
        if not sign or not path.startswith("/"):
            raise UsageError(f"--set {replacement!r} is not PATH=VALUE, such as /completionStatus=Error.")
        operations.append({"op": "replace", "path": path, "value": value})
    if not operations:
        raise UsageError("There is nothing to change. Give --set or --patch.")
    return operations


def _patch(given: str) -> list[dict[str, Any]]:
    try:
        if given == "-":
            given = sys.stdin.read()
        elif given.startswith("@"):
            given = Path(given[1:]).read_text(encoding="utf-8")
        operations = json.loads(given)
    except OSError as error:
        raise UsageError(f"--patch {given}: {error.strerror}") from None
    except ValueError:
        raise UsageError("--patch is not JSON.") from None
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise UsageError('--patch is not a list of operations, such as [{"op": "replace", …}].')
    return operations
