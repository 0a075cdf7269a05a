"""
Gate a job on an aggregation whose task id another task finds out.

Needs the connection ``sailpoint_default``. ``newest_aggregation`` asks the tenant for the newest account
aggregation of a source and returns its id; the sensor takes it as an XCom.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor

with DAG(
    dag_id="sailpoint_gate_by_xcom",
    schedule=None,
    params={"source_id": Param(type="string", description="SailPoint's id of the source")},
    tags=["sailpoint", "example"],
    doc_md=__doc__,
):

    @task
    def newest_aggregation(params: dict[str, str]) -> str:
        """Return the id of the source's newest account aggregation."""
        from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

        tasks = SailPointHook().client.list(source_ids=[params["source_id"]], sorters="-created")
        return next(each.id for each in tasks if each.kind == "accounts")

    gate = SailPointTaskSensor(
        task_id="wait_for_aggregation",
        task_status_id=newest_aggregation(),
        mode="reschedule",
        poke_interval=60,
        timeout=timedelta(hours=6),
    )

    @task
    def load() -> None:
        """Stand in for the job that needs fresh data."""

    gate >> load()
