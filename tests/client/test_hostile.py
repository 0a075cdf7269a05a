"""A process that polls tenants without end keeps its memory, and gets rid of each in time."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from airflow_provider_sptasks.emulator import Emulator
from tests.client.poll_hostile import POLLS
from tests.conftest import ROOT

TIMEOUT = 2.0
# Beyond the time-out, for an answer that is under way.
GRACE = 5.0
MEGABYTES = 200


def packed() -> bytes:
    """256 megabytes of spaces, in gzip once."""
    gzip = zlib.compressobj(1, wbits=31)
    block = b" " * 1_048_576
    return b"".join(gzip.compress(block) for _ in range(256)) + gzip.flush()


HOSTILE: dict[str, Callable[[Emulator], object]] = {
    "endless": lambda tenant: tenant.fail(kind="endless"),
    "nested gzip": lambda tenant: tenant.fail(kind="gzip"),
    "gzip": lambda tenant: tenant.fail(200, body=packed(), headers={"Content-Encoding": "gzip"}),
    "trickling": lambda tenant: tenant.fail(200, kind="trickle", delay=0.2),
    "trickling token": lambda tenant: tenant.fail(200, kind="trickle", delay=0.2, path="/oauth/token"),
}
# What is too large, or packed in a way that wasn't asked for, is known before the time-out.
ERRORS = {"trickling": "TransportError", "trickling token": "TransportError"}


def test_memory_and_time() -> None:
    with ExitStack() as stack:

        def tenant(hostile: Callable[[Emulator], object] = lambda _: None) -> dict[str, str]:
            emulator = stack.enter_context(Emulator(rate_limit=None))
            emulator.add_task("a" * 32, launched=-100, duration=1)
            hostile(emulator)
            return {
                "url": emulator.url,
                "client_id": emulator.client_id,
                "client_secret": emulator.client_secret,
            }

        given = {
            "timeout": TIMEOUT,
            "good": tenant(),
            "hostile": {name: tenant(hostile) for name, hostile in HOSTILE.items()},
        }
        finished = subprocess.run(
            [sys.executable, "-m", "tests.client.poll_hostile"],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=120,
        )
    assert finished.returncode == 0, finished.stderr
    seen: dict[str, Any] = json.loads(finished.stdout)
    assert seen["megabytes"] < MEGABYTES
    for name, refusals in seen["refusals"].items():
        assert [each["error"] for each in refusals] == [ERRORS.get(name, "UnexpectedPayloadError")] * POLLS
        assert max(each["seconds"] for each in refusals) < TIMEOUT + GRACE, name
