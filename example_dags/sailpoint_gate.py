"""
Gate a job on an aggregation whose task id is given when the DAG is triggered.

Needs the connection ``sailpoint_default`` (see the README, or start the emulator and export what its first
line says). Trigger it with ``{"task_status_id": "<id of the task>"}``: the sensor waits until the task's
``completionStatus`` is set, and ``load`` runs if it is SUCCESS or WARNING.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor

with DAG(
    dag_id="sailpoint_gate",
    schedule=None,
    params={"task_status_id": Param(type="string", description="SailPoint's id of the task to wait for")},
    tags=["sailpoint", "example"],
    doc_md=__doc__,
):
    gate = SailPointTaskSensor(
        task_id="wait_for_aggregation",
        task_status_id="{{ params.task_status_id }}",
        poke_interval=2,
        timeout=timedelta(hours=6),
    )

    @task
    def load(status: dict[str, Any]) -> str:
        """Stand in for the job that needs fresh data."""
        summary = (
            f"{status['target']['name']} is fresh: {status['completionStatus']} at {status['completed']}"
        )
        print(summary)  # noqa: T201 - shows in the task's log
        return summary

    load(gate.output)
