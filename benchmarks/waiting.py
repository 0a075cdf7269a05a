"""Waiting for many tasks in one event loop, at a tenant that limits the rate of requests."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from airflow_provider_sptasks.emulator import Emulator, RateLimit
from benchmarks.contenders import token_of
from benchmarks.tables import REQUIREMENT, Cell, table, verdict

SIZES = (100, 1_000, 10_000)
QUICK_SIZES = (100, 1_000)
SOURCES = 200
# Of the others: with a hundred triggers that is just within SailPoint's limit.
INTERVAL = 10.0
LIMIT = RateLimit()

MOST_IN_A_ROUND = 56
MOST_KB = 4.0
MOST_PAUSE_MS = 50.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contender:
    """
    One way to wait.

    :param name: what the table calls it
    :param trigger: its name in the probe
    :param share: our ``poll_share``
    """

    name: str
    trigger: str
    share: float = 0.1

    def round_of(self, waiting: int) -> float:
        """In how many seconds each task is polled once, by the contender's settings."""
        if self.trigger != "ours":
            return INTERVAL
        return max(5.0 * min(1.0, 0.1 / self.share), math.ceil(waiting / 200) / (10 * self.share))


FLOOR = Contender("a trigger that only sleeps", "sleeping")
OURS = Contender("**ours**", "ours")
OURS_HALF = Contender("**ours**, `poll_share` 0.5", "ours", 0.5)
OTHERS = (
    Contender("`HttpSensorTrigger`", "http_sensor"),
    Contender("one async GET a task", "polling"),
)


@dataclass(frozen=True)
class Outcome:
    """
    What waiting took.

    :param waiting: how many were to wait
    :param sent: when the tenant got each request, and with what status it answered
    :param probe: what the process measured
    """

    contender: Contender
    waiting: int
    sent: Sequence[tuple[float, int]]
    probe: Mapping[str, Any]

    @property
    def round(self) -> float:
        return self.contender.round_of(self.waiting)

    @property
    def per_10_s(self) -> float:
        """Requests while the tasks ended one after the other; not those of the start."""
        since, seconds = self.probe["since"], self.probe["seconds"]
        return float(10 * sum(since <= at <= since + seconds for at, _ in self.sent) / seconds)

    @property
    def refused(self) -> int:
        return sum(status == 429 for _, status in self.sent)

    @property
    def cpu_per_10_s(self) -> float:
        return float(10 * self.probe["cpu"] / self.probe["seconds"])

    def latency(self, part: float) -> float | None:
        """The maximum latency of this part of all tasks; ``None`` where fewer were seen to end."""
        taken: list[float] = self.probe["latencies"]
        place = int(part * self.waiting)
        return taken[place] if place < len(taken) else None


def run(*, quick: bool) -> str:
    """
    Measure, and return the tables.

    :param quick: not the largest size
    """
    parts = ["### Waiting"]
    required: list[list[Cell]] = []
    for waiting in QUICK_SIZES if quick else SIZES:
        contenders = [FLOOR, OURS, OURS_HALF, *OTHERS]
        outcomes = [_wait(each, waiting) for each in contenders]
        parts.append(_table(outcomes))
        required += _required(outcomes)
    if not quick:
        half = _wait(OURS_HALF, 5_000)
        required += [
            _row(half, "p99 s", half.latency(0.99), 7.0),
            _row(half, "requests in 10 s", half.per_10_s, 50),
        ]
    slow, more = _slow_tenants(quick=quick)
    parts += [slow, table(REQUIREMENT, required + more)]
    return "\n\n".join(parts)


def _slow_tenants(*, quick: bool) -> tuple[str, list[list[Cell]]]:
    """Measure with answers that take their time: as many requests have to be in flight as the share needs."""
    rows: list[list[Cell]] = []
    required: list[list[Cell]] = []
    for contender, waiting, limits in (
        (OURS, 1_000, {0.0: 7.0, 0.3: 7.0, 1.0: 7.0}),
        (OURS_HALF, 1_000 if quick else 10_000, {0.0: 12.0, 0.3: 12.0, 1.0: 12.0, 3.0: 15.0}),
        (OTHERS[1], 1_000, {0.3: None, 1.0: None}),
    ):
        for delay, limit in limits.items():
            outcome = _wait(contender, waiting, delay)
            p99 = outcome.latency(0.99)
            rows.append(
                [
                    contender.name,
                    f"{waiting:,}",
                    delay,
                    outcome.per_10_s,
                    outcome.refused,
                    outcome.probe["pause"] * 1000,
                    _seconds(outcome.latency(0.5)),
                    _seconds(p99),
                ]
            )
            if limit is not None:
                required.append(_row(outcome, f"p99 s with answers in {delay} s", p99, limit))
    head = [
        "slow tenants",
        "waiting",
        "answers in s",
        "requests in 10 s",
        "429s",
        "longest pause, ms",
        "p50 s",
        "p99 s",
    ]
    return table(head, rows), required


def _wait(contender: Contender, waiting: int, delay: float = 0.0) -> Outcome:
    log.info("%s: %s waiting, answers in %s s", contender.name, f"{waiting:,}", delay)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    tenant = context.Process(target=_tenant, args=(there,))
    tenant.start()
    try:
        url, uri, token, first = here.recv()
        given = {
            "trigger": contender.trigger,
            "interval": INTERVAL,
            "url": url,
            "token": token,
            "first": first,
        }

        def tasks() -> dict[str, Any]:
            # All of them have to be started, and to be polled once.
            settled = 5 + waiting * 0.003 + 5 * delay
            first_end, last_end, cut = _ends(waiting)
            appear = contender.trigger == "http_sensor"
            here.send((appear, waiting, settled + first_end, settled + last_end, delay))
            now, lives = time.time(), here.recv()
            return {
                "ids": [task_id for task_id, _ in lives],
                "ends": [end for _, end in lives],
                "settled": now + settled,
                "until": now + settled + (3 if contender is FLOOR else cut),
            }

        probe = _probe(given, tasks, f"{uri}/?poll_share={contender.share}")
        here.send("log")
        sent = here.recv()
    finally:
        tenant.terminate()
        tenant.join()
    return Outcome(contender, waiting, sent, probe)


def _ends(waiting: int) -> tuple[float, float, float]:
    """When the first task ends, when the last one, and when no trigger waits any more; in seconds."""
    return (2, 62, 120) if waiting > 5_000 else (2, 22, 40)


def _tenant(pipe: Connection) -> None:
    """Be a tenant, in a process of its own."""
    with Emulator(rate_limit=LIMIT) as emulator:
        # The others take a task that is there for one that has ended.
        first = emulator.add_task("first", launched=86_400, duration=None)
        pipe.send((emulator.url, emulator.connection_uri, token_of(emulator), first.id))
        appear, waiting, first_end, last_end, delay = pipe.recv()
        tasks = []
        for number in range(waiting):
            end = random.uniform(first_end, last_end)
            lasts = 0.0 if appear else 300.0
            task = emulator.add_task(
                source=f"Source {number % SOURCES}", launched=end - lasts, duration=lasts
            )
            tasks.append((task.id, task.launched + lasts))
        if delay:
            emulator.fail(kind="delay", path="/task-status/*", delay=delay)
        pipe.send(tasks)
        pipe.recv()
        pipe.send([(request.at, request.status) for request in emulator.requests if request.api_version])
        pipe.recv()  # until it is terminated


def _probe(given: dict[str, Any], tasks: Callable[[], dict[str, Any]], connection: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile("w+") as errors:
        env = {
            "AIRFLOW_HOME": home,
            "AIRFLOW_CONN_SAILPOINT_DEFAULT": connection,
            "AIRFLOW_CONN_TENANT": given["url"],
        }
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.waiting_probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **env},
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            print(json.dumps(given), file=process.stdin, flush=True)
            if process.stdout.readline():
                print(json.dumps(tasks()), file=process.stdin, flush=True)
            output = process.stdout.read()
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{given['trigger']} failed:\n{errors.read()[-5000:]}")
    answer: dict[str, Any] = json.loads(output)
    return answer


def _table(outcomes: Sequence[Outcome]) -> str:
    floor, ours = outcomes[0], outcomes[1]
    rows: list[list[Cell]] = []
    for each in outcomes:
        probe = each.probe
        pauses = [probe["pause"] * 1000, probe["pause_by_the_clock"] * 1000]
        row: list[Cell] = [each.contender.name]
        if each is floor:
            row += ["", "", "", "", "", "", probe["kb"], *pauses, "", "", "", ""]
        else:
            row += [
                f"{len(probe['latencies']):,}",
                each.round,
                each.per_10_s * each.round / 10,
                each.per_10_s,
                each.refused,
                each.cpu_per_10_s * each.round / 10,
                probe["kb"],
                *pauses,
                _seconds(each.latency(0.5)),
                _seconds(each.latency(0.99)),
                f"{each.per_10_s / ours.per_10_s:.1f}",
                f"{each.cpu_per_10_s / ours.cpu_per_10_s:.1f}",
            ]
        rows.append(row)
    head = [
        f"{ours.waiting:,} waiting",
        "ends seen",
        "a round, s",
        "requests a round",
        "requests in 10 s",
        "429s",
        "CPU s a round",
        "KB each",
        "longest pause, ms",
        "by the clock, ms",
        "p50 s",
        "p99 s",
        "requests, times ours",
        "CPU, times ours",
    ]
    notes = [
        f"{each.contender.name}: only {each.probe['started']:,} had been started when the first task ended."
        for each in outcomes
        if each.probe["started"] < each.waiting
    ]
    _, last_end, cut = _ends(ours.waiting)
    ended = f"The last task ended after {last_end:.0f} s; who had not seen it after {cut:.0f} s was cut off."
    return "\n\n".join([table(head, rows), " ".join([ended, *notes])])


def _seconds(value: float | None) -> Cell:
    return "never" if value is None else value


def _required(outcomes: Sequence[Outcome]) -> list[list[Cell]]:
    floor, ours, half = outcomes[:3]
    rows = [_row(each, "429s", each.refused, 0) for each in (ours, half)]
    if ours.waiting == 1_000:
        rows += [
            _row(ours, "p99 s", ours.latency(0.99), 7.0),
            _row(ours, "requests in 10 s", ours.per_10_s, 10),
            _row(half, "p99 s", half.latency(0.99), 3.0),
            _row(half, "requests in 10 s", half.per_10_s, 50),
        ]
    if ours.waiting == 10_000:
        for each in (ours, half):
            rows += [
                _row(each, "requests a round", each.per_10_s * each.round / 10, MOST_IN_A_ROUND),
                _row(each, "KB each beyond a sleeping one", each.probe["kb"] - floor.probe["kb"], MOST_KB),
                _row(each, "longest pause, ms", each.probe["pause"] * 1000, MOST_PAUSE_MS),
            ]
    return rows


def _row(outcome: Outcome, what: str, value: float | None, limit: float) -> list[Cell]:
    where = f"{outcome.waiting:,} waiting, `poll_share` {outcome.contender.share}"
    measured = float("inf") if value is None else value
    return [f"{where}: {what}", _seconds(value), limit, verdict(measured, limit)]
