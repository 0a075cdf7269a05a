"""
Clear what is stuck of a source, then start its aggregation, wait for it, and load what it brought.

SailPoint starts no aggregation of a source while another one runs, or seems to: one that is stuck blocks
those that come after it. Needs the connection ``sailpoint_default`` with a personal access token of a user
who has the scopes ``idn:task-management:write`` and ``idn:sources:manage``. Trigger it with
``{"source_id": "<id of the source>"}``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_sptasks.operators.sailpoint import (
    SailPointClearPendingTasksOperator,
    SailPointStartAggregationOperator,
)

with DAG(
    dag_id="sailpoint_clear_then_start",
    schedule=None,
    params={"source_id": Param(type="string", description="SailPoint's id of the source to aggregate")},
    tags=["sailpoint", "example"],
    doc_md=__doc__,
):
    clear = SailPointClearPendingTasksOperator(
        task_id="clear_stuck",
        source_id="{{ params.source_id }}",
        older_than=timedelta(days=1),
    )

    aggregate = SailPointStartAggregationOperator(
        task_id="aggregate",
        source_id="{{ params.source_id }}",
        if_running="wait",
        deferrable=True,
        poke_interval=5,
        timeout=timedelta(hours=6),
    )

    @task
    def load(status: dict[str, Any]) -> str:
        """Stand in for the job that needs fresh data."""
        return f"{status['target']['name']} is fresh: {status['completionStatus']} at {status['completed']}"

    clear >> aggregate
    load(aggregate.output)
