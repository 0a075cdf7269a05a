"""Looking up and clearing many tasks of a tenant that limits the rate of requests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

from airflow_provider_sptasks.client import ClientSettings
from airflow_provider_sptasks.emulator import Emulator, LoggedRequest, RateLimit
from benchmarks.contenders import OURS, SDK, Contender, client_of, others
from benchmarks.tables import REQUIREMENT, Cell, table, verdict

TASKS = 5_000
SAMPLE = 400
QUICK_TASKS = 300
QUICK_SAMPLE = 160
# The slower one is about what a tenant takes for a PATCH.
LATENCIES = (0.0, 0.3)
# Ours alone: as slow as a tenant may be for it to keep its pace.
SLOW, SLOW_TASKS = (1.0, 3.0), 1_000

LOOK_UP = 10_000
LOOK_UP_SAMPLE = 100
MAX_LOOKUPS = 56
MOST_PER_TASK = 1.05
MOST_OF_PACE = 1.10
# Who waits longer than this was locked out: the limit itself asks for up to 10 seconds.
LOCKED_OUT = 20.0

LIMIT = RateLimit()
PER_SECOND = ClientSettings.requests_per_10s / 10


@dataclass(frozen=True)
class Outcome:
    """What a contender did to a tenant."""

    contender: Contender
    latency: float
    tasks: int
    cleared: int
    seconds: float
    log: Sequence[LoggedRequest]

    @property
    def per_task(self) -> float:
        return len(self.log) / self.tasks

    @property
    def refused(self) -> int:
        return sum(request.status == 429 for request in self.log)

    @property
    def lock_outs(self) -> list[float]:
        accepted = [request.at for request in self.log if request.status != 429]
        gaps = [later - earlier for earlier, later in pairwise(accepted)]
        return [gap for gap in gaps if gap > LOCKED_OUT]

    @property
    def rate(self) -> float:
        return self.tasks / self.seconds

    @property
    def of_pace(self) -> float:
        """The time that it took, against what our own pace allows for its requests."""
        return self.seconds * PER_SECOND / len(self.log)

    @property
    def while_clearing(self) -> float:
        """The same between the first PATCH and the last one: before that, all that matches is read."""
        patches = [request.at for request in self.log if request.method == "PATCH"]
        begun, ended = min(patches), max(patches)
        sent = sum(begun <= request.at <= ended for request in self.log)
        return (ended - begun) * PER_SECOND / sent


def run(*, quick: bool, tasks: int | None) -> str:
    """
    Measure, and return the tables.

    :param quick: fewer tasks
    :param tasks: how many tasks ours clears, whatever ``quick`` says
    """
    most = tasks or (QUICK_TASKS if quick else TASKS)
    sample = min(most, QUICK_SAMPLE if quick else SAMPLE)
    jobs = [(OURS, latency, most) for latency in LATENCIES]
    jobs += [(contender, latency, sample) for latency in LATENCIES for contender in others()]
    jobs += [(OURS, latency, min(most, SLOW_TASKS)) for latency in SLOW]
    # Each has a tenant of its own, and mostly waits: together they take no longer than the slowest.
    with ThreadPoolExecutor(len(jobs) + 1) as pool:
        looked_up = pool.submit(_look_up)
        outcomes = list(pool.map(lambda job: _clear(*job), jobs))
    limit = f"{LIMIT.requests} requests in {LIMIT.seconds:.0f} s"
    parts = [
        f"### Looking up {LOOK_UP:,} tasks by id\n\n{looked_up.result()}",
        f"### Clearing stuck tasks\n\nThe tenant allows {limit}; ours keeps to {PER_SECOND:.0f} a second.",
        *(_table([each for each in outcomes if each.latency == latency]) for latency in LATENCIES),
        _requirements([each for each in outcomes if each.contender is OURS]),
    ]
    if not os.environ.get(SDK):
        parts.append(f"SailPoint's SDK 2.x skipped: {SDK} names no Python that has it.")
    return "\n\n".join(parts)


def _look_up() -> str:
    with Emulator(rate_limit=LIMIT) as emulator, client_of(emulator) as client:
        ids = [emulator.add_task(launched=-100, duration=None).id for _ in range(LOOK_UP)]
        found = len(client.find(ids))
        ours = _api_requests(emulator)
        emulator.reset_requests()
        for each in ids[:LOOK_UP_SAMPLE]:
            client.get(each)
        one_by_one = len(_api_requests(emulator)) * LOOK_UP // LOOK_UP_SAMPLE
    refused = sum(request.status == 429 for request in ours)
    each_by_itself = f"one GET for each id (measured for {LOOK_UP_SAMPLE})"
    rows: list[list[Cell]] = [
        ["**ours: `find()`**", found, len(ours), refused, len(ours) / PER_SECOND, 1],
        [each_by_itself, LOOK_UP, one_by_one, 0, one_by_one / PER_SECOND, one_by_one / len(ours)],
    ]
    head = ["", "found", "requests", "429s", f"s at {PER_SECOND:.0f} requests a second", "times ours"]
    required: list[Cell] = ["requests", len(ours), MAX_LOOKUPS, verdict(len(ours), MAX_LOOKUPS)]
    return f"{table(head, rows)}\n\n{table(REQUIREMENT, [required])}"


def _clear(contender: Contender, latency: float, tasks: int) -> Outcome:
    with Emulator(rate_limit=LIMIT) as emulator:
        ids = [emulator.add_task(launched=-100, duration=None).id for _ in range(tasks)]
        if latency:
            emulator.fail(kind="delay", delay=latency)
        seconds = contender.clear(emulator, ids)
        cleared = sum(task["completionStatus"] == "Error" for task in emulator.tasks())
        return Outcome(contender, latency, tasks, cleared, seconds, _api_requests(emulator))


def _api_requests(emulator: Emulator) -> list[LoggedRequest]:
    return [request for request in emulator.requests if request.api_version]


def _table(outcomes: Sequence[Outcome]) -> str:
    ours = next(each for each in outcomes if each.contender is OURS)
    rows: list[list[Cell]] = [
        [
            each.contender.name,
            each.tasks,
            each.cleared,
            each.per_task,
            each.refused,
            each.refused * 1000 / each.tasks,
            f"{len(each.lock_outs)} ({sum(each.lock_outs):.0f} s)",
            each.seconds,
            each.rate,
            f"{each.per_task / ours.per_task:.1f}",
            f"{ours.rate / each.rate:.1f}",
        ]
        for each in outcomes
    ]
    head = [
        f"a tenant that answers in {ours.latency:.1f} s" if ours.latency else "a tenant that answers at once",
        "tasks",
        "cleared",
        "requests a task",
        "429s",
        "429s in 1,000 tasks",
        "lock-outs",
        "s",
        "tasks a second",
        "requests, times ours",
        "time, times ours",
    ]
    return table(head, rows)


def _requirements(ours: Sequence[Outcome]) -> str:
    rows: list[list[Cell]] = []
    for each in ours:
        where = f"{each.tasks:,} tasks, answers in {each.latency:.1f} s"
        for name, value, most in (
            ("tasks not cleared", each.tasks - each.cleared, 0),
            ("429s", each.refused, 0),
            *(
                [("time against its own pace while it clears", each.while_clearing, MOST_OF_PACE)]
                if each.latency in SLOW
                else [
                    ("requests a task", each.per_task, MOST_PER_TASK),
                    ("time against its own pace", each.of_pace, MOST_OF_PACE),
                ]
            ),
        ):
            rows.append([f"{where}: {name}", value, most, verdict(value, most)])
    return table(REQUIREMENT, rows)
