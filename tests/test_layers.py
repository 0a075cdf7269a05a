"""The lines between the package's modules: who may import whom, and who may know what."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "airflow_provider_sptasks"
ROOT = Path(__file__).parent.parent / PACKAGE

# From the bottom up, each module once. At run time a module imports from lower layers only; for types, also
# from its neighbours in the same folder.
LAYERS = [
    # what knows nothing of this package
    ["__init__", "get_provider_info", "links"],
    [
        "client.connections",
        "client.errors",
        "client.ids",
        "client.locks",
        "client.reading",
        "client.redaction",
        "client.stopping",
        "client.tenant_clock",
    ],
    ["client.urls", "client.versions"],
    # the client: data and pure functions
    ["client.auth", "client.budget", "client.entries", "client.kinds", "client.multipart", "client.retry"],
    ["client.host_budget", "client.redis_budget"],
    ["client.pacing"],
    ["client.http", "client.models", "client.models_sources", "client.settings", "client.start_options"],
    ["client.filters", "client.launches"],
    ["client.extent"],
    [
        "client.clearing_flow",
        "client.clearing_record",
        "client.collecting",
        "client.durations",
        "client.intent",
        "client.sources",
        "client.tasks",
    ],
    # the client: what sends, and what is built on it
    ["client.exchange"],
    ["client.chunks", "client.paging", "client.transport"],
    ["client.base_client", "client.reader"],
    ["client.clearing", "client.clock", "client.sources_client"],
    ["client.newest", "client.starting"],
    ["client.client", "client.history"],
    ["client.selecting"],
    ["client"],
    # what Airflow's side shares: arguments, waits, and reading completions
    ["arguments", "times"],
    ["completions", "from_trigger"],
    ["waiting"],
    ["waiting.errors", "waiting.options"],
    ["exceptions", "waiting.queries", "waiting.verdict"],
    ["waiting.aggregations", "waiting.events", "waiting.progress", "waiting.starting", "waiting.tasks"],
    ["waiting.driver"],
    # what Airflow sees
    ["hooks"],
    ["hooks._fields"],
    ["hooks.sailpoint"],
    ["triggers"],
    ["triggers._completions_poll", "triggers._connection", "triggers._subscription", "triggers._watcher"],
    ["triggers._queue"],
    ["triggers._feed", "triggers._poller"],
    ["triggers._base", "triggers._producer"],
    ["triggers.completions", "triggers.sailpoint"],
    ["sensors", "operators"],
    [
        "sensors._base",
        "operators._interruptible",
        "operators._retry_state",
        "operators._start_messages",
        "operators._clear_table",
    ],
    ["sensors.sailpoint", "operators._account_progress", "operators._clear"],
    ["operators._worker_run"],
    ["operators._start_run"],
    ["operators._start"],
    ["operators.sailpoint", "assets"],
    # the command line, which reads no DAG
    ["cli"],
    ["cli.tables", "cli.values"],
    ["cli.printing"],
    ["cli.codes", "cli.options"],
    ["cli.commands"],
    ["cli.parser", "cli.airflow_connection"],
    ["cli.session"],
    ["cli.main", "cli.tasks", "cli.sources", "cli.whoami", "cli.emulating"],
    ["cli.definition", "cli.polling", "cli.clearing", "__main__"],
    ["cli.waits", "cli.aggregating"],
    # what the api-server shows
    ["plugin.tasks", "plugin.snapshot"],
    ["plugin.history", "plugin.overview"],
    ["plugin.access", "plugin.connections", "plugin.gates", "plugin.changes"],
    ["plugin.watch"],
    ["plugin.page"],
    ["plugin.app"],
    ["plugin"],
]
MAX_LINES = 300
# What is used in some files only. Files are paths in the package, and may be folders.
ONLY_IN = {
    "requests": ["client/exchange.py", "client/connections.py"],
    "urllib3": ["client/exchange.py"],
    "tenacity": ["client/retry.py"],
    "redis": ["client/redis_budget.py"],
    "asgiref": ["triggers"],
    "starlette": ["emulator"],
    "fastapi": ["plugin"],
    "sqlalchemy": ["plugin/connections.py", "plugin/gates.py"],
    "uvicorn": ["emulator"],
    "jsonpatch": ["emulator"],
    "python_multipart": ["emulator"],
    "httpx": [],
    "aiohttp": [],
    "wtforms": ["hooks/sailpoint.py"],
}
# What one file only may spell: versions, paths, and filters; what is appended to the path of a source.
OF_THE_API = {
    "client/versions.py": re.compile(
        r"\b(beta|v2024|v2025|v2026)\b|^v1$|/task-status|(?<!connections)/sources\b|/account-aggregations"
    ),
    "client/filters.py": re.compile(r'\bisnull\b|\b(eq|in) (\("?|")'),
    "client/sources.py": re.compile(r"\bload-"),
}


def files(*below: str) -> list[Path]:
    found = [path for each in below or [""] for path in sorted((ROOT / each).rglob("*.py"))]
    assert found
    return found


def inside(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return inside(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def users(library: str) -> set[str]:
    """The files that import a library."""
    return {
        inside(path) for path in files() for name, _ in imports(path) if name.partition(".")[0] == library
    }


def imports(path: Path, types: bool = True) -> Iterator[tuple[str, int]]:
    """
    Every module that a file imports, wherever in it; ``from a import b`` is ``a.b``.

    :param types: whether those count that it imports for type checkers only
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(each)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for each in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types and not types:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            literals = [each.value for each in node.args if isinstance(each, ast.Constant)]
            yield from ((each, node.lineno) for each in literals if isinstance(each, str))


def own_imports(path: Path, types: bool = True, emulator: bool = False) -> Iterator[tuple[str, int]]:
    """Every module of the package that a file imports, or what it imports from one; the emulator's or not."""
    for name, line in imports(path, types):
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            own = name.removeprefix(f"{PACKAGE}.").removeprefix(PACKAGE) or "__init__"
            if emulator or own.partition(".")[0] != "emulator":
                yield own, line


def strings(path: Path) -> Iterator[tuple[str, int]]:
    """Every string of a file but its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value, node.lineno


RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def owner(imported: str) -> str:
    """The module that a name is imported from."""
    while imported not in RANKS:
        imported, _, rest = imported.rpartition(".")
        assert imported, f"{rest} is in no layer: say where it belongs"
    return imported


def own_files() -> list[Path]:
    """The files that have a layer: the emulator is a world of its own."""
    return [path for path in files() if not inside(path).startswith("emulator/")]


def test_every_module_has_one_layer() -> None:
    listed = [name for names in LAYERS for name in names]
    modules = {"__init__" if path == ROOT / "__init__.py" else module_of(path) for path in own_files()}
    assert sorted(listed) == sorted(modules)


def test_imports_point_downward() -> None:
    upward = [
        f"{inside(path)}:{line} imports {imported}"
        for path in own_files()
        for imported, line in own_imports(path, types=False)
        if RANKS[owner(imported)] >= RANKS[module_of(path)]
    ]
    assert upward == []


def test_imports_for_types_point_downward_or_to_neighbours() -> None:
    upward = [
        f"{inside(path)}:{line} imports {imported}"
        for path in own_files()
        for imported, line in own_imports(path)
        if RANKS[owner(imported)] >= RANKS[module_of(path)]
        and owner(imported).partition(".")[0] != module_of(path).partition(".")[0]
    ]
    assert upward == []


def test_no_file_is_long() -> None:
    lengths = {inside(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files()}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_the_client_knows_no_airflow() -> None:
    known = [
        f"{inside(path)}:{line}"
        for path in files("client")
        for name, line in imports(path)
        if name.partition(".")[0] == "airflow"
    ]
    assert known == []


def test_the_emulator_knows_neither_the_client_nor_airflow() -> None:
    """Each checks the other, so neither may have learnt from the other."""
    known = [
        f"{inside(path)}:{line} imports {name}"
        for path in files("emulator")
        for name, line in imports(path)
        if name.partition(".")[0] == "airflow"
        or (name.startswith(PACKAGE) and not name.startswith(f"{PACKAGE}.emulator"))
    ]
    assert known == []


def test_only_tests_know_the_emulator_and_the_verb_that_starts_it() -> None:
    known = [
        inside(path)
        for path in own_files()
        for name, _ in own_imports(path, emulator=True)
        if name.partition(".")[0] == "emulator"
    ]
    assert known == ["cli/emulating.py"]


@pytest.mark.parametrize(("library", "places"), ONLY_IN.items())
def test_a_library_is_used_in_its_own_files_only(library: str, places: list[str]) -> None:
    elsewhere = [
        user
        for user in users(library)
        if not any(user == each or user.startswith(f"{each}/") for each in places)
    ]
    assert elsewhere == []


@pytest.mark.parametrize("library", [library for library, places in ONLY_IN.items() if places])
def test_those_files_do_use_it(library: str) -> None:
    """Or the table above says nothing."""
    assert all(any(user.startswith(each) for user in users(library)) for each in ONLY_IN[library])


@pytest.mark.parametrize(("home", "pattern"), OF_THE_API.items())
def test_only_one_file_spells_the_api(home: str, pattern: re.Pattern[str]) -> None:
    spelled = [
        f"{inside(path)}:{line} {text!r}"
        for path in files("client", "hooks", "sensors", "operators", "triggers", "waiting")
        if inside(path) != home
        for text, line in strings(path)
        if pattern.search(text)
    ]
    assert spelled == []


@pytest.mark.parametrize(
    ("home", "words"),
    [
        (
            "client/versions.py",
            {"beta", "v2024", "v2025", "v2026", "v1", "/task-status", "/sources", "/account-aggregations"},
        ),
        ("client/filters.py", {"isnull"}),
        ("client/sources.py", {"load-"}),
    ],
)
def test_that_file_does(home: str, words: set[str]) -> None:
    pattern = OF_THE_API[home]
    assert words <= {match.group() for text, _ in strings(ROOT / home) if (match := pattern.search(text))}


LOADED = f"""
import json, sys
from airflow.sdk import BaseSensorOperator
before = set(sys.modules)
import {PACKAGE}.sensors.sailpoint
waiting = sorted(set(sys.modules) - before)
import {PACKAGE}.assets
from {PACKAGE}.operators.sailpoint import SailPointClearPendingTasksOperator
clearing = sorted(set(sys.modules) - before)
from {PACKAGE}.operators.sailpoint import SailPointStartAggregationOperator
print(json.dumps([sorted(set(sys.modules) - before), clearing, waiting]))
"""


def test_reading_a_dag_file_loads_no_http() -> None:
    """Every DAG file with a sensor is read again and again, by processes that never send a request."""
    finished = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded, clearing, waiting = json.loads(finished.stdout.splitlines()[-1])
    assert f"{PACKAGE}.sensors.sailpoint" in loaded
    assert f"{PACKAGE}.operators._start" in set(loaded) - set(clearing), "each operator loads its own"
    waits = {f"{PACKAGE}.waiting", f"{PACKAGE}.waiting.errors", f"{PACKAGE}.waiting.options"}
    assert {name for name in waiting if name.startswith(f"{PACKAGE}.waiting")} == waits, "no wait yet"
    assert f"{PACKAGE}.client.models" not in waiting
    heavy = {"requests", "urllib3", "asgiref", "tenacity", "starlette"}
    assert heavy & {name.partition(".")[0] for name in loaded} == set()
    assert [
        name for name in loaded if name.startswith((f"{PACKAGE}.hooks", f"{PACKAGE}.client.client"))
    ] == []


ARCHITECTURE = (ROOT.parent / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")


def described() -> list[str]:
    """The modules in the tables of the page, in its order."""
    return [
        path.removesuffix(".py").replace("/", ".")
        for column in re.findall(r"^\| (`[^|]+`) \|", ARCHITECTURE, re.MULTILINE)
        for path in re.findall(r"`([\w/]+\.py)`", column)
    ]


def test_the_page_names_the_modules_that_exist() -> None:
    modules = {module_of(path) for path in own_files() if path.name != "__init__.py"}
    assert sorted(described()) == sorted(modules)


def test_the_page_names_modules_below_those_that_they_import() -> None:
    order = {module: place for place, module in enumerate(described())}
    below = [
        f"{inside(path)}:{line} imports {imported}"
        for path in own_files()
        for imported, line in own_imports(path, types=False)
        if order.get(owner(imported), -1) >= order.get(module_of(path), len(order))
    ]
    assert below == []


def test_the_picture_shows_what_exists() -> None:
    picture = ARCHITECTURE.split("```")[1]
    for folder in re.findall(r"(\w+)/", picture):
        assert (ROOT / folder).is_dir(), folder
    chain = picture.partition("client/ ")[2].partition("requests")[0]
    for module in re.findall(r"[a-z]+", chain):
        assert (ROOT / "client" / f"{module}.py").is_file(), module
    top = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert top - set(re.findall(r"(\w+)/", picture)) == {"emulator"}


def test_the_page_is_short() -> None:
    assert len(ARCHITECTURE.splitlines()) <= 260
