"""What sensors get, and what users see of them in a real Airflow: links, the connection's form and test."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.hooks._fields import EXTRAS
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from harness.airflow import Airflow, Run
from tests.airflow.conftest import PATIENCE, begun, settle
from tests.airflow.dags.gates import MODES

each_mode = pytest.mark.parametrize("mode", MODES)
SOURCE_NAME = "Source of inputs"


@pytest.fixture(scope="session")
def inputs(airflow: Airflow, steady: Emulator) -> tuple[Run, list[str]]:
    """A run whose sensors have waited; the ids of two tasks, and of a source's task and the source."""
    source = steady.add_source(SOURCE_NAME)
    ids = [steady.add_task(duration=None).id for _ in range(2)]
    ids.append(steady.add_task(source_id=source.id, launched=-60, duration=None).id)
    airflow.wait_until_ready(["inputs"], PATIENCE)
    conf = {
        "first_id": ids[0],
        "second_id": ids[1],
        "source_name": SOURCE_NAME,
        "sailpoint_conn_id": "steady",
    }
    run = begun(airflow, airflow.trigger("inputs", conf), "ids", "source")
    settle(airflow)
    for each in ids:
        steady.complete(each)
    return run, [*ids, source.id]


@each_mode
def test_several_ids_by_xcom(airflow: Airflow, inputs: tuple[Run, list[str]], mode: str) -> None:
    run, ids = inputs
    run = airflow.until(run, {f"ids_{mode}": "success"}, PATIENCE)
    assert run.task(f"ids_{mode}").try_number == 1
    assert [each["id"] for each in airflow.xcom(run, f"ids_{mode}")] == ids[:2]


@each_mode
def test_a_source_by_its_name(airflow: Airflow, inputs: tuple[Run, list[str]], mode: str) -> None:
    run, ids = inputs
    run = airflow.until(run, {f"source_{mode}": "success"}, PATIENCE)
    assert run.task(f"source_{mode}").try_number == 1
    assert airflow.xcom(run, f"source_{mode}")["id"] == ids[2]


@each_mode
def test_links_to_the_source(airflow: Airflow, inputs: tuple[Run, list[str]], mode: str) -> None:
    run, ids = inputs
    run = airflow.until(run, {f"source_{mode}": "success"}, PATIENCE)
    (link,) = airflow.links(run, f"source_{mode}").values()
    assert link is not None
    assert link.endswith(f"/sources/{ids[3]}")


def test_a_sensor_that_is_cleared_waits_again(airflow: Airflow, inputs: tuple[Run, list[str]]) -> None:
    run, ids = inputs
    cleared = ["source_poke", "source_deferrable"]
    run = airflow.until(run, dict.fromkeys(cleared, "success"), PATIENCE)
    for task_id in cleared:
        airflow.clear(run, task_id)
    deadline = time.monotonic() + PATIENCE
    while {run.task(task_id).try_number for task_id in cleared} != {2}:
        assert time.monotonic() < deadline, "they don't run again"
        time.sleep(1.0)
        run = airflow.refresh(run)
    run = airflow.until(run, dict.fromkeys(cleared, "success"), PATIENCE)
    assert {airflow.xcom(run, task_id)["id"] for task_id in cleared} == {ids[2]}


def test_the_connections_form(airflow: Airflow) -> None:
    form = next(
        each for each in airflow.get("/ui/connections/hook_meta") if each["connection_type"] == "sailpoint"
    )
    assert form["hook_name"] == SailPointHook.hook_name
    assert form["extra_fields"].keys() == EXTRAS.keys()
    assert form["standard_fields"]["login"]["title"] == "Client ID"


@pytest.mark.parametrize(("password", "works"), [(None, True), ("no-such-secret", False)])
def test_the_connections_test(airflow: Airflow, steady: Emulator, password: str | None, works: bool) -> None:
    connection: dict[str, Any] = {
        "connection_id": "tested",
        "conn_type": "sailpoint",
        "host": steady.url,
        "login": steady.client_id,
        "password": password or steady.client_secret,
    }
    answer = airflow.call("POST", "/api/v2/connections/test", connection)
    assert answer["status"] is works, answer["message"]
    assert connection["password"] not in answer["message"]
