"""The mutants themselves: what is drawn, and whether a killed, a hung and a surviving one are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="`make mutants` runs this")

from mutants import running
from mutants.__main__ import draw, keys, report
from mutants.operators import Mutant, Source
from mutants.running import Outcome, Runner

TINY = '''
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


def bigger(first: int, second: int = 3) -> int:
    """The bigger of two."""
    return first if first > second else second


def count_down(steps: int) -> None:
    while steps > 0:
        steps -= 1


def unreached(log: object) -> None:
    log.debug("%d", 1 + 1)
    raise ValueError("%d" % (1 + 1))
'''
TESTS = """
from tiny import bigger, count_down

def test_bigger():
    assert bigger(1, 2) == 2
    assert bigger(7) == 7

def test_count_down():
    count_down(3)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three functions, whose tests start quickly."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_cov.plugin,xdist.plugin")
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "__init__.py").write_text(TINY, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_tiny.py").write_text(TESTS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def mutants(root: Path) -> dict[str, Mutant]:
    """All mutants, by what they put there."""
    source = Source(root, "tiny/__init__.py")
    numbers = [number for line in source.by_line().values() for number in line]
    return {mutant.added: mutant for mutant in map(source.mutant, numbers)}


def test_what_is_drawn(mutants: dict[str, Mutant]) -> None:
    assert set(mutants) == {
        "def bigger(first: int, second: int = 4) -> int:",
        "return None",
        "return first if (first > second) and False else second",
        "return first if (first > second) or True else second",
        "return first if first >= second else second",
        "while (steps > 0) and False:",
        "while steps >= 0:",
        "while steps > 1:",
        "steps += 1",
        "steps = 1",
        "steps -= 2",
        "pass",
    }
    assert mutants["pass"].removed == 'raise ValueError("%d" % (1 + 1))'


def test_what_becomes_of_them(
    root: Path, mutants: dict[str, Mutant], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {
        "return first if (first > second) or True else second": "killed",
        "return first if first >= second else second": "survived",
        "def bigger(first: int, second: int = 4) -> int:": "survived",
        "steps += 1": "hung",
        "pass": "unreached",
    }
    monkeypatch.setattr(running, "START_SECONDS", 10.0)
    with Runner(root, "tiny", ["tests"], 2, 60) as runner:
        outcomes = list(runner.run([mutants[each] for each in expected]))
    assert dict(zip(expected, (outcome.kind for outcome in outcomes), strict=True)) == expected
    assert [outcome.tests for outcome in outcomes] == [1, 1, 1, 1, 0]
    assert (root / "tiny" / "__init__.py").read_text(encoding="utf-8") == TINY


def test_tests_that_fail_anyway_find_nothing(
    root: Path, mutants: dict[str, Mutant], capsys: pytest.CaptureFixture[str]
) -> None:
    tests = root / "tests" / "test_tiny.py"
    tests.write_text(TESTS.replace("bigger(7) == 7", "bigger(7) == 8"), encoding="utf-8")
    with Runner(root, "tiny", ["tests"], 1, 60) as runner:
        (outcome,) = runner.run([mutants["return first if first >= second else second"]])
    assert outcome == Outcome("unreached", 0)
    assert "left out: tests/test_tiny.py::test_bigger" in capsys.readouterr().out


def test_tests_that_cannot_run_are_an_error(root: Path) -> None:
    (root / "tests" / "conftest.py").write_text("import nothing_like_it", encoding="utf-8")
    with pytest.raises(RuntimeError, match="nothing_like_it"), Runner(root, "tiny", ["tests"], 1, 60):
        pass


def test_a_seed_draws_the_same_and_no_line_twice(root: Path) -> None:
    drawn = draw(root, ["tiny"], 4, 7)
    assert [mutant.key for mutant in drawn] == [mutant.key for mutant in draw(root, ["tiny"], 4, 7)]
    assert len({mutant.line for mutant in drawn}) == 4
    assert [mutant.key for mutant in draw(root, ["tiny"], 4, 8)] != [mutant.key for mutant in drawn]
    assert len(draw(root, ["tiny"], 100, 7)) == 5, "of each line one"


def test_the_score_leaves_equivalent_mutants_out(
    mutants: dict[str, Mutant], capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["killed", "killed", "hung", "survived", "unreached", "not run"]
    results = [(mutant, Outcome(kind, 1)) for mutant, kind in zip(mutants.values(), kinds, strict=False)]
    assert report(results, set()) == 60.0
    assert report(results, {results[3][0].key, results[0][0].key}) == 75.0
    assert results[4][0].added in capsys.readouterr().out


def test_equivalent_mutants_are_still_drawn() -> None:
    from mutants.__main__ import EQUIVALENT, ROOT

    for path, removed, added in keys(EQUIVALENT):
        source = Source(ROOT, path)
        numbers = [number for line in source.by_line().values() for number in line]
        assert (path, removed, added) in {source.mutant(number).key for number in numbers}


def test_each_equivalent_mutant_has_its_reason() -> None:
    from mutants.__main__ import EQUIVALENT

    for each in json.loads(EQUIVALENT.read_text(encoding="utf-8")):
        assert set(each) == {"path", "removed", "added", "reason"}
        assert len(each["reason"].split()) > 3, "why no user can see the difference"
