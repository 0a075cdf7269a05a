"""What started aggregations survive in a real Airflow, and what users do to tasks that wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from airflow_provider_sptasks.emulator import Emulator
from harness.airflow import Airflow, Run
from tests.airflow.conftest import PATIENCE, settle
from tests.airflow.dags.starts import TASKS
from tests.compat import AIRFLOW_3_3

WAITING = dict.fromkeys(TASKS, "running") | {"deferred": "deferred"}


@pytest.fixture(scope="session")
def starts(airflow: Airflow, steady: Emulator) -> Run:
    """A run whose tasks wait: those that die do so for the second time."""
    for task_id in TASKS:
        steady.add_source(f"first {task_id}", duration=None)
    airflow.wait_until_ready(["starts"], PATIENCE)
    run = airflow.trigger("starts", {"prefix": "first", "sailpoint_conn_id": "steady"})
    until(lambda: all(started(steady, task_id) for task_id in TASKS), "not all are started")
    run = airflow.until(run, WAITING, PATIENCE)
    settle(airflow)
    return run


def started(tenant: Emulator, task_id: str) -> list[str]:
    """The aggregations that a task has started."""
    return [task.id for task in tenant.started if task.source == f"first {task_id}"]


def until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.5)


@pytest.mark.parametrize("task_id", ["dies_before", "dies_after"])
def test_a_worker_killed_after_the_start(
    airflow: Airflow, steady: Emulator, starts: Run, task_id: str
) -> None:
    until(lambda: airflow.refresh(starts).task(task_id).try_number == 2, "it isn't tried again")
    (aggregation,) = started(steady, task_id)
    steady.complete(aggregation)
    run = airflow.until(starts, {task_id: "success"}, PATIENCE)
    assert airflow.xcom(run, task_id)["id"] == aggregation
    assert run.task(task_id).try_number == 2
    assert started(steady, task_id) == [aggregation]
    airflow.clear(run, task_id)
    until(lambda: len(started(steady, task_id)) == 2, "a task that is cleared starts again")
    again = started(steady, task_id)[1]
    steady.complete(again)
    run = airflow.until(run, {task_id: "success"}, PATIENCE)
    assert airflow.xcom(run, task_id)["id"] == again
    assert run.task(task_id).try_number == 3


def test_cleared_while_deferred(airflow: Airflow, steady: Emulator, starts: Run) -> None:
    (first,) = started(steady, "deferred")
    airflow.clear(starts, "deferred")
    if AIRFLOW_3_3:
        until(lambda: steady.task(first)["completionStatus"] == "Error", "its record isn't cleared")
    else:  # no trigger learns of a kill, and the next try waits for what still runs
        until(lambda: airflow.refresh(starts).task("deferred").try_number == 2, "it doesn't run again")
        airflow.until(starts, {"deferred": "deferred"}, PATIENCE)
        settle(airflow)
        assert steady.task(first)["completionStatus"] is None
        assert started(steady, "deferred") == [first]
        steady.complete(first)
    until(lambda: len(started(steady, "deferred")) == 2, "it starts no other")
    second = started(steady, "deferred")[1]
    airflow.until(starts, {"deferred": "deferred"}, PATIENCE)
    settle(airflow)
    steady.complete(second)
    run = airflow.until(starts, {"deferred": "success"}, PATIENCE)
    assert airflow.xcom(run, "deferred")["id"] == second


def test_marked_while_it_runs_on_a_worker(airflow: Airflow, steady: Emulator, starts: Run) -> None:
    (aggregation,) = started(steady, "worker")
    airflow.mark(starts, "worker", "failed")
    until(lambda: steady.task(aggregation)["completionStatus"] == "Error", "its record isn't cleared")
    assert airflow.until(starts, {"worker": "failed"}, PATIENCE).task("worker").try_number == 1


def test_cleared_while_it_runs_on_a_worker(airflow: Airflow, steady: Emulator, starts: Run) -> None:
    (first,) = started(steady, "runs")
    airflow.clear(starts, "runs")
    until(lambda: airflow.refresh(starts).task("runs").try_number == 2, "it doesn't run again")
    steady.complete(first)
    until(lambda: len(started(steady, "runs")) == 2, "it starts no other")
    second = started(steady, "runs")[1]
    steady.complete(second)
    run = airflow.until(starts, {"runs": "success"}, PATIENCE)
    assert airflow.xcom(run, "runs")["id"] == second
