"""Aggregations that are started by tasks whose worker dies, or that a user kills."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Context, Param

from airflow_provider_sptasks.client.intent import Intent
from airflow_provider_sptasks.operators._retry_state import RetryState
from airflow_provider_sptasks.operators.sailpoint import SailPointStartAggregationOperator

TASKS: dict[str, dict[str, Any]] = {
    "dies_before": {},
    "dies_after": {},
    "deferred": {"deferrable": True, "clear_on_kill": True},
    "worker": {"clear_on_kill": True},
    "runs": {},
}


class Mortal(SailPointStartAggregationOperator):
    """Dies in its first try, before or after it has kept the id of what it started."""

    def execute(self, context: Context) -> Any:
        if context["ti"].try_number == 1:
            keep, note = self.task_id == "dies_after", RetryState.note

            def note_and_die(self: RetryState, intent: Intent | None) -> None:
                has_started = intent is not None and intent.task_status_id is not None
                if keep or not has_started:
                    note(self, intent)
                if has_started:
                    os.kill(os.getpid(), signal.SIGKILL)

            RetryState.note = note_and_die  # type: ignore[method-assign]
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
