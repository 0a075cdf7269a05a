"""Every block, table and link of the documentation is true."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.cli.cli_parser import get_parser
from airflow.configuration import conf
from airflow.sdk import DAG, BaseOperator

from airflow_provider_sptasks.assets import aggregation_completed
from airflow_provider_sptasks.cli.parser import make_parser as command_parser
from airflow_provider_sptasks.client.client import TaskStatusClient
from airflow_provider_sptasks.client.kinds import STARTABLE_KINDS, TaskKind
from airflow_provider_sptasks.client.launches import QUEUED
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.sources_client import SourcesClient
from airflow_provider_sptasks.client.starting import SHOWS_WITHIN_SECONDS
from airflow_provider_sptasks.client.versions import API_VERSIONS
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.emulator.__main__ import _parser as emulator_parser
from airflow_provider_sptasks.hooks._fields import EXTRAS
from airflow_provider_sptasks.hooks.sailpoint import CONNECTION_GRACE_SECONDS, SailPointHook
from airflow_provider_sptasks.operators.sailpoint import (
    SailPointClearPendingTasksOperator,
    SailPointStartAggregationOperator,
)
from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor, SailPointTaskSensor
from airflow_provider_sptasks.triggers._poller import SETTINGS_REFRESH_SECONDS
from airflow_provider_sptasks.triggers._queue import REFUSAL_SECONDS as QUEUE_REFUSAL_SECONDS
from airflow_provider_sptasks.waiting.driver import REFUSAL_SECONDS
from airflow_provider_sptasks.waiting.options import KINDS
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.queries import SourceQuery, TaskQuery
from tests.conftest import CONNECTION, ROOT
from tests.documents import Block, Page, documents, page, pages

MAKEFILE = (ROOT / "Makefile").read_text()
BLOCKS = [block for each in documents() for block in each.blocks()]
# Those that show something, and those that Sphinx reads.
SHOWN = ("text", "mermaid")
DIRECTIVES = ("{toctree}", "{include}", "{eval-rst}", "{image}", "{figure}")


def named(block: Block) -> str:
    return f"{block.page}-{next((line for line in block.code.splitlines() if line.strip()), '')[:50]}"


def of(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "block", [each for each in BLOCKS if each.language in languages], ids=named
    )


def run(code: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "documentation"}
    exec(compile(code, "documentation", "exec"), namespace)
    return namespace


def test_every_block_has_a_language_that_is_checked() -> None:
    known = {"python", "bash", "json", "toml", *SHOWN}
    odd = [
        f"{block.page}: {block.language!r}"
        for block in BLOCKS
        if block.language not in known and not block.language.startswith(DIRECTIVES)
    ]
    assert odd == []


@of("python")
def test_python_runs(
    block: Block, tenant: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands, in a DAG, and with a tenant that has the sources that the pages name."""
    for source in ("Active Directory", "HR", "Workday"):
        tenant.add_task(source=source, launched=-60, duration=30)
    monkeypatch.setenv("SAIL_BASE_URL", tenant.url)
    monkeypatch.setenv("SAIL_CLIENT_ID", tenant.client_id)
    monkeypatch.setenv("SAIL_CLIENT_SECRET", tenant.client_secret)
    with DAG("documentation"):
        namespace = run(block.code)
    fixtures = {"sailpoint_emulator": tenant, "monkeypatch": monkeypatch, "capsys": capsys}
    for name, test in namespace.items():
        if name.startswith("test_"):
            test(**{each: fixtures[each] for each in inspect.signature(test).parameters})


@of("json")
def test_json_is_json(block: Block) -> None:
    assert json.loads(block.code)


@of("toml")
def test_scenarios_can_be_loaded(block: Block, tmp_path: Path) -> None:
    if {"task", "source", "schedule"}.isdisjoint(tomllib.loads(block.code)):
        return
    path = tmp_path / "scenario.toml"
    path.write_text(block.code)
    with Emulator(str(path)) as emulator:
        assert emulator.tasks() or emulator.sources


PINNED = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
TOOLS = {"pre-commit", "twine"}
# What every machine has, or what a page has installed just before.
OTHER_COMMANDS = {".", "cd", "curl", "git", "mkdir", "pre-commit", "twine"}


def commands(code: str) -> Iterator[list[str]]:
    pending = ""
    for line in code.splitlines():
        pending += line.removesuffix("\\") if line.endswith("\\") else f"{line}\n"
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quotation goes on in the next line
            continue
        if not line.endswith("\\"):
            pending = ""
            if words:
                yield words
    assert not pending


def check_command(words: list[str]) -> None:
    match words:
        case ["export", *settings]:
            assert all("=" in each for each in settings)
        case ["make", target, *rest]:
            assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE), target
            assert all(re.fullmatch(r"[A-Z_]+=.*", each) for each in rest)
        case ["pip", "install", *rest]:
            wanted = [re.split(r"[\[<>=]", each)[0] for each in rest if not each.startswith("-")]
            known = {*PINNED, *TOOLS, "airflow-provider-sptasks", ".", "constraints.txt"}
            assert set(wanted) <= known, set(wanted) - known
        case ["airflow", *rest]:
            get_parser().parse_args(rest)
        case ["python", "-m", "airflow_provider_sptasks.emulator", *rest]:
            emulator_parser().parse_args(rest)
        case ["python", "-m", "airflow_provider_sptasks", *rest]:
            command_parser().parse_args(rest)
        case ["python" | "python3", "-m", module, *_]:
            assert importlib.util.find_spec(module), module
        case [command, *_]:
            assert command in OTHER_COMMANDS, f"{command}: say here how to check it"


@of("bash")
def test_commands_can_be_run(block: Block) -> None:
    """Each is known, with these arguments; ``make release-check`` runs those of the README for real."""
    for words in commands(block.code):
        try:
            check_command(words)
        except SystemExit:
            pytest.fail(f"its own parser refuses {shlex.join(words)}")


def test_make_targets_in_the_text_exist() -> None:
    for each in documents():
        for target in set(re.findall(r"`make ([\w-]+)", each.text)):
            assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE), f"{each.path}: {target}"


# What single blocks promise.


@pytest.mark.parametrize("path", ["README.md", "docs/getting-started.md"])
def test_first_dag_runs_its_gate(path: str, tenant: Emulator) -> None:
    gate = run(page(path).blocks("python")[0].code)["gate"]
    assert gate.dag.dag_id == "load_accounts"
    assert gate.downstream_task_ids == {"load"}
    tenant.add_task(source="Active Directory", launched=-60, duration=1)
    gate.launched_after = "2026-01-01T00:00:00Z"
    assert gate.poke({"ti": None}).is_done


def test_readme_and_getting_started_have_the_same_commands() -> None:
    there = "".join(block.code for block in page("docs/getting-started.md").blocks("bash", "python"))
    readme = page("README.md").text.partition("## Which one")[0]
    for line in re.findall(r"```(?:bash|python)\n(.*?)```", readme, re.DOTALL):
        assert set(line.splitlines()) <= set(there.splitlines())


def test_watcher_example(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = page("docs/assets.md").blocks("python")
    example = run(block.code)
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
    run(page("docs/client.md").blocks("python")[0].code)
    first, second = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("20")]
    assert first.startswith(f"Cloud Account Aggregation of Active Directory ({task.id}) ")
    assert second == "1"


def test_test_from_python(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = page("docs/connection.md").blocks("python")
    run(block.code)
    assert f"Connected to {tenant.url} (API version v1)" in capsys.readouterr().out


def test_connection_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    code = page("docs/connection.md").blocks("bash")[0].code
    code += "".join(re.findall(rf"`({CONNECTION}=[^`]*)`", page("README.md").prose))
    values = [word.partition("=")[2] for word in shlex.split(code) if word.startswith(f"{CONNECTION}=")]
    assert len(values) == 3
    for value in values:
        monkeypatch.setenv(CONNECTION, value)
        settings = SailPointHook().settings
        assert settings.base_url == "https://acme.api.identitynow.com"
        assert (settings.client_id, settings.client_secret) == ("CLIENT_ID", "CLIENT_SECRET")


def test_xcom_example() -> None:
    sensors = page("docs/sensors.md")
    (block,) = sensors.blocks("json")
    example = json.loads(block.code)
    complete = TaskStatus.from_json(example).to_json()
    assert {name: value for name, value in complete.items() if name in example} == example
    also = set(re.findall(r"`(\w+)`", sensors.text.partition("(and ")[2].partition(")")[0]))
    assert example.keys() | also == complete.keys()


# Tables.


def arguments(operator: type[BaseOperator]) -> set[str]:
    return set(inspect.signature(operator.__init__).parameters) - {"self", "kwargs"}


def public(client: type) -> set[str]:
    return {name for name, it in vars(client).items() if name[0] != "_" and callable(it)}


def public_names(cls: type) -> set[str]:
    return {name for name in dir(cls) if name[0] != "_"} - {"state"}  # which is what its server works on


CHECKED: dict[tuple[str, str], set[str]] = {
    ("docs/connection.md", "field"): set(EXTRAS),
    ("docs/sensors.md", "argument"): arguments(SailPointTaskSensor),
    ("docs/sources.md", "argument"): arguments(SailPointAggregationSensor),
    ("docs/clear.md", "argument"): arguments(SailPointClearPendingTasksOperator),
    ("docs/start.md", "argument"): arguments(SailPointStartAggregationOperator),
    ("docs/assets.md", "argument"): set(inspect.signature(aggregation_completed).parameters),
    ("docs/connection.md", "`api_version`"): set(API_VERSIONS),
    ("docs/sources.md", "`kind`"): set(KINDS) - {"any"},
    ("docs/sdks.md", "`kind`"): set(STARTABLE_KINDS),
    ("docs/client.md", "method of `client`"): public(TaskStatusClient)
    - {"with_retry", "with_stop", "with_pacer", "polling", "close"},
    ("docs/client.md", "method of `sources`"): public(SourcesClient) - {"with_retry"},
    ("docs/testing.md", "method or attribute"): public_names(Emulator),
}


@pytest.mark.parametrize(("path", "heading"), CHECKED)
def test_tables_are_complete(path: str, heading: str) -> None:
    (table,) = [each for each in page(path).tables() if each.heading == heading]
    assert set(table.names) == CHECKED[path, heading]


def test_every_table_of_arguments_is_checked() -> None:
    tables = {(each.path, table.heading) for each in pages() for table in each.tables()}
    of_arguments = {
        each for each in tables if each[1] in ("argument", "`api_version`", "`kind`") or "method" in each[1]
    }
    assert of_arguments <= CHECKED.keys()


DEFAULTS: dict[str, Callable[..., Any]] = {
    "docs/sensors.md": SailPointTaskSensor.__init__,
    "docs/sources.md": SailPointAggregationSensor.__init__,
    "docs/clear.md": SailPointClearPendingTasksOperator.__init__,
    "docs/start.md": SailPointStartAggregationOperator.__init__,
    "docs/assets.md": aggregation_completed,
}


@pytest.mark.parametrize("path", DEFAULTS)
def test_defaults_in_tables(path: str) -> None:
    parameters = inspect.signature(DEFAULTS[path]).parameters
    (table,) = [each for each in page(path).tables() if each.heading == "argument"]
    documented = [
        (names[0], row[-1])
        for row in table.rows[1:]
        if len(names := re.findall(r"`(\w+)`", row[0])) == 1 and row[-1]
    ]
    assert len(documented) >= 4
    for name, default in documented:
        others = ("the connection's", "`[operators] default_deferrable`", "says what it watches")
        if default not in others and name != "launched_after":
            actual = (
                str(parameters[name].default).removesuffix(".0").removesuffix(", 0:00:00").replace("'", '"')
            )
            assert default.strip("`").removesuffix(" s") == actual, name


def test_kinds() -> None:
    """Each of SailPoint's names in the table is read as that kind."""
    (table,) = [each for each in page("docs/sources.md").tables() if each.heading == "`kind`"]
    for kind, names in table.rows[1:]:
        for name in names.replace("`", "").split(", "):
            assert f"`{TaskStatus.from_json({'id': '1', 'uniqueName': name}).kind}`" == kind, name
    other = TaskStatus.from_json({"id": "1", "type": "CLOUD_UNCORRELATED_REFRESH"})
    assert other.kind is TaskKind.OTHER


def test_scopes_are_the_codes() -> None:
    """The scopes that the page names are those that the client's messages ask for."""
    code = "".join(path.read_text() for path in (ROOT / "airflow_provider_sptasks/client").glob("*.py"))
    (table,) = [each for each in page("docs/connection.md").tables() if each.section == "Scopes"]
    assert set(re.findall(r"idn:[\w:-]+", str(table.rows))) == set(re.findall(r"idn:[\w-]+:\w+", code))


# Text.


@pytest.mark.parametrize(
    "line", ["Waiting for the completion of", "Polling fails, trying again", "Polling works again"]
)
def test_log_lines(line: str) -> None:
    assert f"`{line}" in page("docs/sensors.md").text
    assert line in inspect.getsource(ProgressLogger)


def test_numbers() -> None:
    """What the pages say in numbers is what the code does."""
    defaults = {
        "fails after 15 s": CONNECTION_GRACE_SECONDS == 15,
        "repeated for 2 minutes": REFUSAL_SECONDS == QUEUE_REFUSAL_SECONDS == 120,
        "read again every 5 minutes": SETTINGS_REFRESH_SECONDS == 300,
        "more than 5 minutes before the boundary": QUEUED.total_seconds() == 300,
        "polls for 2 minutes for what the source has launched since": SHOWS_WITHIN_SECONDS == 120,
        "about 200 tasks in a request": TaskQuery.max_batch == SourceQuery.max_batch == 200,
    }
    words = " ".join(" ".join(each.text for each in pages()).split())
    for sentence, holds in defaults.items():
        assert sentence in words
        assert holds, sentence


def test_airflow_has_the_settings() -> None:
    celery: Any = import_module("airflow.providers.celery.get_provider_info")
    known = dict(conf.configuration_description) | celery.get_provider_info()["config"]
    text = "".join(each.text for each in documents())
    settings = [
        (section.lower(), key.lower()) for section, key in re.findall(r"AIRFLOW__([A-Z_]+?)__(\w+)", text)
    ]
    settings += re.findall(r"`\[(\w+)\] (\w+)`", text)
    assert len(settings) >= 12
    for section, key in settings:
        assert key in known[section]["options"], f"[{section}] {key}"


def test_folders_exist() -> None:
    for table in page("CONTRIBUTING.md").tables():
        for folder in re.findall(r"`([\w/]+/)`", " ".join(row[0] for row in table.rows)):
            assert (ROOT / folder).is_dir() or (ROOT / "airflow_provider_sptasks" / folder).is_dir(), folder


def test_every_example_is_listed() -> None:
    (table,) = page("docs/examples.md").tables()
    assert set(table.names) == {path.stem for path in (ROOT / "example_dags").glob("*.py")}


def test_the_readme_is_short() -> None:
    assert len(page("README.md").text.splitlines()) <= 130


@pytest.mark.parametrize("document", documents(), ids=lambda each: each.path)
def test_links_lead_somewhere(document: Page) -> None:
    path = ROOT / document.path
    for target in re.findall(r"\]\(([^)\s]+)\)", document.prose):
        file, _, anchor = target.partition("#")
        if "://" in target:
            assert target.startswith("https://"), target
            continue
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        if anchor:
            assert anchor in Page(found.relative_to(ROOT).as_posix()).included().anchors(), target


def test_every_page_is_in_the_tree() -> None:
    """Sphinx would warn too, but only where the documentation is built."""
    for folder in ("docs", "docs/reference"):
        listed = {
            line for block in page(f"{folder}/index.md").blocks("{toctree}") for line in block.code.split()
        }
        assert {each.stem for each in (ROOT / folder).glob("*.md")} - {"index"} <= listed
