from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointTaskFailedError,
    SailPointTaskNotFoundError,
)
from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor
from tests.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from tests.context import context
from tests.sensors.modes import MODES, run

UNKNOWN = "f" * 32


def sensor(task_status_id: Any, *, mode: str = "poke", **kwargs: Any) -> SailPointTaskSensor:
    how = MODES[mode]
    settings: dict[str, Any] = {"poke_interval": 0.1, "timeout": 20} | how | kwargs
    dag = DAG("dag", schedule=None)
    return SailPointTaskSensor(task_id="gate", task_status_id=task_status_id, dag=dag, **settings)


def list_requests(tenant: Emulator) -> int:
    return sum(1 for request in tenant.requests if request.path == "/task-status/v1")


@contextmanager
def after_polls(tenant: Emulator, polls: int, act: Callable[[], object]) -> Iterator[None]:
    """Act when the tenant has been polled that often."""

    def wait() -> None:
        while list_requests(tenant) < polls:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("mode", MODES)
class TestOutcomes:
    """One table for all modes: the same tenant gives the same outcome in each."""

    @pytest.mark.parametrize("outcome", ["SUCCESS", "WARNING", "Success", "warning"])
    def test_opens_for_accepted_statuses(self, tenant: Emulator, mode: str, outcome: str) -> None:
        task = tenant.add_task(duration=0.3, outcome=outcome)
        status = run(mode, lambda: sensor(task.id, mode=mode))
        assert status["id"] == task.id
        assert status["completionStatus"] == outcome.upper()

    @pytest.mark.parametrize(
        "outcome", ["ERROR", "Error", "TERMINATED", "TEMPERROR", "TEMP_ERROR", "Cancelled"]
    )
    def test_fails_without_retry_for_others(self, tenant: Emulator, mode: str, outcome: str) -> None:
        messages = ["the disk is full"]
        task = tenant.add_task(
            launched=-60, duration=1, messages=messages, fields={"completionStatus": outcome}
        )
        with pytest.raises(SailPointTaskFailedError) as caught:
            run(mode, lambda: sensor(task.id, mode=mode))
        assert isinstance(caught.value, AirflowFailException)
        assert task.id in str(caught.value)
        assert outcome.upper().replace("_", "") in str(caught.value).upper().replace("_", "")
        assert "Active Directory" in str(caught.value)
        assert "the disk is full" in str(caught.value)

    def test_accepts_what_it_is_given(self, tenant: Emulator, mode: str) -> None:
        task = tenant.add_task(launched=-60, duration=1, outcome="TERMINATED")
        status = run(mode, lambda: sensor(task.id, mode=mode, accepted_statuses=("TERMINATED",)))
        assert status["completionStatus"] == "TERMINATED"

    def test_none_accepts_any_status_but_waits_for_one(self, tenant: Emulator, mode: str) -> None:
        task = tenant.add_task(duration=0.5, outcome="ERROR")
        assert (
            run(mode, lambda: sensor(task.id, mode=mode, accepted_statuses=None))["completionStatus"]
            == "ERROR"
        )

    def test_none_accepts_an_unknown_status(self, tenant: Emulator, mode: str) -> None:
        task = tenant.add_task(launched=-60, duration=1, fields={"completionStatus": "Cancelled"})
        status = run(mode, lambda: sensor(task.id, mode=mode, accepted_statuses=None))
        assert status["completionStatus"] == "Cancelled"

    def test_completed_without_completion_status_is_not_the_end(self, tenant: Emulator, mode: str) -> None:
        task = tenant.add_task(launched=-3600, duration=4000, completed_lead=1000)
        assert tenant.task(task.id)["completed"] is not None
        assert tenant.task(task.id)["completionStatus"] is None
        with after_polls(tenant, 2, lambda: tenant.clock.advance(1000)):
            status = run(mode, lambda: sensor(task.id, mode=mode))
        assert status["completionStatus"] == "SUCCESS"
        assert list_requests(tenant) > 2

    def test_several_open_together_and_keep_their_order(self, tenant: Emulator, mode: str) -> None:
        tasks = [tenant.add_task(duration=0.2 * number, source=f"S{number}") for number in (3, 1, 2)]
        ids = [task.id for task in tasks]
        statuses = run(mode, lambda: sensor(ids, mode=mode))
        assert [status["id"] for status in statuses] == ids
        assert {status["completionStatus"] for status in statuses} == {"SUCCESS"}

    def test_one_failure_among_several_fails_at_once(self, tenant: Emulator, mode: str) -> None:
        stuck = tenant.add_task(duration=None)
        failed = tenant.add_task(launched=-60, duration=1, outcome="ERROR")
        with pytest.raises(SailPointTaskFailedError, match=failed.id):
            run(mode, lambda: sensor([stuck.id, failed.id], mode=mode))

    def test_unknown_task_fails_after_the_grace(self, tenant: Emulator, mode: str) -> None:
        with pytest.raises(SailPointTaskNotFoundError, match=UNKNOWN):
            run(mode, lambda: sensor(UNKNOWN, mode=mode, not_found_grace=1.0))
        assert list_requests(tenant) > 1, "it should have polled again within the grace"

    def test_task_that_appears_within_the_grace_is_waited_for(self, tenant: Emulator, mode: str) -> None:
        timer = threading.Timer(0.5, lambda: tenant.add_task(id=UNKNOWN, duration=0.1))
        timer.start()
        status = run(mode, lambda: sensor(UNKNOWN, mode=mode, not_found_grace=timedelta(seconds=10)))
        timer.join()
        assert status["id"] == UNKNOWN

    def test_task_older_than_90_days_is_not_found(self, tenant: Emulator, mode: str) -> None:
        task = tenant.add_task(launched=-100 * 86_400, duration=60)
        with pytest.raises(SailPointTaskNotFoundError, match="90 days"):
            run(mode, lambda: sensor(task.id, mode=mode, not_found_grace=0))

    def test_timeout(self, tenant: Emulator, mode: str) -> None:
        task = tenant.add_task(duration=None)
        with pytest.raises(AirflowSensorTimeout):
            run(mode, lambda: sensor(task.id, mode=mode, timeout=0.4))

    @pytest.mark.parametrize(
        ("add", "settings"),
        [
            pytest.param({"launched": -60, "duration": 1, "outcome": "ERROR"}, {}, id="ended otherwise"),
            pytest.param({"duration": None}, {"timeout": 0.3}, id="timeout"),
            pytest.param(None, {"not_found_grace": 0}, id="unknown task"),
            pytest.param({"duration": 1}, {"sailpoint_conn_id": "sailpoint_bad"}, id="bad connection"),
        ],
    )
    def test_soft_fail_skips(
        self,
        tenant: Emulator,
        mode: str,
        add: dict[str, Any] | None,
        settings: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_BAD", "sailpoint://client:secret@acme/?api_version=v3")
        task_status_id = tenant.add_task(**add).id if add else UNKNOWN
        with pytest.raises(AirflowSkipException):
            run(mode, lambda: sensor(task_status_id, mode=mode, soft_fail=True, **settings))

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param({"status": 503}, id="503"),
            pytest.param({"status": 429, "headers": {"Retry-After": "0"}}, id="429"),
            pytest.param({"kind": "drop"}, id="dropped connection"),
            pytest.param({"kind": "truncate"}, id="truncated body"),
            pytest.param({"kind": "html"}, id="a proxy's page"),
            pytest.param({"kind": "empty"}, id="empty body"),
            pytest.param({"status": 503, "path": "/oauth/token"}, id="token endpoint down"),
        ],
    )
    def test_what_passes_is_waited_out(self, tenant: Emulator, mode: str, fault: dict[str, Any]) -> None:
        task = tenant.add_task(launched=-60, duration=1)
        tenant.fail(times=4, **fault)
        assert run(mode, lambda: sensor(task.id, mode=mode))["id"] == task.id

    def test_everything_going_wrong_at_once_is_waited_out(self, tenant: Emulator, mode: str) -> None:
        tasks = [tenant.add_task(duration=1000).id for _ in range(20)]
        tenant.token_lifetime = 5
        tenant.fail(503, probability=0.5)
        tenant.fail(kind="drop", probability=0.1)
        # A thousand seconds later the tasks have ended, and so have all tokens.
        with after_polls(tenant, 4, lambda: tenant.clock.advance(1000)):
            statuses = run(mode, lambda: sensor(tasks, mode=mode, timeout=300))
        assert [status["id"] for status in statuses] == tasks
        assert {status["completionStatus"] for status in statuses} == {"SUCCESS"}
        assert {request.status for request in tenant.requests} >= {200, 503}

    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_refusal_fails_without_retry(self, tenant: Emulator, mode: str, status: int) -> None:
        task = tenant.add_task(duration=None)
        tenant.fail(status, path="/task-status/v1")
        with pytest.raises(SailPointRequestError, match=f"answered with {status}"):
            run(mode, lambda: sensor(task.id, mode=mode))

    def test_wrong_secret_fails_after_the_connection_was_read_again(
        self, tenant: Emulator, mode: str
    ) -> None:
        task = tenant.add_task(duration=None)
        tenant.rotate_secret(tenant.client_id, "another")
        with pytest.raises(SailPointRequestError, match="client secret"):
            run(mode, lambda: sensor(task.id, mode=mode))
        assert [request.status for request in tenant.requests if request.path == "/oauth/token"] == [401, 401]

    @pytest.mark.parametrize("version", ["beta", "v2024", "v2025", "v2026", "v1"])
    def test_every_version(self, tenant: Emulator, mode: str, version: str) -> None:
        task = tenant.add_task(duration=0.5)
        status = run(mode, lambda: sensor(task.id, mode=mode, api_version=version))
        assert status["completionStatus"] == "SUCCESS"
        assert {request.api_version for request in tenant.requests} - {None} == {version}


def test_rotated_credentials_heal(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tenant.add_task(duration=None)
    gate = sensor(task.id)
    assert not gate.poke(context())
    tenant.rotate_secret(tenant.client_id, "rotated")
    tenant.revoke_tokens()
    monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_DEFAULT", tenant.connection_uri)
    assert "rotated" in tenant.connection_uri
    assert not gate.poke(context())
    tenant.complete(task.id)
    assert gate.poke(context())


def test_several_ids_are_one_request_a_poll(tenant: Emulator) -> None:
    ids = [tenant.add_task(duration=None).id for _ in range(150)]
    gate = sensor(ids)
    for polls in range(1, 4):
        assert not gate.poke(context())
        # How long the source usually takes is asked for by the source, once.
        assert list_requests(tenant) == polls + 1
        assert sum("id in" in request.query.get("filters", "") for request in tenant.requests) == polls


def test_same_id_twice_is_one_task(tenant: Emulator) -> None:
    task = tenant.add_task(launched=-60, duration=1)
    assert [each["id"] for each in sensor([task.id, task.id]).execute(context())] == [task.id]


def test_xcom_is_small_json(tenant: Emulator) -> None:
    messages = ["x" * 5000 for _ in range(100)]
    task = tenant.add_task(launched=-300, duration=200, messages=messages)
    status = sensor(task.id).execute(context())
    assert len(json.dumps(status)) < 16_000
    assert status["target"] == {"id": task.source_id, "name": "Active Directory [source]"}
    assert status["kind"] == "accounts"
    assert status["duration"] == pytest.approx(200, abs=1)
    assert "raw" not in status


def test_log_says_what_is_awaited_progress_and_outcome(
    tenant: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    # Slow enough for a slow machine: a tenth lasts a quarter of an hour.
    task = tenant.add_task(launched=-950, duration=9_000)
    gate = sensor(task.id)
    gate.poke(context())
    gate.poke(context())
    tenant.clock.advance(3_600)
    gate.poke(context())
    tenant.clock.advance(9_000)
    gate.poke(context())
    lines = capsys.readouterr().out.splitlines()
    logged = [line for line in lines if "Cloud Account Aggregation of Active Directory" in line]
    assert f"Waiting for the completion of {task.id}" in lines[0]
    assert len(logged) == 3, "an unchanged progress is logged once"
    assert "(10 %)" in logged[0]
    assert "(50 %)" in logged[1]
    assert "ended with SUCCESS after 2:30:00: total " in logged[2]
    assert f"(task {task.id})" in logged[2]


def test_an_outage_is_logged_when_it_starts_and_when_it_ends(
    tenant: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tenant.add_task(duration=None)
    gate = sensor(task.id, poke_interval=0)
    tenant.fail(503)
    gate.poke(context())
    gate.poke(context())
    tenant.clear_faults()
    gate.poke(context())
    log = capsys.readouterr().out
    assert log.count("Polling fails, trying again: GET /task-status/v1 was answered with 503") == 1
    assert log.count("Polling works again") == 1


@pytest.mark.parametrize(
    ("task_status_id", "message"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("  ", "is empty", id="blank"),
        pytest.param(None, "not NoneType", id="None"),
        pytest.param(17, "not int", id="a number"),
        pytest.param("None", "isn't there", id="a template's None"),
        pytest.param("['a', 'b']", r"\.output", id="a template's list"),
        pytest.param("a/../b", "is not an id", id="a path"),
        pytest.param("..", "is not an id", id="dots"),
        pytest.param('a" or id eq "b', "is not an id", id="a filter"),
        pytest.param("a" * 200, "is not an id", id="too long"),
        pytest.param({"id": "a"}, "not dict", id="a dict"),
        pytest.param(["a", ""], "is empty", id="empty among several"),
    ],
)
class TestBadIds:
    def test_literal_is_refused_when_the_dag_is_parsed(self, task_status_id: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            sensor(task_status_id)
        assert "task_status_id" in str(caught.value)

    def test_rendered_is_refused_before_any_request(
        self, tenant: Emulator, task_status_id: Any, message: str
    ) -> None:
        gate = sensor("{{ params.id }}")
        gate.task_status_id = task_status_id
        with pytest.raises(SailPointRequestError, match=message):
            gate.execute(context())
        assert tenant.requests == ()


def test_empty_list_is_refused(tenant: Emulator) -> None:
    with pytest.raises(ValueError, match="task_status_id is an empty list"):
        sensor([])
    gate = sensor("{{ params.ids }}")
    gate.task_status_id = []
    with pytest.raises(SailPointRequestError, match="task_status_id is an empty list"):
        gate.execute(context())
    assert tenant.requests == ()


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("accepted_statuses", ("SUCCES",), "accepted_statuses holds 'SUCCES'"),
        ("accepted_statuses", ("UNKNOWN",), "accepted_statuses holds 'UNKNOWN'"),
        ("accepted_statuses", (None,), "accepted_statuses holds None"),
        ("accepted_statuses", (), "accepted_statuses is empty"),
        ("accepted_statuses", 7, "accepted_statuses must be names, not int"),
        ("task_status_id", {"abc"}, "task_status_id is a set"),
        ("task_status_id", iter(["abc"]), "task_status_id is a list_iterator"),
        ("api_version", "v3", "api_version 'v3' is unknown"),
        ("not_found_grace", float("nan"), "not_found_grace nan is neither"),
        ("not_found_grace", -1, "not_found_grace -1 is negative"),
        ("not_found_grace", "60", "not_found_grace '60' is neither"),
        ("not_found_grace", True, "not_found_grace True is neither"),
    ],
)
def test_bad_arguments_are_refused_when_the_dag_is_parsed(argument: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sensor(**{"task_status_id": "abc", argument: value})


def test_a_single_accepted_status_need_not_be_a_tuple(tenant: Emulator) -> None:
    task = tenant.add_task(launched=-60, duration=1, outcome="ERROR")
    assert sensor(task.id, accepted_statuses="error").execute(context())["completionStatus"] == "ERROR"


def test_unknown_api_version_names_the_connection(tenant: Emulator) -> None:
    gate = sensor("abc", api_version="{{ params.version }}")
    gate.api_version = "v3"
    with pytest.raises(SailPointRequestError, match=r"sailpoint_default.*api_version 'v3' is unknown"):
        gate.execute(context())


def test_a_poll_ends_with_the_sensors_timeout(tenant: Emulator) -> None:
    retry = sensor("abc", poke_interval=300, timeout=7).hook.retry
    assert retry is not None
    assert retry.deadline == 7


@pytest.mark.parametrize(("soft_fail", "end"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)])
def test_first_poll_that_takes_all_the_time_there_is(
    tenant: Emulator, soft_fail: bool, end: type[Exception]
) -> None:
    """A deferral without time left would have no time-out at all."""
    task = tenant.add_task(duration=None)
    with pytest.raises(end, match="longer than the timeout"):
        sensor(task.id, mode="deferrable", timeout=0, soft_fail=soft_fail).execute(context())


def test_texts_stay_readable(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ended: dict[str, Any] = {"launched": -60, "duration": 1, "outcome": "ERROR"}
    ended["messages"] = ["x" * 40_000] * 5
    gate = sensor([tenant.add_task(**ended).id for _ in range(30)])
    with pytest.raises(SailPointTaskFailedError, match="and 20 more") as caught:
        gate.execute(context())
    assert len(str(caught.value)) < 20_000
    (begin,) = [line for line in capsys.readouterr().out.splitlines() if "Waiting for" in line]
    assert "and 20 more" in begin


def test_constructing_needs_no_connection_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_DEFAULT", "sailpoint://no:body@nowhere.invalid")
    gate = sensor("{{ ti.xcom_pull('x') }}")
    assert "hook" not in vars(gate)
