from __future__ import annotations

import copy
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tenacity.wait import wait_random

from airflow_provider_sptasks.client import RetryPolicy
from airflow_provider_sptasks.client.tenant_clock import TenantClock
from airflow_provider_sptasks.emulator import Emulator, RateLimit
from airflow_provider_sptasks.exceptions import SailPointClearError, SailPointRequestError
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.operators._clear import SELECTORS
from airflow_provider_sptasks.operators.sailpoint import SailPointClearPendingTasksOperator
from tests.compat import AirflowFailException
from tests.context import TaskInstance, context

every_api_version = pytest.mark.parametrize("version", ["beta", "v2024", "v2025", "v2026", "v1"])
UNKNOWN = "f" * 32
ACCOUNTS = "Cloud Account Aggregation"
DAY = 86_400.0


def operator(**kwargs: Any) -> SailPointClearPendingTasksOperator:
    return SailPointClearPendingTasksOperator(task_id="clear", **kwargs)


def patched(tenant: Emulator) -> list[str]:
    return [request.path.rsplit("/", 1)[-1] for request in tenant.requests if request.method == "PATCH"]


def ids(table: dict[str, Any], outcome: str) -> set[str]:
    return {row["id"] for row in table[outcome]}


def status(tenant: Emulator, task_id: str) -> object:
    return tenant.task(task_id)["completionStatus"]


@every_api_version
class TestSelection:
    """What a selector selects, in every version."""

    def test_by_id(self, tenant: Emulator, version: str) -> None:
        stuck, other = tenant.add_task(duration=None), tenant.add_task(duration=None)
        table = operator(task_status_id=stuck.id, api_version=version).execute(context())
        assert ids(table, "cleared") == {stuck.id}
        assert status(tenant, stuck.id) == "Error"
        assert status(tenant, other.id) is None
        assert patched(tenant) == [stuck.id]

    def test_by_source(self, tenant: Emulator, version: str) -> None:
        stuck = [tenant.add_task(duration=None, source=name) for name in ("HR", "HR", "AD", "SAP")]
        sources = [stuck[0].source_id, stuck[2].source_id]
        table = operator(source_id=sources, api_version=version).execute(context())
        assert ids(table, "cleared") == {task.id for task in stuck[:3]}
        assert sorted(patched(tenant)) == sorted(task.id for task in stuck[:3])

    def test_by_name_case_insensitive(self, tenant: Emulator, version: str) -> None:
        accounts = tenant.add_task(duration=None, kind="accounts")
        tenant.add_task(duration=None, kind="entitlements")
        table = operator(unique_name="cloud account AGGREGATION", api_version=version).execute(context())
        assert ids(table, "cleared") == {accounts.id} == set(patched(tenant))

    def test_by_age(self, tenant: Emulator, version: str) -> None:
        old = tenant.add_task(duration=None, launched=-2 * DAY)
        tenant.add_task(duration=None, launched=-DAY / 2)
        table = operator(older_than=timedelta(days=1), api_version=version).execute(context())
        assert ids(table, "cleared") == {old.id} == set(patched(tenant))

    @pytest.mark.parametrize("hours", [-30, 30])
    def test_ages_are_by_the_tenants_clock(
        self, tenant: Emulator, version: str, hours: float, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tenant.clock.advance(hours * 3_600)
        old = tenant.add_task(duration=None, launched=-2 * DAY)
        young = tenant.add_task(duration=None, launched=-60)
        table = operator(older_than=timedelta(days=1), api_version=version).execute(context())
        assert ids(table, "cleared") == {old.id} == set(patched(tenant))
        assert status(tenant, young.id) is None
        cleared = datetime.fromisoformat(str(tenant.task(old.id)["completed"]))
        lead = (cleared - datetime.now(UTC)).total_seconds()
        assert abs(lead - hours * 3_600) < 60
        says = f"{timedelta(hours=30)} {'behind' if hours < 0 else 'ahead'}"
        assert says in capsys.readouterr().out

    def test_all_selectors_must_match(self, tenant: Emulator, version: str) -> None:
        old = tenant.add_task(duration=None, launched=-2 * DAY, source="HR")
        young = tenant.add_task(duration=None, source="HR")
        other = tenant.add_task(duration=None, launched=-2 * DAY, source="AD")
        table = operator(
            task_status_id=[old.id, young.id, other.id],
            source_id=old.source_id,
            unique_name="Cloud Account Aggregation",
            older_than=timedelta(days=1),
            api_version=version,
        ).execute(context())
        assert ids(table, "cleared") == {old.id} == set(patched(tenant))

    def test_complete_and_unknown_tasks_are_reported_and_left_alone(
        self, tenant: Emulator, version: str
    ) -> None:
        ended = tenant.add_task(launched=-60, duration=1)
        table = operator(task_status_id=[ended.id, UNKNOWN], api_version=version).execute(context())
        assert ids(table, "already_complete") == {ended.id}
        assert ids(table, "not_found") == {UNKNOWN}
        assert patched(tenant) == []
        assert status(tenant, ended.id) == "SUCCESS"


@pytest.fixture
def running(tenant: Emulator) -> dict[str, str]:
    """Two that are stuck, one that runs as usual, two without a usual duration, and a refresh."""
    for source in ("HR", "AD"):
        for number in range(1, 4):
            tenant.add_task(source=source, launched=-number * DAY, duration=600)
    started = {
        "stuck": tenant.add_task(source="HR", launched=-3600, duration=None),
        "young": tenant.add_task(source="HR", launched=-1900, duration=None),
        "usual": tenant.add_task(source="AD", launched=-1700, duration=None),
        "first": tenant.add_task(source="New", launched=-5 * DAY, duration=None),
        "entitlements": tenant.add_task(source="HR", kind="entitlements", launched=-DAY, duration=None),
        "refresh": tenant.add_task(kind="identity_refresh", launched=-DAY, duration=None),
    }
    tenant.reset_requests()
    return {name: task.id for name, task in started.items()} | {"source": str(started["stuck"].source_id)}


class TestStuckFactor:
    @every_api_version
    def test_only_what_runs_longer_than_usual(
        self, tenant: Emulator, running: dict[str, str], version: str
    ) -> None:
        table = operator(stuck_factor=3, api_version=version).execute(context())
        assert ids(table, "cleared") == {running["stuck"], running["young"]} == set(patched(tenant))

    def test_the_other_selectors_must_match_too(self, tenant: Emulator, running: dict[str, str]) -> None:
        table = operator(stuck_factor=3, older_than=timedelta(minutes=45)).execute(context())
        assert ids(table, "cleared") == {running["stuck"]} == set(patched(tenant))

    def test_the_preview_has_the_numbers(self, tenant: Emulator, running: dict[str, str]) -> None:
        table = operator(stuck_factor=5.5, dry_run=True).execute(context())
        (row,) = table["would_clear"]
        assert (row["id"], row["usual"]) == (running["stuck"], 600)
        assert 3600 <= row["running"] < 3700
        assert patched(tenant) == []

    def test_what_has_no_usual_duration_is_left_alone_and_logged(
        self, tenant: Emulator, running: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        operator(stuck_factor=3).execute(context())
        log = capsys.readouterr().out
        for name, why in {
            "first": "its usual duration is unknown: fewer than 3 of its last ends were successful",
            "entitlements": "its usual duration is unknown",
            "refresh": "it is no aggregation of a source",
            "usual": "which is not 3 times its usual 0:10:00",
        }.items():
            assert re.search(rf"not selected .*{running[name]}\): .*{re.escape(why)}", log), name

    def test_it_takes_two_requests_besides_those_that_clear(
        self, tenant: Emulator, running: dict[str, str]
    ) -> None:
        operator(stuck_factor=3, dry_run=True).execute(context())
        assert len([each for each in tenant.requests if "oauth" not in each.path]) == 2

    @pytest.mark.parametrize("selector", [{"stuck_factor": 3}, {"older_than": timedelta(minutes=30)}])
    def test_ages_are_by_the_tenants_clock(
        self,
        tenant: Emulator,
        running: dict[str, str],
        selector: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        now = datetime.now(UTC) - timedelta(minutes=20)
        monkeypatch.setattr(TenantClock, "now", lambda _: now)
        monkeypatch.setattr(TenantClock, "difference", "20 minutes behind")
        arguments = {"source_id": running["source"], "unique_name": ACCOUNTS}
        table = operator(**arguments, **selector).execute(context())
        assert ids(table, "cleared") == {running["stuck"]}
        assert "Ages are by the tenant's clock, which differs" in capsys.readouterr().out


def test_nothing_pending_is_no_failure(tenant: Emulator) -> None:
    table = operator(older_than=timedelta(days=1)).execute(context())
    assert table == {
        "dry_run": False,
        "cleared": [],
        "already_complete": [],
        "not_found": [],
        "failed": [],
        "would_clear": [],
    }


def test_an_empty_list_selects_nothing(tenant: Emulator) -> None:
    tenant.add_task(duration=None)
    for selector in ("task_status_id", "source_id", "unique_name"):
        assert operator(**{selector: []}).execute(context())["cleared"] == []
    assert patched(tenant) == []


def test_a_selector_that_renders_to_none_does_not_vanish(tenant: Emulator) -> None:
    tenant.add_task(duration=None, launched=-2 * DAY)
    clear = operator(source_id="{{ params.source }}", older_than=timedelta(days=1))
    clear.source_id = None
    with pytest.raises(SailPointRequestError, match="source_id was rendered to None"):
        clear.execute(context())
    assert tenant.requests == ()


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_selector_that_is_given_as_none_does_not_vanish(selector: str) -> None:
    """A mapped task is constructed with what its upstream returned, None included."""
    others = {"unique_name": "Cloud Account Aggregation", "older_than": timedelta(days=1)} | {selector: None}
    with pytest.raises(ValueError, match=f"{selector} is None, so nothing is selected"):
        operator(**others)


def test_ids_that_another_selector_excludes_are_reported(
    tenant: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    young = tenant.add_task(duration=None)
    table = operator(task_status_id=young.id, older_than=timedelta(days=1)).execute(context())
    assert [rows for name, rows in table.items() if name != "dry_run"] == [[]] * 5
    assert (
        f"not selected     Cloud Account Aggregation of Active Directory ({young.id}): it was launched"
        in (capsys.readouterr().out)
    )


def test_sources_compare_case_insensitive_as_the_tenant_does(tenant: Emulator) -> None:
    stuck = tenant.add_task(duration=None)
    assert operator(source_id=str(stuck.source_id).upper(), dry_run=True).execute(context())["would_clear"]


def test_hundreds_of_sources(tenant: Emulator) -> None:
    stuck = tenant.add_task(duration=None)
    sources = [f"{number:032x}" for number in range(400)]
    table = operator(source_id=[*sources, stuck.source_id], dry_run=True).execute(context())
    assert ids(table, "would_clear") == {stuck.id}


def test_the_patch_is_the_documented_one(tenant: Emulator) -> None:
    stuck = tenant.add_task(duration=None)
    operator(task_status_id=stuck.id).execute(context())
    (request,) = [request for request in tenant.requests if request.method == "PATCH"]
    first, second = json.loads(request.body)
    assert first == {"op": "replace", "path": "/completionStatus", "value": "Error"}
    assert second["op"] == "replace"
    assert second["path"] == "/completed"
    assert second["value"].endswith("Z")
    assert request.headers["content-type"] == "application/json-patch+json"


def test_dry_run_touches_nothing(tenant: Emulator) -> None:
    stuck = tenant.add_task(duration=None)
    table = operator(task_status_id=[stuck.id, UNKNOWN], dry_run=True).execute(context())
    assert table["dry_run"] is True
    assert ids(table, "would_clear") == {stuck.id}
    assert ids(table, "not_found") == {UNKNOWN}
    assert table["would_clear"][0]["source"] == "Active Directory"
    assert patched(tenant) == []


def test_more_than_max_tasks_touches_nothing(tenant: Emulator) -> None:
    stuck = tenant.add_task(duration=None)
    for _ in range(5):
        tenant.add_task(duration=None)
    with pytest.raises(SailPointClearError, match=r"6 pending tasks match.*max_tasks=5.*none was cleared"):
        operator(source_id=stuck.source_id, max_tasks=5).execute(context())
    assert patched(tenant) == []
    assert len(operator(source_id=stuck.source_id, max_tasks=6).execute(context())["cleared"]) == 6


def test_task_that_ends_between_selection_and_patch_is_left_alone(tenant: Emulator) -> None:
    tasks = [tenant.add_task(duration=None) for _ in range(3)]
    clear = operator(source_id=tasks[0].source_id)
    done = threading.Event()

    def end_one_after_the_selection() -> None:
        while not any(request.query.get("filters") for request in tenant.requests):
            time.sleep(0.001)
        tenant.complete(tasks[1].id)
        tenant.clear_faults()
        done.set()

    # The re-read is held up until the task has ended.
    tenant.fail(503, path="/task-status/v1", times=None)
    thread = threading.Thread(target=end_one_after_the_selection)
    thread.start()
    table = clear.execute(context())
    thread.join()
    assert done.is_set()
    assert status(tenant, tasks[1].id) == "SUCCESS"
    assert tasks[1].id not in patched(tenant)
    assert ids(table, "cleared") == {tasks[0].id, tasks[2].id}


def test_one_failure_fails_the_task_after_all_were_tried(tenant: Emulator) -> None:
    tasks = [tenant.add_task(duration=None) for _ in range(5)]
    refused = tasks[1].id
    tenant.fail(403, method="PATCH", path=f"/task-status/v1/{refused}")
    ti = TaskInstance()
    with pytest.raises(SailPointClearError, match="1 of 5 tasks could not be cleared") as caught:
        operator(task_status_id=[task.id for task in tasks]).execute(context(ti))
    assert not isinstance(caught.value, AirflowFailException), "a retry may succeed"
    table = ti.xcoms["return_value"]
    assert ids(table, "failed") == {refused}
    assert "idn:task-management:write" in table["failed"][0]["error"]
    assert ids(table, "cleared") == {task.id for task in tasks} - {refused}


def test_credentials_without_a_user_get_the_hint(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    credential = tenant.add_credential(client_id="app", client_secret="app-secret", user=False)
    uri = f"sailpoint://{credential.client_id}:app-secret@{tenant.url.replace('://', '%3A%2F%2F')}"
    monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_DEFAULT", uri)
    stuck = tenant.add_task(duration=None)
    with pytest.raises(SailPointClearError, match="personal access token of a user"):
        operator(task_status_id=stuck.id).execute(context())
    assert status(tenant, stuck.id) is None


def test_answer_without_the_change_is_a_failure(tenant: Emulator) -> None:
    stuck = tenant.add_task(duration=None)
    body = json.dumps(tenant.task(stuck.id)).encode()
    tenant.fail(200, method="PATCH", path=f"/task-status/v1/{stuck.id}", body=body)
    with pytest.raises(SailPointClearError, match="shows completionStatus None"):
        operator(task_status_id=stuck.id).execute(context())


def test_failures_keep_what_is_known_of_the_task(tenant: Emulator) -> None:
    stuck = tenant.add_task(duration=None)
    clear = operator(source_id=stuck.source_id)
    clear.hook = SailPointHook(retry=RetryPolicy(deadline=0.5))
    tenant.fail(503, method="PATCH")
    ti = TaskInstance()
    with pytest.raises(SailPointClearError, match="answered with 503"):
        clear.execute(context(ti))
    (row,) = ti.xcoms["return_value"]["failed"]
    assert (row["id"], row["source"]) == (stuck.id, "Active Directory")
    assert row["launched"] is not None


def test_200_tasks_through_faults_are_each_cleared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_sptasks.client.pacing.WINDOW", 0.2)
    with Emulator(rate_limit=RateLimit(requests=100, seconds=0.2)) as tenant:
        monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_DEFAULT", tenant.connection_uri)
        clear_through_faults(tenant)


def clear_through_faults(tenant: Emulator) -> None:
    tasks = [tenant.add_task(duration=None).id for _ in range(200)]
    tenant.token_lifetime = 5
    tenant.fail(503, probability=0.5)
    tenant.fail(kind="drop", probability=0.05)
    tenant.fail(kind="drop_after", probability=0.05)
    clear = operator(task_status_id=tasks, max_tasks=200)
    clear.hook = SailPointHook(retry=RetryPolicy(wait=wait_random(0, 0.1)))
    table = clear.execute(context())
    assert len(table["cleared"]) == 200
    taken = [
        request.path.rsplit("/", 1)[-1]
        for request in tenant.requests
        if request.method == "PATCH" and (request.status == 200 or request.fault == "drop_after")
    ]
    assert Counter(taken) == Counter(tasks)


class TestKill:
    """What ``on_kill`` does, called while the operator runs."""

    def killed(self, clear: SailPointClearPendingTasksOperator, when: Callable[[], object]) -> str:
        errors: list[BaseException] = []

        def execute() -> None:
            try:
                clear.execute(context())
            except SailPointClearError as error:
                errors.append(error)

        thread = threading.Thread(target=execute)
        thread.start()
        deadline = time.monotonic() + 10
        while not when():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        clear.on_kill()
        thread.join(timeout=3.5)
        assert not thread.is_alive(), "it should not wait for the tenant, who takes longer"
        (error,) = errors
        return str(error)

    def test_stops_and_sends_nothing_more(self, tenant: Emulator) -> None:
        tasks = [tenant.add_task(duration=None).id for _ in range(60)]
        tenant.fail(kind="delay", method="PATCH", delay=5)
        clear = operator(task_status_id=tasks)

        def patching() -> bool:
            return len([each for each in tenant.requests if "filters" in each.query]) == 2

        assert "Stopped after 0 tasks" in self.killed(clear, patching)
        time.sleep(5.5)
        assert len(patched(tenant)) <= 4, "what was under way when it was killed"

    def test_while_the_tenant_keeps_the_selection_waiting(self, tenant: Emulator) -> None:
        tenant.fail(kind="delay", path="/oauth/token", delay=10)
        clear = operator(older_than=timedelta(days=1))
        assert "Stopped after 0 tasks" in self.killed(clear, lambda: clear._stop is not None)

    def test_leaves_no_thread_that_goes_on_trying(self, tenant: Emulator) -> None:
        tenant.fail(503)
        clear = operator(older_than=timedelta(days=1))
        assert "Stopped after 0 tasks" in self.killed(clear, lambda: len(tenant.requests) > 3)
        for thread in threading.enumerate():
            if thread.name.startswith("sailpoint-operator"):
                thread.join(timeout=5)
                assert not thread.is_alive()

    def test_what_was_cleared_is_logged_and_it_is_no_success(
        self, tenant: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tasks = [tenant.add_task(duration=None).id for _ in range(60)]
        tenant.fail(kind="delay", method="PATCH", delay=0.1)
        error = self.killed(operator(task_status_id=tasks), lambda: len(patched(tenant)) >= 8)
        log = capsys.readouterr().out
        cleared = {each for each in tasks if status(tenant, each) == "Error"}
        assert 8 <= len(cleared) < 60
        assert {each for each in tasks if f"({each})" in log} == cleared
        assert f"Stopped after {len(cleared)} tasks" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "No selector is given"),
        ({"task_status_id": ""}, "task_status_id is empty"),
        ({"task_status_id": "None"}, "task_status_id is 'None'"),
        ({"source_id": "a/b"}, "source_id 'a/b' is not an id"),
        ({"source_id": ["a", None]}, "source_id should be SailPoint's id as a string"),
        ({"unique_name": " "}, "unique_name ' ' is not a text"),
        ({"older_than": 3600}, "older_than 3600 is not a timedelta"),
        ({"older_than": timedelta(0)}, "is not a timedelta above 0"),
        ({"source_id": {"a"}}, "source_id is a set, which has no lasting order"),
        ({"source_id": (each for each in "ab")}, "source_id is a generator"),
        ({"source_id": "a", "dry_run": "False"}, "dry_run 'False' is neither True nor False"),
        ({"source_id": "a", "allow_success": "{{ params.x }}"}, "allow_success .* neither True nor False"),
        ({"source_id": "a", "api_version": "v3"}, "api_version 'v3' is unknown"),
        ({"source_id": "a", "max_tasks": 0}, "max_tasks 0 is not"),
        ({"source_id": "a", "max_tasks": True}, "max_tasks True is not"),
        ({"source_id": "a", "completion_status": "SUCCESS"}, "would let all sensors"),
        ({"source_id": "a", "completion_status": "warning"}, "would let all sensors"),
        ({"source_id": "a", "completion_status": "Done"}, "completion_status 'Done' is unknown"),
        ({"source_id": "a", "completion_status": None}, "completion_status None is not a text"),
        ({"stuck_factor": 0.5}, "stuck_factor must be a number from 1 on, got 0.5"),
        ({"stuck_factor": "3"}, "stuck_factor must be a number from 1 on, got '3'"),
        ({"stuck_factor": True}, "stuck_factor must be a number"),
        ({"stuck_factor": float("inf")}, "stuck_factor must be a number"),
    ],
)
def test_bad_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        operator(**arguments)


def test_success_needs_to_be_allowed_also_when_rendered(tenant: Emulator) -> None:
    stuck = tenant.add_task(duration=None)
    clear = operator(task_status_id=stuck.id, completion_status="{{ params.status }}")
    clear.completion_status = "Success"
    with pytest.raises(SailPointRequestError, match="allow_success=True"):
        clear.execute(context())
    assert tenant.requests == ()
    table = operator(task_status_id=stuck.id, completion_status="Success", allow_success=True).execute(
        context()
    )
    assert table["cleared"][0]["completionStatus"] == "SUCCESS"


def test_refused_selection_fails_without_retry(tenant: Emulator) -> None:
    tenant.fail(403, path="/task-status/v1")
    with pytest.raises(SailPointRequestError, match="No task was cleared"):
        operator(older_than=timedelta(days=1)).execute(context())


def test_operator_can_be_copied_and_log_is_a_table(
    tenant: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    stuck = tenant.add_task(duration=None)
    copy.deepcopy(operator(task_status_id=[stuck.id, UNKNOWN])).execute(context())
    log = capsys.readouterr().out
    assert f"cleared          Cloud Account Aggregation of Active Directory ({stuck.id})" in log
    assert f"not_found        {UNKNOWN}" in log
    assert "Result: 1 cleared, 0 already complete, 1 not found, 0 failed, 0 would clear" in log
