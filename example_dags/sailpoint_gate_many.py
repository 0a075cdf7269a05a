"""
Gate jobs on several aggregations: each on its own, and one on all of them.

Needs the connection ``sailpoint_default``. With dynamic task mapping every aggregation has a sensor of its
own, and what follows it starts as soon as that one succeeds. One sensor with a list succeeds when all of them
have ended, and asks for all of them in one request.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task, task_group

from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor

with DAG(dag_id="sailpoint_gate_many", schedule=None, tags=["sailpoint", "example"], doc_md=__doc__):

    @task
    def running_aggregations() -> list[str]:
        """Return the ids of the account aggregations that were launched today and have not ended."""
        from datetime import UTC, datetime

        from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

        since = datetime.now(UTC) - timedelta(days=1)
        pending = SailPointHook().client.pending()
        return [
            each.id for each in pending if each.kind == "accounts" and each.launched and each.launched > since
        ]

    @task_group
    def each(task_status_id: str) -> None:
        """Wait for one aggregation, then load what it brought."""
        gate = SailPointTaskSensor(
            task_id="wait", task_status_id=task_status_id, poke_interval=5, timeout=timedelta(hours=6)
        )

        @task
        def load(status: dict[str, Any]) -> str:
            """Stand in for the job that needs this source's fresh data."""
            return str(status["target"]["name"])

        load(gate.output)

    ids = running_aggregations()
    each.expand(task_status_id=ids)

    wait_for_all = SailPointTaskSensor(
        task_id="wait_for_all",
        task_status_id=ids,
        mode="reschedule",
        poke_interval=10,
        timeout=timedelta(hours=6),
    )

    @task
    def report(statuses: list[dict[str, Any]]) -> int:
        """Stand in for the job that needs all of them."""
        return len(statuses)

    report(wait_for_all.output)
