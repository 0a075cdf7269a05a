"""The modes of a sensor, and how Airflow runs it in each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_sptasks.sensors._base import SailPointSensor
from tests.compat import AIRFLOW_3_3, AirflowRescheduleException, TaskDeferred
from tests.context import TaskInstance, context, triggerer

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True, "end_from_trigger": False},
    "ends in the triggerer": {"deferrable": True, "end_from_trigger": True},
    "zero-worker": {"deferrable": True, "start_from_trigger": True},
}


def run(mode: str, make: Callable[[], SailPointSensor]) -> Any:
    """Run a sensor to its end; in reschedule mode each poll is a new object, as it is a new process."""
    if mode == "poke":
        return make().execute(context())
    if mode == "zero-worker" and AIRFLOW_3_3:  # before, it starts on a worker
        return started_in_the_triggerer(make)
    if MODES[mode].get("deferrable"):
        return deferred(make)
    ti = TaskInstance()
    while True:
        started = datetime.now(UTC)
        try:
            return make().execute(context(ti))
        except AirflowRescheduleException as again:
            ti.first_reschedule = ti.first_reschedule or started
            time.sleep(max(0.0, (again.reschedule_date - datetime.now(UTC)).total_seconds()))


def deferred(make: Callable[[], SailPointSensor]) -> Any:
    """Run a sensor on a worker, its trigger in an event loop, and the rest on another worker."""
    try:
        return make().execute(context())
    except TaskDeferred as deferral:
        path, kwargs = deferral.trigger.serialize()
        return triggered(make, path, kwargs, deferral.timeout, deferral.method_name)


def started_in_the_triggerer(make: Callable[[], SailPointSensor]) -> Any:
    """Run a sensor's trigger as the scheduler would, and what is left for a worker on one."""
    gate = make()
    args = gate.start_trigger_args
    assert gate.start_from_trigger
    assert args is not None
    return triggered(make, args.trigger_cls, args.trigger_kwargs or {}, args.timeout, args.next_method)


def triggered(
    make: Callable[[], SailPointSensor],
    path: str,
    kwargs: dict[str, Any],
    timeout: timedelta | None,
    method: str,
) -> Any:
    assert timeout is not None
    assert timeout is not None
    module, _, name = path.rpartition(".")
    trigger = getattr(import_module(module), name)(**json.loads(json.dumps(kwargs)))
    assert trigger.serialize() == (path, kwargs)

    async def first_event() -> TriggerEvent:
        async with asyncio.timeout(timeout.total_seconds()):
            return await anext(trigger.run())

    try:
        with triggerer(trigger) as xcoms:
            event = asyncio.run(first_event())
    except TimeoutError:  # Airflow ends a deferred task so
        return make().resume_execution("__fail__", {"error": "Trigger timeout"}, context())
    if isinstance(event, TaskSuccessEvent):
        assert trigger.end_from_trigger
        return xcoms["return_value"]
    assert not xcoms
    return make().resume_execution(method, {"event": json.loads(json.dumps(event.payload))}, context())
