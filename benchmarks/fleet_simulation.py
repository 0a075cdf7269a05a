"""Hosts that don't know of each other: the real pace and the real limiter, for an hour of virtual time."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from airflow_provider_sptasks.client.budget import State
from airflow_provider_sptasks.client.pacing import HORIZON_SECONDS, Pacer
from airflow_provider_sptasks.emulator.ratelimit import RateLimit, RateLimiter
from benchmarks.tables import REQUIREMENT, Cell, table, verdict

T = TypeVar("T")

HOSTS = (1, 2, 3, 5, 8, 16, 32)
SECONDS = 3_600.0
SEEDS = (1, 2, 3)
# Requests that a host has under way or waiting: enough to be always busy.
CALLS = 4
LIMIT = RateLimit()

MAX_LOCK_OUTS = 1
MIN_USED = 50.0


class VirtualBudget:
    """A budget whose clock the simulation moves."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._state = State()

    def update(self, change: Callable[[State, float], T]) -> T:
        return change(self._state, self._now())


@dataclass
class Result:
    """What hosts got: requests in ten seconds, refusals, lock-outs, and how evenly (1 is even)."""

    used: float
    refused: int
    lock_outs: int
    fairness: float


def run(*, quick: bool) -> str:
    """
    Simulate, and return the tables.

    :param quick: with one seed only
    """
    seeds = SEEDS[:1] if quick else SEEDS
    results = {hosts: [simulate(hosts, seed) for seed in seeds] for hosts in HOSTS}
    rows: list[list[Cell]] = []
    required: list[list[Cell]] = []
    for hosts, each in results.items():
        used, lock_outs = min(one.used for one in each), max(one.lock_outs for one in each)
        refused = max(one.refused for one in each)
        rows.append([str(hosts), used, refused, lock_outs, min(one.fairness for one in each)])
        for what, value, most in (
            ("not used of 100 in 10 s", 100 - used, 100 - MIN_USED),
            ("lock-outs", float(lock_outs), float(MAX_LOCK_OUTS)),
        ):
            required.append([f"{hosts} hosts: {what}", value, most, verdict(value, most)])
    head = ["hosts", "accepted in 10 s", "429s", "lock-outs", "fairness"]
    return (
        "### Hosts that don't know of each other\n\nSimulated, an hour, all always busy; the worst of "
        f"{len(seeds)} runs. SailPoint's limit is 100.\n\n{table(head, rows)}\n\n"
        f"{table(REQUIREMENT, required)}"
    )


def simulate(hosts: int, seed: int = 1, seconds: float = SECONDS) -> Result:
    """
    Let hosts send as much as their pace allows.

    :param hosts: how many, all of which begin within two seconds
    :param seed: makes it repeatable
    :param seconds: of virtual time
    """
    chance = random.Random(seed)
    now = 0.0
    limiter = RateLimiter(LIMIT, now=lambda: now)
    pacers = [Pacer(80, budget=VirtualBudget(lambda: now)) for _ in range(hosts)]
    accepted = [0] * hosts
    refused, bans = 0, 0
    numbers = count()
    # When each call goes on, and whether it has its place.
    events = [
        (chance.uniform(0, 2) + call * 0.01, next(numbers), host, False)
        for host in range(hosts)
        for call in range(CALLS)
    ]
    heapq.heapify(events)
    banned_until = 0.0
    while events:
        now, _, host, has_place = heapq.heappop(events)
        if now > seconds:
            break
        pacer = pacers[host]
        if not has_place:
            wait = pacer.reserve(HORIZON_SECONDS)
            has_place = wait <= HORIZON_SECONDS
            later = wait if has_place else wait - HORIZON_SECONDS * chance.uniform(0.5, 1)
        elif (held := pacer.held()) > 0:
            later = held
        else:
            delay = limiter.delay("client", "v1")
            has_place = False
            if delay:
                refused += 1
                retry_after = max(1, math.ceil(delay))
                pacer.refused(retry_after)
                later = retry_after + chance.random()
                if delay > LIMIT.seconds and now >= banned_until:
                    bans, banned_until = bans + 1, now + delay
            else:
                accepted[host] += 1
                later = chance.uniform(0.05, 0.25)
        heapq.heappush(events, (now + later + 1e-6, next(numbers), host, has_place))
    total = sum(accepted)
    fairness = total**2 / (hosts * sum(each**2 for each in accepted))
    return Result(total / seconds * 10, refused, bans, fairness)
