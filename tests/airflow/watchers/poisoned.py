"""Fifty sensors and a watcher on a tenant whose records are all odd."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_sptasks.assets import aggregation_completed
from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor, SailPointTaskSensor

BY_ID, BY_SOURCE = range(40), range(40, 50)
IDS = {number: f"{number:032x}" for number in (*BY_ID, *BY_SOURCE)}
SOURCES = {number: f"{number:032d}" for number in (*BY_ID, *BY_SOURCE)}

with DAG("poisoned", schedule=None):
    common: dict[str, Any] = {
        "sailpoint_conn_id": "poisoned",
        "deferrable": True,
        "start_from_trigger": True,
        "retries": 0,
    }
    for number in BY_ID:
        SailPointTaskSensor(task_id=f"gate_{number}", task_status_id=IDS[number], **common)
    for number in BY_SOURCE:
        SailPointAggregationSensor(
            task_id=f"gate_{number}",
            source_id=SOURCES[number],
            launched_after="2020-01-01T00:00:00+00:00",
            **common,
        )

watcher = aggregation_completed("*", kind="any", sailpoint_conn_id="poisoned", poke_interval=1)

with DAG("poisoned_events", schedule=[Asset("poisoned", watchers=[watcher])], max_active_runs=1):

    @task
    def ran() -> None:
        """There is nothing to do."""

    ran()
