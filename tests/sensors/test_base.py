"""What a failure becomes with Airflow's own ``soft_fail`` and ``never_fail``, the same in every mode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import DAG

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.exceptions import SailPointTaskNotFoundError
from airflow_provider_sptasks.hooks import sailpoint as hooks
from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor
from airflow_provider_sptasks.waiting.events import ARGUMENTS_VERSION
from tests.compat import AirflowSensorTimeout, AirflowSkipException
from tests.context import context
from tests.sensors.modes import MODES, run

UNKNOWN = "f" * 32
SETTINGS: dict[str, dict[str, Any]] = {
    "neither": {},
    "soft_fail": {"soft_fail": True},
    "never_fail": {"never_fail": True},
}

# Of the others, one is Airflow's as poke is, and one fails as the deferrable one does.
every_mode = pytest.mark.parametrize("mode", ["poke", "deferrable", "zero-worker"])


def sensor(task_status_id: str, mode: str, **kwargs: Any) -> SailPointTaskSensor:
    settings: dict[str, Any] = {"poke_interval": 0.1, "timeout": 20, "not_found_grace": 0} | kwargs
    return SailPointTaskSensor(
        task_id="gate", task_status_id=task_status_id, dag=DAG("dag"), **MODES[mode] | settings
    )


@every_mode
@pytest.mark.parametrize(
    ("setting", "end"),
    [
        ("neither", SailPointTaskNotFoundError),
        ("soft_fail", AirflowSkipException),
        ("never_fail", AirflowSkipException),
    ],
)
def test_a_failure(tenant: Emulator, mode: str, setting: str, end: type[Exception]) -> None:
    with pytest.raises(end):
        run(mode, lambda: sensor(UNKNOWN, mode, **SETTINGS[setting]))


@every_mode
@pytest.mark.parametrize(
    ("setting", "end"),
    [
        ("neither", AirflowSensorTimeout),
        ("soft_fail", AirflowSkipException),
        ("never_fail", AirflowSensorTimeout),
    ],
)
def test_a_timeout(tenant: Emulator, mode: str, setting: str, end: type[Exception]) -> None:
    """``never_fail`` is about polls that fail: a wait that is too long fails all the same."""
    task = tenant.add_task(duration=None)
    with pytest.raises(end):
        run(mode, lambda: sensor(task.id, mode, timeout=0.4, **SETTINGS[setting]))


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
@pytest.mark.parametrize(
    ("setting", "end"),
    [
        ("neither", AirflowNotFoundException),
        ("soft_fail", AirflowSkipException),
        ("never_fail", AirflowSkipException),
    ],
)
def test_no_such_connection(
    mode: str, setting: str, end: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "CONNECTION_GRACE_SECONDS", 0.0)
    with pytest.raises(end):
        run(mode, lambda: sensor(UNKNOWN, mode, sailpoint_conn_id="none", **SETTINGS[setting]))


@pytest.mark.parametrize("setting", ["soft_fail", "never_fail"])
def test_what_is_done_is_done_with_all_of_them(tenant: Emulator, setting: str) -> None:
    task = tenant.add_task(launched=-60, duration=1)
    status = sensor(task.id, "deferrable", **SETTINGS[setting]).execute(context())
    assert status["id"] == task.id


@pytest.mark.parametrize(("seconds", "left"), [(3600, 3600.0), (-5, 0.0)])
def test_a_worker_that_goes_on_has_the_time_that_is_left(
    tenant: Emulator, seconds: int, left: float, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tenant.add_task(launched=-60, duration=1)
    again = sensor(task.id, "poke", timeout=7200)
    ends_at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    event = {"version": ARGUMENTS_VERSION, "again": "the connection leads elsewhere"}
    assert again.execute_complete(context(), event, ends_at)["id"] == task.id
    assert max(left - 60, 0.0) <= again.timeout <= left
    assert "Polling again on a worker: the connection leads elsewhere" in capsys.readouterr().out
