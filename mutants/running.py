"""Tries mutants: each in a copy of the project, with a fresh process for the tests that reach it."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from mutants.operators import Mutant
from mutants.reach import measure, pytest_command

MAX_TEST_SECONDS = 20.0
# A process starts, and fixtures of a whole session are made in each: the durations of tests don't say it.
START_SECONDS = 60.0
MAX_MEMORY_BYTES = 6 * 2**30
# What a copy of the project does without.
LEFT_OUT = (".*", "__pycache__", "build", "dist", "_build")


@dataclass(frozen=True)
class Outcome:
    """
    What became of a mutant.

    :param kind: ``killed``, ``hung`` (a test that never ends finds it too), ``survived``, ``unreached``
        (no test reaches it), ``not run`` (there was no time left)
    :param tests: how many tests were chosen for it
    """

    kind: str
    tests: int

    @property
    def alive(self) -> bool:
        """Whether no test found it."""
        return self.kind in ("survived", "unreached")


class Runner:
    """
    Tries mutants of a project, several at a time. To be used in a ``with`` statement.

    :param root: the project; nothing in it is changed
    :param package: the package that is mutated
    :param tests: the folders and files of its tests, relative to the project
    :param jobs: how many mutants are tried at a time
    :param max_seconds: after which no more are tried
    """

    def __init__(self, root: Path, package: str, tests: Sequence[str], jobs: int, max_seconds: float) -> None:
        self._root = root
        self._package = package
        self._tests = tests
        self._jobs = jobs
        self._end = time.monotonic() + max_seconds
        self._copies: SimpleQueue[Path] = SimpleQueue()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-")))
            copies = [folder / str(number) / self._root.name for number in range(self._jobs)]
            for copy in copies:
                shutil.copytree(self._root, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
                self._copies.put(copy)
            seconds_left = self._end - time.monotonic()
            self._reach = measure(copies[0], self._package, self._tests, self._jobs, seconds_left)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, mutants: Sequence[Mutant]) -> Iterator[Outcome]:
        """Return what becomes of each of the mutants, in their order."""
        with ThreadPoolExecutor(self._jobs) as pool:
            yield from pool.map(self._try, mutants)

    def _try(self, mutant: Mutant) -> Outcome:
        tests = self._reach.tests(mutant, MAX_TEST_SECONDS)
        if not tests:
            return Outcome("unreached", 0)
        if time.monotonic() > self._end:
            return Outcome("not run", len(tests))
        copy = self._copies.get()
        file = copy / mutant.path
        code = file.read_bytes()
        try:
            file.write_text(mutant.code, encoding="utf-8")
            # It may be as long, and of the same second, as what was tried before.
            Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
            kind = self._kind(copy, tests)
        finally:
            file.write_bytes(code)
            self._copies.put(copy)
        return Outcome(kind, len(tests))

    def _kind(self, copy: Path, tests: list[str]) -> str:
        process = subprocess.Popen(
            pytest_command("--exitfirst", "--quiet", *tests),
            cwd=copy,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if sys.platform == "linux":  # a mutant that collects without end is ended so
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
        try:
            status = process.wait(START_SECONDS + 3 * self._reach.seconds(tests))
        except subprocess.TimeoutExpired:
            return "hung"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return "killed" if status else "survived"
