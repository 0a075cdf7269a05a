"""What tests need of Airflow, wherever the version that they run on has it."""

from __future__ import annotations

from typing import Any

import airflow
from packaging.version import Version

AIRFLOW = Version(airflow.__version__)
AIRFLOW_3_3 = Version("3.3.0") <= AIRFLOW

if Version("3.2.0") <= AIRFLOW:
    from airflow.sdk.exceptions import (
        AirflowFailException,
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        TaskDeferred,
    )
else:
    from airflow.exceptions import (  # type: ignore[no-redef]
        AirflowFailException,
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        TaskDeferred,
    )

__all__ = [
    "AIRFLOW",
    "AIRFLOW_3_3",
    "AirflowFailException",
    "AirflowRescheduleException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "TaskDeferred",
    "dag_serialization",
]


def dag_serialization() -> Any:
    """The class that serializes DAGs."""
    from airflow.serialization import serialized_objects

    older = getattr(serialized_objects, "SerializedDAG", None)
    return getattr(serialized_objects, "DagSerialization", older)
