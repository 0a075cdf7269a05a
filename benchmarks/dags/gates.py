"""Many gates, each for one task of SailPoint: as many DAGs of ten as it takes."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, BaseOperator

KIND = os.environ["GATES_KIND"]
IN_A_DAG = 10
POKE_INTERVAL = 10


def gate(number: int) -> BaseOperator:
    task_id, task_status_id = f"gate{number}", f"{number:032x}"
    if KIND in ("zero-worker", "deferrable"):
        from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor

        zero: dict[str, Any] = {"start_from_trigger": True} if KIND == "zero-worker" else {}
        return SailPointTaskSensor(
            task_id=task_id,
            task_status_id=task_status_id,
            deferrable=True,
            poke_interval=POKE_INTERVAL,
            **zero,
        )
    from airflow.providers.http.sensors.http import HttpSensor

    sensor: BaseOperator = HttpSensor(
        task_id=task_id,
        http_conn_id="tenant",
        endpoint=f"task-status/v1/{task_status_id}",
        headers={"Authorization": "Bearer {{ conn.tenant.password }}"},
        deferrable=KIND == "http",
        mode="poke" if KIND == "http" else "reschedule",
        poke_interval=POKE_INTERVAL if KIND == "http" else 60,
    )
    return sensor


for first in range(0, int(os.environ["GATES"]), IN_A_DAG):
    with DAG(f"gates{first}", schedule=None, max_active_tasks=1000):
        for each in range(first, first + IN_A_DAG):
            gate(each)
