"""What an Airflow task gets from its runner, as far as this package uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from airflow.sdk import Context
from airflow.sdk.execution_time import task_runner
from airflow.triggers.base import BaseTrigger


@dataclass
class TaskInstance:
    """Keeps XComs, and remembers when the task was first rescheduled."""

    first_reschedule: datetime | None = None
    xcoms: dict[str, Any] = field(default_factory=dict)

    def get_first_reschedule_date(self, context: Context) -> datetime | None:
        return self.first_reschedule

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


def context(ti: TaskInstance | None = None) -> Context:
    return cast(Context, {"ti": ti or TaskInstance()})


@contextmanager
def triggerer(
    trigger: BaseTrigger, refusal: Exception | None = None, task: object = None
) -> Iterator[dict[str, Any]]:
    """
    Be what runs a trigger, as far as this package uses it; gives the XComs that the trigger sets.

    A real triggerer is in ``tests/airflow``.

    :param refusal: what setting an XCom raises
    :param task: what the serialized DAG has of the operator, where the trigger starts a task
    """
    xcoms: dict[str, Any] = {}

    def send(message: Any) -> None:
        if refusal is not None:
            raise refusal
        assert (message.dag_id, message.task_id, message.run_id) == ("dag", "gate", "run")
        assert message.map_index == -1
        xcoms[message.key] = message.value

    ti = SimpleNamespace(dag_id="dag", task_id="gate", run_id="run", map_index=-1)
    if task is not None:
        ti.task = task
    trigger.trigger_id = 1
    trigger.task_instance = cast(Any, ti)
    with mock.patch.object(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=send), create=True):
        yield xcoms
