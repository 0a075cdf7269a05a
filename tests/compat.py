"""What tests need of Airflow, wherever the version that they run on has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.sdk import DAG
from packaging.version import Version

AIRFLOW = Version(airflow.__version__)
AIRFLOW_3_2 = Version("3.2.0") <= AIRFLOW
AIRFLOW_3_3 = Version("3.3.0") <= AIRFLOW

if AIRFLOW_3_2:
    from airflow.sdk.exceptions import (
        AirflowFailException,
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        TaskDeferred,
    )
else:
    from airflow.exceptions import (  # type: ignore[no-redef]
        AirflowFailException,
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        TaskDeferred,
    )

BEFORE_3_3 = (
    "Before Airflow 3.3 nothing starts or ends in the triggerer, shares a stream or has a state store."
)
needs_airflow_3_3 = pytest.mark.skipif(not AIRFLOW_3_3, reason=BEFORE_3_3)
"""For what only Airflow 3.3 has; where earlier ones do it otherwise, a test has a value for both."""

__all__ = [
    "AIRFLOW",
    "AIRFLOW_3_2",
    "AIRFLOW_3_3",
    "BEFORE_3_3",
    "AirflowFailException",
    "AirflowRescheduleException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "TaskDeferred",
    "dag_bag",
    "get_task_listener_manager",
    "needs_airflow_3_3",
    "serialized",
]


def serialized(dag: DAG) -> Any:
    """A DAG as the scheduler and the triggerer have it."""
    from airflow.serialization import serialized_objects

    older = getattr(serialized_objects, "SerializedDAG", None)
    serialization: Any = getattr(serialized_objects, "DagSerialization", older)
    return serialization.from_dict(serialization.to_dict(dag))


def dag_bag(folder: Path) -> Any:
    """The DAGs of a folder, as Airflow's DAG processor reads them."""
    if AIRFLOW_3_2:
        from airflow.dag_processing.dagbag import DagBag
    else:
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]

    return DagBag(dag_folder=str(folder))


def get_task_listener_manager() -> Any:
    """What calls plugins that listen to tasks."""
    if AIRFLOW_3_2:
        from airflow.sdk.listener import get_listener_manager
    else:
        from airflow.listeners.listener import get_listener_manager  # type: ignore[assignment]

    return get_listener_manager()
