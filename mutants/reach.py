"""Which tests reach which lines, and how long they take: from one run of them all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from coverage import CoverageData

from mutants.operators import Mutant

DURATION = re.compile(r"^ *([\d.]+)s (?:setup|call|teardown) +(\S.*?) *$", re.MULTILINE)
FAILURE = re.compile(r"^(?:FAILED|ERROR) (.*)$", re.MULTILINE)


class Reach:
    """
    What tests reach.

    :param root: the project, where the tests ran
    :param data: what coverage noted, with a context for each test
    :param seconds: how long each test took
    """

    def __init__(self, root: Path, data: CoverageData, seconds: Mapping[str, float]) -> None:
        self._root = root
        self._data = data
        self._seconds = seconds
        self._lines: dict[str, dict[int, set[str]]] = {}

    def tests(self, mutant: Mutant, max_seconds: float) -> list[str]:
        """
        Choose the tests of a mutant: the module's own first, and the quickest first.

        :param mutant: the mutant
        :param max_seconds: how long they may take together; one is chosen in any case
        :return: the identifiers of the tests; none if no test reaches it
        """
        lines = self._tests_by_line(mutant.path)
        reached = {test for line in mutant.nearest for test in lines.get(line, ())}
        reached = reached or {test for line in mutant.around for test in lines.get(line, ())}
        own = re.compile(rf"test_{Path(mutant.path).stem.strip('_')}\w*\.py")
        chosen: list[str] = []
        total = 0.0
        for test in sorted(reached, key=lambda test: (not own.search(test), self._seconds[test], test)):
            total += self._seconds[test]
            if chosen and total > max_seconds:
                break
            chosen.append(test)
        return chosen

    def seconds(self, tests: Iterable[str]) -> float:
        """Return how long tests took together."""
        return sum(self._seconds[test] for test in tests)

    def _tests_by_line(self, path: str) -> dict[int, set[str]]:
        if path not in self._lines:
            contexts = self._data.contexts_by_lineno(str(self._root / path))
            self._lines[path] = {
                line: {test for each in names if (test := each.rpartition("|")[0]) in self._seconds}
                for line, names in contexts.items()
            }
        return self._lines[path]


def pytest_command(*arguments: str) -> list[str]:
    """Return the command that runs tests."""
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]


def measure(root: Path, package: str, tests: Sequence[str], jobs: int, max_seconds: float) -> Reach:
    """
    Run the tests once, as the project is.

    :param root: the project
    :param package: the package that counts
    :param tests: the folders and files of the tests
    :param jobs: how many processes run them
    :param max_seconds: how long that may take
    :return: what the tests reach that pass; one that fails as the package is can find nothing
    :raises RuntimeError: the tests can't run, or all fail
    :raises subprocess.TimeoutExpired: it took too long
    """
    command = pytest_command(
        f"--numprocesses={jobs}",
        f"--cov={package}",
        "--cov-context=test",
        "--cov-report=",
        "-vv",
        "--durations=0",
        *tests,
    )
    file = root / ".coverage"
    # The fastest of coverage's ways knows no contexts before Python 3.14.
    environment = os.environ | {"COVERAGE_FILE": str(file), "COVERAGE_CORE": "ctrace"}
    finished = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=max_seconds, check=False
    )
    seconds: dict[str, float] = {}
    for duration, test in DURATION.findall(finished.stdout):
        seconds[test] = seconds.get(test, 0.0) + float(duration)
    for line in FAILURE.findall(finished.stdout):
        for test in [each for each in seconds if f"{line} - ".startswith(f"{each} - ")]:
            print(f"It fails as the package is, and is left out: {test}")
            del seconds[test]
    if not seconds or finished.returncode not in (0, 1):
        raise RuntimeError(f"The tests don't run:\n{finished.stdout[-4000:]}{finished.stderr}")
    data = CoverageData(str(file))
    data.read()
    return Reach(root, data, seconds)
