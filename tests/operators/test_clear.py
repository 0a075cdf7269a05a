"""The operator that clears tasks: every argument takes effect, the log says all of it, and a stop is one."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_sptasks.client import RetryPolicy
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.exceptions import SailPointClearError
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.operators import sailpoint as operators
from airflow_provider_sptasks.operators.sailpoint import SailPointClearPendingTasksOperator
from tests.conftest import CONNECTION
from tests.context import TaskInstance, context
from tests.operators.test_start import when

SELECTED: dict[str, Any] = {
    "task_status_id": "a" * 32,
    "source_id": ["b" * 32],
    "unique_name": "Cloud Account Aggregation",
    "older_than": timedelta(days=1),
    "stuck_factor": 3.5,
}


def operator(**kwargs: Any) -> SailPointClearPendingTasksOperator:
    return SailPointClearPendingTasksOperator(task_id="clear", **kwargs)


def patched(tenant: Emulator) -> list[str]:
    return [request.path.rsplit("/", 1)[-1] for request in tenant.requests if request.method == "PATCH"]


@pytest.mark.parametrize("left_out", SELECTED)
def test_arguments_are_kept_as_they_were_given(left_out: str) -> None:
    """A cluster policy reads them by their names; what was left out is nothing in the serialized DAG."""
    given = {name: value for name, value in SELECTED.items() if name != left_out} | {
        "completion_status": "Terminated",
        "allow_success": True,
        "max_tasks": 1,
        "sailpoint_conn_id": "sailpoint_other",
        "api_version": "v2025",
    }
    clear = operator(**given)
    for name, value in {**given, left_out: None}.items():
        assert getattr(clear, name) == value


def test_the_connection_and_the_status_that_it_is_given(
    tenant: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_OTHER", tenant.connection_uri)
    monkeypatch.delenv(CONNECTION)
    stuck = tenant.add_task(duration=None)
    settings = {"sailpoint_conn_id": "sailpoint_other", "api_version": "v2025"}
    table = operator(task_status_id=stuck.id, completion_status="Terminated", **settings).execute(context())
    assert table["cleared"][0]["completionStatus"] == "TERMINATED"
    assert {request.api_version for request in tenant.requests} == {None, "v2025"}


def test_a_connection_that_airflow_does_not_have_at_first(
    tenant: Emulator, lose_connection: Callable[[], None]
) -> None:
    stuck = tenant.add_task(duration=None)
    lose_connection()
    assert operator(task_status_id=stuck.id, dry_run=True).execute(context())["would_clear"]


def test_a_hundred_tasks_are_the_maximum_by_default(tenant: Emulator) -> None:
    stuck = [tenant.add_task(duration=None) for _ in range(101)]
    message = "101 pending tasks match, which is more than max_tasks=100"
    with pytest.raises(SailPointClearError, match=message):
        operator(source_id=stuck[0].source_id).execute(context())
    assert patched(tenant) == []


def test_max_tasks_is_whole() -> None:
    with pytest.raises(ValueError, match=r"max_tasks 1\.5 is not a whole number"):
        operator(source_id="a", max_tasks=1.5)


def test_an_outage_is_for_a_retry(tenant: Emulator) -> None:
    """Other than a refusal, which a retry doesn't help."""
    clear = operator(older_than=timedelta(days=1))
    clear.hook = SailPointHook(retry=RetryPolicy(deadline=0.3))
    tenant.fail(503)
    with pytest.raises(SailPointClearError, match="No task was cleared"):
        clear.execute(context())


def test_the_log_says_what_became_of_each(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tenant.add_task(duration=None), tenant.add_task(duration=None)
    tenant.fail(403, method="PATCH", path=f"*/{bad.id}")
    with pytest.raises(SailPointClearError):
        operator(task_status_id=[good.id, bad.id]).execute(context(TaskInstance()))
    log = capsys.readouterr().out
    assert "Pending tasks that match: 2" in log
    assert re.search(rf"cleared  .*\({good.id}\) +\[", log), "without an error after it"
    assert re.search(rf"failed  .*\({bad.id}\): PATCH .* was answered with 403", log)


def test_what_other_selectors_pass_over_is_not_logged(
    tenant: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """That may be every pending task of a tenant."""
    young = tenant.add_task(duration=None)
    operator(older_than=timedelta(days=1)).execute(context())
    log = capsys.readouterr().out
    assert "Pending tasks that match: 0" in log
    assert young.id not in log


def test_nothing_more_is_sent_after_an_error_of_the_worker(tenant: Emulator) -> None:
    """Airflow raises its ``execution_timeout`` out of a signal's handler, wherever the operator is."""

    class TooLongError(BaseException):
        pass

    def too_long(*_: object) -> None:
        raise TooLongError

    tasks = [tenant.add_task(duration=None).id for _ in range(60)]
    tenant.fail(kind="delay", method="PATCH", delay=0.3)
    clear = operator(task_status_id=tasks)
    before = signal.signal(signal.SIGUSR1, too_long)
    threads = set(threading.enumerate())
    try:
        with (
            when(lambda: len(patched(tenant)) > 0, lambda: os.kill(os.getpid(), signal.SIGUSR1)),
            pytest.raises(TooLongError) as held,
        ):
            clear.execute(context())
    finally:
        signal.signal(signal.SIGUSR1, before)
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("sailpoint-"):
            thread.join(20)
            assert not thread.is_alive()
    assert len(patched(tenant)) < len(tasks)
    assert held is not None, "its frames, which hold what the operator had, are not what ends the threads"


def test_answers_that_come_soon_after_a_kill_count(
    tenant: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("airflow_provider_sptasks.operators._clear.LAST_ANSWERS", 30.0)
    tasks = [tenant.add_task(duration=None).id for _ in range(60)]
    tenant.fail(kind="delay", method="PATCH", delay=0.3)
    clear = operator(task_status_id=tasks)
    with when(lambda: len(patched(tenant)) > 0, clear.on_kill), pytest.raises(SailPointClearError) as stopped:
        clear.execute(context())
    for _ in range(20):  # what is under way ends
        if not any(each.name.startswith("sailpoint-clear") for each in threading.enumerate()):
            break
        time.sleep(0.1)
    cleared = [each for each in tasks if tenant.task(each)["completionStatus"] == "Error"]
    assert 0 < len(cleared) < 60
    assert f"Stopped after {len(cleared)} tasks" in str(stopped.value)
    log = capsys.readouterr().out
    assert all(f"({each})" in log for each in cleared)


def test_operators_of_other_names_are_not_there() -> None:
    assert not hasattr(operators, "SailPointOperator")
    for name in operators.__all__:
        assert getattr(operators, name).__name__ == name
