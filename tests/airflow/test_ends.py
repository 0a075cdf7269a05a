"""How gates come to an end in a real Airflow, in every mode."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.airflow import Airflow, Run
from tests.airflow.conftest import PATIENCE
from tests.airflow.dags.gates import MODES
from tests.compat import AIRFLOW_3_3

each_mode = pytest.mark.parametrize("mode", MODES)


@each_mode
def test_success_hands_on_a_dict(airflow: Airflow, ends: dict[str, Run], mode: str) -> None:
    run = airflow.until(ends["success"], {f"wait_{mode}": "success"}, PATIENCE)
    assert run.task(f"wait_{mode}").try_number == 1
    run = airflow.until(run, {"read": "success"}, PATIENCE)
    status = airflow.xcom(run, "read")[mode]
    assert status["completionStatus"] == "SUCCESS"
    assert status == airflow.xcom(run, f"wait_{mode}")


def test_success_takes_no_process_where_none_is_needed(airflow: Airflow, ends: dict[str, Run]) -> None:
    run = airflow.until(ends["success"], {"read": "success"}, PATIENCE)
    started = Counter(each["task_id"] for each in airflow.task_processes() if each["run_id"] == run.run_id)
    assert started.pop("wait_reschedule") > 1
    zero_worker = {} if AIRFLOW_3_3 else {"wait_zero_worker": 2}
    assert started == {"wait_poke": 1, "wait_deferrable": 2, "read": 1} | zero_worker


@each_mode
@pytest.mark.parametrize(
    ("end", "logged"),
    [("terminated", "ended with TERMINATED"), ("unknown", "The tenant has no task")],
)
def test_failure_is_not_tried_again(
    airflow: Airflow, ends: dict[str, Run], mode: str, end: str, logged: str
) -> None:
    run = airflow.until(ends[end], {f"wait_{mode}": "failed", "read": "upstream_failed"}, PATIENCE)
    task = run.task(f"wait_{mode}")
    assert task.try_number == 1
    assert any(logged in line for line in airflow.log(run, task))


@each_mode
@pytest.mark.parametrize(("gate", "state"), [("fail", "failed"), ("skip", "skipped")])
def test_timeout_is_not_tried_again(
    airflow: Airflow, ends: dict[str, Run], mode: str, gate: str, state: str
) -> None:
    run = airflow.until(ends["timeout"], {f"{gate}_{mode}": state}, PATIENCE)
    assert run.task(f"{gate}_{mode}").try_number == 1


@each_mode
def test_outlet_has_its_event(airflow: Airflow, ends: dict[str, Run], mode: str) -> None:
    run = airflow.until(ends["aftermath"], {f"open_{mode}": "success"}, PATIENCE)
    events = [event for event in airflow.asset_events(run) if event["source_task_id"] == f"open_{mode}"]
    assert [event["name"] for event in events] == [f"sailpoint_{mode}"]


@each_mode
@pytest.mark.parametrize(
    ("gate", "state", "callback"),
    [("open", "success", "success"), ("fail", "failed", "failure"), ("skip", "skipped", "skipped")],
)
def test_callback_is_called_once(
    airflow: Airflow,
    ends: dict[str, Run],
    callbacks: Path,
    mode: str,
    gate: str,
    state: str,
    callback: str,
) -> None:
    run = airflow.until(ends["aftermath"], {f"{gate}_{mode}": state}, PATIENCE)
    called = [path.name.split() for path in callbacks.iterdir()]
    assert [kind for kind, task_id, _ in called if task_id == f"{gate}_{mode}"] == [callback]
    assert [callback, f"{gate}_{mode}", run.run_id] in called


def test_odd_records_harm_no_mode(airflow: Airflow, ends: dict[str, Run]) -> None:
    """FAULTS P1: in texts half a surrogate pair and NUL, and numbers beyond 64 bits."""
    run = airflow.until(ends["odd"], {"read": "success"}, PATIENCE)
    for mode, status in airflow.xcom(run, "read").items():
        assert status["attributes"].get("total") is None, mode
        assert len(status["launcher"]) <= 500
        assert "\x00" not in str(status)
    assert {run.task(f"wait_{mode}").try_number for mode in MODES} == {1}


def test_mapped_sensors_start_on_a_worker_and_end(airflow: Airflow, ends: dict[str, Run]) -> None:
    """FAULTS W4: what the triggerer has of a mapped task lacks the operator's methods."""
    run = airflow.until(ends["mapped"], {"gate": {"success", "failed"}}, PATIENCE)
    airflow.until(run, {"gate": {"success", "failed"}}, PATIENCE)
    states = {task.map_index: task.state for task in run.tasks if task.task_id == "gate"}
    assert states == {0: "success", 1: "failed"}
