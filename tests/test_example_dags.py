"""The example DAGs, parsed as Airflow parses them and run with ``dag.test()`` against the emulator."""

from __future__ import annotations

import ast
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from tests.conftest import ROOT

EXAMPLES = sorted((ROOT / "example_dags").glob("*.py"))
DAY = 86_400.0


@pytest.fixture(scope="module")
def dags(airflow_database: None) -> dict[str, DAG]:
    bag = DagBag(dag_folder=str(ROOT / "example_dags"))
    assert bag.import_errors == {}
    return bag.dags


def run(dag: DAG, **conf: Any) -> Any:
    return dag.test(run_conf=conf or None)


def states(dag_run: Any) -> dict[str, str]:
    """The state of each task; of a mapped one's instances, those of all."""
    found: dict[str, list[str]] = {}
    for ti in dag_run.get_task_instances():
        found.setdefault(ti.task_id, []).append(str(ti.state))
    return {task_id: ",".join(sorted(states)) for task_id, states in found.items()}


def xcom(dag_run: Any, task_id: str) -> Any:
    return dag_run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_docstring_names_the_connection(path: Path) -> None:
    assert "``sailpoint_default``" in (ast.get_docstring(ast.parse(path.read_text())) or "")


def test_every_file_has_a_dag(dags: dict[str, DAG]) -> None:
    assert {Path(dag.fileloc).name for dag in dags.values()} == {path.name for path in EXAMPLES}


def test_docs_in_the_ui(dags: dict[str, DAG]) -> None:
    """Airflow's page of a DAG shows the docstring of its file."""
    for dag in dags.values():
        path = Path(dag.fileloc)
        assert (dag.doc_md or "").strip() == ast.get_docstring(ast.parse(path.read_text())), path.name


class TestGate:
    def test_opens_and_hands_the_status_on(self, dags: dict[str, DAG], tenant: Emulator) -> None:
        task = tenant.add_task(duration=1)
        dag_run = run(dags["sailpoint_gate"], task_status_id=task.id)
        assert states(dag_run) == {"wait_for_aggregation": "success", "load": "success"}
        assert xcom(dag_run, "wait_for_aggregation")["completionStatus"] == "SUCCESS"
        assert xcom(dag_run, "load").startswith("Active Directory [source] is fresh: SUCCESS at ")

    def test_stays_shut_and_is_not_tried_again(
        self, dags: dict[str, DAG], tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = tenant.add_task(launched=-60, duration=1, outcome="TERMINATED")
        dag = dags["sailpoint_gate"]
        monkeypatch.setattr(dag.get_task("wait_for_aggregation"), "retries", 3)
        dag_run = run(dag, task_status_id=task.id)
        assert states(dag_run) == {"wait_for_aggregation": "failed", "load": "upstream_failed"}
        assert dag_run.get_task_instance("wait_for_aggregation").try_number == 1

    def test_soft_fail_skips_what_follows(
        self, dags: dict[str, DAG], tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = tenant.add_task(launched=-60, duration=1, outcome="ERROR")
        dag = dags["sailpoint_gate"]
        monkeypatch.setattr(dag.get_task("wait_for_aggregation"), "soft_fail", True)
        dag_run = run(dag, task_status_id=task.id)
        assert states(dag_run) == {"wait_for_aggregation": "skipped", "load": "skipped"}


def test_gate_by_xcom_waits_for_the_newest(dags: dict[str, DAG], tenant: Emulator) -> None:
    tenant.add_task(launched=-2 * DAY, duration=60, outcome="ERROR")
    newest = tenant.add_task(launched=-60, duration=1)
    tenant.add_task(launched=-30, duration=1, kind="entitlements", outcome="ERROR")
    dag_run = run(dags["sailpoint_gate_by_xcom"], source_id=newest.source_id)
    assert states(dag_run) == dict.fromkeys(("newest_aggregation", "wait_for_aggregation", "load"), "success")
    assert xcom(dag_run, "wait_for_aggregation")["id"] == newest.id


def test_gate_by_source_waits_for_last_nights(dags: dict[str, DAG], tenant: Emulator) -> None:
    tenant.add_task(source="Active Directory", launched=-2 * DAY, duration=60, outcome="ERROR")
    tenant.add_task(source="Active Directory", launched=-3600, duration=60)
    tenant.add_task(source="Workday", launched=-60, duration=62)
    dag_run = run(dags["sailpoint_gate_by_source"])
    assert states(dag_run) == dict.fromkeys(("wait_for_aggregation", "load"), "success")
    assert set(xcom(dag_run, "load")) == {"Active Directory [source]", "Workday [source]"}


def test_gate_many_maps_and_joins(dags: dict[str, DAG], tenant: Emulator) -> None:
    tasks = [tenant.add_task(duration=None, source=f"Source {number}") for number in range(3)]
    tenant.add_task(launched=-3 * DAY, duration=None)

    def complete() -> None:
        while not any(request.path == "/task-status/v1" for request in tenant.requests):
            time.sleep(0.01)
        for task in tasks:
            tenant.complete(task.id)

    # Not after some seconds: the DAG's first task has to find them pending, however slow the machine is.
    thread = threading.Thread(target=complete)
    thread.start()
    dag_run = run(dags["sailpoint_gate_many"])
    thread.join()
    assert states(dag_run) == {
        "running_aggregations": "success",
        "each.wait": "success,success,success",
        "each.load": "success,success,success",
        "wait_for_all": "success",
        "report": "success",
    }
    assert xcom(dag_run, "report") == 3


@pytest.mark.parametrize("dry_run", [True, False])
def test_clear_stuck(dags: dict[str, DAG], tenant: Emulator, dry_run: bool) -> None:
    stuck = tenant.add_task(launched=-3 * DAY, duration=None)
    spared = [
        tenant.add_task(launched=-3600, duration=None),
        tenant.add_task(launched=-3 * DAY, duration=None, kind="entitlements"),
    ]
    dag_run = run(dags["sailpoint_clear_stuck_aggregations"], dry_run=dry_run)
    assert [row["id"] for row in xcom(dag_run, "preview")["would_clear"]] == [stuck.id]
    assert states(dag_run)["clear"] == ("skipped" if dry_run else "success")
    assert tenant.task(stuck.id)["completionStatus"] == (None if dry_run else "Error")
    assert [tenant.task(task.id)["completionStatus"] for task in spared] == [None, None]


class TestWhenAggregated:
    """With asset events of a real triggerer, see ``tests/airflow``."""

    def test_is_scheduled_by_the_asset_alone(self, dags: dict[str, DAG]) -> None:
        schedule: Any = dags["sailpoint_when_aggregated"].schedule
        (asset,) = schedule
        (watcher,) = asset.watchers
        assert watcher.trigger.serialize()[1]["source_id"] == "*"

    def test_works_through_what_started_it(self, dags: dict[str, DAG], tenant: Emulator) -> None:
        tasks = [tenant.add_task(source=name, launched=-60, duration=30).id for name in ("HR", "AD")]
        found = [SailPointHook().client.get(each).to_json() for each in tasks]
        events = [SimpleNamespace(extra={"payload": {"aggregations": [each]}}) for each in found]
        what_is_fresh: Any
        load: Any
        what_is_fresh, load = map(dags["sailpoint_when_aggregated"].get_task, ("what_is_fresh", "load"))
        fresh = what_is_fresh.python_callable(triggering_asset_events={"asset": events})
        loaded = [load.python_callable(each) for each in fresh]
        assert sorted(line.partition(":")[0] for line in loaded) == ["AD [source]", "HR [source]"]
        assert all(" accounts at 20" in line for line in loaded)

    def test_started_by_hand_it_has_nothing_to_do(self, dags: dict[str, DAG]) -> None:
        dag_run = run(dags["sailpoint_when_aggregated"])
        assert states(dag_run) == {"what_is_fresh": "success", "load": "skipped"}


class TestStartAndWait:
    def test_starts_waits_and_hands_the_status_on(self, dags: dict[str, DAG], tenant: Emulator) -> None:
        tenant.add_source("Active Directory", duration=1)
        dag_run = run(dags["sailpoint_start_and_wait"], source_name="Active Directory")
        assert states(dag_run) == {"aggregate": "success", "load": "success"}
        (started,) = tenant.started
        assert xcom(dag_run, "aggregate")["id"] == started.id
        assert xcom(dag_run, "load").startswith("Active Directory [source]: ")

    def test_waits_for_another_first(self, dags: dict[str, DAG], tenant: Emulator) -> None:
        source = tenant.add_source("Active Directory", duration=1)
        other = tenant.add_task(source_id=source.id, duration=3, outcome="ERROR")
        dag_run = run(dags["sailpoint_start_and_wait"], source_name="Active Directory")
        assert states(dag_run) == {"aggregate": "success", "load": "success"}
        (started,) = tenant.started
        assert xcom(dag_run, "aggregate")["id"] == started.id != other.id

    def test_one_that_fails(self, dags: dict[str, DAG], tenant: Emulator) -> None:
        tenant.add_source("Active Directory", duration=1, outcome="ERROR")
        dag_run = run(dags["sailpoint_start_and_wait"], source_name="Active Directory")
        assert states(dag_run) == {"aggregate": "failed", "load": "upstream_failed"}
        assert len(tenant.started) == 1


def test_clear_then_start(dags: dict[str, DAG], tenant: Emulator) -> None:
    source = tenant.add_source("Active Directory", duration=1)
    stuck = tenant.add_task(source_id=source.id, launched=-3 * DAY, duration=None)
    dag_run = run(dags["sailpoint_clear_then_start"], source_id=source.id)
    assert states(dag_run) == dict.fromkeys(("clear_stuck", "aggregate", "load"), "success")
    assert tenant.task(stuck.id)["completionStatus"] == "Error"
    (started,) = tenant.started
    assert xcom(dag_run, "aggregate")["id"] == started.id


def test_chain_of_sources_keeps_its_order(dags: dict[str, DAG], tenant: Emulator) -> None:
    names = ["HR", "Active Directory", "Entra ID", "SAP", "Salesforce"]
    for name in names:
        tenant.add_source(name, duration=0.5)
    dag_run = run(dags["sailpoint_chain_of_sources"])
    assert states(dag_run) == {
        "hr": "success",
        "active_directory": "success",
        "rest": "success,success,success",
        "report": "success",
    }
    started = [str(task.source) for task in tenant.started]
    assert started[:2] == names[:2]
    assert sorted(started[2:]) == sorted(names[2:])
    assert xcom(dag_run, "report") == [f"{name} [source]" for name in names[2:]]
