"""The operator that starts aggregations: every argument takes effect, and nothing gets lost on the way."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import Asset

from airflow_provider_sptasks.client import starting
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointStartError,
    SailPointTaskFailedError,
)
from airflow_provider_sptasks.hooks import sailpoint as hooks
from airflow_provider_sptasks.links import SailPointAggregationLink
from airflow_provider_sptasks.operators import _start_run, _worker_run
from airflow_provider_sptasks.operators._interruptible import Interruptible
from airflow_provider_sptasks.operators.sailpoint import SailPointStartAggregationOperator
from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor
from airflow_provider_sptasks.triggers.sailpoint import SailPointTaskTrigger
from airflow_provider_sptasks.waiting import driver, tasks
from airflow_provider_sptasks.waiting.events import ARGUMENTS_VERSION
from tests.compat import AIRFLOW_3_3, AirflowSensorTimeout, TaskDeferred
from tests.conftest import CONNECTION
from tests.operators.test_start import CSV, SOURCE, Store, Task, operator, polled, posts, run, started, when

NAME = "Cloud Account Aggregation of Active Directory"
POLLS: dict[str, Any] = {"path": "/task-status/v1", "query": "*id in*"}


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "SHOWS_WITHIN_SECONDS", 0.4)
    monkeypatch.setattr(starting, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(driver, "REFUSAL_RETRY_SECONDS", 0.05)


@pytest.fixture
def endless(tenant: Emulator) -> str:
    """A source whose aggregations don't end by themselves."""
    return tenant.add_source("Active Directory", SOURCE, duration=None).id


def deferred(start: SailPointStartAggregationOperator, task: Task | None = None) -> Any:
    with pytest.raises(TaskDeferred) as deferral:
        start.execute((task or Task()).context())
    return deferral.value


def link(start: SailPointStartAggregationOperator) -> str:
    return SailPointAggregationLink().get_link(start, ti_key=None)  # type: ignore[arg-type]


class TestArguments:
    def test_what_goes_on_in_the_triggerer(
        self, tenant: Emulator, endless: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_OTHER", tenant.connection_uri)
        monkeypatch.delenv(CONNECTION)
        start = operator(
            deferrable=True,
            sailpoint_conn_id="sailpoint_other",
            api_version="v2025",
            poke_interval=timedelta(seconds=7),
            timeout=timedelta(hours=1),
            accepted_statuses="error",
            end_from_trigger=False,
            do_xcom_push=False,
        )
        before = datetime.now(UTC)
        deferral = deferred(start)
        after = datetime.now(UTC)
        assert {request.api_version for request in tenant.requests} == {None, "v2025"}
        arguments = deferral.trigger.serialize()[1]
        wait = {"task_status_id": started(tenant)[0], "accepted_statuses": ["ERROR"], "not_found_grace": 60.0}
        assert arguments == wait | {
            "waiting_since": arguments["waiting_since"],
            "sailpoint_conn_id": "sailpoint_other",
            "api_version": "v2025",
            "poke_interval": 7.0,
            "end_from_trigger": False,
            "do_xcom_push": False,
            "starts_here": False,
            "version": ARGUMENTS_VERSION,
        }
        kwargs = dict(deferral.kwargs)
        ends_at = datetime.fromisoformat(kwargs.pop("ends_at"))
        assert kwargs == {"wait": wait | {"waiting_since": arguments["waiting_since"]}, "own": True}
        assert before + timedelta(hours=1) <= ends_at <= after + timedelta(hours=1)
        assert ends_at - after <= deferral.timeout < timedelta(hours=1)
        assert deferral.method_name == "execute_complete"
        assert not [each for each in tenant.requests if each.path.startswith("/account-aggregations")]

    def test_what_is_left_out_is_as_documented(self, tenant: Emulator, endless: str) -> None:
        plain = operator(deferrable=True)
        start = SailPointStartAggregationOperator(
            task_id="start", source_id=SOURCE, deferrable=True, dag=plain.dag
        )
        deferral = deferred(start)
        assert timedelta(days=6, hours=23) < deferral.timeout <= timedelta(days=7)
        assert type(deferral.trigger) is SailPointTaskTrigger, "nothing is cleared"
        arguments = deferral.trigger.serialize()[1]
        grace = inspect.signature(SailPointTaskSensor).parameters["not_found_grace"].default
        documented = {
            "accepted_statuses": ["SUCCESS", "WARNING"],
            "not_found_grace": grace,
            "sailpoint_conn_id": "sailpoint_default",
            "api_version": None,
            "poke_interval": 60.0,
            "end_from_trigger": AIRFLOW_3_3,
            "do_xcom_push": True,
        }
        assert {name: arguments[name] for name in documented} == documented
        (request,) = [each for each in tenant.requests if each.path.endswith("/load-accounts")]
        assert request.body == b"'disableOptimization': 5 bytes", "false"

    @pytest.mark.parametrize("source", [{"source_id": SOURCE}, {"source_name": "HR"}])
    def test_arguments_are_kept_as_they_were_given(self, source: dict[str, str]) -> None:
        """A cluster policy reads them by their names; what was left out is nothing in the serialized DAG."""
        given: dict[str, Any] = {
            "kind": "entitlements",
            "file": "/data/groups.csv",
            "object_type": "group",
            "if_running": "skip",
            "wait_for_completion": False,
            "accepted_statuses": ("ERROR",),
            "deferrable": True,
            "poke_interval": 7.0,
            "timeout": 70.0,
            "clear_on_kill": True,
            "sailpoint_conn_id": "sailpoint_other",
            "api_version": "v2025",
        }
        start = SailPointStartAggregationOperator(task_id="start", **given | source)
        for name, value in {
            **given,
            "source_id": None,
            "source_name": None,
            "dataset_ids": None,
            **source,
        }.items():
            assert getattr(start, name) == value

    @pytest.mark.parametrize(
        ("arguments", "path", "bodies"),
        [
            ({"disable_optimization": True}, "load-accounts", [b"'disableOptimization': 4 bytes"]),  # true
            (
                {"kind": "entitlements", "file": "groups.csv", "object_type": "group"},
                "load-entitlements",
                [b"'objectType': 5 bytes", b"file 'groups.csv'"],
            ),
            (
                {"kind": "ai_agents", "dataset_ids": ["a:b", "c"], "disable_optimization": True},
                "aggregate-agents",
                [b'{"datasetIds": ["a:b", "c"], "disableOptimization": true}'],
            ),
            ({"kind": "datasets", "dataset_ids": "a:b"}, "datasets/a:b/aggregate", [b"{}"]),
        ],
    )
    def test_what_is_sent(
        self, tenant: Emulator, tmp_path: Path, arguments: dict[str, Any], path: str, bodies: list[bytes]
    ) -> None:
        tenant.add_source("HR", SOURCE, duration=None, delimited_file="file" in arguments)
        if "file" in arguments:
            (tmp_path / "groups.csv").write_bytes(CSV)
            arguments = {**arguments, "file": tmp_path / "groups.csv"}
        run(wait_for_completion=False, **arguments)
        (request,) = [each for each in tenant.requests if each.method == "POST" and "oauth" not in each.path]
        assert request.path.endswith(path)
        assert all(each in request.body for each in bodies), request.body

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"kind": "entitlements", "file": "x.csv", "object_type": " "}, "object_type"),
            ({"kind": "ai_agents", "dataset_ids": "a", "file": "x.csv"}, "file"),
            ({"dataset_ids": "a"}, "dataset_ids"),
            ({"object_type": "group"}, "object_type"),
            ({"wait_for_completion": "no"}, "wait_for_completion 'no'"),
            ({"clear_on_kill": 1}, "clear_on_kill 1"),
            ({"end_from_trigger": None}, "end_from_trigger None"),
        ],
    )
    def test_bad_ones_are_refused_when_the_dag_is_parsed(
        self, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            operator(**arguments)

    @pytest.mark.parametrize(
        ("version", "settings", "ends"),
        [
            ("3.3.0", {}, True),
            ("3.3.0", {"end_from_trigger": False}, False),
            ("3.3.0", {"outlets": [Asset("done")]}, False),
            ("3.2.1", {}, False),
        ],
    )
    def test_where_a_success_ends(
        self,
        tenant: Emulator,
        endless: str,
        version: str,
        settings: dict[str, Any],
        ends: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(airflow, "__version__", version)
        deferral = deferred(operator(deferrable=True, **settings))
        assert deferral.trigger.serialize()[1]["end_from_trigger"] is ends


class TestStart:
    def test_the_log_says_what_becomes_of_it(
        self, tenant: Emulator, endless: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = tenant.add_task(source_id=endless, duration=None)
        with when(lambda: polled(tenant, other.id) > 0, lambda: tenant.complete(other.id)):
            task_id = run(source_name="active directory", wait_for_completion=False)
        log = capsys.readouterr().out
        assert "The source is Active Directory" in log
        assert f"Nothing was started: {NAME} runs, since" in log
        assert f"was started (task {task_id})" in log

    @pytest.mark.parametrize("lasts", [True, False])
    def test_a_first_try_takes_nothing_for_its_own(self, tenant: Emulator, endless: str, lasts: bool) -> None:
        task = Task(retries=0, max_tries=0, store=Store() if lasts else None)
        other = tenant.add_task(source_id=endless, launched=0, duration=0.001)
        task_id = run(task, retries=0, wait_for_completion=False)
        assert [task_id] == started(tenant)
        assert task_id != other.id

    def test_a_retry_that_does_not_know_when_the_run_began(self, tenant: Emulator, endless: str) -> None:
        task = Task(store=None).retry()
        context: Any = task.context()
        context["dag_run"] = SimpleNamespace(start_date=None)
        assert [operator(wait_for_completion=False).execute(context)] == started(tenant)

    def test_a_guess_is_logged(
        self, tenant: Emulator, endless: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        task = Task(store=None).retry()
        run(task, wait_for_completion=False)
        since = (task.started - timedelta(minutes=1)).strftime("%Y-%m-%d %H:%M")
        assert f"Looking for what an earlier try may have started since {since}" in capsys.readouterr().out

    def test_a_connection_that_airflow_does_not_have_at_first(
        self, tenant: Emulator, endless: str, lose_connection: Callable[[], None]
    ) -> None:
        lose_connection()
        assert [run(wait_for_completion=False)] == started(tenant)

    @pytest.mark.parametrize("source", [{"source_id": SOURCE}, {"source_name": "active directory"}])
    def test_credentials_that_were_rotated_before(
        self, tenant: Emulator, endless: str, source: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = operator(wait_for_completion=False, **source)
        start.hook.connect()
        tenant.rotate_secret(tenant.client_id, "rotated")
        monkeypatch.setenv(CONNECTION, tenant.connection_uri)
        assert [start.execute(Task().context())] == started(tenant)

    def test_credentials_that_are_rotated_while_it_waits(
        self, tenant: Emulator, endless: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def rotate() -> None:
            monkeypatch.setenv(CONNECTION, tenant.connection_uri.replace(tenant.client_secret, "rotated"))
            tenant.rotate_secret(tenant.client_id, "rotated")
            tenant.revoke_tokens()
            tenant.complete(started(tenant)[0])

        with when(lambda: polled(tenant) > 0, rotate):
            assert [run()["id"]] == started(tenant)

    def test_an_outage_lasts_no_longer_than_the_timeout(self, tenant: Emulator, endless: str) -> None:
        tenant.fail(503, path="/sources/v1", times=60)
        with pytest.raises(AirflowSensorTimeout, match=r"timeout of 0:00:00\.500000 has passed: GET"):
            run(source_name="Active Directory", timeout=0.5)
        assert started(tenant) == []


class TestWaits:
    """``has_worked``: a refusal after answers has to repeat, and the first of all is taken at its word."""

    def test_a_refusal_after_the_start(self, tenant: Emulator, endless: str) -> None:
        tenant.fail(403, times=1, **POLLS)
        with when(lambda: polled(tenant) > 1, lambda: tenant.complete(started(tenant)[0])):
            assert [run()["id"]] == started(tenant)

    def test_a_refusal_while_another_one_runs(self, tenant: Emulator, endless: str) -> None:
        other = tenant.add_task(source_id=endless, duration=None)
        tenant.fail(403, times=1, **POLLS)
        with when(lambda: polled(tenant) > 1, lambda: tenant.complete(other.id)):
            assert [run(wait_for_completion=False)] == started(tenant)

    def test_a_refusal_of_a_retry(self, tenant: Emulator, endless: str) -> None:
        task = Task()
        run(task, wait_for_completion=False)
        tenant.fail(403, times=1, **POLLS)
        with pytest.raises(SailPointRequestError, match="403"):
            run(task.retry())

    def test_between_polls_it_waits(self, tenant: Emulator, endless: str) -> None:
        with pytest.raises(AirflowSensorTimeout, match=rf"{NAME} \(task {'[0-9a-f]' * 32}\) has not ended"):
            run(timeout=0.7, poke_interval=60)
        assert polled(tenant) == 2, "at first, and when the time has come"

    def test_what_was_never_seen_is_named_too(self, tenant: Emulator, endless: str) -> None:
        tenant.fail(503, **POLLS)
        with pytest.raises(AirflowSensorTimeout, match=f"task {'[0-9a-f]' * 32} has not ended"):
            run(timeout=0.7)

    def test_a_poll_tries_four_times(self, tenant: Emulator, endless: str) -> None:
        tenant.fail(503, **POLLS)
        with pytest.raises(TaskDeferred):
            operator("deferrable", poke_interval=60).execute(Task().context())
        assert polled(tenant) == 4

    @pytest.mark.parametrize(("deferrable", "estimates"), [(False, 1), (True, 0)])
    def test_how_long_it_usually_takes_is_asked_where_one_process_waits(
        self, tenant: Emulator, endless: str, deferrable: bool, estimates: int
    ) -> None:
        start = operator(deferrable=deferrable, timeout=0.7)
        with pytest.raises((TaskDeferred, AirflowSensorTimeout)):
            start.execute(Task().context())
        after = next(n for n, each in enumerate(tenant.requests) if each.path.endswith("/load-accounts"))
        asked = [each.query.get("filters", "") for each in tenant.requests[after:]]
        assert sum("sourceId" in each for each in asked) == estimates

    def test_it_starts_at_once_when_another_one_ends(
        self, tenant: Emulator, endless: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(starting, "FIRST_PAUSE_SECONDS", 3600.0)
        other = tenant.add_task(source_id=endless, duration=None)
        with when(lambda: polled(tenant) > 0, lambda: tenant.complete(other.id)):
            assert [run(wait_for_completion=False)] == started(tenant)

    def test_it_starts_at_once_when_another_one_is_gone(
        self, tenant: Emulator, endless: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(starting, "FIRST_PAUSE_SECONDS", 3600.0)
        monkeypatch.setattr(tasks, "NOT_FOUND_GRACE_SECONDS", 0.0)
        tenant.add_task(source_id=endless, duration=3600)
        with when(lambda: polled(tenant) > 0, lambda: tenant.clock.advance(91 * 86_400)):
            assert [run(wait_for_completion=False)] == started(tenant)

    def test_it_pauses_while_sailpoint_does_not_know_that_it_has_ended(
        self, tenant: Emulator, endless: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(starting, "FIRST_PAUSE_SECONDS", 3600.0)
        other = tenant.add_task(source_id=endless, duration=None)
        wait_for = tasks.TaskWait.for_one

        def ends_meanwhile(*arguments: Any) -> Any:
            tenant.complete(other.id)
            return wait_for(*arguments)

        monkeypatch.setattr(tasks.TaskWait, "for_one", ends_meanwhile)
        with pytest.raises(AirflowSensorTimeout):
            run(timeout=0.7)
        assert posts(tenant) == 1

    @pytest.mark.parametrize(
        ("seconds", "end"), [(0.0, AirflowSensorTimeout), (-5.0, AirflowSensorTimeout), (0.5, TaskDeferred)]
    )
    def test_it_is_deferred_only_with_time_left(
        self,
        tenant: Emulator,
        endless: str,
        seconds: float,
        end: type[Exception],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A deferral without time left would have no timeout at all."""
        deferral = deferred(operator("deferrable"))
        now = datetime.now(UTC)
        clock = SimpleNamespace(now=lambda _: now, fromisoformat=datetime.fromisoformat)
        monkeypatch.setattr(_worker_run, "datetime", clock)
        given = {**deferral.kwargs, "ends_at": (now + timedelta(seconds=seconds)).isoformat()}
        event = {"version": ARGUMENTS_VERSION, "again": "it has to"}
        with pytest.raises(end) as ended:
            operator("deferrable").execute_complete(Task().context(), event, **given)
        if isinstance(ended.value, TaskDeferred):
            assert ended.value.timeout == timedelta(seconds=seconds)


class TestGoesOn:
    """What a worker does that gets a deferred task back."""

    @pytest.mark.parametrize(
        "event",
        [
            {"version": ARGUMENTS_VERSION, "wait": {}, "statuses": [], "source_ids": []},
            {"version": ARGUMENTS_VERSION, "error": "not_found", "message": "it is gone"},
            {"version": ARGUMENTS_VERSION, "again": "the connection leads elsewhere"},
            {"version": 1, "error": "refused", "message": "of another version"},
        ],
    )
    @pytest.mark.parametrize("lasts", [True, False])
    def test_it_starts_after_another_one(
        self, tenant: Emulator, endless: str, event: dict[str, Any], lasts: bool
    ) -> None:
        """What ran in the way is not taken for its own, wherever nothing is kept between tries."""
        task = Task(store=Store() if lasts else None).retry()
        tenant.add_task(source_id=endless, launched=0, duration=0.001)
        task_id = operator(wait_for_completion=False).start_after(task.context(), event, endless)
        assert [task_id] == started(tenant)

    def test_it_does_not_after_a_refusal(self, tenant: Emulator, endless: str) -> None:
        event = {"version": ARGUMENTS_VERSION, "error": "refused", "message": "answered with 403"}
        with pytest.raises(SailPointRequestError, match="answered with 403"):
            operator().start_after(Task().context(), event, endless)
        assert started(tenant) == []

    def test_it_looks_for_its_source_where_airflow_does_not_hand_it_on(
        self, tenant: Emulator, endless: str
    ) -> None:
        event = {"version": ARGUMENTS_VERSION, "again": "it has to"}
        start = operator(source_name="Active Directory", wait_for_completion=False)
        assert [start.start_after(Task().context(), event)] == started(tenant)

    def seen(self, tenant: Emulator, outcome: str | None) -> tuple[dict[str, Any], Any]:
        """Return what a trigger saw, and what was deferred with it."""
        deferral = deferred(operator("deferrable"))
        (task_id,) = started(tenant)
        if outcome is not None:
            tenant.complete(task_id, outcome)
        statuses = [operator().hook.client.get(task_id).to_json()]
        tenant.reset_requests()
        event = {"version": ARGUMENTS_VERSION, "wait": deferral.kwargs["wait"], "statuses": statuses}
        return {**event, "source_ids": [SOURCE]}, deferral.kwargs

    def test_it_concludes_and_asks_nothing(self, tenant: Emulator, endless: str) -> None:
        event, given = self.seen(tenant, "SUCCESS")
        again = operator("deferrable")
        assert again.execute_complete(Task().context(), event, **given)["completionStatus"] == "SUCCESS"
        assert tenant.requests == ()
        assert link(again).endswith(f"/connections/sources/{SOURCE}")

    def test_it_fails_with_a_line_of_its_own(
        self, tenant: Emulator, endless: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        event, given = self.seen(tenant, "ERROR")
        capsys.readouterr()
        with pytest.raises(SailPointTaskFailedError, match="ended with ERROR"):
            operator("deferrable").execute_complete(Task().context(), event, **given)
        assert "Active Directory ended with ERROR" in capsys.readouterr().out

    @pytest.mark.parametrize("has_seen", [True, False])
    def test_it_polls_again(
        self, tenant: Emulator, endless: str, has_seen: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        event, given = self.seen(tenant, None)
        if not has_seen:
            event = {"version": ARGUMENTS_VERSION, "again": "the connection leads elsewhere"}
        again = operator("deferrable")
        with pytest.raises(TaskDeferred) as deferral:
            again.execute_complete(Task().context(), event, **given)
        assert deferral.value.kwargs == given, "own, and until the same time"
        assert link(again).endswith(f"/connections/sources/{SOURCE}")
        why = "what the trigger saw is not the end" if has_seen else "the connection leads elsewhere"
        assert f"Polling again on a worker: {why}" in capsys.readouterr().out

    def test_it_fails_with_what_the_triggerer_was_refused(self, tenant: Emulator, endless: str) -> None:
        _, given = self.seen(tenant, None)
        tenant.reset_requests()
        event = {"version": ARGUMENTS_VERSION, "error": "refused", "message": "answered with 403"}
        with pytest.raises(SailPointRequestError, match=r"^answered with 403$"):
            operator("deferrable").execute_complete(Task().context(), event, **given)
        assert tenant.requests == ()

    def test_a_refusal_is_taken_at_its_word(self, tenant: Emulator, endless: str) -> None:
        _, given = self.seen(tenant, None)
        tenant.fail(403, times=1, **POLLS)
        event = {"version": ARGUMENTS_VERSION, "again": "it has to"}
        with pytest.raises(SailPointRequestError, match="403"):
            operator("deferrable").execute_complete(Task().context(), event, **given)

    def test_what_version_0_1_0_deferred_is_found(self, tenant: Emulator, endless: str) -> None:
        """It handed nothing on; where nothing is kept either, the newest since the run started is its own."""
        task = Task(store=None)
        task_id = run(task, wait_for_completion=False)
        event = {"version": 1, "statuses": []}
        with pytest.raises(TaskDeferred):
            operator("deferrable").execute_complete(task.context(), event)
        assert started(tenant) == [task_id]

    def test_a_connection_that_airflow_does_not_have_at_first(
        self, tenant: Emulator, endless: str, lose_connection: Callable[[], None]
    ) -> None:
        _, given = self.seen(tenant, "SUCCESS")
        event = {"version": ARGUMENTS_VERSION, "again": "it has to"}
        lose_connection()
        status = operator("deferrable").execute_complete(Task().context(), event, **given)
        assert status["completionStatus"] == "SUCCESS"

    def test_its_timeout_has_a_line_of_its_own(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(AirflowSensorTimeout, match="waiting in the triggerer"):
            operator("deferrable", timeout=60).resume_execution(
                "__fail__", {"error": "Trigger timeout"}, Task().context()
            )
        assert "The timeout of 0:01:00 has passed: waiting in the triggerer" in capsys.readouterr().out


def test_no_connection_is_read_for_a_link_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow asks for it at every end, also where the connection is what was missing."""
    monkeypatch.setattr(hooks, "CONNECTION_GRACE_SECONDS", 0.0)
    monkeypatch.delenv(CONNECTION, raising=False)
    start = operator()
    assert link(start) == ""
    with pytest.raises(AirflowNotFoundException):
        start.execute(Task().context())
    assert link(start) == ""


class TestKill:
    def kill(
        self, tenant: Emulator, start: SailPointStartAggregationOperator, *given: Any, **kwargs: Any
    ) -> str:
        """Kill it after a poll; return what it failed with."""
        work = start.execute_complete if given[1:] else start.execute
        with (
            when(lambda: polled(tenant) > 0, start.on_kill),
            pytest.raises(SailPointStartError) as stopped,
        ):
            work(*given, **kwargs)
        return str(stopped.value)

    @pytest.mark.parametrize("own", [{"own": True}, {"own": False}, {}])
    def test_one_that_goes_on_clears_what_is_its_own(
        self, tenant: Emulator, endless: str, own: dict[str, bool]
    ) -> None:
        deferral = deferred(operator("deferrable"))
        tenant.reset_requests()
        event = {"version": ARGUMENTS_VERSION, "again": "it has to"}
        given = {"wait": deferral.kwargs["wait"], **own}
        self.kill(tenant, operator(clear_on_kill=True), Task().context(), event, **given)
        is_cleared = tenant.task(started(tenant)[0])["completionStatus"] == "Error"
        assert is_cleared is own.get("own", False)

    def test_an_id_that_comes_after_it_is_cleared_too(
        self, tenant: Emulator, endless: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Killing(Store):
            def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
                super().set(key, value, retention=retention)
                if value["task_status_id"]:
                    start.on_kill()

        monkeypatch.setattr(_worker_run, "Interruptible", partial(Interruptible, last_answers=30.0))
        start = operator(clear_on_kill=True)
        with pytest.raises(SailPointStartError, match="The task was stopped"):
            start.execute(Task(store=Killing()).context())
        assert tenant.task(started(tenant)[0])["completionStatus"] == "Error"

    @pytest.mark.parametrize("status", [200, 403])
    def test_it_is_cleared_once(self, tenant: Emulator, endless: str, status: int) -> None:
        if status != 200:
            tenant.fail(status, method="PATCH")
        self.kill(tenant, operator(clear_on_kill=True), Task().context())
        assert sum(request.method == "PATCH" for request in tenant.requests) == 1
        reads = [each for each in tenant.requests if each.path.endswith(f"/{started(tenant)[0]}")]
        assert [each.method for each in reads] == ["GET", "PATCH"]

    def test_one_that_has_ended_is_left_alone(
        self, tenant: Emulator, endless: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        task = Task()
        start = operator(clear_on_kill=True, poke_interval=60)

        def end_and_kill() -> None:
            tenant.complete(started(tenant)[0])
            start.on_kill()

        with when(lambda: polled(tenant) > 0, end_and_kill), pytest.raises(SailPointStartError):
            start.execute(task.context())
        assert tenant.task(started(tenant)[0])["completionStatus"] == "SUCCESS"
        assert "Cleared" not in capsys.readouterr().out
        assert run(task.retry())["completionStatus"] == "SUCCESS", "a retry goes on with it"
        assert len(started(tenant)) == 1

    def test_clearing_takes_no_longer_than_airflow_waits(
        self, tenant: Emulator, endless: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_start_run, "CLEAR_TIMEOUT_SECONDS", 0.2)
        tenant.fail(503, method="PATCH", times=40)
        message = self.kill(tenant, operator(clear_on_kill=True), Task().context())
        assert message.endswith("goes on in SailPoint.")
        assert tenant.task(started(tenant)[0])["completionStatus"] is None

    def test_the_log_says_what_was_cleared(
        self, tenant: Emulator, endless: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.kill(tenant, operator(clear_on_kill=True), Task().context())
        assert "Cleared the record of Cloud Account Aggregation" in capsys.readouterr().out

    def test_before_anything_is_started(self, tenant: Emulator, endless: str) -> None:
        tenant.fail(kind="delay", path="/oauth/token", delay=0.5, times=1)
        start = operator(clear_on_kill=True)
        with (
            when(lambda: start._run is not None, start.on_kill),
            pytest.raises(SailPointStartError, match=r"^The task was stopped\.$"),
        ):
            start.execute(Task().context())

    def test_of_what_others_started_nothing_is_said(self, tenant: Emulator, endless: str) -> None:
        tenant.add_task(source_id=endless, duration=None)
        start = operator(if_running="attach")
        assert self.kill(tenant, start, Task().context()) == "The task was stopped."

    def test_nothing_waits_on_in_a_thread(
        self, tenant: Emulator, endless: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While a refusal is to repeat, too; Python waits for its threads at the end."""
        monkeypatch.setattr(driver, "REFUSAL_RETRY_SECONDS", 50.0)
        tenant.fail(403, **POLLS)
        before = set(threading.enumerate())
        work: list[threading.Thread] = []
        start = operator(timeout=600)

        def kill() -> None:
            work.extend(
                each
                for each in set(threading.enumerate()) - before
                if each.name.startswith("sailpoint-operator")
            )
            start.on_kill()

        with when(lambda: polled(tenant) > 0, kill), pytest.raises(SailPointStartError):
            start.execute(Task().context())
        (thread,) = work
        thread.join(20)
        assert not thread.is_alive()
