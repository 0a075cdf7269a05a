"""What the operator that clears tasks selects, and the table that it returns: what became of each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_sptasks.client.clearing import ClearOutcome, ClearResult
from airflow_provider_sptasks.client.selecting import Age


def table_of(
    results: Sequence[ClearResult], *, dry_run: bool, ages: Mapping[str, Age] | None = None
) -> dict[str, Any]:
    """
    Make the table, as plain JSON.

    :param results: what became of each task
    :param dry_run: whether nothing was to be cleared
    :param ages: how long tasks have run and usually do, by their ids, where that was asked for
    :return: ``dry_run``, and for each outcome the list of its tasks
    """
    table: dict[str, Any] = {"dry_run": dry_run}
    table |= {outcome.value: [] for outcome in ClearOutcome}
    for each in results:
        table[each.outcome.value].append(_row(each) | _age((ages or {}).get(each.task_status_id)))
    return table


def counts(table: Mapping[str, Any]) -> str:
    """
    Say for a person how many tasks each outcome had.

    :param table: made by :func:`table_of`
    """
    return ", ".join(f"{len(table[outcome])} {outcome.replace('_', ' ')}" for outcome in ClearOutcome)


def _row(result: ClearResult) -> dict[str, Any]:
    status = result.status
    fields = status.to_json() if status else None
    row = {
        "id": result.task_status_id,
        "uniqueName": fields and fields["uniqueName"],
        "source": status and status.source_name,
        "launched": fields and fields["launched"],
        "completionStatus": fields and fields["completionStatus"],
    }
    return row | {"error": result.error} if result.error else row


def _age(age: Age | None) -> dict[str, Any]:
    if age is None:
        return {}
    usual = None if age.usual is None else round(age.usual.total_seconds())
    return {"running": round(age.running.total_seconds()), "usual": usual}
