"""The exit codes: what scripts rely on."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_sptasks.cli.codes import MEANINGS, ExitCode
from airflow_provider_sptasks.client import transport
from airflow_provider_sptasks.emulator import Emulator
from tests.cli.conftest import UNKNOWN, Run

LIST, WHOAMI = ("tasks", "list", "--retry-for", "0"), ("whoami", "--retry-for", "0")


def test_each_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


# What SailPoint itself refuses is what whoami shows.
REFUSALS: dict[str, tuple[dict[str, Any], int]] = {
    "400": ({"status": 400}, 4),
    "403": ({"status": 403}, 4),
    "404": ({"status": 404}, 5),
}
FAULTS: dict[str, tuple[dict[str, Any], int]] = {
    "401": ({"status": 401}, 4),
    "429": ({"status": 429}, 6),
    "500": ({"status": 500}, 6),
    "503 page": ({"status": 503, "kind": "html"}, 6),
    "404 page": ({"status": 404, "kind": "html"}, 6),
    "302 page": ({"status": 302, "kind": "html"}, 6),
    "dropped": ({"kind": "drop"}, 6),
    "cut off": ({"kind": "truncate"}, 6),
    "null": ({"status": 200, "body": "null"}, 6),
}


@pytest.mark.parametrize(
    ("verb", "fault", "code"),
    [
        *((LIST, *each) for each in {**REFUSALS, **FAULTS}.values()),
        *((WHOAMI, *each) for each in FAULTS.values()),
    ],
    ids=str,
)
def test_faults(
    run: Run, emulator: Emulator, verb: tuple[str, ...], fault: dict[str, Any], code: int
) -> None:
    emulator.fail(**fault)
    answer = run(*verb)
    assert answer.code == code
    assert answer.err.startswith("Error: ")
    assert answer.err.count("\n") == 1, "one line, and no traceback"
    assert answer.out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "arguments are required: VERB"),
        (("tasks",), 2, "arguments are required: VERB"),
        (("nix",), 2, "invalid choice: 'nix'"),
        (("tasks", "list", "--lim", "3"), 2, "unrecognized arguments: --lim"),
        (("tasks", "list", "--limit", "0"), 2, "'0' is not a whole number above 0"),
        (("tasks", "list", "--api-version", "v3"), 2, "invalid choice: 'v3'"),
        (("tasks", "list", "--api-version", "beta", "--launcher", "a"), 2, "can't be filtered by launcher"),
        (
            ("tasks", "list", "--pending", "--status", "ERROR", "--api-version", "beta"),
            2,
            "goes with --source-id",
        ),
        (("tasks", "list", "--filters", "nix eq 1"), 4, "was answered with 400"),
        (("tasks", "get", "a/b"), 2, "'a/b' is not an id"),
        (("tasks", "get", UNKNOWN), 5, f"no task {UNKNOWN}"),
        (("tasks", "wait"), 2, "Give ids of tasks, or --source-id, or --source-name."),
        (("tasks", "wait", "a", "--source-id", "b"), 2, "Give ids of tasks"),
        (("tasks", "wait", "a", "--timeout", "0"), 2, "'0' is no time at all"),
        (("tasks", "wait", "a", "--timeout", "soon"), 2, "is not a length of time"),
        (("tasks", "wait", "--source-id", "a", "--launched-after", "soon"), 2, "'soon' is not a time"),
        (("tasks", "wait", "--source-name", "nix", "--interval", "1s"), 5, "no source named 'nix'"),
        (("tasks", "wait", "--source-id", UNKNOWN, "--interval", "1s"), 5, "no source with the id"),
        (("tasks", "clear", "--yes"), 2, "No selector is given"),
        (("tasks", "clear", "--stuck-factor", "0.5", "--yes"), 2, "'0.5' is not a number from 1 on"),
        (("tasks", "clear", "a", "--completion-status", "Success"), 2, "give --allow-success"),
        (("tasks", "clear", "a", "--completion-status", "Done"), 2, "is unknown to SailPoint"),
        (("sources", "status", UNKNOWN), 5, "no source with the id"),
        (("aggregate",), 2, "Give either SOURCE_ID or --source-name."),
        (("aggregate", "a", "--source-name", "b"), 2, "Give either SOURCE_ID or --source-name."),
        (("aggregate", "a", "--kind", "entitlements", "--disable-optimization"), 2, "disable_optimization"),
        (("aggregate", "a", "--kind", "uncorrelated_accounts"), 2, "file is missing"),
        (("aggregate", "--source-name", "nix", "--yes"), 5, "no source named 'nix'"),
        (("emulator", "--port", "nix"), 2, "'nix' is not a port"),
        (("emulator", "--scenario", "nix"), 2, "scenario 'nix' is neither"),
    ],
    ids=str,
)
def test_arguments(run: Run, arguments: tuple[str, ...], code: int, message: str) -> None:
    answer = run(*arguments)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err


def test_an_answer_may_take_longer_than_a_request_is_tried_again(
    run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "DEADLINE_GRACE", 0.1)
    emulator.fail(kind="delay", delay=0.7, path="/task-status/*")
    assert run(*LIST).code == 0


def test_a_source_that_is_not_unique(run: Run, emulator: Emulator) -> None:
    for number in range(2):
        emulator.add_source("HR", id=str(number) * 32)
    answer = run("aggregate", "--source-name", "HR", "--yes")
    assert answer.code == 5
    assert "2 sources are named 'HR'" in answer.err


def test_a_start_whose_check_is_refused(run: Run, emulator: Emulator) -> None:
    """It must not seem that nothing was started, nor that the same command may be run again."""
    source = emulator.add_source("HR")
    emulator.fail(kind="drop_after", method="POST", path="/sources/*")
    emulator.on_request(
        lambda request: emulator.fail(403, method="GET") if request.path.endswith("/load-accounts") else None
    )
    answer = run("aggregate", source.id, "--yes")
    assert len(emulator.started) == 1
    assert answer.code == 1
    assert f"may have been started: check it with 'tasks pending --source-id {source.id}'" in answer.err
    assert "Error: Whether an aggregation was started is ambiguous: " in answer.err


def test_a_file_that_is_not_there(run: Run, emulator: Emulator) -> None:
    emulator.add_source("CSV", delimited_file=True)
    answer = run("aggregate", "--source-name", "CSV", "--file", "/nowhere.csv", "--yes")
    assert answer.code == 2
    assert "/nowhere.csv" in answer.err
    assert emulator.started == ()


def test_more_than_max_tasks(run: Run, emulator: Emulator) -> None:
    for _ in range(3):
        emulator.add_task(launched=-60, duration=None)
    answer = run("tasks", "clear", "--older-than", "10s", "--max-tasks", "2", "--yes")
    assert answer.code == 2
    assert "3 pending tasks match, which is more than --max-tasks 2" in answer.err


def test_what_could_not_be_cleared(run: Run, emulator: Emulator) -> None:
    task = emulator.add_task(duration=None)
    emulator.fail(403, method="PATCH")
    answer = run("tasks", "clear", task.id, "--yes", "-o", "json")
    assert answer.code == 1
    assert answer.records[0]["outcome"] == "failed"
    assert "403" in answer.records[0]["error"]


@pytest.mark.parametrize("missing", ["SAIL_BASE_URL", "SAIL_CLIENT_ID", "SAIL_CLIENT_SECRET"])
def test_a_variable_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delenv(missing)
    answer = run("tasks", "count")
    assert answer.code == 2
    assert answer.err == f"Error: {missing} must be set too, or give --conn-id.\n"


def test_a_secret_is_in_no_message(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAIL_CLIENT_SECRET", "swordfish")
    for verb in (("tasks", "count"), ("whoami",), ("tasks", "wait", "a"), ("aggregate", "a", "--yes")):
        answer = run(*verb)
        assert answer.code == 4
        assert "swordfish" not in answer.out + answer.err


def test_a_connection_that_is_not_there() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "airflow_provider_sptasks", "tasks", "count", "--conn-id", "nix"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "Error: There is no Airflow connection 'nix'." in finished.stderr
