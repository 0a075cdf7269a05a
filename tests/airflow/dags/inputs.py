"""Sensors in every mode that get from other tasks, or by a source's name, what they wait for."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor, SailPointTaskSensor
from tests.airflow.dags.gates import MODES

PARAMS = ("first_id", "second_id", "source_name", "sailpoint_conn_id")

with DAG("inputs", schedule=None, params={name: Param("", type="string") for name in PARAMS}):

    @task
    def start(first_id: str, second_id: str) -> list[str]:
        return [first_id, second_id]

    started = start("{{ params.first_id }}", "{{ params.second_id }}")
    for mode, arguments in MODES.items():
        started >> SailPointTaskSensor(
            task_id=f"ids_{mode}",
            task_status_id=[
                f"{{{{ ti.xcom_pull(task_ids='start', map_indexes=-1)[{number}] }}}}" for number in range(2)
            ],
            sailpoint_conn_id="{{ params.sailpoint_conn_id }}",
            **arguments,
        )
        SailPointAggregationSensor(
            task_id=f"source_{mode}",
            source_name="{{ params.source_name }}",
            launched_after="2020-01-01T00:00:00+00:00",
            sailpoint_conn_id="{{ params.sailpoint_conn_id }}",
            **arguments,
        )
