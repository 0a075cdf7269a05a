"""
Polls tenants that answer without end, and writes how long each refusal took and what memory it took, as JSON.

Runs in a process of its own, whose memory nothing else uses. The tenants come on standard input: see
``test_hostile.py``.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_provider_sptasks.client import ClientSettings, RetryPolicy, TaskStatusClient
from airflow_provider_sptasks.client.errors import SailPointError

POLLS = 2


def megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def client_of(tenant: Mapping[str, Any], timeout: float) -> TaskStatusClient:
    settings = ClientSettings(tenant["url"], tenant["client_id"], tenant["client_secret"], timeout=timeout)
    return TaskStatusClient(settings, retry=RetryPolicy(max_attempts=1)).polling()


def refusals(client: TaskStatusClient) -> list[dict[str, Any]]:
    seen = []
    for _ in range(POLLS):
        started = time.monotonic()
        try:
            client.find(["a" * 32])
        except SailPointError as error:
            seen.append({"error": type(error).__name__, "seconds": time.monotonic() - started})
    return seen


def main() -> None:
    given = json.load(sys.stdin)
    client_of(given["good"], given["timeout"]).find(["a" * 32])  # whatever a first request loads
    before = megabytes()
    with ThreadPoolExecutor() as pool:
        polls = {
            name: pool.submit(refusals, client_of(tenant, given["timeout"]))
            for name, tenant in given["hostile"].items()
        }
        seen = {name: poll.result() for name, poll in polls.items()}
    json.dump({"megabytes": megabytes() - before, "refusals": seen}, sys.stdout)


if __name__ == "__main__":
    main()
