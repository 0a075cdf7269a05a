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

# From the bottom up. A module imports only from layers below its own; the modules of a layer don't know
# each other.
LAYERS = [
    ["__init__", "client.errors", "client.ids", "client.pacing", "client.reading", "get_provider_info"],
    [
        "client.entries",
        "client.models",
        "client.models_sources",
        "client.multipart",
        "client.retry",
        "client.auth",
        "client.versions",
    ],
    ["client.http", "client.settings"],
    ["client.filters", "client.launches"],
    ["client.chunks", "client.collecting", "client.paging", "client.sources", "client.tasks"],
    ["client.transport"],
    ["client.reader"],
    ["client.finding"],
    ["client.newest"],
    ["client.client", "client.sources_client"],
    ["client.clearing"],
    ["client.starting"],
    ["client"],
    ["arguments", "exceptions"],
    ["completions", "from_trigger", "links", "waiting"],
    ["hooks"],
    ["triggers"],
    ["sensors", "operators"],
    ["assets"],
    ["plugin"],
]
# What is used in some files only. Files are paths in the package, and may be folders.
ONLY_IN = {
    "requests": ["client/transport.py", "client/auth.py"],
    "urllib3": [],
    "tenacity": ["client/retry.py"],
    "starlette": ["emulator"],
    "uvicorn": ["emulator"],
    "jsonpatch": ["emulator"],
    "python_multipart": ["emulator"],
    "httpx": [],
    "aiohttp": [],
    "wtforms": ["hooks"],
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


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, wherever in it, for types too; ``from a import b`` is ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            literals = [each.value for each in node.args if isinstance(each, ast.Constant)]
            yield from ((each, node.lineno) for each in literals if isinstance(each, str))


def own_imports(path: Path) -> Iterator[tuple[str, int]]:
    for name, line in imports(path):
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            yield name.removeprefix(f"{PACKAGE}.").removeprefix(PACKAGE) or "__init__", line


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


def layer(module: str) -> int:
    """The layer of a module, or of what is imported from it."""
    for length in range(module.count(".") + 1, 0, -1):
        name = ".".join(module.split(".")[:length])
        for rank, names in enumerate(LAYERS):
            if name in names:
                return rank
    raise AssertionError(f"{module} is in no layer: say where it belongs")


def below(module: str, imported: str) -> bool:
    """Whether a module may import another: from below, or a neighbour in its own folder."""
    if layer(imported) < layer(module):
        return True
    folder = module.partition(".")[0]
    return folder == imported.partition(".")[0] and folder not in ("client", module)


def test_every_file_has_its_place() -> None:
    listed = {name for names in LAYERS for name in names}
    modules = {module_of(path) for path in files() if not inside(path).startswith("emulator/")}
    assert {each for each in modules if each.startswith("client.")} <= listed
    assert {each.partition(".")[0] for each in modules} <= listed


def test_imports_point_downward() -> None:
    upward = [
        f"{inside(path)}:{line} imports {imported}"
        for path in files()
        if not inside(path).startswith("emulator/")
        for imported, line in own_imports(path)
        if not below(module_of(path) or "__init__", imported)
    ]
    assert upward == []


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


def test_nobody_but_tests_knows_the_emulator() -> None:
    known = [
        f"{inside(path)}:{line}"
        for path in files()
        if not inside(path).startswith("emulator/")
        for name, line in own_imports(path)
        if name.partition(".")[0] == "emulator"
    ]
    assert known == []


@pytest.mark.parametrize(("library", "places"), ONLY_IN.items())
def test_a_library_is_used_in_its_own_files_only(library: str, places: list[str]) -> None:
    users = {
        inside(path) for path in files() for name, _ in imports(path) if name.partition(".")[0] == library
    }
    assert [
        user for user in users if not any(user == each or user.startswith(f"{each}/") for each in places)
    ] == []


@pytest.mark.parametrize(
    "library", ["requests", "tenacity", "starlette", "uvicorn", "jsonpatch", "python_multipart"]
)
def test_those_files_do_use_it(library: str) -> None:
    """Or the table above says nothing."""
    users = {
        inside(path) for path in files() for name, _ in imports(path) if name.partition(".")[0] == library
    }
    assert users
    assert all(any(user.startswith(each) for user in users) for each in ONLY_IN[library])


@pytest.mark.parametrize(("home", "pattern"), OF_THE_API.items())
def test_only_one_file_spells_the_api(home: str, pattern: re.Pattern[str]) -> None:
    spelled = [
        f"{inside(path)}:{line} {text!r}"
        for path in files("client", "hooks", "sensors", "operators")
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
import {PACKAGE}.assets, {PACKAGE}.sensors.sailpoint
from {PACKAGE}.operators.sailpoint import SailPointClearPendingTasksOperator
clearing = sorted(set(sys.modules) - before)
from {PACKAGE}.operators.sailpoint import SailPointStartAggregationOperator
print(json.dumps([sorted(set(sys.modules) - before), clearing]))
"""


def test_reading_a_dag_file_loads_no_http() -> None:
    """Every DAG file with a sensor is read again and again, by processes that never send a request."""
    finished = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded, clearing = json.loads(finished.stdout.splitlines()[-1])
    assert f"{PACKAGE}.sensors.sailpoint" in loaded
    assert set(loaded) - set(clearing) >= {f"{PACKAGE}.operators._start", f"{PACKAGE}.client.starting"}
    heavy = {"requests", "urllib3", "asgiref", "tenacity", "starlette"}
    assert heavy & {name.partition(".")[0] for name in loaded} == set()
    assert [
        name for name in loaded if name.startswith((f"{PACKAGE}.hooks", f"{PACKAGE}.client.client"))
    ] == []
