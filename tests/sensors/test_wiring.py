"""Every argument of a sensor takes effect: on a worker, in a trigger that goes on, and in one that starts."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import airflow
import pytest
from airflow.sdk import DAG, Asset

from airflow_provider_sptasks.client import transport
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.exceptions import SailPointRequestError, SailPointTaskNotFoundError
from airflow_provider_sptasks.links import SailPointAggregationLink
from airflow_provider_sptasks.sensors import _base
from airflow_provider_sptasks.sensors._base import SailPointSensor
from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor, SailPointTaskSensor
from airflow_provider_sptasks.waiting import driver
from airflow_provider_sptasks.waiting.events import ARGUMENTS_VERSION
from tests.compat import AIRFLOW_3_3, AirflowSensorTimeout, TaskDeferred, needs_airflow_3_3
from tests.conftest import CONNECTION
from tests.context import TaskInstance, context
from tests.sensors.modes import MODES

AD, HR = "a" * 32, "b" * 32
SIX = datetime.fromisoformat("2026-03-01T06:00:00+01:00")
# What is given, and what the trigger gets of it; nothing is a default.
SHARED: dict[str, Any] = {
    "sailpoint_conn_id": "sailpoint_other",
    "api_version": "v2025",
    "poke_interval": 7.0,
    "end_from_trigger": False,
    "do_xcom_push": False,
}
STATUSES: dict[str, Any] = {"accepted_statuses": ["ERROR", "TERMINATED"]}
SOURCES: dict[str, Any] = {"kind": "entitlements", "if_failed": "wait_for_next"}
CASES: dict[str, tuple[type[SailPointSensor], dict[str, Any], dict[str, Any]]] = {
    "tasks": (
        SailPointTaskSensor,
        {"task_status_id": [AD, HR], "not_found_grace": timedelta(minutes=2)},
        {"task_status_id": [AD, HR], "not_found_grace": 120.0},
    ),
    "sources": (
        SailPointAggregationSensor,
        {"source_id": [AD, HR], "launched_after": SIX, "retry_grace": timedelta(seconds=30), **SOURCES},
        {"source_id": [AD, HR], "source_name": None, "retry_grace": 30.0, **SOURCES},
    ),
    "source name": (
        SailPointAggregationSensor,
        {"source_name": "HR", "launched_after": SIX.isoformat(), "retry_grace": 0, **SOURCES},
        {"source_id": None, "source_name": "HR", "retry_grace": 0.0, **SOURCES},
    ),
}
every_case = pytest.mark.parametrize("case", CASES)


def sensor(case: str, **kwargs: Any) -> SailPointSensor:
    kind, given, _ = CASES[case]
    return kind(task_id="gate", dag=DAG("dag"), **STATUSES, **given, **SHARED | kwargs)


def waits_for(task_status_id: Any, **kwargs: Any) -> SailPointTaskSensor:
    return SailPointTaskSensor(task_id="gate", dag=DAG("dag"), task_status_id=task_status_id, **kwargs)


def seen(arguments: dict[str, Any]) -> tuple[dict[str, Any], datetime | None, Any]:
    """A trigger's arguments as JSON, those that are times apart."""
    left = json.loads(json.dumps(arguments))
    launched_after = left.pop("launched_after", None)
    return left, launched_after and datetime.fromisoformat(launched_after), left.pop("waiting_since")


@pytest.fixture
def other(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The tenant, to which only another connection leads."""
    monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_OTHER", tenant.connection_uri)
    monkeypatch.delenv(CONNECTION)
    tenant.add_source("HR", HR)
    return tenant


@every_case
def test_what_goes_on_in_the_triggerer(other: Emulator, case: str) -> None:
    before = datetime.now(UTC)
    with pytest.raises(TaskDeferred) as deferral:
        sensor(case, deferrable=True, timeout=3600).execute(context())
    assert {request.api_version for request in other.requests} == {None, "v2025"}
    arguments, launched_after, waiting_since = seen(deferral.value.trigger.serialize()[1])
    expected = SHARED | STATUSES | CASES[case][2] | {"starts_here": False, "version": ARGUMENTS_VERSION}
    assert arguments == expected
    assert launched_after == (None if case == "tasks" else SIX)
    assert before <= datetime.fromisoformat(waiting_since) <= datetime.now(UTC)


@pytest.mark.parametrize(("poke_interval", "timeout"), [(0.1, 3600), (60, 0.1)])
def test_answers_may_take_the_connection_s_timeout_as_long_as_the_sensor_s_is_not_over(
    tenant: Emulator, poke_interval: float, timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant may be slower than the sensor is impatient."""
    monkeypatch.setattr(transport, "DEADLINE_GRACE", 0.1)
    task = tenant.add_task(launched=-60, duration=1).id
    tenant.fail(kind="delay", delay=0.7, path="/task-status/*")
    gate = waits_for(task, poke_interval=poke_interval, timeout=timeout)
    assert gate.poke(context()).is_done is (timeout == 3600)


@needs_airflow_3_3
@every_case
def test_what_starts_in_the_triggerer(case: str) -> None:
    args = sensor(case, deferrable=True, start_from_trigger=True).start_trigger_args
    assert args is not None
    arguments, launched_after, waiting_since = seen(args.trigger_kwargs or {})
    expected = SHARED | STATUSES | CASES[case][2] | {"starts_here": True, "version": ARGUMENTS_VERSION}
    assert arguments == expected
    assert launched_after == (None if case == "tasks" else SIX)
    assert waiting_since is None, "it begins there"


@pytest.mark.parametrize(
    ("gate", "documented"),
    [
        (waits_for(AD, deferrable=True), {"not_found_grace": 60.0}),
        (
            SailPointAggregationSensor(
                task_id="gate", dag=DAG("dag"), source_id=AD, launched_after=SIX, deferrable=True
            ),
            {"kind": "accounts", "if_failed": "fail", "retry_grace": 900.0},
        ),
    ],
)
def test_what_is_left_out_is_as_documented(
    tenant: Emulator, gate: SailPointSensor, documented: dict[str, Any]
) -> None:
    with pytest.raises(TaskDeferred) as deferral:
        gate.execute(context())
    arguments = deferral.value.trigger.serialize()[1]
    documented |= {
        "accepted_statuses": ["SUCCESS", "WARNING"],
        "sailpoint_conn_id": "sailpoint_default",
        "api_version": None,
        "poke_interval": 60.0,
        "end_from_trigger": AIRFLOW_3_3,
        "do_xcom_push": True,
    }
    assert {name: arguments[name] for name in documented} == documented
    assert not gate.start_from_trigger


@every_case
def test_arguments_are_kept_as_they_were_given(case: str) -> None:
    """A cluster policy reads them, by their names."""
    kind, given, _ = CASES[case]
    gate = sensor(case, deferrable=True)
    for name, value in {**STATUSES, **given, **SHARED, "deferrable": True}.items():
        if name != "end_from_trigger":  # Airflow refuses DAGs with that attribute where a plugin listens
            assert getattr(gate, name) == value
    assert given.keys() <= inspect.signature(kind).parameters.keys()


@pytest.mark.parametrize(
    ("version", "settings", "ends"),
    [
        ("3.3.0", {}, True),
        ("3.3.0", {"end_from_trigger": False}, False),
        ("3.3.0", {"outlets": [Asset("done")]}, False),
        ("3.2.1", {}, False),
    ],
)
def test_where_a_success_of_a_deferred_sensor_ends(
    tenant: Emulator, version: str, settings: dict[str, Any], ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow, "__version__", version)
    gate = waits_for(AD, deferrable=True, **settings)
    with pytest.raises(TaskDeferred) as deferral:
        gate.execute(context())
    assert deferral.value.trigger.serialize()[1]["end_from_trigger"] is ends


def test_the_time_that_is_left_goes_with_a_deferral(
    tenant: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_base, "time", SimpleNamespace(monotonic=count(100.0, 0.25).__next__))
    gate = waits_for(tenant.add_task(duration=None).id, deferrable=True, timeout=1.0)
    before = datetime.now(UTC)
    with pytest.raises(TaskDeferred) as deferral:
        gate.execute(context())
    timeout = timedelta(seconds=0.75)
    assert (deferral.value.method_name, deferral.value.timeout) == ("execute_complete", timeout)
    ends_at = datetime.fromisoformat((deferral.value.kwargs or {})["ends_at"])
    assert before + timeout <= ends_at <= datetime.now(UTC) + timeout


def test_no_time_left_is_none(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_base, "time", SimpleNamespace(monotonic=lambda: 5.0))
    task = tenant.add_task(duration=None)
    gate = waits_for(task.id, deferrable=True, timeout=0)
    with pytest.raises(AirflowSensorTimeout, match="longer than the timeout"):
        gate.execute(context())


@pytest.mark.parametrize(
    ("mode", "requests"),
    [("poke", 2), ("reschedule", 1), ("deferrable", 1)],
)
def test_how_long_it_usually_takes_is_asked_where_one_process_waits(
    tenant: Emulator, mode: str, requests: int
) -> None:
    task = tenant.add_task(duration=None)
    gate = waits_for(task.id, **MODES[mode])
    assert not gate.poke(context())
    assert sum(request.path == "/task-status/v1" for request in tenant.requests) == requests


def test_a_poll_tries_four_times(tenant: Emulator) -> None:
    tenant.fail(503, path="/task-status/v1")
    gate = waits_for(AD, poke_interval=60)
    assert not gate.poke(context())
    assert sum(request.path == "/task-status/v1" for request in tenant.requests) == 4


@pytest.mark.parametrize(
    ("poke_interval", "timeout", "seconds"), [(300, 7, 7.0), (5, 3600, 5.0), (300, 3600, 60.0)]
)
def test_how_long_a_poll_may_take(poke_interval: float, timeout: float, seconds: float) -> None:
    gate = waits_for(AD, poke_interval=poke_interval, timeout=timeout)
    assert gate.hook.retry is not None
    assert gate.hook.retry.deadline == seconds


@pytest.mark.parametrize("has_polled", [False, True])
def test_a_refusal_after_polls_that_worked_has_to_repeat(
    tenant: Emulator, has_polled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In reschedule mode another process made the polls before."""
    monkeypatch.setattr(driver, "REFUSAL_RETRY_SECONDS", 0.05)
    task = tenant.add_task(launched=-60, duration=1)
    tenant.fail(403, path="/task-status/v1", times=2)
    first = datetime.now(UTC) - timedelta(minutes=5) if has_polled else None
    gate = waits_for(task.id, mode="reschedule")
    if has_polled:
        assert gate.poke(context(TaskInstance(first))).is_done
    else:
        with pytest.raises(SailPointRequestError, match="answered with 403"):
            gate.poke(context(TaskInstance(first)))


def test_the_grace_begins_with_the_first_poll_of_all(tenant: Emulator) -> None:
    gate = waits_for(AD, mode="reschedule", not_found_grace=timedelta(hours=1))
    assert not gate.poke(context(TaskInstance(datetime.now(UTC) - timedelta(minutes=59))))
    gate = waits_for(AD, mode="reschedule", not_found_grace=timedelta(hours=1))
    with pytest.raises(SailPointTaskNotFoundError, match=AD):
        gate.poke(context(TaskInstance(datetime.now(UTC) - timedelta(minutes=61))))


def test_only_a_sensor_that_is_rescheduled_asks_airflow_since_when(tenant: Emulator) -> None:
    """It takes a request to the API server."""
    task = tenant.add_task(launched=-60, duration=1)
    gate = waits_for(task.id)
    assert gate.poke(cast(Any, {"ti": object()}))


class TestComplete:
    """What a worker does with what the trigger saw."""

    def event(self, tenant: Emulator, task_ids: list[str], seen: list[str]) -> dict[str, Any]:
        gate = waits_for(seen)
        statuses = gate.execute(context())
        tenant.reset_requests()
        wait = {"task_status_id": task_ids, "accepted_statuses": ["SUCCESS"], "not_found_grace": 60.0}
        source_ids = [each["target"]["id"] for each in statuses]
        return {
            "version": ARGUMENTS_VERSION,
            "wait": wait,
            "source_ids": [None, *source_ids],
            "statuses": statuses,
        }

    def test_it_logs_and_links_and_asks_nothing(
        self, tenant: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        task = tenant.add_task(launched=-60, duration=1)
        event = self.event(tenant, [task.id], [task.id])
        capsys.readouterr()
        gate = waits_for("another", deferrable=True)
        assert [each["id"] for each in gate.execute_complete(context(), event)] == [task.id]
        assert "Cloud Account Aggregation of Active Directory ended with SUCCESS" in capsys.readouterr().out
        assert tenant.requests == ()
        link = SailPointAggregationLink().get_link(gate, ti_key=None)  # type: ignore[arg-type]
        assert link.endswith(f"/connections/sources/{task.source_id}")

    def test_what_is_not_the_end_is_polled_again(
        self, tenant: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As after an upgrade that judges otherwise; the link stays while the tenant can't be asked."""
        done = tenant.add_task(launched=-60, duration=1)
        runs = tenant.add_task(duration=None, source="HR")
        event = self.event(tenant, [done.id, runs.id], [done.id])
        gate = waits_for([runs.id], deferrable=True, poke_interval=0)
        tenant.fail(503)
        with pytest.raises(TaskDeferred):
            gate.execute_complete(context(), event, (datetime.now(UTC) + timedelta(hours=1)).isoformat())
        assert "Polling again on a worker: what the trigger saw is not the end" in capsys.readouterr().out
        link = SailPointAggregationLink().get_link(gate, ti_key=None)  # type: ignore[arg-type]
        assert link.endswith(f"/connections/sources/{done.source_id}")

    def test_an_error_has_a_line_of_its_own(
        self, tenant: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        gate = waits_for(AD, deferrable=True)
        event = {"version": ARGUMENTS_VERSION, "error": "refused", "message": "GET was answered with 403"}
        with pytest.raises(SailPointRequestError, match="answered with 403"):
            gate.execute_complete(context(), event)
        assert "GET was answered with 403" in capsys.readouterr().out
