"""
Start an aggregation, wait until it has ended, and load what it brought.

Needs the connection ``sailpoint_default`` with the scope ``idn:sources:manage``. Trigger it with
``{"source_name": "<name of the source>"}``. While another aggregation of the source runs, the task waits for
that one first. However often it is retried, it starts one aggregation.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_sptasks.operators.sailpoint import SailPointStartAggregationOperator

with DAG(
    dag_id="sailpoint_start_and_wait",
    schedule=None,
    params={"source_name": Param(type="string", description="Name of the source to aggregate")},
    tags=["sailpoint", "example"],
    doc_md=__doc__,
):
    aggregate = SailPointStartAggregationOperator(
        task_id="aggregate",
        source_name="{{ params.source_name }}",
        deferrable=True,
        poke_interval=5,
        timeout=timedelta(hours=6),
        retries=3,
    )

    @task
    def load(status: dict[str, Any]) -> str:
        """Stand in for the job that needs fresh data."""
        summary = f"{status['target']['name']}: {status['attributes'].get('total')} accounts"
        print(summary)  # noqa: T201 - shows in the task's log
        return summary

    load(aggregate.output)
