"""Many gates, each for one task of SailPoint, in as many DAGs as it takes."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from airflow.sdk import DAG, BaseHook, BaseOperator

KIND = os.environ["GATES_KIND"]
IN_A_DAG = int(os.environ["GATES_IN_A_DAG"])
# For HttpSensor also as often as the limit allows.
POKE_INTERVAL = {"http": 30, "sdk": 60}.get(KIND, 10)


def has_ended(task_status_id: str) -> bool:
    """Ask with SailPoint's SDK, as its documentation shows it."""
    sys.path.append(os.environ["SDK_PACKAGES"])  # after Airflow's, as if it were installed with them
    connection = BaseHook.get_connection("sailpoint_default")
    configuration = import_module("sailpoint.configuration")
    parameters = configuration.ConfigurationParams()
    parameters.base_url = f"{connection.host}:{connection.port}"
    parameters.client_id = connection.login
    parameters.client_secret = connection.password
    settings = configuration.Configuration(parameters)
    settings.experimental = True
    package = import_module("sailpoint.task_management")
    status = package.TaskManagementApi(package.ApiClient(settings)).get_task_status_v1(task_status_id)
    return status.completion_status is not None


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
    if KIND == "sdk":
        from airflow.providers.standard.sensors.python import PythonSensor

        return PythonSensor(
            task_id=task_id,
            python_callable=has_ended,
            op_args=[task_status_id],
            mode="reschedule",
            poke_interval=POKE_INTERVAL,
        )
    from airflow.providers.http.sensors.http import HttpSensor

    sensor: BaseOperator = HttpSensor(
        task_id=task_id,
        http_conn_id="tenant",
        endpoint=f"task-status/v1/{task_status_id}",
        headers={"Authorization": "Bearer {{ conn.tenant.password }}"},
        deferrable=True,
        poke_interval=POKE_INTERVAL,
    )
    return sensor


for first in range(0, int(os.environ["GATES"]), IN_A_DAG):
    with DAG(f"gates{first}", schedule=None, max_active_tasks=1000):
        for each in range(first, first + IN_A_DAG):
            gate(each)
