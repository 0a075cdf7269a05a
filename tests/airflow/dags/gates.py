"""Gates in every mode, for whatever may happen to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, Param, task

from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "poke_interval": 3},
    "reschedule": {"mode": "reschedule", "poke_interval": 20},
    "deferrable": {"deferrable": True, "end_from_trigger": False},
    "zero_worker": {"deferrable": True, "start_from_trigger": True},
}
# Long enough for a scheduler that is slow to notice that a task was deferred: see settle() in conftest.py.
TIMEOUT = 25.0
PARAMS = {name: Param("", type="string") for name in ("task_status_id", "bad_id", "sailpoint_conn_id")}


def gate(task_id: str, mode: str, which: str = "task_status_id", **arguments: Any) -> SailPointTaskSensor:
    return SailPointTaskSensor(
        task_id=f"{task_id}_{mode}",
        task_status_id=f"{{{{ params.{which} }}}}",
        sailpoint_conn_id="{{ params.sailpoint_conn_id }}",
        not_found_grace=TIMEOUT,
        retries=5,
        retry_delay=timedelta(seconds=5),
        **(MODES[mode] | arguments),
    )


def write_down(kind: str) -> Callable[[Any], None]:
    """What is called when a gate ends leaves a file behind."""

    def callback(context: Any) -> None:
        ti = context["ti"]
        (Path(os.environ["CALLBACKS"]) / f"{kind} {ti.task_id} {ti.run_id}").touch()

    return callback


with DAG("gates", schedule=None, params=PARAMS):

    @task
    def read(statuses: dict[str, Any]) -> dict[str, Any]:
        for status in statuses.values():
            assert isinstance(status, dict)
            assert status["completionStatus"] == "SUCCESS"
        return statuses

    read({mode: gate("wait", mode).output for mode in MODES})

with DAG("mapped", schedule=None, params=PARAMS):
    SailPointTaskSensor.partial(
        task_id="gate",
        sailpoint_conn_id="{{ params.sailpoint_conn_id }}",
        deferrable=True,
        start_from_trigger=True,
    ).expand(task_status_id=["{{ params.task_status_id }}", "{{ params.bad_id }}"])

with DAG("timeouts", schedule=None, params=PARAMS):
    for mode in MODES:
        gate("fail", mode, timeout=TIMEOUT)
        gate("skip", mode, timeout=TIMEOUT, soft_fail=True)

with DAG("aftermath", schedule=None, params=PARAMS):
    for mode in MODES:
        called: dict[str, Any] = {
            f"on_{kind}_callback": write_down(kind) for kind in ("success", "failure", "skipped")
        }
        gate("open", mode, outlets=[Asset(f"sailpoint_{mode}")], **called)
        gate("fail", mode, "bad_id", **called)
        gate("skip", mode, "bad_id", soft_fail=True, **called)
