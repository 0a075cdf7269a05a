from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, BaseOperator
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.links import LINK_KEY
from airflow_provider_sptasks.triggers import _connection, _poller
from airflow_provider_sptasks.triggers._base import SensorTrigger
from airflow_provider_sptasks.triggers._subscription import Subscription, Update
from airflow_provider_sptasks.triggers.sailpoint import (
    SailPointAggregationTrigger,
    SailPointStartedTaskTrigger,
    SailPointTaskTrigger,
)
from airflow_provider_sptasks.waiting.events import ARGUMENTS_VERSION
from tests.compat import needs_airflow_3_3, serialized
from tests.conftest import CONNECTION
from tests.context import triggerer

UNKNOWN = "f" * 32
LONG_AGO = (datetime.now(UTC) - timedelta(days=2)).isoformat()
A_DAY_AGO = (datetime.now(UTC) - timedelta(days=1)).isoformat()
# Everything that can be given, and nothing of it what it is by itself.
SHARED: dict[str, Any] = {
    "sailpoint_conn_id": "sailpoint_other",
    "api_version": "beta",
    "poke_interval": 0.05,
    "end_from_trigger": True,
    "do_xcom_push": False,
    "starts_here": True,
    "version": ARGUMENTS_VERSION,
}
TASK: dict[str, Any] = {
    "task_status_id": ["a", "b"],
    "accepted_statuses": ["SUCCESS"],
    "not_found_grace": 7.0,
    "waiting_since": A_DAY_AGO,
}
AGGREGATION: dict[str, Any] = {
    "source_id": None,
    "source_name": ["HR", "AD"],
    "kind": "entitlements",
    "launched_after": LONG_AGO,
    "accepted_statuses": ["SUCCESS"],
    "if_failed": "wait_for_next",
    "retry_grace": 9.0,
    "waiting_since": A_DAY_AGO,
}
ARGUMENTS: list[tuple[type[SensorTrigger], dict[str, Any]]] = [
    (SailPointTaskTrigger, TASK),
    (SailPointStartedTaskTrigger, TASK),
    (SailPointAggregationTrigger, AGGREGATION),
]


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


async def first(trigger: SensorTrigger) -> TriggerEvent:
    return await anext(trigger.run())


def last(trigger: SensorTrigger) -> TriggerEvent:
    async def collect() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(collect())
    return event


def events(trigger: SensorTrigger) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(last(trigger).payload))]


@pytest.mark.parametrize(("kind", "own"), ARGUMENTS)
def test_every_argument_survives_serialisation_and_reaches_the_wait(
    kind: type[SensorTrigger], own: dict[str, Any]
) -> None:
    made: Any = kind
    path, kwargs = made(**SHARED, **own).serialize()
    assert path == f"airflow_provider_sptasks.triggers.sailpoint.{kind.__name__}"
    assert kwargs == {**SHARED, **own}
    again = made(**json.loads(json.dumps(kwargs)))
    assert again.serialize() == (path, kwargs)
    assert again._wait().to_json() == own


@pytest.mark.parametrize(("kind", "own"), ARGUMENTS)
def test_is_made_as_every_trigger_of_airflow(kind: type[SensorTrigger], own: dict[str, Any]) -> None:
    class Plain(BaseTrigger):
        def serialize(self) -> tuple[str, dict[str, Any]]:
            raise NotImplementedError

        async def run(self) -> Any:
            raise NotImplementedError
            yield

    made: Any = kind
    assert vars(Plain()).items() <= vars(made(**own)).items()  # type: ignore[no-untyped-call]


@needs_airflow_3_3
@pytest.mark.parametrize("by_source", [False, True])
def test_what_is_not_given(tenant: Emulator, by_source: bool) -> None:
    """Any status counts, aggregations are of accounts, and a worker goes on; or else the XCom is set here."""
    if by_source:
        ended = tenant.add_task(launched=-60, duration=1, outcome="ERROR")
        tenant.add_task(source_id=ended.source_id, launched=-30, kind="entitlements", duration=None)
    else:
        ended = tenant.add_task(launched=-60, duration=1, outcome="ERROR")

    def made(**kwargs: Any) -> SensorTrigger:
        if by_source:
            return SailPointAggregationTrigger(
                source_id=ended.source_id, launched_after=LONG_AGO, version=ARGUMENTS_VERSION, **kwargs
            )
        return SailPointTaskTrigger(task_status_id=ended.id, version=ARGUMENTS_VERSION, **kwargs)

    one, other = made(), made(end_from_trigger=True)
    with triggerer(one) as xcoms:
        assert last(one).payload["statuses"][0]["id"] == ended.id
    assert xcoms == {}
    with triggerer(other) as xcoms:
        assert isinstance(last(other), TaskSuccessEvent)
    assert xcoms["return_value"]["id"] == ended.id


def test_asks_with_its_own_connection_and_version(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator() as other:
        monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_OTHER", other.connection_uri)
        ended = other.add_task(launched=-60, duration=1)
        one = trigger(ended.id, sailpoint_conn_id="sailpoint_other", api_version="beta")
        assert events(one)[0]["statuses"][0]["id"] == ended.id
        assert {each.api_version for each in other.requests if "task-status" in each.path} == {"beta"}
    assert tenant.requests == ()


def test_polls_as_often_as_the_interval_says(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else the second poll would come after ten minutes."""
    monkeypatch.setattr(_connection, "SHORTEST_ROUND_SECONDS", 600.0)
    task = tenant.add_task(duration=0.3)
    assert events(trigger(task.id, poke_interval=0.1))[0]["statuses"][0]["id"] == task.id


def test_the_grace_counts_from_the_first_poll_of_all(tenant: Emulator) -> None:
    (event,) = events(trigger(UNKNOWN, not_found_grace=600, waiting_since=A_DAY_AGO))
    assert event["error"] == "not_found"


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


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Subscription], bool]], None]:
    """Lets triggers read their updates only when a condition has come true once, as in a busy event loop."""
    read = Subscription.update

    def hold(until: Callable[[Subscription], bool]) -> None:
        held: dict[Subscription, bool] = {}

        async def update(self: Subscription, seconds: float | None = None) -> Update | None:
            while not held.get(self):
                held[self] = until(self)
                await asyncio.sleep(0.01)
            return await read(self, seconds)

        monkeypatch.setattr(Subscription, "update", update)

    return hold


def test_an_outage_that_is_over_before_it_is_read(
    tenant: Emulator,
    hold: Callable[[Callable[[Subscription], bool]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its end is logged with its beginning: nothing may change for hours after that."""
    task = tenant.add_task(duration=None)
    tenant.fail(503, path="/task-status/v1", times=4)
    logged: list[str] = []

    def is_over(subscription: Subscription) -> bool:
        update = subscription._update
        return update is not None and update.error is not None and bool(update.answers)

    async def main() -> None:
        hold(is_over)
        waiting = asyncio.create_task(first(trigger(task.id)))
        async with asyncio.timeout(30):
            while "Polling fails" not in "".join(logged):
                logged.append(capsys.readouterr().out)
                await asyncio.sleep(0.05)
        waiting.cancel()

    asyncio.run(main())
    log = "".join(logged) + capsys.readouterr().out
    assert log.count("Polling fails, trying again: GET /task-status/v1") == 1
    assert log.count("Polling works again") == 1
    assert f"(task {task.id})" in log


def test_an_answer_does_not_end_the_outage_of_another_query(
    tenant: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is asked of a list and what is asked by its id fail apart from each other."""
    monkeypatch.setattr(_connection, "SHORTEST_ROUND_SECONDS", 0.2)
    monkeypatch.setattr(_connection, "RETRY", RetryPolicy(deadline=10.0, max_attempts=1))
    monkeypatch.setattr("airflow_provider_sptasks.client.pacing.WINDOW", 0.4)
    task = tenant.add_task(duration=None)
    tenant.fail(503, path=f"/task-status/v1/{UNKNOWN}")
    logged: list[str] = []

    async def until_logged(text: str) -> None:
        async with asyncio.timeout(30):
            while text not in "".join(logged):
                await asyncio.sleep(0.05)
                logged.append(capsys.readouterr().out)

    async def main() -> None:
        waiting = asyncio.create_task(first(trigger(task.id, UNKNOWN, not_found_grace=0)))
        await until_logged("Polling fails")
        tenant.complete(task.id)
        await until_logged("ended with SUCCESS")
        assert "Polling works again" not in "".join(logged)
        tenant.clear_faults()
        await until_logged("Polling works again")
        assert (await waiting).payload["error"] == "not_found"

    asyncio.run(main())


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


@pytest.mark.parametrize("version", [None, "beta"])
@pytest.mark.parametrize("pending", [True, False])
def test_a_kill_clears_the_record_of_what_runs(
    tenant: Emulator, capsys: pytest.CaptureFixture[str], pending: bool, version: str | None
) -> None:
    task = tenant.add_task(launched=-60, duration=None if pending else 1, outcome="WARNING")
    one = SailPointStartedTaskTrigger(task_status_id=task.id, api_version=version, version=ARGUMENTS_VERSION)
    asyncio.run(one.on_kill())
    assert tenant.task(task.id)["completionStatus"] == ("Error" if pending else "WARNING")
    assert {each.api_version for each in tenant.requests if "task-status" in each.path} == {version or "v1"}
    assert ("Cleared the record of " in capsys.readouterr().out) is pending


SERIALIZED = SimpleNamespace(task_id="gate", dag=None, template_fields=(), template_ext=())


@pytest.mark.parametrize("refusal", [None, RuntimeError("no api-server")])
def test_that_starts_a_task_sets_the_link_to_its_source(tenant: Emulator, refusal: Exception | None) -> None:
    """Without a worker, nothing else does; and where it can't be set, it is only a link."""
    task = tenant.add_task(launched=-60, duration=1)
    one = trigger(task.id)
    with triggerer(one, refusal, SERIALIZED) as xcoms:
        assert last(one).payload["statuses"][0]["id"] == task.id
    linked = xcoms.get(LINK_KEY, "")
    assert linked.endswith(f"/connections/sources/{task.source_id}") is (refusal is None)


def test_goes_on_where_the_connection_leads_now(
    tenant: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_poller, "SETTINGS_REFRESH_SECONDS", 0.1)
    monkeypatch.setattr(_connection, "CONNECTION_CACHE_SECONDS", 0.0)
    running = tenant.add_task(duration=None)
    with Emulator() as other:
        ended = other.add_task(id=running.id, launched=-60, duration=1)

        async def collect() -> list[TriggerEvent]:
            one = trigger(running.id)
            events = asyncio.ensure_future(anext(one.run()))
            while not any(each.path == "/task-status/v1" for each in tenant.requests):
                await asyncio.sleep(0.01)
            monkeypatch.setenv(CONNECTION, other.connection_uri)
            return [await events]

        (event,) = asyncio.run(asyncio.wait_for(collect(), 30))
    assert event.payload["statuses"][0]["completionStatus"] == "SUCCESS"
    assert event.payload["statuses"][0]["id"] == ended.id
    assert "Connection 'sailpoint_default' leads to another tenant now" in capsys.readouterr().out


@needs_airflow_3_3
def test_says_why_a_success_ends_on_a_worker(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    task = tenant.add_task(launched=-60, duration=1)
    with DAG("dag", schedule=None) as dag:
        BaseOperator(task_id="gate", outlets=[Asset("done")])
    one = trigger(task.id, end_from_trigger=True, starts_here=True)
    with triggerer(one, task=serialized(dag).get_task("gate")) as xcoms:
        assert last(one).payload["statuses"][0]["id"] == task.id
    assert "return_value" not in xcoms
    assert "A success will end on a worker: outlets is set" in capsys.readouterr().out


@needs_airflow_3_3
def test_an_xcom_that_can_not_be_set_is_logged(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    task = tenant.add_task(launched=-60, duration=1)
    one = trigger(task.id, end_from_trigger=True)
    with triggerer(one, RuntimeError("no api-server")):
        assert last(one).payload["statuses"][0]["id"] == task.id
    expected = "The success ends on a worker: its XCom can't be set here: no api-server"
    assert expected in capsys.readouterr().out
