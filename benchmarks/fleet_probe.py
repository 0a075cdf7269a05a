"""
One process of a fleet: clears tasks, waits as a triggerer does, or is a worker with a sensor that defers.

Input, on standard input, one line of JSON: ``{"role": "clear", "poll" or "defer", "settings": of the client,
"ids": of tasks or sources, "alone": whether it keeps a budget of its own and learns nothing from a 429}``. It
says "ready" when all is loaded, and begins with the next line; ``clear`` and ``defer`` print what came out.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_sptasks.client import ClientSettings, RetryPolicy, TaskStatusClient
from airflow_provider_sptasks.client.budget import OwnBudget, State
from airflow_provider_sptasks.client.clearing import Clearing, ClearOutcome, ClearResult
from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.launches import AggregationQuery
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.pacing import Pacer


def main() -> None:
    given = json.loads(sys.stdin.readline())
    settings = ClientSettings(**given["settings"])
    pacer = None
    if given["alone"]:
        State.learn = lambda *_: None  # type: ignore[method-assign]
        pacer = Pacer(settings.requests_per_10s, budget=OwnBudget())
    if given["role"] == "poll":
        _poll(given["ids"], pacer)
        return
    _begin()
    if given["role"] == "clear":
        with TaskStatusClient(settings, pacer=pacer) as client:
            print(_clear(client, given["ids"]))
    else:
        # As the hook of a sensor has it.
        retry = RetryPolicy(deadline=60, max_attempts=4)
        with TaskStatusClient(settings, pacer=pacer, retry=retry) as client:
            print(_first_poll(client, given["ids"][0]))


def _begin() -> None:
    """Begin when all do, and end when the benchmark does, whatever became of it."""

    def end_with_it() -> None:
        sys.stdin.read()
        os._exit(1)

    print("ready", flush=True)
    sys.stdin.readline()
    threading.Thread(target=end_with_it, daemon=True).start()


def _clear(client: TaskStatusClient, ids: Sequence[str]) -> int:
    results: list[ClearResult] = []
    clearing = Clearing(client, completion_status="Error", stop=threading.Event(), note=results.append)
    clearing.run([TaskStatus(id=each) for each in ids])
    return sum(result.outcome is ClearOutcome.CLEARED for result in results)


def _first_poll(client: TaskStatusClient, source_id: str) -> int:
    query = AggregationQuery(source_id, None, datetime.now(UTC) - timedelta(hours=1))
    try:
        client.newest_aggregations([query])
    except SailPointError:
        return 0
    return 1


def _poll(ids: Sequence[str], pacer: Pacer | None) -> None:
    from airflow_provider_sptasks.client import transport
    from airflow_provider_sptasks.triggers.sailpoint import SailPointTaskTrigger
    from airflow_provider_sptasks.waiting.events import ARGUMENTS_VERSION

    if pacer is not None:
        vars(transport)["shared_pacer"] = lambda *_: pacer

    async def wait() -> None:
        triggers = [
            SailPointTaskTrigger(task_status_id=each, not_found_grace=86_400.0, version=ARGUMENTS_VERSION)
            for each in ids
        ]
        await asyncio.gather(*(_first_event(trigger) for trigger in triggers))

    _begin()
    # Airflow logs there, and nothing reads it.
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    asyncio.run(wait())


async def _first_event(trigger: Any) -> None:
    async for _ in trigger.run():
        return


if __name__ == "__main__":
    main()
