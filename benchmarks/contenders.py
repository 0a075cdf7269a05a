"""What clears many tasks: this provider, and what a user would write instead."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import requests

from airflow_provider_sptasks.client import ClientSettings, TaskStatusClient
from airflow_provider_sptasks.client.clearing import Clearing, ClearResult
from airflow_provider_sptasks.emulator import Emulator

SDK = "SAILPOINT_SDK2_PYTHON"
SDK_LOOP = Path(__file__).with_name("sdk_loop.py")
THREADS = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contender:
    """
    One way to clear tasks.

    :param name: what the table calls it
    :param clear: clears the tasks of a tenant, and returns the seconds that it took
    """

    name: str
    clear: Callable[[Emulator, Sequence[str]], float]


def client_of(emulator: Emulator) -> TaskStatusClient:
    """
    Return a client with default settings.

    :param emulator: its tenant
    """
    return TaskStatusClient(ClientSettings(emulator.url, emulator.client_id, emulator.client_secret))


def token_of(emulator: Emulator) -> str:
    """
    Return a new token.

    :param emulator: of which tenant
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
    }
    answer = requests.post(f"{emulator.url}/oauth/token", data=form, timeout=30)
    return str(answer.json()["access_token"])


def others() -> list[Contender]:
    """Return what a user would write instead, as far as it can run here."""
    sdk = [Contender("SailPoint's SDK 2.x, one by one", _sdk)] if os.environ.get(SDK) else []
    return [
        Contender("`requests`, one by one", lambda emulator, ids: _loop(emulator, ids, 1)),
        Contender(f"`requests` in {THREADS} threads", lambda emulator, ids: _loop(emulator, ids, THREADS)),
        *sdk,
    ]


def _ours(emulator: Emulator, ids: Sequence[str]) -> float:
    done: list[ClearResult] = []

    def note(result: ClearResult) -> None:
        done.append(result)
        if result.error:
            log.warning("%s: %s", result.task_status_id, result.error)
        if len(done) % 500 == 0:
            log.info("%d of %d tasks done", len(done), len(ids))

    with client_of(emulator) as client:
        clearing = Clearing(client, completion_status="Error", stop=threading.Event(), note=note)
        start = time.monotonic()
        clearing.run(client.pending())
        return time.monotonic() - start


OURS = Contender("**ours: `Clearing`**", _ours)


def _loop(emulator: Emulator, ids: Sequence[str], threads: int) -> float:
    with requests.Session() as session, ThreadPoolExecutor(threads) as pool:
        start = time.monotonic()
        session.headers["Authorization"] = f"Bearer {token_of(emulator)}"
        for _ in pool.map(
            lambda each: _read_and_patch(session, f"{emulator.url}/task-status/v1/{each}"), ids
        ):
            pass
        return time.monotonic() - start


def _read_and_patch(session: requests.Session, url: str) -> None:
    if _patiently(session, "GET", url).json()["completionStatus"] is None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        changes = {"/completionStatus": "Error", "/completed": now}
        operations = [{"op": "replace", "path": path, "value": value} for path, value in changes.items()]
        _patiently(session, "PATCH", url, json.dumps(operations))


def _patiently(
    session: requests.Session, method: str, url: str, body: str | None = None
) -> requests.Response:
    while True:
        headers = {"Content-Type": "application/json-patch+json"} if body else {}
        answer = session.request(method, url, data=body, headers=headers, timeout=30)
        if answer.status_code != 429:
            answer.raise_for_status()
            return answer
        time.sleep(float(answer.headers["Retry-After"]))


def _sdk(emulator: Emulator, ids: Sequence[str]) -> float:
    given = {
        "url": emulator.url,
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
        "ids": list(ids),
    }
    finished = subprocess.run(
        [os.environ[SDK], "-I", str(SDK_LOOP)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"SailPoint's SDK failed:\n{finished.stderr}")
    return float(finished.stdout)
