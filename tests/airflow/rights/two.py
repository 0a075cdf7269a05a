"""Two DAGs in each of which a task waits; a role of FAB's may see the first one only."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor

ROLE = "One DAG"
ACCESS: dict[str, dict[str, Any]] = {
    "seen": {"access_control": {ROLE: {"DAGs": {"can_read"}}}},
    "unseen": {},
}

for dag_id, arguments in ACCESS.items():
    with DAG(dag_id, schedule=None, params={"task_status_id": Param("", type="string")}, **arguments):
        SailPointTaskSensor(
            task_id="gate",
            task_status_id="{{ params.task_status_id }}",
            deferrable=True,
            start_from_trigger=True,
        )
