"""Many processes on one client id: what they get of the tenant's limit, and who is locked out."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, cast

from airflow_provider_sptasks.client import ClientSettings
from airflow_provider_sptasks.emulator import Emulator, LoggedRequest, RateLimit
from benchmarks import fleet_simulation
from benchmarks.tables import REQUIREMENT, Cell, table, verdict
from harness.servers import Valkey

SECONDS = 150.0
QUICK_SECONDS = 40.0
GATES = 1_000
CLEARERS, TASKS = 8, 250
WORKERS = 32
POLLERS = 2

MAX_429 = 3
MIN_USED = 0.85
MAX_BLIND = 15.0
# A longer pause of everything is a lock-out: the limit itself asks for up to 10 seconds.
LOCKED_OUT = 20.0

LIMIT = RateLimit()
BUDGET = ClientSettings.requests_per_10s

log = logging.getLogger(__name__)


@dataclass
class Member:
    """
    A process.

    :param role: what it does, see the probe
    :param ids: of the tasks or the source that it is about
    :param host: the directory of its host's budgets
    """

    role: str
    ids: Sequence[str]
    host: str
    process: subprocess.Popen[str] = field(init=False)

    def start(self, emulator: Emulator, alone: bool, budget_url: str | None) -> None:
        """Start it, and return when it is ready to begin."""
        settings = {
            "host": emulator.url,
            "client_id": emulator.client_id,
            "client_secret": emulator.client_secret,
            "budget_url": budget_url,
        }
        connection = {
            "conn_type": "sailpoint",
            "host": emulator.url,
            "login": emulator.client_id,
            "password": emulator.client_secret,
            "extra": {"budget_url": budget_url},
        }
        own = {"SAILPOINT_BUDGET_DIR": self.host, "AIRFLOW_CONN_SAILPOINT_DEFAULT": json.dumps(connection)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fleet_probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | own,
            text=True,
        )
        self._write({"role": self.role, "settings": settings, "ids": list(self.ids), "alone": alone})
        output = cast(IO[str], self.process.stdout)
        if output.readline() != "ready\n":
            raise RuntimeError(f"A process that should {self.role} does not start.")

    def begin(self) -> None:
        """Let it begin."""
        self._write({})

    def end(self) -> str:
        """End it, and return what it printed."""
        self.process.kill()
        output, _ = self.process.communicate()
        return output

    def _write(self, line: object) -> None:
        stream = cast(IO[str], self.process.stdin)
        stream.write(f"{json.dumps(line)}\n")
        stream.flush()


@dataclass(frozen=True)
class Outcome:
    """What a fleet did to its tenant; ``seconds`` until nothing was left to do, or the time was over."""

    name: str
    ours: bool
    seconds: float
    cleared: int
    worked: str
    log: Sequence[LoggedRequest]
    blind: float

    @property
    def accepted(self) -> list[float]:
        return [request.at for request in self.log if request.status not in (0, 429)]

    @property
    def refused(self) -> int:
        return sum(request.status == 429 for request in self.log)

    @property
    def lock_outs(self) -> int:
        ends = [self.log[0].at, *self.accepted, self.log[0].at + self.seconds]
        return sum(later - earlier > LOCKED_OUT for earlier, later in pairwise(ends))

    @property
    def used(self) -> float:
        """The part of the budget of one host, or of all that share one, that was used."""
        return len(self.accepted) * LIMIT.seconds / (self.seconds * BUDGET)


def run(*, quick: bool) -> str:
    """
    Measure, and return the tables.

    :param quick: shorter
    """
    seconds = QUICK_SECONDS if quick else SECONDS
    outcomes = [
        _busy("each process by itself, as in 0.1.0", seconds, alone=True),
        _busy("**one host**", seconds),
        _at_once("32 workers, each process by itself", seconds, alone=True),
        _at_once("**32 workers on one host**", seconds),
        _busy("two hosts that don't know of each other", seconds, hosts=2),
    ]
    with Valkey() as server:
        outcomes.append(_busy("**two hosts with Valkey**", seconds, hosts=2, budget_url=server.url))
    head = [
        f"in {seconds:.0f} s",
        "accepted",
        "429s",
        "lock-outs",
        "of the budget used, %",
        "tasks cleared",
        "first polls that worked",
        "longest pause of a triggerer, s",
        "s",
    ]
    rows: list[list[Cell]] = [
        [
            each.name,
            len(each.accepted),
            each.refused,
            each.lock_outs,
            each.used * 100,
            each.cleared,
            each.worked,
            each.blind,
            each.seconds,
        ]
        for each in outcomes
    ]
    return "\n\n".join(
        [
            f"### Fleets\n\n{CLEARERS} processes clear {TASKS} tasks each; or {WORKERS} workers have the "
            f"sensor of a source each, which defers. {POLLERS} triggerers have {GATES:,} gates each.",
            table(head, rows),
            _requirements([each for each in outcomes if each.ours]),
            fleet_simulation.run(quick=quick),
        ]
    )


def _busy(
    name: str, seconds: float, *, alone: bool = False, hosts: int = 1, budget_url: str | None = None
) -> Outcome:
    """Let processes clear more tasks than they can in that time."""
    with Emulator(rate_limit=LIMIT) as emulator, tempfile.TemporaryDirectory() as folder:
        places = [f"{folder}/{number}" for number in range(hosts)]
        members = [
            Member("clear", _tasks(emulator, TASKS), places[number % hosts]) for number in range(CLEARERS)
        ]
        members += _pollers(emulator, places)
        return _measure(name, emulator, members, seconds, alone, budget_url)


def _at_once(name: str, seconds: float, *, alone: bool = False) -> Outcome:
    """Let workers begin at the same time."""
    with Emulator(rate_limit=LIMIT) as emulator, tempfile.TemporaryDirectory() as folder:
        members = [Member("defer", [emulator.add_source(f"S{n}").id], folder) for n in range(WORKERS)]
        members += _pollers(emulator, [folder])
        return _measure(name, emulator, members, seconds, alone, None)


def _tasks(emulator: Emulator, count: int) -> list[str]:
    return [emulator.add_task(launched=-100, duration=None).id for _ in range(count)]


def _pollers(emulator: Emulator, places: Sequence[str]) -> list[Member]:
    return [Member("poll", _tasks(emulator, GATES), places[n % len(places)]) for n in range(POLLERS)]


def _measure(
    name: str,
    emulator: Emulator,
    members: Sequence[Member],
    seconds: float,
    alone: bool,
    budget_url: str | None,
) -> Outcome:
    log.info("%s: starting %d processes", name, len(members))
    for place in {member.host for member in members}:
        Path(place).mkdir(mode=0o700, exist_ok=True)
    try:
        for member in members:
            member.start(emulator, alone, budget_url)
        began = time.time()
        for member in members:
            member.begin()
        jobs = [member for member in members if member.role != "poll"]
        while time.time() < began + seconds and any(job.process.poll() is None for job in jobs):
            time.sleep(0.2)
        ended = time.time()
    finally:
        printed = {id(member): member.end() for member in members if hasattr(member, "process")}
    requests = sorted((each for each in emulator.requests if each.api_version), key=lambda each: each.at)
    worked = [printed[id(member)].strip() for member in members if member.role == "defer"]
    return Outcome(
        name=name,
        ours=name.startswith("**"),
        seconds=ended - began,
        cleared=sum(task["completionStatus"] == "Error" for task in emulator.tasks()),
        worked=f"{worked.count('1')} of {len(worked)}" if worked else "",
        log=requests,
        blind=max(_blind(member, requests, began, ended) for member in members if member.role == "poll"),
    )


def _blind(poller: Member, requests: Sequence[LoggedRequest], began: float, ended: float) -> float:
    """For how long a triggerer got no answer, as a maximum."""
    own = set(poller.ids)
    seen = [
        request.at
        for request in requests
        if request.status == 200
        and request.method == "GET"
        and own.intersection(re.findall(r'"([^"]+)"', request.query.get("filters", "")))
    ]
    return max(later - earlier for earlier, later in pairwise([began, *seen, ended]))


def _requirements(outcomes: Sequence[Outcome]) -> str:
    rows: list[list[Cell]] = []
    for each in outcomes:
        name = each.name.strip("*")
        for what, value, most in (
            ("lock-outs", each.lock_outs, 0.0),
            ("429s", each.refused, MAX_429),
            ("longest pause of a triggerer, s", each.blind, MAX_BLIND),
        ):
            rows.append([f"{name}: {what}", value, most, verdict(value, most)])
        if not each.worked:
            unused, most = (1 - each.used) * 100, (1 - MIN_USED) * 100
            rows.append([f"{name}: of the budget not used, %", unused, most, verdict(unused, most)])
    return table(REQUIREMENT, rows)
