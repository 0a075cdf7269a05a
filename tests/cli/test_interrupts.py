"""Ctrl-C and SIGTERM in real processes: nothing is left half done, and what is done is said."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from airflow_provider_sptasks.emulator import Emulator
from tests.cli.conftest import environment, patched

COMMAND = [sys.executable, "-m", "airflow_provider_sptasks"]
LONGEST = 60.0


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """A shell lets what it starts in the background ignore Ctrl-C, and all that this starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@dataclass
class Ended:
    code: int
    out: str
    err: str


def until(condition: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def interrupted(
    emulator: Emulator,
    when: Callable[[], object],
    *arguments: str,
    by: signal.Signals = signal.SIGINT,
    then: Callable[[], object] = lambda: None,
) -> Ended:
    """Run a command in a process of its own, and interrupt it when something is so."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env={**os.environ, **environment(emulator)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            until(when)
            process.send_signal(by)
            then()
            out, err = process.communicate(timeout=LONGEST)
        finally:
            process.kill()
    return Ended(process.returncode, out, err)


def asked(emulator: Emulator, method: str, times: int = 1) -> Callable[[], bool]:
    """Whether requests have arrived."""
    arrived: list[str] = []
    emulator.on_request(lambda request: arrived.append(request.method))
    return lambda: arrived.count(method) >= times


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_wait(emulator: Emulator, by: signal.Signals, code: int) -> None:
    task = emulator.add_task(duration=None)
    ended = interrupted(
        emulator, asked(emulator, "GET", 2), "tasks", "wait", task.id, "--interval", "0.2s", by=by
    )
    assert (ended.code, ended.out) == (code, "")
    assert "Traceback" not in ended.err
    if by is signal.SIGINT:
        assert "Stopped waiting. Nothing was changed: what runs in SailPoint goes on." in ended.err


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_clear_says_what_it_cleared(emulator: Emulator, by: signal.Signals, code: int) -> None:
    tasks = [emulator.add_task(launched=-60, duration=None).id for _ in range(40)]
    emulator.fail(kind="delay", method="PATCH", delay=0.3)
    ended = interrupted(
        emulator, asked(emulator, "PATCH", 4), "tasks", "clear", "--older-than", "10s", "--yes", by=by
    )
    cleared = {each for each in tasks if emulator.task(each)["completionStatus"] == "Error"}
    assert ended.code == code
    assert 4 <= len(cleared) < 40
    assert {line.split()[1] for line in ended.out.splitlines() if line.startswith("cleared")} == cleared
    assert f"Stopped: {len(cleared)} tasks are settled, listed above" in ended.err
    assert f"Left as they were: {40 - len(cleared)}." in ended.err
    assert "Traceback" not in ended.err


def test_update_waits_for_its_answer(emulator: Emulator) -> None:
    task = emulator.add_task(duration=None)
    emulator.fail(kind="delay", method="PATCH", delay=1)
    ended = interrupted(
        emulator,
        lambda: len(emulator.requests) >= 2,  # the token, and the task as it was
        *("tasks", "update", task.id, "--set", "/completionStatus=Error", "--yes"),
    )
    assert ended.code == 130
    assert bool(patched(emulator)) is (emulator.task(task.id)["completionStatus"] == "Error")


def test_aggregate_while_it_waits(emulator: Emulator) -> None:
    emulator.add_source("HR", duration=None)
    ended = interrupted(emulator, lambda: emulator.started, "aggregate", "--source-name", "HR", "--yes")
    (started,) = emulator.started
    assert ended.code == 130
    assert f"Aggregation {started.id}" in ended.err
    assert "goes on in SailPoint" in ended.err


def test_aggregate_while_it_starts(emulator: Emulator) -> None:
    """The answer that is under way is waited for, so that it is known what was started."""
    emulator.add_source("HR", duration=None)
    emulator.fail(kind="delay", method="GET", path="/task-status*", delay=0.5)
    sent = ("aggregate", "--source-name", "HR", "--yes", "--no-wait")
    ended = interrupted(emulator, lambda: any("sources" in each.path for each in emulator.requests), *sent)
    assert ended.code == 130
    if not emulator.started:
        assert "Nothing was started." in ended.err or "Interrupted." in ended.err
    assert "Traceback" not in ended.err


def test_while_another_one_is_waited_for(emulator: Emulator) -> None:
    emulator.add_task(source="HR", duration=None)
    ended = interrupted(
        emulator, asked(emulator, "POST"), "aggregate", "--source-name", "HR", "--yes", "--interval", "0.2s"
    )
    assert ended.code == 130
    assert emulator.started == ()
    assert "Stopped. Nothing was started." in ended.err


def test_a_pipe_that_ends(emulator: Emulator) -> None:
    for _ in range(2000):
        emulator.add_task(launched=-60, duration=1)
    pipeline = f"{shlex.join(COMMAND)} tasks list --limit 2000 -o json | head -1; exit ${{PIPESTATUS[0]}}"
    finished = subprocess.run(
        ["bash", "-c", pipeline],
        # Without a buffer Python takes a part of a write for the whole, and notices nothing.
        env={**os.environ, **environment(emulator), "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (141, "[\n", "")
