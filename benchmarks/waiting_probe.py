"""
Waits for many tasks in one event loop, in a fresh process, as Airflow's triggerer does.

Input, on standard input, in a line each: ``{"trigger": name, "interval": of the contenders, "url": tenant,
"token": for it, "first": id}``, and when it has said that it is ready, ``{"ids": [id], "ends": [when each
ends], "settled": when to measure from, "until": when to stop}``, in seconds since the epoch. Airflow's own
code runs the triggers and logs for them; it is not connected to an Airflow.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
from airflow.jobs.triggerer_job_runner import TriggerEventEntry, TriggerRunner
from airflow.providers.http.triggers.http import HttpSensorTrigger
from airflow.sdk.log import configure_logging, reset_logging
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_sptasks.triggers.sailpoint import SailPointTaskTrigger
from airflow_provider_sptasks.waiting.events import ARGUMENTS_VERSION

TICK = 0.005


class SleepingTrigger(BaseTrigger):
    """Only sleeps: what Airflow itself needs for each that waits."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.SleepingTrigger", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(3600)
        yield TriggerEvent(True)  # type: ignore[no-untyped-call]


class PollingTrigger(BaseTrigger):
    """One GET for each task and poll, in the manner of the dbt Cloud provider; waits as a 429 says."""

    def __init__(self, url: str, token: str, interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.url = url
        self.interval = interval
        self.headers = {"Authorization": f"Bearer {token}"}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.PollingTrigger", {"url": self.url}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while True:
            wait = self.interval
            async with (
                aiohttp.ClientSession(headers=self.headers) as session,
                session.get(self.url) as answer,
            ):
                if answer.status == 429:
                    wait = float(answer.headers["Retry-After"])
                else:
                    answer.raise_for_status()
                    status = (await answer.json())["completionStatus"]
                    if status is not None:
                        yield TriggerEvent(status)  # type: ignore[no-untyped-call]
                        return
            await asyncio.sleep(wait)


def sleeping(_given: dict[str, Any], _task_id: str) -> BaseTrigger:
    return SleepingTrigger()


def polling(given: dict[str, Any], task_id: str) -> BaseTrigger:
    return PollingTrigger(f"{given['url']}/task-status/v1/{task_id}", given["token"], given["interval"])


def http_sensor(given: dict[str, Any], task_id: str) -> BaseTrigger:
    trigger: BaseTrigger = HttpSensorTrigger(
        endpoint=f"/task-status/v1/{task_id}",
        http_conn_id="tenant",
        headers={"Authorization": f"Bearer {given['token']}"},
        poke_interval=given["interval"],
    )
    return trigger


def ours(_given: dict[str, Any], task_id: str) -> BaseTrigger:
    return SailPointTaskTrigger(
        task_status_id=task_id,
        version=ARGUMENTS_VERSION,
        not_found_grace=86_400.0,
        accepted_statuses=["SUCCESS", "WARNING"],
        sailpoint_conn_id="sailpoint_default",
        api_version=None,
        poke_interval=60.0,
    )


TRIGGERS: dict[str, Callable[[dict[str, Any], str], BaseTrigger]] = {
    "sleeping": sleeping,
    "polling": polling,
    "http_sensor": http_sensor,
    "ours": ours,
}


class Seen:
    """Notes when each event comes; stands in for the queue that the triggerer sends on."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    def append(self, entry: TriggerEventEntry) -> None:
        self.at[entry.trigger_id] = time.time()


class Pauses:
    """
    Notes for how long the event loop ran one thing: in CPU time of its thread, and by the clock.

    By the clock, all that runs on the machine counts, and Python's garbage collector, which goes through
    all that Airflow has loaded. In CPU time it is left out: when it runs is not up to any one trigger.
    """

    def __init__(self) -> None:
        self.longest = self.longest_by_the_clock = 0.0
        self._collected = 0.0
        self._collecting = 0.0
        self._thread = threading.get_ident()
        gc.callbacks.append(self._note)

    async def watch(self) -> None:
        while True:
            due = time.perf_counter() + TICK
            used = time.thread_time() - self._collected
            await asyncio.sleep(TICK)
            late = time.perf_counter() - due
            used = time.thread_time() - self._collected - used
            self.longest = max(self.longest, min(late, used))
            self.longest_by_the_clock = max(self.longest_by_the_clock, late)

    def reset(self) -> None:
        self.longest = self.longest_by_the_clock = 0.0

    def _note(self, phase: str, _info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting


def memory() -> float:
    """Return the process's own memory in KB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(
    given: dict[str, Any], make: Callable[[dict[str, Any], str], BaseTrigger]
) -> dict[str, Any]:
    runner = TriggerRunner()  # type: ignore[no-untyped-call]
    seen = Seen()
    runner.events = seen  # type: ignore[assignment]
    # The first trigger loads modules and starts threads, which no other needs.
    await start(runner, [make(given, given["first"])], 0, float("inf"))
    await asyncio.sleep(2)
    print("ready", flush=True)
    given |= json.loads(await asyncio.to_thread(sys.stdin.readline))
    pauses = Pauses()
    watch = asyncio.create_task(pauses.watch())
    empty = memory()
    started = await start(runner, (make(given, each) for each in given["ids"]), 1, given["settled"])
    await asyncio.sleep(max(0.0, given["settled"] - time.time()))
    full = memory()
    await asyncio.sleep(0.1)
    pauses.reset()
    cpu_before, since = cpu(), time.time()
    while len(seen.at) < started and time.time() < given["until"]:
        await asyncio.sleep(0.2)
    seconds, used = time.time() - since, cpu() - cpu_before
    watch.cancel()
    for details in runner.triggers.values():
        details["task"].cancel()
    await asyncio.gather(*(each["task"] for each in runner.triggers.values()), return_exceptions=True)
    return {
        "started": started,
        "latencies": sorted(at - given["ends"][number - 1] for number, at in seen.at.items() if number),
        "kb": (full - empty) / started,
        "cpu": used,
        "since": since,
        "seconds": seconds,
        "pause": pauses.longest,
        "pause_by_the_clock": pauses.longest_by_the_clock,
    }


async def start(runner: TriggerRunner, triggers: Iterable[BaseTrigger], first: int, until: float) -> int:
    """
    Start triggers as the triggerer does: between two of them all others have a turn, twice.

    :param until: when to start no more, in seconds since the epoch
    :return: how many were started
    """
    for number, trigger in enumerate(triggers, first):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if time.time() > until:
            return number - first
        # It looks its name up when it starts, which is in the next turn.
        task = asyncio.create_task(runner.run_trigger(number, trigger))
        runner.triggers[number] = {"task": task, "is_watcher": False, "name": f"ID {number}", "events": 0}
    return number - first + 1


def main() -> None:
    given = json.loads(sys.stdin.readline())
    with Path(os.devnull).open("wb", buffering=0) as log:
        reset_logging()  # type: ignore[no-untyped-call]
        configure_logging(json_output=True, output=log, sending_to_supervisor=True)
        answer = asyncio.run(measure(given, TRIGGERS[given["trigger"]]))
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
