"""Plain words: what the project writes uses the field's terms, and one for each thing."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

# What is not written, and what is instead. Underscores count as spaces, so that names count too.
WORDS = {
    "poll, check or read": r"look(s|ed|ing)?(?!(\W+[\w']+){0,3}?\W+(up|for|like|after|around)\b)",
    "say, log, notify or report": r"told(?!(\W+[\w']+){0,6}?\W+(apart|from)\b)"
    r"|tell(s|ing)?(?!(\W+[\w']+){1,6}?\W+(apart|from)\b)",
    "error, outage or fault": r"troubles?",
    "update": r"news",
    "subscription, trigger or sensor": r"waiters?",
    "progress logger": r"narrat(e|es|or|ors)",
    "in one answer, together": r"in one breath",
    "also, in the same request": r"rides? along|ridden along|riding along",
    "case-insensitive, any status": r"whatever (the|its|their) case|whatever status( is set)?",
    "transient errors": r"what(ever)? (may|might) pass",
    "invalid, must be": r"can't be right|is no instant",
    "a noun: another client, the subscription that": r"(some|no|every|any)body",
    "maximum, up to": r"at the most|at the least",
    "seconds until, maximum number of": r"so (long|many|few|often)(?! as\b)",
    "maximum seconds between polls": r"the longest that",
    "again": r"anew",
    "new subscribers": r"newcomers?",
    "jitter or pause": r"hurry",
}
PATTERNS = {right: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for right, words in WORDS.items()}
# Lines with these are right: each says why.
EXCEPTIONS = {
    ("CHANGELOG.md", "can't look"): "quotes lines of earlier logs",
}
KINDS = (".py", ".md", ".toml", ".yml", ".yaml")


def documents() -> list[str]:
    """The files that are in the repository, but for this one."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    paths = listed.stdout.splitlines() or [
        path.relative_to(ROOT).as_posix()
        for folder in (
            "airflow_provider_sptasks",
            "tests",
            "docs",
            "example_dags",
            "benchmarks",
            "demo",
            "harness",
            "mutants",
            "release",
        )
        for path in sorted((ROOT / folder).rglob("*"))
    ]
    chosen = [path for path in paths if path.endswith(KINDS) or path == "Makefile"]
    return [path for path in chosen if path != "tests/test_words.py" and (ROOT / path).is_file()]


def hits(path: str, pattern: re.Pattern[str]) -> Iterator[str]:
    for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
        excepted = any(path == file and phrase in line for file, phrase in EXCEPTIONS)
        if not excepted and pattern.search(line.replace("_", " ")):
            yield f"{path}:{number} {line.strip()[:120]}"


@pytest.mark.parametrize("right", WORDS)
def test_plain_words(right: str) -> None:
    found = [hit for path in documents() for hit in hits(path, PATTERNS[right])]
    assert found == [], f"say: {right}"


def test_all_kinds_of_files_are_read() -> None:
    assert {"README.md", "docs/index.md", "docs/reference/index.md", "Makefile"} <= set(documents())
    assert {".github/workflows/ci.yml", "tests/conftest.py", "release/stranger.py"} <= set(documents())


def test_the_exceptions_are_needed() -> None:
    for file, phrase in EXCEPTIONS:
        lines = [line for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if phrase in line]
        assert any(pattern.search(line) for line in lines for pattern in PATTERNS.values()), phrase


@pytest.mark.parametrize(
    "line",
    [
        "the first look at the task",
        "it is told once",
        "what may pass is waited out",
        "def test_nobody_waits():",
        "a poll takes 3 s at the most",
        "can't be right",
    ],
)
def test_those_are_found(line: str) -> None:
    """Or the table above says nothing."""
    assert any(pattern.search(line.replace("_", " ")) for pattern in PATTERNS.values())


@pytest.mark.parametrize(
    "line",
    [
        "it looks the name up",
        "names that http.server looks for",
        "tells an outage from a culprit",
        "so long as it runs",
    ],
)
def test_those_are_right(line: str) -> None:
    assert not any(pattern.search(line) for pattern in PATTERNS.values())
