"""A wait goes through transient faults as a sensor does, since it is the same wait."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from airflow_provider_sptasks.cli import session
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.emulator import Emulator
from tests.cli.conftest import Run

ACCEPTED = ("--interval", "0.1s", "--timeout", "60s", "-o", "json")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has failed is tried again soon."""
    monkeypatch.setattr("airflow_provider_sptasks.waiting.driver.REFUSAL_RETRY_SECONDS", 0.1)
    monkeypatch.setattr("airflow_provider_sptasks.waiting.driver.POLL_ATTEMPTS", 2)
    monkeypatch.setattr(session, "ClientSettings", partial(ClientSettings, timeout=2.0))


# FAULTS, section S: one stray answer, or a slow one.
FAULTS: dict[str, dict[str, Any]] = {
    "404 page of a gateway": {"status": 404, "kind": "html"},
    "403 page of a firewall": {"status": 403, "kind": "html"},
    "302 to a maintenance page": {"status": 302, "kind": "html", "headers": {"Location": "/sorry"}},
    "200 with null": {"status": 200, "body": "null"},
    "200 with an object": {"status": 200, "body": "{}"},
    "200 with a page": {"status": 200, "body": "<html>"},
    "408": {"status": 408},
    "425": {"status": 425},
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "500": {"status": 500},
    "502": {"status": 502, "kind": "html"},
    "503": {"status": 503},
    "504": {"status": 504, "kind": "empty"},
    "dropped": {"kind": "drop"},
    "dropped after": {"kind": "drop_after"},
    "cut off": {"kind": "truncate"},
    "packed too well": {"kind": "gzip"},
    "endless": {"kind": "endless"},
    "trickling": {"status": 200, "kind": "trickle", "delay": 0.2},
    "own refusal that passes": {"status": 403},
    "own 404 that passes": {"status": 404},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wait_for_a_task_goes_on(run: Run, emulator: Emulator, fault: str) -> None:
    task = emulator.add_task(source="HR", duration=None)
    polls = 0

    def poll(request: object) -> None:
        nonlocal polls
        polls += 1
        if polls == 2:
            emulator.fail(times=2, **FAULTS[fault])
        if polls == 4:
            emulator.complete(task.id)

    emulator.on_request(poll)
    answer = run("tasks", "wait", task.id, *ACCEPTED)
    assert (answer.code, answer.ids) == (0, [task.id]), answer.err
    assert "ended with SUCCESS" in answer.err
    assert any(request.fault for request in emulator.requests)


@pytest.mark.parametrize("fault", ["404 page of a gateway", "200 with null", "503", "dropped after"])
def test_a_wait_for_a_source_goes_on(run: Run, emulator: Emulator, fault: str) -> None:
    task = emulator.add_task(source="HR", duration=None)
    polls = 0

    def poll(request: object) -> None:
        nonlocal polls
        polls += 1
        if polls == 4:
            emulator.fail(times=2, **FAULTS[fault])
        if polls == 5:
            emulator.complete(task.id)

    emulator.on_request(poll)
    answer = run("tasks", "wait", "--source-name", "HR", *ACCEPTED)
    assert (answer.code, answer.ids) == (0, [task.id]), answer.err


def test_a_token_endpoint_that_fails(run: Run, emulator: Emulator) -> None:
    task = emulator.add_task(source="HR", launched=-60, duration=1)
    emulator.fail(503, path="/oauth/token", times=3)
    assert run("tasks", "wait", task.id, *ACCEPTED).code == 0


def test_tokens_that_are_revoked(run: Run, emulator: Emulator) -> None:
    task = emulator.add_task(source="HR", duration=0.7)
    polls = 0

    def poll(request: object) -> None:
        nonlocal polls
        polls += 1
        if polls % 3 == 0:
            emulator.revoke_tokens()

    emulator.on_request(poll)
    assert run("tasks", "wait", task.id, *ACCEPTED).code == 0
    assert polls > 3


def test_a_refusal_at_first_ends_it(run: Run, emulator: Emulator) -> None:
    emulator.fail(403)
    assert run("tasks", "wait", "a", *ACCEPTED).code == 4


def test_an_outage_ends_at_the_timeout(run: Run, emulator: Emulator) -> None:
    emulator.fail(503)
    answer = run("tasks", "wait", "a", "--interval", "0.2s", "--timeout", "1s")
    assert answer.code == 3
    assert answer.err.count("Polling fails, trying again") == 1


def test_the_estimate_is_in_the_progress(run: Run, emulator: Emulator) -> None:
    for number in range(1, 4):
        emulator.add_task(source="HR", launched=-7200.0 * number, duration=720)
    emulator.add_task(source="HR", launched=-420, duration=None)
    answer = run("tasks", "wait", "--source-name", "HR", "--interval", "0.2s", "--timeout", "0.5s")
    assert "usually 12 min, about 5 min left" in answer.err
