"""The page of error messages has those of the code: each of them, and no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documents import page

PACKAGE = ROOT / "airflow_provider_sptasks"
PAGE = page("docs/troubleshooting.md")
# Airflow's messages, which are not in this code.
AIRFLOWS = {
    "Bad Request",
    "Cannot create DagRun for DAG … because the dag is not serialized",
    "The conn_id … isn't defined",
    "Testing connections is disabled …",
}
# What no user gets to see by itself: pieces of other messages, and faults of the package.
INTERNAL = {
    "… is no cursor",
    "a cursor can't begin at …",
    "module … has no attribute …",
    "unreachable",
    "it could not be written whole: is the disk full?",
    "… is not this user's alone",
    "… bytes are too many for it",
    "there is no fcntl on this system",
    "another process has held its lock for … s",
    "others were quicker … times",
    "named …",  # pieces of: The tenant has no source …
    "with the id …",
    "Connection …: …",  # what stands before each message about a connection
    "… …",
}


# The first cells of the tables, as far as they are in backticks.
DOCUMENTED: list[str] = re.findall(r"^\| `([^`]+)`", PAGE.text, re.MULTILINE)


def written(node: ast.expr | None) -> str | None:
    """A string of the code, with … for what is inserted."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{written(node.left) or '…'}{written(node.right) or '…'}"
    return None


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def strings() -> set[str]:
    return {text for _, tree in modules() for node in ast.walk(tree) if (text := written_at(node))}


def written_at(node: ast.AST) -> str | None:
    return written(node) if isinstance(node, ast.expr) else None


def raised() -> dict[str, str]:
    """
    The messages that the package raises, but for the emulator's, which answer a test's mistakes, and those of
    the command line, which answer what was just typed.
    """
    found = {}
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                text = written(node.exc.args[0])
                if text is not None and {"emulator", "cli"}.isdisjoint(path.relative_to(PACKAGE).parts):
                    found[text] = f"{path.relative_to(PACKAGE)}:{node.lineno}"
    return found


def pattern_of(message: str) -> re.Pattern[str]:
    """A message of the page as a pattern, in which … stands for anything."""
    return re.compile(".*".join(re.escape(piece.strip()) for piece in message.split("…")), re.DOTALL)


CODE = strings()
RAISED = raised()


@pytest.mark.parametrize("message", DOCUMENTED)
def test_the_code_has_it(message: str) -> None:
    assert message in AIRFLOWS or any(pattern_of(message).search(text) for text in CODE)


@pytest.mark.parametrize("message", RAISED)
def test_the_page_has_it(message: str) -> None:
    assert message in INTERNAL or any(pattern_of(each).search(message) for each in DOCUMENTED), RAISED[
        message
    ]


def test_the_exceptions_are_needed() -> None:
    assert set(DOCUMENTED) >= AIRFLOWS
    assert RAISED.keys() >= INTERNAL


def test_each_row_has_a_cause_and_a_remedy() -> None:
    rows = [
        row for table in PAGE.tables() if table.heading in ("message", "what you see") for row in table.rows
    ]
    assert len(rows) > 100
    assert [row for row in rows if len(row) != 3 or not all(row)] == []


def test_patterns() -> None:
    """A row that would match anything helps with nothing."""
    assert [each for each in DOCUMENTED if len(re.sub(r"[…\W]", "", each)) < 8] == []
