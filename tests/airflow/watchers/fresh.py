"""A DAG that starts when aggregations complete."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_sptasks.assets import aggregation_completed, completed_aggregations

nothing = aggregation_completed(source_name="No such source", sailpoint_conn_id="watched", poke_interval=1)
every = aggregation_completed("*", kind="any", sailpoint_conn_id="watched", poke_interval=1)
accounts = aggregation_completed("*", sailpoint_conn_id="watched", poke_interval=1)

with DAG(dag_id="fresh_nothing", schedule=[Asset("nothing", watchers=[nothing])], max_active_runs=1):

    @task
    def never() -> None:
        """No aggregation of that source completes."""

    never()

with DAG(dag_id="fresh", schedule=[Asset("every", watchers=[every])], max_active_runs=1):

    @task
    def read(triggering_asset_events: Any = None) -> list[str]:
        return [each["id"] for each in completed_aggregations(triggering_asset_events)]

    read()

# A second watcher of the connection, which shares the first one's polls.
with DAG(dag_id="fresh_accounts", schedule=[Asset("accounts", watchers=[accounts])], max_active_runs=1):

    @task
    def count(triggering_asset_events: Any = None) -> int:
        return len(completed_aggregations(triggering_asset_events))

    count()
