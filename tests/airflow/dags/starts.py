"""Aggregations that are started by tasks whose worker dies, or that a user kills."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Context, Param

from airflow_provider_sptasks.operators.sailpoint import SailPointStartAggregationOperator

TASKS: dict[str, dict[str, Any]] = {
    "dies_before": {},
    "dies_after": {},
    "deferred": {"deferrable": True, "clear_on_kill": True},
    "worker": {"clear_on_kill": True},
    "runs": {},
}


class Store:
    """The task's state store, and the death of its worker when it is to keep an id."""

    def __init__(self, store: Any, keep: bool) -> None:
        self._store = store
        self._keep = keep
        self.get, self.delete = store.get, store.delete

    def set(self, key: str, value: Any, **kwargs: Any) -> None:
        if value["task_status_id"] is None or self._keep:
            self._store.set(key, value, **kwargs)
        if value["task_status_id"] is not None:
            os.kill(os.getpid(), signal.SIGKILL)


class Mortal(SailPointStartAggregationOperator):
    """Dies in its first try, before or after it has kept the id of what it started."""

    def execute(self, context: Context) -> Any:
        if context["ti"].try_number == 1:
            store: Any = Store(context["task_state_store"], keep=self.task_id == "dies_after")
            context["task_state_store"] = store
        return super().execute(context)


with DAG(
    "starts",
    schedule=None,
    params={"prefix": Param("", type="string"), "sailpoint_conn_id": Param("", type="string")},
):
    for task_id, arguments in TASKS.items():
        (Mortal if task_id.startswith("dies") else SailPointStartAggregationOperator)(
            task_id=task_id,
            source_name=f"{{{{ params.prefix }}}} {task_id}",
            sailpoint_conn_id="{{ params.sailpoint_conn_id }}",
            poke_interval=2,
            retries=2,
            retry_delay=timedelta(seconds=1),
            **arguments,
        )
