from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.triggers.sailpoint import SailPointTaskTrigger
from airflow_provider_sptasks.waiting.events import ARGUMENTS_VERSION

UNKNOWN = "f" * 32


def trigger(*task_status_ids: str, **kwargs: Any) -> SailPointTaskTrigger:
    settings: dict[str, Any] = {
        "accepted_statuses": ["SUCCESS", "WARNING"],
        "sailpoint_conn_id": "sailpoint_default",
        "api_version": None,
        "poke_interval": 0.1,
        "not_found_grace": 60,
        "version": ARGUMENTS_VERSION,
    } | kwargs
    return SailPointTaskTrigger(task_status_id=list(task_status_ids), **settings)


def events(trigger: SailPointTaskTrigger) -> list[dict[str, Any]]:
    async def collect() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    return [json.loads(json.dumps(event.payload)) for event in asyncio.run(collect())]


def test_survives_serialisation_and_holds_no_secret(tenant: Emulator) -> None:
    path, kwargs = trigger("a", api_version="beta").serialize()
    assert path == "airflow_provider_sptasks.triggers.sailpoint.SailPointTaskTrigger"
    again = SailPointTaskTrigger(**json.loads(json.dumps(kwargs)))
    assert again.serialize() == (path, kwargs)
    assert tenant.client_secret not in json.dumps(kwargs)


def test_accepted_statuses_may_be_any() -> None:
    assert trigger("a", accepted_statuses=None).serialize()[1]["accepted_statuses"] is None


def test_yields_what_was_seen_in_the_end(tenant: Emulator) -> None:
    tasks = [tenant.add_task(duration=0.2 * number) for number in (1, 2)]
    (event,) = events(trigger(*(task.id for task in tasks)))
    assert event.keys() == {"version", "wait", "source_ids", "statuses"}
    assert [status["id"] for status in event["statuses"]] == [task.id for task in tasks]
    assert {status["completionStatus"] for status in event["statuses"]} == {"SUCCESS"}


def test_one_that_ended_otherwise_ends_the_waiting(tenant: Emulator) -> None:
    stuck = tenant.add_task(duration=None)
    failed = tenant.add_task(duration=0.2, outcome="ERROR")
    (event,) = events(trigger(stuck.id, failed.id))
    assert {status["id"]: status["completionStatus"] for status in event["statuses"]} == {
        stuck.id: None,
        failed.id: "ERROR",
    }


def test_unknown_task_is_asked_for_by_itself_once(tenant: Emulator) -> None:
    (event,) = events(trigger(UNKNOWN, not_found_grace=0.3))
    assert event["error"] == "not_found"
    assert f"no task with the task_status_id {UNKNOWN!r}" in event["message"]
    asked = [request.path for request in tenant.requests if request.path.endswith(UNKNOWN)]
    assert len(asked) == 1


def test_task_that_a_list_leaves_out_is_found_by_itself(tenant: Emulator) -> None:
    task = tenant.add_task(launched=-60, duration=1)
    tenant.fail(200, path="/task-status/v1", body=b"[]")
    (event,) = events(trigger(task.id, not_found_grace=0))
    assert event["statuses"][0]["completionStatus"] == "SUCCESS"


def test_refusal_is_reported(tenant: Emulator) -> None:
    tenant.fail(403, path="/task-status/v1")
    (event,) = events(trigger("a"))
    assert event["error"] == "refused"
    assert "answered with 403" in event["message"]


def test_log_is_the_sensors(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    task = tenant.add_task(duration=0.5)
    tenant.fail(503, path="/task-status/v1", times=4)  # a poll tries three times
    events(trigger(task.id))
    log = capsys.readouterr().out
    assert log.count(f"Waiting for the completion of {task.id}") == 1
    assert log.count("Polling fails, trying again: GET /task-status/v1") == 1
    assert log.count("Polling works again") == 1
    assert "ended with SUCCESS" in log
    assert f"(task {task.id})" in log


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"version": 1}, id="an older form"),
        pytest.param({"version": ARGUMENTS_VERSION + 1}, id="a newer form"),
        pytest.param({"mood": "good"}, id="an unknown argument"),
    ],
)
def test_arguments_of_another_version_hand_the_sensor_back(
    tenant: Emulator, arguments: dict[str, Any]
) -> None:
    """As after an upgrade while sensors wait: no TypeError, and no request."""
    one = trigger("a", **arguments)
    assert one.serialize()[1].items() >= arguments.items()
    (event,) = events(one)
    assert "of another version" in event["again"]
    assert tenant.requests == ()


def test_arguments_of_the_first_release_hand_the_sensor_back(tenant: Emulator) -> None:
    first: dict[str, Any] = {
        "task_status_id": "a",
        "not_found_grace": 60.0,
        "accepted_statuses": ["SUCCESS"],
        "sailpoint_conn_id": "sailpoint_default",
        "api_version": None,
        "poke_interval": 60.0,
        "end_from_trigger": True,
        "do_xcom_push": True,
    }
    (event,) = events(SailPointTaskTrigger(**first))
    assert "again" in event
