"""What the operator that clears tasks selects, and the table that it returns: what became of each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_sptasks.client.clearing import ClearOutcome, ClearResult
from airflow_provider_sptasks.client.models import TaskStatus


def mismatch_of(
    status: TaskStatus,
    selectors: Mapping[str, Sequence[str]],
    older_than: timedelta | None,
    now: datetime,
) -> str | None:
    """
    Say by which selector a pending task is not selected.

    :param status: the task
    :param selectors: ids of sources as ``source_id`` and names of tasks as ``unique_name``, as far as given
    :param older_than: how long ago it must have been launched; ``None`` for any time
    :param now: the time, aware, by the tenant's clock
    :return: the reason, for a person; ``None`` if it is selected
    """
    for name, value in (("source_id", status.source_id), ("unique_name", status.unique_name)):
        wanted = [each.casefold() for each in selectors.get(name, [])]
        if name in selectors and (value or "").casefold() not in wanted:
            return f"its {name} is {value!r}"
    if older_than is not None:
        started = status.launched or status.created
        if started is None:
            return "it doesn't say when it was launched"
        if now - started <= older_than:
            return f"it was launched at {started.isoformat(timespec='seconds')}"
    return None


def table_of(results: Sequence[ClearResult], *, dry_run: bool) -> dict[str, Any]:
    """
    Make the table, as plain JSON.

    :param results: what became of each task
    :param dry_run: whether nothing was to be cleared
    :return: ``dry_run``, and for each outcome the list of its tasks
    """
    table: dict[str, Any] = {"dry_run": dry_run}
    table |= {outcome.value: [] for outcome in ClearOutcome}
    for each in results:
        table[each.outcome.value].append(_row(each))
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
