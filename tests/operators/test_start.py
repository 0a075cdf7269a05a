"""Starting aggregations and waiting for them: once each, in every mode, whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.sdk import DAG, Context
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent

from airflow_provider_sptasks.client import starting, transport
from airflow_provider_sptasks.emulator import Emulator, LoggedRequest
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointSourceNotFoundError,
    SailPointStartError,
    SailPointTaskFailedError,
    SailPointTaskNotFoundError,
)
from airflow_provider_sptasks.links import SailPointAggregationLink
from airflow_provider_sptasks.operators import _start_run
from airflow_provider_sptasks.operators._interruptible import Interruptible
from airflow_provider_sptasks.operators.sailpoint import SailPointStartAggregationOperator
from airflow_provider_sptasks.triggers.sailpoint import SailPointStartedTaskTrigger, SailPointTaskTrigger
from airflow_provider_sptasks.waiting import tasks
from tests.compat import (
    AIRFLOW_3_3,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from tests.conftest import CONNECTION, ROOT
from tests.context import triggerer

SOURCE = "a" * 32
CSV = b"id,name\n1,Ann\n2,Bob\n"
MODES: dict[str, dict[str, Any]] = {
    "worker": {},
    "deferrable": {"deferrable": True, "end_from_trigger": False},
    "ends in the triggerer": {"deferrable": True},
}
every_mode = pytest.mark.parametrize("mode", MODES)


class Killed(BaseException):
    """Stands for the death of the process."""


class Store:
    """Airflow's task state store, which keeps JSON for a task of a DAG run, whatever its tries."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        assert retention is not None
        self.kept[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


@dataclass
class Task:
    """A task of a DAG run: what of it outlives its tries."""

    retries: int = 2
    store: Store | None = field(default_factory=Store)
    try_number: int = 1
    max_tries: int = 2
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def context(self) -> Context:
        found: dict[str, Any] = {
            "ti": SimpleNamespace(try_number=self.try_number, max_tries=self.max_tries),
            "dag_run": SimpleNamespace(start_date=self.started),
        }
        if self.store is not None:
            found["task_state_store"] = self.store
        return cast(Context, found)

    def retry(self) -> Task:
        """As Airflow tries it again."""
        self.try_number += 1
        return self

    def clear(self) -> Task:
        """As Airflow runs it again after a user has cleared it."""
        self.max_tries = self.try_number + self.retries
        return self.retry()


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "SHOWS_WITHIN_SECONDS", 0.4)
    monkeypatch.setattr(starting, "FIRST_PAUSE_SECONDS", 0.05)


@pytest.fixture
def source(tenant: Emulator) -> str:
    return tenant.add_source("Active Directory", SOURCE, duration=0.5).id


def operator(mode: str = "worker", **kwargs: Any) -> SailPointStartAggregationOperator:
    own: dict[str, Any] = {"source_id": SOURCE} if "source_name" not in kwargs else {}
    settings = {"poke_interval": 0.1, "timeout": 60, "retries": 2} | own | MODES[mode] | kwargs
    return SailPointStartAggregationOperator(task_id="gate", dag=DAG("dag", schedule=None), **settings)


def run(task: Task | None = None, mode: str = "worker", **kwargs: Any) -> Any:
    """Run the operator as Airflow does: each time that it resumes it is a new object."""
    task = task or Task()
    try:
        return operator(mode, **kwargs).execute(task.context())
    except TaskDeferred as deferral:
        return resumed(task, mode, deferral, kwargs)


def resumed(task: Task, mode: str, deferral: TaskDeferred, kwargs: dict[str, Any]) -> Any:
    trigger = deferral.trigger
    assert isinstance(trigger, SailPointTaskTrigger)
    path, arguments = trigger.serialize()
    assert path.endswith(type(trigger).__name__)
    trigger = type(trigger)(**json.loads(json.dumps(arguments)))
    assert isinstance(deferral.timeout, timedelta)
    with triggerer(trigger) as xcoms:
        event = asyncio.run(first_event(trigger, deferral.timeout.total_seconds()))
    if event is None:
        method, given = "__fail__", {"error": "Trigger timeout"}
    elif isinstance(event, TaskSuccessEvent):
        return xcoms["return_value"]
    else:
        method = deferral.method_name
        given = {**(deferral.kwargs or {}), "event": event.payload}
    try:
        again = operator(mode, **kwargs)
        return again.resume_execution(method, json.loads(json.dumps(given)), task.context())
    except TaskDeferred as next_deferral:
        return resumed(task, mode, next_deferral, kwargs)


async def first_event(trigger: BaseTrigger, timeout: float) -> Any:
    try:
        async with asyncio.timeout(timeout):
            return await anext(trigger.run())
    except TimeoutError:
        return None


def started(tenant: Emulator) -> list[str]:
    return [task.id for task in tenant.started]


def posts(tenant: Emulator) -> int:
    return sum(request.method == "POST" and "/oauth/" not in request.path for request in tenant.requests)


@contextmanager
def when(condition: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    def wait() -> None:
        while not condition():
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


@every_mode
class TestOutcomes:
    @pytest.mark.parametrize("outcome", ["SUCCESS", "Warning"])
    def test_returns_the_status(self, tenant: Emulator, mode: str, outcome: str) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=0.5, outcome=outcome)
        status = run(mode=mode)
        assert [status["id"]] == started(tenant)
        assert status["completionStatus"] == outcome.upper()
        assert (status["kind"], status["target"]["id"]) == ("accounts", SOURCE)

    @pytest.mark.parametrize("outcome", ["ERROR", "TERMINATED", "TempError", "Cancelled"])
    def test_fails_without_retry(self, tenant: Emulator, mode: str, outcome: str) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=0.5, outcome=outcome)
        with pytest.raises(SailPointTaskFailedError, match=f"(?i)ended with {outcome}") as raised:
            run(mode=mode)
        assert isinstance(raised.value, AirflowFailException)

    def test_accepted_statuses(self, tenant: Emulator, mode: str) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=0.5, outcome="ERROR")
        assert run(mode=mode, accepted_statuses=None)["completionStatus"] == "ERROR"

    def test_timeout_fails_without_retry(self, tenant: Emulator, mode: str) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=None)
        with pytest.raises(AirflowSensorTimeout, match="timeout of 0:00:06 has passed"):
            run(mode=mode, timeout=6)
        assert len(started(tenant)) == 1

    def test_by_name(self, tenant: Emulator, source: str, mode: str) -> None:
        assert run(mode=mode, source_name="active directory")["target"]["id"] == source

    def test_does_not_wait_if_asked_to(self, tenant: Emulator, mode: str) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=None)
        assert [run(mode=mode, wait_for_completion=False)] == started(tenant)

    @pytest.mark.parametrize("kind", ["ai_agents", "datasets"])
    def test_from_datasets(self, tenant: Emulator, source: str, mode: str, kind: str) -> None:
        status = run(mode=mode, kind=kind, dataset_ids="source:one")
        (started,) = tenant.started
        assert (status["id"], status["kind"], started.kind) == (started.id, kind, kind)

    @pytest.mark.parametrize("kind", ["accounts", "entitlements", "uncorrelated_accounts"])
    def test_every_kind_with_a_file(self, tenant: Emulator, tmp_path: Path, mode: str, kind: str) -> None:
        tenant.add_source("HR", SOURCE, duration=0.2, delimited_file=True)
        path = tmp_path / "accounts.csv"
        path.write_bytes(CSV)
        assert run(mode=mode, kind=kind, file=path)["kind"] == kind
        (upload,) = tenant.uploads
        assert (upload.size, upload.filename) == (len(CSV), "accounts.csv")

    def test_what_passes_is_waited_out(self, tenant: Emulator, source: str, mode: str) -> None:
        tenant.fail(503, method="GET", times=4)
        tenant.fail(429, method="POST", times=1, headers={"Retry-After": "0"})
        assert [run(mode=mode)["id"]] == started(tenant)

    def test_waits_for_another_however_it_ends(self, tenant: Emulator, source: str, mode: str) -> None:
        other = tenant.add_task(source_id=source, duration=None, kind="entitlements")
        with when(lambda: posts(tenant) > 0, lambda: tenant.complete(other.id, "ERROR")):
            status = run(mode=mode)
        assert [status["id"]] == started(tenant)

    def test_waits_for_one_after_another(self, tenant: Emulator, source: str, mode: str) -> None:
        first = tenant.add_task(source_id=source, duration=None)

        def next_one() -> None:
            tenant.complete(first.id)
            tenant.add_task(source_id=source, duration=0.5)

        with when(lambda: posts(tenant) > 0, next_one):
            status = run(mode=mode)
        assert [status["id"]] == started(tenant)

    def test_another_that_does_not_end(self, tenant: Emulator, source: str, mode: str) -> None:
        tenant.add_task(source_id=source, duration=None)
        with pytest.raises(AirflowSensorTimeout):
            run(mode=mode, timeout=1.5)
        assert started(tenant) == []

    def test_attaches(self, tenant: Emulator, source: str, mode: str) -> None:
        other = tenant.add_task(source_id=source, duration=None)
        with when(lambda: polled(tenant, other.id) > 0, lambda: tenant.complete(other.id)):
            assert run(mode=mode, if_running="attach")["id"] == other.id
        assert started(tenant) == []

    def test_fails_if_asked_to(self, tenant: Emulator, source: str, mode: str) -> None:
        tenant.add_task(source_id=source, duration=None)
        with pytest.raises(SailPointStartError, match="must complete before the next one") as raised:
            run(mode=mode, if_running="fail")
        assert not isinstance(raised.value, AirflowFailException), "a retry may succeed"

    def test_skips_if_asked_to(self, tenant: Emulator, source: str, mode: str) -> None:
        tenant.add_task(source_id=source, duration=None)
        with pytest.raises(AirflowSkipException):
            run(mode=mode, if_running="skip")

    def test_one_that_is_forgotten(
        self, tenant: Emulator, source: str, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "NOT_FOUND_GRACE_SECONDS", 0.3)
        task = Task()
        started_once = run(task, wait_for_completion=False)
        tenant.clock.advance(91 * 86_400)
        with pytest.raises(SailPointTaskNotFoundError, match=started_once):
            run(task.retry(), mode=mode)

    def test_rotated_credentials(self, tenant: Emulator, source: str, mode: str) -> None:
        tenant.fail(401, times=2, path="/task-status*")
        assert [run(mode=mode)["id"]] == started(tenant)


class TestRefusals:
    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_by_the_tenant(self, tenant: Emulator, source: str, status: int) -> None:
        tenant.fail(status, method="POST", path="/sources/*")
        with pytest.raises(SailPointRequestError, match=f"answered with {status}"):
            run()

    def test_unknown_source(self, tenant: Emulator) -> None:
        with pytest.raises(SailPointSourceNotFoundError, match="no source named 'HR'"):
            run(source_name="HR")
        with pytest.raises(SailPointRequestError, match="404"):
            run()

    def test_ambiguous_name(self, tenant: Emulator, source: str) -> None:
        tenant.add_source("ACTIVE DIRECTORY", "b" * 32)
        with pytest.raises(SailPointSourceNotFoundError, match="2 sources are named"):
            run(source_name="Active Directory")
        assert posts(tenant) == 0

    def test_a_file_that_is_not_there(self, tenant: Emulator, source: str, tmp_path: Path) -> None:
        with pytest.raises(SailPointStartError, match=r"Nothing was started.*can't be read"):
            run(file=str(tmp_path / "none.csv"))
        assert posts(tenant) == 0

    @pytest.mark.parametrize("name", ["source_id", "file"])
    def test_what_renders_to_none(self, tenant: Emulator, source: str, name: str) -> None:
        start = operator(**{name: "{{ params.x }}"})
        setattr(start, name, None)
        with pytest.raises(SailPointRequestError, match=name):
            start.execute(Task().context())
        assert tenant.requests == ()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"source_id": SOURCE, "source_name": "HR"}, "either source_id or source_name"),
            ({}, "either source_id or source_name"),
            ({"source_id": None}, "source_id should be SailPoint's id"),
            ({"source_id": "../x"}, "is not an id"),
            ({"source_name": " "}, "source_name"),
            ({"kind": "other"}, "kind 'other' is unknown"),
            ({"kind": "uncorrelated_accounts"}, "file is missing"),
            ({"kind": "datasets"}, "dataset_ids is missing"),
            ({"kind": "datasets", "dataset_ids": ["a b"]}, "dataset_ids 'a b' is not an id"),
            ({"kind": "entitlements", "object_type": "group"}, "give file as well"),
            ({"kind": "machine_identities"}, "kind 'machine_identities'"),
            ({"kind": "entitlements", "disable_optimization": True}, "disable_optimization is for accounts"),
            ({"disable_optimization": "yes"}, "neither True nor False"),
            ({"if_running": "hope"}, "if_running 'hope' is unknown"),
            ({"file": ""}, "file"),
            ({"accepted_statuses": "FINE"}, "accepted_statuses"),
            ({"timeout": -1}, "timeout -1 is negative"),
            ({"poke_interval": "1"}, "poke_interval '1' is neither"),
            ({"api_version": "v3"}, "v3"),
        ],
    )
    def test_when_the_dag_is_parsed(self, arguments: dict[str, Any], message: str) -> None:
        if arguments and not arguments.keys() & {"source_id", "source_name"}:
            arguments = {"source_id": SOURCE, **arguments}
        with pytest.raises(ValueError, match=message):
            SailPointStartAggregationOperator(task_id="start", **arguments)


class TestRetries:
    """What a try that died leaves to the next one."""

    @every_mode
    @pytest.mark.parametrize("notes", [1, 2])
    def test_goes_on_with_what_it_started(self, tenant: Emulator, source: str, mode: str, notes: int) -> None:
        """The worker dies after the POST, before or after the id is kept."""
        task = Task(store=Mortal(notes))
        with pytest.raises(Killed):
            run(task, mode=mode)
        task.store = cast(Mortal, task.store).survivor()
        assert [run(task.retry(), mode=mode)["id"]] == started(tenant)

    def test_goes_on_with_one_that_has_ended(self, tenant: Emulator, source: str) -> None:
        task = Task()
        (task_id,) = [run(task)["id"]]
        assert run(task.retry())["id"] == task_id
        assert len(started(tenant)) == 1

    def test_a_cleared_task_starts_again(self, tenant: Emulator, source: str) -> None:
        task = Task()
        first = run(task)["id"]
        second = run(task.clear())["id"]
        assert started(tenant) == [first, second]
        assert run(task.retry())["id"] == second

    def test_another_source_is_another_matter(self, tenant: Emulator, source: str) -> None:
        task = Task()
        run(task)
        other = tenant.add_source("HR", "b" * 32, duration=0.1)
        assert run(task.retry(), source_id=other.id)["target"]["id"] == other.id

    def test_what_another_ran_is_not_ours(self, tenant: Emulator, source: str) -> None:
        """A try that was refused, and died while it waited, leaves nothing."""
        other = tenant.add_task(source_id=source, duration=None)
        task = Task()
        with pytest.raises(AirflowSensorTimeout):
            run(task, timeout=0.5)
        tenant.complete(other.id)
        assert [run(task.retry())["id"]] == started(tenant)

    def test_without_a_store_the_newest_since_the_run_started(self, tenant: Emulator, source: str) -> None:
        tenant.add_task(source_id=source, launched=-3_600, duration=1)
        task = Task(store=None)
        first = run(task)["id"]
        assert run(task.retry())["id"] == first
        assert started(tenant) == [first]

    def test_without_a_store_there_may_be_none(self, tenant: Emulator, source: str) -> None:
        tenant.add_task(source_id=source, launched=-3_600, duration=1)
        assert [run(Task(store=None).retry())["id"]] == started(tenant)

    def test_without_a_store_a_cleared_task_starts_again(self, tenant: Emulator, source: str) -> None:
        task = Task(store=None)
        ids = [run(task)["id"], run(task.clear())["id"]]
        assert started(tenant) == ids


class Mortal(Store):
    """Dies, with its process, when it is to keep something for the second or third time."""

    def __init__(self, notes: int) -> None:
        super().__init__()
        self.notes = notes

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        if not self.notes:
            raise Killed
        super().set(key, value, retention=retention)
        self.notes -= 1
        if value["task_status_id"]:
            raise Killed

    def survivor(self) -> Store:
        store = Store()
        store.kept = self.kept
        return store


def polled(tenant: Emulator, task_status_id: str = "") -> int:
    """How often a task that was started, or one in particular, has been polled."""
    filters = [request.query.get("filters", "") for request in tenant.requests]
    return sum(each.startswith("id in") and task_status_id in each for each in filters)


class TestLog:
    def test_logs_progress(self, tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=2)
        status = run()
        log = capsys.readouterr().out
        name = "Cloud Account Aggregation of Active Directory"
        assert f"was started (task {status['id']})" in log
        assert f"{name}: ACCOUNTS_COLLECTED" in log
        assert f"{name} ended with SUCCESS" in log

    def test_progress_keeps_no_verdict_waiting(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=1)
        tenant.fail(kind="delay", delay=60.0, path="/account-aggregations/*")
        monkeypatch.setattr(transport, "DEADLINE_GRACE", 0.1)
        monkeypatch.setattr(_start_run, "PROGRESS_SECONDS", 0.1)
        assert run(timeout=15)["completionStatus"] == "SUCCESS"

    @pytest.mark.parametrize("status", [403, 404, 500])
    def test_progress_that_can_not_be_had_is_no_failure(self, tenant: Emulator, status: int) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=1)
        tenant.fail(status, path="/account-aggregations/*")
        run()
        asked = sum(request.path.startswith("/account-aggregations/") for request in tenant.requests)
        assert 1 <= asked <= polled(tenant)
        assert status != 403 or asked == 1


class TestKilling:
    @pytest.mark.parametrize("clear_on_kill", [False, True])
    def test_on_a_worker(self, tenant: Emulator, clear_on_kill: bool) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=None)
        task = Task()
        start = operator(clear_on_kill=clear_on_kill)
        with (
            when(lambda: polled(tenant) > 0, start.on_kill),
            pytest.raises(SailPointStartError, match="The task was stopped"),
        ):
            start.execute(task.context())
        (task_id,) = started(tenant)
        assert tenant.task(task_id)["completionStatus"] == ("Error" if clear_on_kill else None)
        assert task.store is not None
        assert bool(task.store.kept) is not clear_on_kill, "what is given up is not attached to"

    @pytest.mark.parametrize("slow", ["/oauth/token", "/task-status/v1"])
    def test_nothing_is_sent_after_it(self, tenant: Emulator, source: str, slow: str) -> None:
        """FAULTS A1: the token, or the list of what there is, is still on its way."""
        tenant.fail(kind="delay", path=slow, delay=1.0, times=1)
        start = operator()

        def kill() -> None:
            time.sleep(0.4)
            start.on_kill()

        with (
            when(lambda: start._run is not None, kill),
            pytest.raises(SailPointStartError, match="The task was stopped"),
        ):
            start.execute(Task().context())
        time.sleep(1.2)  # the answer comes
        assert started(tenant) == []
        assert not [request for request in tenant.requests if request.path.endswith("/load-accounts")]

    @pytest.mark.parametrize("clear_on_kill", [False, True])
    def test_by_execution_timeout_while_it_is_started(
        self,
        tenant: Emulator,
        clear_on_kill: bool,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Airflow raises it in the main thread, and calls on_kill after that."""
        tenant.add_source("Active Directory", SOURCE, duration=None)
        tenant.fail(kind="delay", delay=0.3, method="POST", path="/sources/*")
        monkeypatch.setattr(Interruptible.__init__, "__defaults__", (20.0,))

        def handler(*_: object) -> None:
            raise AirflowTaskTimeout

        def time_is_up(request: LoggedRequest) -> None:
            if request.path.endswith("/load-accounts"):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

        tenant.on_request(time_is_up)
        start = operator(clear_on_kill=clear_on_kill)
        before = signal.signal(signal.SIGUSR1, handler)
        try:
            with pytest.raises(AirflowTaskTimeout):
                start.execute(Task().context())
        finally:
            signal.signal(signal.SIGUSR1, before)
        (task_id,) = started(tenant)
        assert f"The task was stopped. Aggregation {task_id} goes on" in capsys.readouterr().out
        assert tenant.task(task_id)["completionStatus"] == ("Error" if clear_on_kill else None)
        start.on_kill()
        assert sum(request.method == "PATCH" for request in tenant.requests) == clear_on_kill

    def test_while_it_is_in_doubt(self, tenant: Emulator, source: str) -> None:
        tenant.fail(kind="drop_after", method="POST", path="/sources/*")
        tenant.on_request(
            lambda request: (
                tenant.fail(503, method="GET") if request.path.endswith("/load-accounts") else None
            )
        )
        start = operator()
        with (
            when(lambda: bool(started(tenant)), start.on_kill),
            pytest.raises(SailPointStartError, match="An aggregation may have been started: see what"),
        ):
            start.execute(Task().context())

    def test_what_another_client_started_is_not_cleared(self, tenant: Emulator, source: str) -> None:
        other = tenant.add_task(source_id=source, duration=None)
        start = operator(clear_on_kill=True, if_running="attach")
        with (
            when(lambda: polled(tenant, other.id) > 0, start.on_kill),
            pytest.raises(SailPointStartError),
        ):
            start.execute(Task().context())
        assert tenant.task(other.id)["completionStatus"] is None

    def test_a_record_that_can_not_be_cleared(
        self, tenant: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=None)
        tenant.fail(403, method="PATCH")
        start = operator(clear_on_kill=True)
        with (
            when(lambda: polled(tenant) > 0, start.on_kill),
            pytest.raises(SailPointStartError, match="goes on in SailPoint"),
        ):
            start.execute(Task().context())
        assert "could not be cleared" in capsys.readouterr().out

    def test_before_it_runs(self) -> None:
        operator(clear_on_kill=True).on_kill()

    def test_by_a_signal(self, tenant: Emulator) -> None:
        """As Airflow does it: the handler runs in the main thread, which waits."""
        tenant.add_source("Active Directory", SOURCE, duration=None)
        start = operator(clear_on_kill=True)
        before = signal.signal(signal.SIGTERM, lambda *_: start.on_kill())
        try:
            with (
                when(
                    lambda: polled(tenant) > 0,
                    lambda: os.kill(os.getpid(), signal.SIGTERM),
                ),
                pytest.raises(SailPointStartError),
            ):
                start.execute(Task().context())
        finally:
            signal.signal(signal.SIGTERM, before)
        assert tenant.task(started(tenant)[0])["completionStatus"] == "Error"

    @pytest.mark.parametrize("clear_on_kill", [False, True])
    def test_in_the_triggerer(self, tenant: Emulator, clear_on_kill: bool) -> None:
        tenant.add_source("Active Directory", SOURCE, duration=None)
        with pytest.raises(TaskDeferred) as deferral:
            operator("deferrable", clear_on_kill=clear_on_kill).execute(Task().context())
        trigger = deferral.value.trigger
        assert isinstance(trigger, SailPointStartedTaskTrigger) is clear_on_kill
        assert AIRFLOW_3_3 or clear_on_kill is hasattr(trigger, "on_kill")
        on_kill = getattr(trigger, "on_kill", lambda: asyncio.sleep(0))
        asyncio.run(on_kill())
        (task_id,) = started(tenant)
        assert tenant.task(task_id)["completionStatus"] == ("Error" if clear_on_kill else None)
        tenant.complete(task_id)
        asyncio.run(on_kill())
        assert tenant.task(task_id)["completionStatus"] == "SUCCESS"

    def test_what_is_in_the_way_is_not_cleared(self, tenant: Emulator, source: str) -> None:
        tenant.add_task(source_id=source, duration=None)
        with pytest.raises(TaskDeferred) as deferral:
            operator("deferrable", clear_on_kill=True).execute(Task().context())
        assert type(deferral.value.trigger) is SailPointTaskTrigger
        assert not deferral.value.trigger.end_from_trigger


@every_mode
def test_links_to_the_source(tenant: Emulator, source: str, mode: str) -> None:
    start = operator(mode, source_name="Active Directory")
    assert not SailPointAggregationLink().get_link(start, ti_key=None)  # type: ignore[arg-type]
    with suppress(TaskDeferred):
        start.execute(Task().context())
    link = SailPointAggregationLink().get_link(start, ti_key=None)  # type: ignore[arg-type]
    assert link.endswith(f"/connections/sources/{source}")


def test_airflow_can_copy_it() -> None:
    start = operator(clear_on_kill=True, source_name="HR")
    assert deepcopy(start).source_name == "HR"


FAULTS: list[dict[str, Any]] = [
    {},
    {"kind": "drop"},
    {"kind": "drop_after"},
    {"kind": "delay", "delay": 2.0},
    {"kind": "drop", "delay": 2.0},
    {"status": 503},
    {"kind": "html", "status": 502},
    {"kind": "truncate"},
]
CHILD = """
import json, os, sys, threading
from pathlib import Path
from types import SimpleNamespace

from airflow_provider_sptasks.client import pacing
from airflow_provider_sptasks.operators.sailpoint import SailPointStartAggregationOperator

pacing.WINDOW = 0.2
folder, sources = Path(sys.argv[1]), sys.argv[2].split(",")


class Store:
    def __init__(self, path, notes):
        self.path, self.notes = path, notes

    def get(self, key):
        return None

    def set(self, key, value, retention):
        if not self.notes:
            threading.Event().wait()
        self.notes -= 1
        self.path.with_suffix(".new").write_text(json.dumps({key: json.dumps(value)}))
        self.path.with_suffix(".new").replace(self.path)

    def delete(self, key):
        raise AssertionError("nothing is to be withdrawn")


def start(number, source):
    operator = SailPointStartAggregationOperator(task_id="start", source_id=source, poke_interval=1)
    store = Store(folder / source, 1 + number % 2)
    ti = SimpleNamespace(try_number=1, max_tries=2)
    operator.execute({"ti": ti, "task_state_store": store})


threads = [threading.Thread(target=start, args=each) for each in enumerate(sources)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_200_faulted_starts_are_200_aggregations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("airflow_provider_sptasks.client.pacing.WINDOW", 0.2)
    # Long enough for those that the tenant takes when the client has given up.
    monkeypatch.setattr(starting, "SHOWS_WITHIN_SECONDS", 5.0)
    with Emulator(rate_limit=None) as tenant:
        monkeypatch.setenv(CONNECTION, f"{tenant.connection_uri}/?timeout=1")
        sources = [f"{number:032x}" for number in range(200)]
        for source in sources:
            tenant.add_source(f"Source {source}", source, duration=None)
        killed = sources[160:]
        for source in killed[30:]:
            tenant.fail(kind="delay", delay=0.8, method="POST", path=f"*/{source}/load-accounts", times=1)
        with ThreadPoolExecutor(64) as pool:
            children = pool.submit(kill_a_child, tenant, killed, tmp_path)
            ids = list(pool.map(lambda each: start_through_faults(tenant, *each), enumerate(sources[:160])))
            ids += pool.map(lambda source: start_after_the_kill(source, tmp_path), children.result())
        by_source = {task.source_id: task.id for task in tenant.started}
        assert len(tenant.started) == 200
        assert [by_source[source] for source in sources] == ids


def start_through_faults(tenant: Emulator, number: int, source: str) -> Any:
    """Every third worker dies, too, before or after it has kept the id."""
    fault = FAULTS[number % len(FAULTS)]
    if fault:
        tenant.fail(method="POST", path=f"*/{source}/load-accounts", times=1, **fault)
    task = Task(store=Mortal(1 + number % 2)) if number % 3 == 0 else Task()
    settings: dict[str, Any] = {"source_id": source, "wait_for_completion": False, "timeout": 300}
    try:
        return run(task, **settings)
    except Killed:
        task.store = cast(Mortal, task.store).survivor()
        return run(task.retry(), **settings)


def kill_a_child(tenant: Emulator, sources: list[str], folder: Path) -> list[str]:
    """Have a process start aggregations, and kill it when the tenant has started the most of them."""
    mine = set(sources)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), ",".join(sources)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    try:
        while sum(task.source_id in mine for task in tenant.started) < 30:
            assert child.poll() is None
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait()
    return sources


def start_after_the_kill(source: str, folder: Path) -> Any:
    task = Task()
    assert task.store is not None
    kept = folder / source
    task.store.kept = json.loads(kept.read_text()) if kept.exists() else {}
    return run(task.retry(), source_id=source, wait_for_completion=False, timeout=300)
