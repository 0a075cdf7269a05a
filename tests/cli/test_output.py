"""What is printed: for people and for programs, and never more than that."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_sptasks.cli.main import main
from airflow_provider_sptasks.cli.tables import cell, table_lines
from airflow_provider_sptasks.client.transport import Transport
from airflow_provider_sptasks.emulator import Emulator
from tests.cli.conftest import Run, environment

COMMAND = [sys.executable, "-W", "error", "-m", "airflow_provider_sptasks"]
LISTS = [("tasks", "list"), ("tasks", "pending"), ("sources", "list"), ("sources", "status"), ("whoami",)]
PLAIN = ("-o", "plain")


def on_a_terminal(emulator: Emulator, *arguments: str, **variables: str) -> str:
    """Run a command whose output is a terminal; return what it printed."""
    ours, its = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=its,
        stderr=subprocess.PIPE,
        env={**plain, **environment(emulator), "TERM": "xterm", "COLUMNS": "200", **variables},
    ) as process:
        os.close(its)
        printed = b""
        try:
            while piece := os.read(ours, 65_536):
                printed += piece
        except OSError:  # Linux says so that the other end is closed
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0
    return printed.decode()


@pytest.fixture
def ended(emulator: Emulator) -> str:
    return emulator.add_task(source="HR", launched=-60, duration=1, outcome="ERROR").id


@pytest.mark.parametrize("verb", LISTS, ids=" ".join)
def test_json_and_yaml_say_the_same(run: Run, ended: str, verb: tuple[str, ...]) -> None:
    records: list[dict[str, Any]] = run(*verb, "-o", "json").records
    assert isinstance(records, list)
    assert yaml.safe_load(run(*verb, "-o", "yaml").out) == records


def without_a_tick(run: Run, verb: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Both forms of what is listed, of the same second: they say for how long tasks have run."""
    while True:
        plain, table, again = (run(*verb, *form).out.splitlines() for form in (PLAIN, (), PLAIN))
        if plain == again:
            return plain, table


@pytest.mark.parametrize("verb", LISTS, ids=" ".join)
def test_a_table_has_a_line_for_each_record(
    run: Run, emulator: Emulator, ended: str, verb: tuple[str, ...]
) -> None:
    emulator.add_task(source="AD", duration=None)
    records = run(*verb, "-o", "json").records
    plain, table = without_a_tick(run, verb)
    if verb != ("whoami",):  # of which the one record has several lines
        assert len(plain) == 1 + len(records)
        assert all(record["id"] in line for record, line in zip(records, plain[1:], strict=True))
    assert [line for line in table if line.strip("-")] == plain
    assert not any("\x1b" in line for line in table)


@pytest.mark.parametrize(
    ("output", "printed"), [("json", "[]\n"), ("yaml", "[]\n"), ("plain", ""), ("table", "")]
)
def test_nothing(run: Run, output: str, printed: str) -> None:
    answer = run("tasks", "pending", "-o", output)
    assert (answer.code, answer.out) == (0, printed)
    assert answer.err == ("Nothing found.\n" if output == "table" else "")


def test_hostile_names_are_data(run: Run, emulator: Emulator) -> None:
    emulator.add_task(source="\x1b[31mred\u202egnp.\n::group::x", launched=-60, duration=1)
    for output in ("table", "plain", "json", "yaml"):
        printed = run("tasks", "list", "-o", output).out
        assert [each for each in ("\x1b", "\u202e", "::group::") if each in printed] == []


@pytest.mark.parametrize("output", ["table", "plain", "json", "yaml"])
@pytest.mark.parametrize(
    ("claims", "shown"),
    [
        ({"org": "\x1b[31mac\u202eme\n::group::", "scope": ["a\x07b", "\ud83d", 7]}, "[31mac me"),
        ({"user_name": "\ud83d\x9b31m", "authorities": "x" * 1_000_000, "scope": {"\x1b": 1}}, "xxxx"),
        ({"org": 1e400, "identity_id": 10**1000, "scope": ["y"] * 100_000}, "y"),
        ([["no", "claims"]], "may read tasks"),
    ],
)
def test_hostile_claims_are_data(
    run: Run, monkeypatch: pytest.MonkeyPatch, output: str, claims: object, shown: str
) -> None:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
    monkeypatch.setattr(Transport, "access_token", lambda _: f"e30.{payload.rstrip('=')}.signature")
    answer = run("whoami", "-o", output)
    assert answer.code == 0
    assert (shown if output in ("table", "plain") else "token") in answer.out
    assert len(answer.out) < 20_000
    odd = ("\x1b", "\u202e", "\x07", "\x9b", "\ud83d", "::group::", "\\u001b", "\\ud83d", "\\x9b")
    assert [each for each in odd if each in answer.out] == []


def test_claims_nested_without_end_are_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = base64.urlsafe_b64encode(b"[" * 99_999).decode()
    monkeypatch.setattr(Transport, "access_token", lambda _: f"e30.{payload}.signature")
    assert run("whoami", "-o", "json").records[0]["token"] == {}


def test_names_that_the_terminal_can_not_show(emulator: Emulator) -> None:
    emulator.add_task(source="人事 Ärzte", launched=-60, duration=1)
    variables = {**os.environ, **environment(emulator), "PYTHONIOENCODING": "ascii"}
    for output in ("table", "plain", "json", "yaml"):
        finished = subprocess.run(
            [*COMMAND, "tasks", "list", "-o", output], env=variables, capture_output=True, check=True
        )
        finished.stdout.decode("ascii")


def test_color_on_a_terminal_only(emulator: Emulator, ended: str) -> None:
    assert "\x1b[31mERROR" in on_a_terminal(emulator, "tasks", "list")
    assert "\x1b" not in on_a_terminal(emulator, "tasks", "list", NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(emulator, "tasks", "list", TERM="dumb")
    assert "\x1b" not in on_a_terminal(emulator, "tasks", "list", "-o", "plain")
    assert "\x1b" not in on_a_terminal(emulator, "tasks", "list", "-o", "json")


def test_names_are_cut_to_the_width_of_a_terminal_only(run: Run, emulator: Emulator) -> None:
    task = emulator.add_task(source="n" * 150, launched=-60, duration=1)
    for columns in (200, 120, 100):
        title, ruler, line = on_a_terminal(
            emulator, "tasks", "list", NO_COLOR="1", COLUMNS=str(columns)
        ).splitlines()
        assert max(map(len, (title, ruler, line))) == columns
        assert task.id in line
        assert "n…" in line
    assert "n" * 150 in run("tasks", "list").out
    assert "n" * 150 in run("tasks", "list", "-o", "plain").out
    assert "n" * 150 in on_a_terminal(emulator, "tasks", "get", task.id, COLUMNS="80")


def test_what_is_cut() -> None:
    row = {"id": "2c91" * 8, "source": "S" * 30, "error": "e" * 90}
    assert list(table_lines([row], columns=62)) == [
        f"{'id':32}  source    error",
        f"{'2c91' * 8}  SSSSSSS…  {'e' * 90}",
    ], "no source is narrower, and the last column goes on in the next line"
    assert list(table_lines([row], columns=10)) == list(table_lines([row], columns=62))
    assert list(table_lines([row | {"error": "e"}], columns=60))[1] == f"{'2c91' * 8}  {'S' * 18}…  e"
    assert list(table_lines([row]))[1] == "  ".join(row.values())


def test_what_is_two_cells_wide_stays_in_line() -> None:
    rows = [{"source": "人事人事人事", "kind": "k"}, {"source": "Ärzte", "kind": "k"}]
    assert list(table_lines(rows)) == ["source        kind", "人事人事人事  k", "Ärzte         k"]
    assert list(table_lines(rows, columns=10))[1:] == ["人事人…   k", "Ärzte     k"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "-"),
        ("", "-"),
        (0, "0"),
        (datetime(2026, 3, 1, 6, 0, 0, 1000, tzinfo=UTC), "2026-03-01 06:00:00Z"),
        (timedelta(hours=2, seconds=1.4), "2:00:01"),
    ],
)
def test_cells(value: object, written: str) -> None:
    assert cell(value) == written


def test_what_airflow_logs_is_not_in_the_output(emulator: Emulator, tmp_path: Path) -> None:
    """A short secret and a connection that doesn't verify are logged, and a program reads the output."""
    added = emulator.add_credential(client_secret="abc")
    uri = f"sailpoint://http://{added.client_id}:abc@{emulator.url.removeprefix('http://')}?verify=false"
    variables = {**os.environ, "AIRFLOW_CONN_ODD": uri, "AIRFLOW_HOME": str(tmp_path)}
    finished = subprocess.run(
        [*COMMAND[:1], *COMMAND[3:], "tasks", "count", "--conn-id", "odd", "-o", "json"],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(finished.stdout) == [{"count": 0}]
    assert "does not verify TLS" in finished.stderr


def test_retries_are_logged_with_verbose_only(run: Run, emulator: Emulator) -> None:
    for arguments, logged in (((), False), (("-v",), True)):
        emulator.fail(503, times=1)
        finished = subprocess.run(
            [*COMMAND, "tasks", "count", *arguments],
            env={**os.environ, **environment(emulator)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("trying again" in finished.stderr) is logged
        assert finished.stdout == "0\n"


def test_main_returns_the_code(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(emulator).items():
        monkeypatch.setenv(name, value)
    assert main(["tasks", "count"]) == 0
