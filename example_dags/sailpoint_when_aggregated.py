"""
Start a DAG when aggregations complete, with no sensor and no schedule of its own.

Needs the connection ``sailpoint_default``. The asset is updated whenever account aggregations of any source
complete with success or a warning; name sources with ``source_id=`` or ``source_name=``. What completed at
about the same time comes together, so the DAG works through a list.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_sptasks.assets import aggregation_completed, completed_aggregations
from airflow_provider_sptasks.client import TaskStatusDict

accounts = Asset(name="sailpoint_accounts", watchers=[aggregation_completed("*", kind="accounts")])

with DAG(
    dag_id="sailpoint_when_aggregated", schedule=[accounts], tags=["sailpoint", "example"], doc_md=__doc__
):

    @task
    def what_is_fresh(triggering_asset_events: Any = None) -> list[TaskStatusDict]:
        """Return the aggregations that started this run."""
        return completed_aggregations(triggering_asset_events)

    @task
    def load(aggregation: TaskStatusDict) -> str:
        """Stand in for the job that needs the fresh accounts of this source."""
        counters = aggregation["attributes"]
        return (
            f"{aggregation['target']['name']}: {counters.get('total')} accounts at {aggregation['completed']}"
        )

    load.expand(aggregation=what_is_fresh())
