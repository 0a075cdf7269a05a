"""The emulator from a shell."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator

COMMAND = [sys.executable, "-W", "error", "-m", "airflow_provider_sptasks.emulator"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_serve(interrupt: signal.Signals) -> None:
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--no-rate-limit"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline().strip()
        try:
            assert first.startswith("sailpoint://http://emulator:emulator-secret@127.0.0.1:")
            overview = requests.get(f"http://{first.rpartition('@')[2]}/_emulator/", timeout=5).json()
            assert (overview["tasks"], overview["rateLimit"]) == (8, None)
            process.send_signal(interrupt)
            assert process.wait(timeout=5) == 0
        finally:
            process.kill()
        assert process.stderr is not None
        output, errors = process.stdout.read(), process.stderr.read()
    assert errors == ""
    assert "Scenario demo: 8 tasks" in output
    assert "00000000000000000000000000000001" in output
    assert "of 6 sources" in output
    assert "Oracle ERP" in output
    assert "/_emulator/tasks" in output


def test_taken_port() -> None:
    with Emulator() as emulator:
        port = emulator.url.rpartition(":")[2]
        answer = run("--port", port)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"--port {port}: Address already in use; choose another")
    assert answer.stderr.count("\n") == 1


def test_unknown_scenario() -> None:
    answer = run("--scenario", "nix")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "scenario 'nix' is neither one of busy, demo, empty, scheduled, statuses" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_bad_scenario_file(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[[task]]\nduration = "soon"\n')
    answer = run("--scenario", str(file))
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == (
        f"scenario {file}, task 1: duration = 'soon' is not a duration; "
        'write "90s", "5m", "2h", "3d", or a number of seconds\n'
    )


def test_not_a_port() -> None:
    answer = run("--port", "70000")
    assert answer.returncode == 2
    assert "'70000' is not a port; use a number from 0 to 65535" in answer.stderr


def test_list_scenarios() -> None:
    answer = run("--list-scenarios")
    assert answer.returncode == 0
    names = [line.split()[0] for line in answer.stdout.splitlines()]
    assert names == ["busy", "demo", "empty", "scheduled", "statuses"]
