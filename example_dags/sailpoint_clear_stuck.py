"""
Clear account aggregations that are stuck, every night, so that they don't block the next ones.

Needs the connection ``sailpoint_default`` with a personal access token of a user who has the scope
``idn:task-management:write``. Clearing corrects the tenant's record; it does not stop the work. Trigger it
with ``{"dry_run": true}`` to see what it would clear: the first task shows that in any case, and the second
one is skipped then.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_sptasks.operators.sailpoint import SailPointClearPendingTasksOperator

STUCK: dict[str, Any] = {
    "unique_name": "Cloud Account Aggregation",
    "older_than": timedelta(days=1),
    "max_tasks": 20,
}

with DAG(
    dag_id="sailpoint_clear_stuck_aggregations",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={"dry_run": Param(False, type="boolean", description="Only report what would be cleared")},
    tags=["sailpoint", "example"],
    doc_md=__doc__,
):
    preview = SailPointClearPendingTasksOperator(task_id="preview", dry_run=True, **STUCK)

    @task.short_circuit
    def shall_clear(params: dict[str, bool]) -> bool:
        """Go on unless this is a dry run."""
        return not params["dry_run"]

    clear = SailPointClearPendingTasksOperator(task_id="clear", **STUCK)

    preview >> shall_clear() >> clear
