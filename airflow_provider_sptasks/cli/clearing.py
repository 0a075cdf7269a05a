"""The verb that clears pending tasks: selects and clears as the operator does, with a preview in between."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_sptasks.arguments import check_clearing_status, check_text, texts
from airflow_provider_sptasks.cli.codes import ExitCode
from airflow_provider_sptasks.cli.printing import note, print_records
from airflow_provider_sptasks.cli.session import Session, SignalledError, UsageError
from airflow_provider_sptasks.cli.tasks import task_row
from airflow_provider_sptasks.client.clearing import Clearing, ClearOutcome, ClearResult
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.selecting import Selected, Selectors, select
from airflow_provider_sptasks.operators._clear_table import counts, table_of

if TYPE_CHECKING:
    from airflow_provider_sptasks.operators._interruptible import Interruptible


def clear(options: argparse.Namespace) -> ExitCode:
    """Clear pending tasks."""
    selectors = _selectors(options)
    status = check_clearing_status(
        options.completion_status, "--completion-status", options.allow_success, "give --allow-success"
    )
    session = Session(options)
    selected = select(session.client, selectors)
    _explain(selected, selectors, session.client.transport.clock.difference)
    if len(selected.tasks) > options.max_tasks:
        raise UsageError(
            f"{len(selected.tasks)} pending tasks match, which is more than --max-tasks {options.max_tasks}, "
            "so none was cleared. Select fewer, or raise it."
        )
    if options.dry_run:
        preview = [ClearResult(task.id, ClearOutcome.WOULD_CLEAR, task) for task in selected.tasks]
        return _report([*selected.settled, *preview], selected, options)
    if not selected.tasks:
        return _report(selected.settled, selected, options)
    if not options.yes:
        _preview(selected, session.client.transport.clock.now())
    session.confirm(f"{len(selected.tasks)} pending tasks get the status {status}.")
    results: list[ClearResult] = []

    def work(interruptible: Interruptible) -> None:
        Clearing(session.client, completion_status=status, stop=interruptible.event, note=results.append).run(
            selected.tasks
        )

    try:
        session.uninterrupted(work)
    except SignalledError:
        _report([*selected.settled, *results], selected, options)
        done = {result.task_status_id for result in results}
        left = [task.id for task in selected.tasks if task.id not in done]
        note(f"Stopped: {len(results)} tasks are settled, listed above. Left as they were: {len(left)}.")
        raise
    return _report([*selected.settled, *results], selected, options)


def _selectors(options: argparse.Namespace) -> Selectors:
    selectors = Selectors(
        task_status_ids=texts(options.task_id, "TASK_ID", check_id) or None,
        source_ids=options.source_id and texts(options.source_id, "--source-id", check_id),
        unique_names=options.unique_name and texts(options.unique_name, "--unique-name", check_text),
        older_than=options.older_than,
        stuck_factor=options.stuck_factor,
    )
    if selectors == Selectors():
        raise UsageError(
            "No selector is given, so every pending task would be cleared. Give ids, --source-id, "
            "--unique-name, --older-than or --stuck-factor."
        )
    return selectors


def _explain(selected: Selected, selectors: Selectors, difference: str) -> None:
    if selectors.by_age and difference:
        note(f"Ages are by the tenant's clock, which differs from this machine's: {difference}")
    for task, why in selected.passed_over:
        if selectors.task_status_ids is not None or task.id in selected.ages:
            note(f"not selected: {task}: {why}")


def _preview(selected: Selected, now: datetime) -> None:
    for task in selected.tasks:
        row = task_row(task, now)
        usual = selected.ages[task.id].usual if task.id in selected.ages else None
        usually = "" if usual is None else f", usually {timedelta(seconds=round(usual.total_seconds()))}"
        running = row["took"]
        took = (
            f"running for {timedelta(seconds=round(running.total_seconds()))}"
            if isinstance(running, timedelta)
            else "not launched"
        )
        note(f"would clear: {task}: {took}{usually}")


def _report(results: list[ClearResult], selected: Selected, options: argparse.Namespace) -> ExitCode:
    table = table_of(results, dry_run=options.dry_run, ages=selected.ages)
    records: list[dict[str, Any]] = [
        {"outcome": outcome.value} | row for outcome in ClearOutcome for row in table[outcome.value]
    ]
    rows = [
        {
            "outcome": record["outcome"],
            "id": record["id"],
            "source": record["source"],
            "task": record["uniqueName"],
            "launched": record["launched"],
            **_age(record),
            "status": record["completionStatus"],
            "error": record.get("error"),
        }
        for record in records
    ]
    print_records(records, rows, options.output)
    note(f"Result: {counts(table)}")
    if table[ClearOutcome.NOT_FOUND.value]:
        return ExitCode.NOT_FOUND
    return ExitCode.FAILED if table[ClearOutcome.FAILED.value] else ExitCode.OK


def _age(record: dict[str, Any]) -> dict[str, object]:
    if "running" not in record:
        return {}
    return {name: record[name] and timedelta(seconds=record[name]) for name in ("running", "usual")}
