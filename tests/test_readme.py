"""Every block, table and link of the README is true."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.configuration import conf
from airflow.sdk import DAG, BaseOperator

from airflow_provider_sptasks.assets import aggregation_completed
from airflow_provider_sptasks.client.client import TaskStatusClient
from airflow_provider_sptasks.client.launches import QUEUED
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.sources_client import SourcesClient
from airflow_provider_sptasks.client.versions import API_VERSIONS
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.hooks._fields import EXTRAS
from airflow_provider_sptasks.hooks.sailpoint import CONNECTION_GRACE_SECONDS, SailPointHook
from airflow_provider_sptasks.operators.sailpoint import (
    SailPointClearPendingTasksOperator,
    SailPointStartAggregationOperator,
)
from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor, SailPointTaskSensor
from airflow_provider_sptasks.triggers._poller import SETTINGS_REFRESH_SECONDS
from airflow_provider_sptasks.triggers._queue import REFUSAL_SECONDS as QUEUE_REFUSAL_SECONDS
from airflow_provider_sptasks.waiting.aggregations import KINDS
from airflow_provider_sptasks.waiting.driver import REFUSAL_SECONDS
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.queries import SourceQuery, TaskQuery
from tests.conftest import CONNECTION, ROOT

README = (ROOT / "README.md").read_text()
FRESH = "DAGs that start when data is fresh"
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", README, flags=re.MULTILINE)}


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def first_column(section: str, heading: str) -> list[str]:
    """The names in backticks in the first column of the table with that heading."""
    lines = SECTIONS[section].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} "))
    names: list[str] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        names += re.findall(r"`(\w+)[^`]*`", line.split("|")[1])
    return names


def arguments(operator: type[BaseOperator]) -> set[str]:
    return set(inspect.signature(operator.__init__).parameters) - {"self", "kwargs"}


def run(code: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), namespace)
    return namespace


def test_first_dag_runs_its_gate(tenant: Emulator) -> None:
    gate = run(blocks("python")[0])["gate"]
    assert gate.dag.dag_id == "load_accounts"
    assert gate.downstream_task_ids == {"load"}
    tenant.add_task(id=gate.task_status_id, launched=-60, duration=1)
    assert gate.poke({"ti": None}).is_done


@pytest.mark.parametrize("section", ["Sensor", "Sensors by source", "Operator", "Starting aggregations"])
def test_operator_examples_can_be_parsed(section: str) -> None:
    with DAG("readme"):
        for code in blocks("python", SECTIONS[section]):
            run(code)


def test_watcher_example(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python", SECTIONS[FRESH])
    example = run(code)
    (watcher,) = example["hr_accounts"].watchers
    assert watcher.trigger.serialize()[1]["source_name"] == "HR"
    task = tenant.add_task(source="HR", launched=-60, duration=30)
    event = SimpleNamespace(
        extra={"payload": {"aggregations": [SailPointHook().client.get(task.id).to_json()]}}
    )
    example["load"].function(triggering_asset_events={example["hr_accounts"]: [event]})
    assert f"{task.id} 20" in capsys.readouterr().out


def test_hook_example(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    task = tenant.add_task(duration=None)
    (code,) = blocks("python", SECTIONS["Hook"])
    run(code)
    first, second = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("20")]
    assert first.startswith(f"Cloud Account Aggregation of Active Directory ({task.id}) ")
    assert second == "1"


def test_fixture_example(sailpoint_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("python", SECTIONS["Emulator"])
    run(code)["test_sensor_succeeds"](sailpoint_emulator, monkeypatch)


def test_scenario_example(tmp_path: Path) -> None:
    (scenario,) = blocks("toml")
    path = tmp_path / "scenario.toml"
    path.write_text(scenario)
    with Emulator(str(path)) as emulator:
        (task,) = emulator.tasks()
    assert task["completionStatus"] is None


def test_connection_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("bash", SECTIONS["Connection"])
    values = [word.partition("=")[2] for word in shlex.split(code) if word.startswith(f"{CONNECTION}=")]
    assert len(values) == 2
    for value in values:
        monkeypatch.setenv(CONNECTION, value)
        settings = SailPointHook().settings
        assert settings.base_url == "https://acme.api.identitynow.com"
        assert (settings.client_id, settings.client_secret) == ("CLIENT_ID", "CLIENT_SECRET")


def test_xcom_example() -> None:
    (text,) = blocks("json")
    example = json.loads(text)
    complete = TaskStatus.from_json(example).to_json()
    assert {name: complete[name] for name in example} == example
    named = set(re.findall(r"`(\w+)`", SECTIONS["Sensor"].partition("(and ")[2].partition(")")[0]))
    assert example.keys() | named == complete.keys()


def test_shell_commands() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake (\w+)", README)) - {"it"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize(
    ("section", "heading", "expected"),
    [
        ("Connection", "field", set(EXTRAS)),
        ("Sensor", "argument", arguments(SailPointTaskSensor)),
        ("Sensors by source", "argument", arguments(SailPointAggregationSensor)),
        ("Operator", "argument", arguments(SailPointClearPendingTasksOperator)),
        (FRESH, "argument", set(inspect.signature(aggregation_completed).parameters)),
        ("Starting aggregations", "argument", arguments(SailPointStartAggregationOperator)),
        ("Versions", "`api_version`", set(API_VERSIONS)),
    ],
)
def test_tables_are_complete(section: str, heading: str, expected: set[str]) -> None:
    assert set(first_column(section, heading)) == expected


def test_kinds() -> None:
    """The table of kinds has them all, and each of SailPoint's names in it is read as that kind."""
    table = SECTIONS["Sensors by source"].partition("### Kinds")[2].partition("|---|")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE)
    assert {kind for kind, _ in rows} | {"any"} == set(KINDS)
    for kind, names in rows:
        for name in names.replace("`", "").split(", "):
            assert TaskStatus.from_json({"id": "1", "uniqueName": name}).kind == kind, name
    assert TaskStatus.from_json({"id": "1", "type": "CLOUD_UNCORRELATED_REFRESH"}).kind == "other"


@pytest.mark.parametrize(
    "line", ["Waiting for the completion of", "Polling fails, trying again", "Polling works again"]
)
def test_log_lines(line: str) -> None:
    assert f"`{line}" in README
    assert line in inspect.getsource(ProgressLogger)


def test_numbers() -> None:
    """What the README says in numbers is what the code does."""
    defaults = {
        "fails after 15 s": CONNECTION_GRACE_SECONDS == 15,
        "repeated for 2 minutes": REFUSAL_SECONDS == QUEUE_REFUSAL_SECONDS == 120,
        "read again every 5 minutes": SETTINGS_REFRESH_SECONDS == 300,
        "more than 5 minutes before the boundary": QUEUED.total_seconds() == 300,
        "about 200 tasks in a request": TaskQuery.max_batch == SourceQuery.max_batch == 200,
    }
    words = " ".join(README.split())
    for sentence, holds in defaults.items():
        assert sentence in words
        assert holds, sentence


def test_client_methods() -> None:
    public = {name for name, it in vars(TaskStatusClient).items() if name[0] != "_" and callable(it)}
    assert set(first_column("Hook", "method of `client`")) == public - {
        "with_retry",
        "with_stop",
        "with_pacer",
        "polling",
        "close",
    }
    public = {name for name, it in vars(SourcesClient).items() if name[0] != "_" and callable(it)}
    assert set(first_column("Hook", "method of `sources`")) == public - {"with_retry"}


@pytest.mark.parametrize(
    ("section", "operator"),
    [
        ("Sensor", SailPointTaskSensor.__init__),
        ("Sensors by source", SailPointAggregationSensor.__init__),
        ("Operator", SailPointClearPendingTasksOperator.__init__),
        (FRESH, aggregation_completed),
        ("Starting aggregations", SailPointStartAggregationOperator.__init__),
    ],
)
def test_defaults_in_tables(section: str, operator: Callable[..., Any]) -> None:
    parameters = inspect.signature(operator).parameters
    documented = re.findall(r"^\| `(\w+)` \|.*\| (.+?) \|$", SECTIONS[section], re.MULTILINE)
    documented = [(name, default) for name, default in documented if name in parameters]
    assert len(documented) >= 4
    for name, default in documented:
        others = ("the connection's", "`[operators] default_deferrable`", "says what it watches")
        if default not in others and name != "launched_after":
            actual = str(parameters[name].default).removesuffix(".0").replace("'", '"')
            assert default.strip("`").removesuffix(" s") == actual, name


def anchors(document: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}


@pytest.mark.parametrize(
    "document", ["README.md", "CHANGELOG.md", "benchmarks/README.md", "docs/ARCHITECTURE.md"]
)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        file, _, anchor = target.partition("#")
        if "://" not in target:
            found = path.parent / file if file else path
            assert found.exists(), target
            assert not anchor or anchor in anchors(found), target


def test_airflow_has_the_settings() -> None:
    celery: Any = import_module("airflow.providers.celery.get_provider_info")
    known = dict(conf.configuration_description) | celery.get_provider_info()["config"]
    named = [
        (section.lower(), key.lower()) for section, key in re.findall(r"AIRFLOW__([A-Z_]+?)__(\w+)", README)
    ]
    named += re.findall(r"`\[(\w+)\] (\w+)`", README)
    assert len(named) >= 12
    for section, key in named:
        assert key in known[section]["options"], f"[{section}] {key}"


def test_folders_exist() -> None:
    for folder in re.findall(r"`([\w/]+/)`", SECTIONS["Development"]):
        assert (ROOT / folder).is_dir() or (ROOT / "airflow_provider_sptasks" / folder).is_dir(), folder
