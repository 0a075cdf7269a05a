"""What gates survive in a real Airflow, in every mode."""

from __future__ import annotations

import time

from harness.airflow import Airflow
from tests.airflow.conftest import FIRST_TRY, HAMMER, IN_TRIGGERER, PATIENCE, SUCCESSOR, Outage
from tests.airflow.dags.gates import MODES


def test_secret_rotated_and_connection_changed_in_mid_wait(waits: dict[str, Outage]) -> None:
    wait = waits["secret"].past()
    assert wait.opened() == FIRST_TRY
    assert 401 in {request.status for request in wait.tenant.requests}


def test_token_revoked_in_mid_wait(waits: dict[str, Outage]) -> None:
    wait = waits["token"].past()
    assert wait.opened() == FIRST_TRY
    assert 401 in {request.status for request in wait.tenant.requests}


def test_tenant_down_for_half_a_minute(waits: dict[str, Outage]) -> None:
    assert waits["tenant"].past().opened() == FIRST_TRY


def test_client_id_locked_out_because_of_another_client(waits: dict[str, Outage]) -> None:
    wait = waits["limit"].past()
    assert wait.opened() == FIRST_TRY
    refused = [each for each in wait.tenant.requests if each.status == 429]
    assert {each.headers["user-agent"] == HAMMER for each in refused} == {True, False}


def test_user_marks_the_waiting_gates_failed(airflow: Airflow, waits: dict[str, Outage]) -> None:
    wait = waits["marked"].past()
    states = dict.fromkeys((f"wait_{mode}" for mode in MODES), "failed") | {"read": "upstream_failed"}
    run = airflow.until(wait.run, states, PATIENCE)
    assert {mode: run.task(f"wait_{mode}").try_number for mode in MODES} == FIRST_TRY
    # No request is for the task any more, for longer than the longest interval.
    deadline = time.monotonic() + PATIENCE
    while time.time() - wait.asked_for()[-1].at < 25:
        assert time.monotonic() < deadline, "there is one"
        time.sleep(0.5)


def test_triggerer_killed_and_its_gates_taken_over_by_another(waits: dict[str, Outage]) -> None:
    assert waits["triggerer"].past().opened() == FIRST_TRY


def test_api_server_killed_and_started_again(airflow: Airflow, waits: dict[str, Outage]) -> None:
    wait = waits["api-server"].past()
    airflow.kill("api-server")
    time.sleep(3)
    airflow.start_again("api-server")
    airflow.wait_until_ready(["gates"], PATIENCE)
    wait.ends()
    tries = wait.opened()
    # Airflow tries a process again that it started while there was no api-server; reschedule starts many.
    assert tries | {"reschedule": 1} == FIRST_TRY


def test_scheduler_killed_and_started_again(airflow: Airflow, waits: dict[str, Outage]) -> None:
    wait = waits["scheduler"].past()
    airflow.kill("scheduler")
    wait.ends()
    airflow.start_again("scheduler", **SUCCESSOR)
    tries = wait.opened()
    # With the LocalExecutor, a task that is running dies with its scheduler, and is tried again.
    assert {mode: tries[mode] for mode in IN_TRIGGERER} == dict.fromkeys(IN_TRIGGERER, 1)
