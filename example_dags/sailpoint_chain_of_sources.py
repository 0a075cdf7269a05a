"""
Aggregate sources in the order in which they depend on each other: HR, then Active Directory, then the rest.

Needs the connection ``sailpoint_default`` with the scopes ``idn:sources:manage`` and, for the names,
``idn:sources:read``. HR decides who there is, so everything waits for it. The rest runs at the same time,
each source on its own, and the report runs when all of them have ended. A source that is being aggregated
when its turn comes, as by SailPoint's own schedule, is waited for and aggregated after that.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_sptasks.operators.sailpoint import SailPointStartAggregationOperator

REST = ["Entra ID", "SAP", "Salesforce"]
HOW: dict[str, Any] = {"deferrable": True, "poke_interval": 5, "timeout": timedelta(hours=6), "retries": 3}

with DAG(
    dag_id="sailpoint_chain_of_sources",
    schedule="0 1 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["sailpoint", "example"],
    doc_md=__doc__,
):
    hr = SailPointStartAggregationOperator(task_id="hr", source_name="HR", **HOW)
    active_directory = SailPointStartAggregationOperator(
        task_id="active_directory", source_name="Active Directory", **HOW
    )
    rest = SailPointStartAggregationOperator.partial(task_id="rest", **HOW).expand(source_name=REST)

    @task
    def report(statuses: list[dict[str, Any]]) -> list[str]:
        """Stand in for the job that needs all of them."""
        return [status["target"]["name"] for status in statuses]

    hr >> active_directory >> rest
    report(rest.output)
