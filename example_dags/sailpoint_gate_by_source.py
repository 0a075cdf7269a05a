"""
Let the nightly job run when last night's aggregations of its sources have ended.

Needs the connection ``sailpoint_default`` (see the README, or start the emulator and export what its first
line says), whose credentials may read sources. SailPoint aggregates the sources on its own schedule, some
time in the night. The run of 06:00 waits for those launched in the 24 hours before it, in the triggerer and
with no process on a worker, and then ``load`` gets what they counted.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor

with DAG(
    dag_id="sailpoint_gate_by_source",
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"source": Param("Active Directory", type="string", description="The name of the source")},
    tags=["sailpoint", "example"],
    doc_md=__doc__,
):
    gate = SailPointAggregationSensor(
        task_id="wait_for_aggregation",
        source_name=["{{ params.source }}", "Workday"],
        deferrable=True,
        start_from_trigger=True,
        poke_interval=5,
        timeout=timedelta(hours=3),
    )

    @task
    def load(statuses: list[dict[str, Any]]) -> dict[str, int]:
        """Stand in for the job that needs fresh data."""
        return {status["target"]["name"]: status["attributes"]["total"] for status in statuses}

    load(gate.output)
