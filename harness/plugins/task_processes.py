"""An Airflow plugin that writes down each process that runs a task: it calls listeners when it begins."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


@hookimpl
def on_task_instance_running(task_instance: Any) -> None:
    """
    Write it down.

    :param task_instance: what the process runs.
    """
    names = ("dag_id", "run_id", "task_id", "map_index", "try_number")
    line = {name: getattr(task_instance, name) for name in names} | {"pid": os.getpid()}
    with open(os.environ["HARNESS_TASK_PROCESSES"], "a") as file:  # noqa: PTH123 - one write, in append mode
        file.write(json.dumps(line) + "\n")


class TaskProcesses(AirflowPlugin):
    """Makes this module a listener."""

    name = "harness_task_processes"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - Airflow's own interface
