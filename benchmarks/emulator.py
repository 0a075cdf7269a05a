"""The emulated tenant: how soon it is there for a test, and how soon it answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from statistics import median

import requests
from pytest_httpserver import HTTPServer

from airflow_provider_sptasks.emulator import Emulator
from benchmarks.contenders import token_of
from benchmarks.tables import REQUIREMENT, Cell, table, verdict

TASKS = 10_000
# About as many as one request has room for.
LOOKED_UP = 190
STARTS = 20
QUICK_STARTS = 5
GETS = 200
QUICK_GETS = 50

MOST_START_MS = 200
MOST_LOOK_UP_MS = 20
MOST_STOP_MS = 1_000

PATH = "/task-status/v1"
IDS = [f"{number:032x}" for number in range(TASKS)]

# Gives a tenant with these tasks: a session that is logged in, and the URL.
Tenant = Callable[[Sequence[str]], AbstractContextManager[tuple[requests.Session, str]]]


@dataclass(frozen=True)
class Outcome:
    """What one waits for, in milliseconds."""

    start: float
    get: float
    look_up: float


def run(*, quick: bool) -> str:
    """
    Measure, and return the tables.

    :param quick: fewer rounds
    """
    starts, gets = (QUICK_STARTS, QUICK_GETS) if quick else (STARTS, GETS)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request would cost it time
    ours, canned = (_measure(tenant, starts, gets) for tenant in (_ours, _canned))
    stop = median(_stop_while_a_request_hangs() for _ in range(starts))
    start_name = "start, first answer and stop, ms"
    look_up_name = f"{LOOKED_UP} of {TASKS:,} tasks by id, ms"
    rows: list[list[Cell]] = [
        [name, each.start, each.get, each.look_up, each.start / ours.start, each.get / ours.get]
        for name, each in (("**ours**", ours), ("`pytest-httpserver`, canned answers", canned))
    ]
    head = ["tenant", start_name, "one task, ms", look_up_name, "start, times ours", "one task, times ours"]
    requirements: list[list[Cell]] = [
        [name, value, most, verdict(value, most)]
        for name, value, most in (
            (start_name, ours.start, MOST_START_MS),
            (look_up_name, ours.look_up, MOST_LOOK_UP_MS),
            ("stop while a request hangs, ms", stop, MOST_STOP_MS),
        )
    ]
    medians = f"Medians of {starts} starts, and of {gets} requests in one session."
    return f"### The emulator\n\n{medians}\n\n{table(head, rows)}\n\n{table(REQUIREMENT, requirements)}"


def _measure(tenant: Tenant, starts: int, gets: int) -> Outcome:
    start = median(_ms(lambda: _start(tenant)) for _ in range(starts))
    with tenant(IDS) as (session, url):
        get = median(_ms(lambda: _answer(session, f"{url}/{IDS[0]}")) for _ in range(gets))
        wanted = ",".join(f'"{each}"' for each in IDS[:: TASKS // LOOKED_UP][:LOOKED_UP])
        filters = {"filters": f"id in ({wanted})"}
        found = _answer(session, url, filters).json()
        if len(found) != LOOKED_UP:
            raise SystemExit(f"{len(found)} tasks were found instead of {LOOKED_UP}")
        return Outcome(start, get, median(_ms(lambda: _answer(session, url, filters)) for _ in range(gets)))


def _start(tenant: Tenant) -> None:
    with tenant(IDS[:1]) as (session, url):
        _answer(session, f"{url}/{IDS[0]}")


@contextmanager
def _ours(ids: Sequence[str]) -> Iterator[tuple[requests.Session, str]]:
    with Emulator(rate_limit=None) as tenant, requests.Session() as session:
        for each in ids:
            tenant.add_task(each, launched=-3600, duration=None)
        session.headers["Authorization"] = f"Bearer {token_of(tenant)}"
        yield session, f"{tenant.url}{PATH}"


@contextmanager
def _canned(ids: Sequence[str]) -> Iterator[tuple[requests.Session, str]]:
    """What a test would use instead: answers that are known beforehand, whatever is asked for."""
    tasks = [_task() | {"id": each} for each in ids]
    with HTTPServer() as server, requests.Session() as session:
        server.expect_request(f"{PATH}/{ids[0]}").respond_with_json(tasks[0])
        server.expect_request(PATH).respond_with_json(tasks[:LOOKED_UP])
        yield session, server.url_for(PATH)


@cache
def _task() -> dict[str, object]:
    with Emulator() as tenant:
        tenant.add_task(IDS[0], launched=-3600, duration=None)
        return tenant.task(IDS[0])


def _stop_while_a_request_hangs() -> float:
    with Emulator() as tenant:
        tenant.fail(kind="delay", delay=60)
        with suppress(requests.Timeout):
            requests.get(f"{tenant.url}{PATH}", timeout=0.05)
        return _ms(tenant.stop)


def _answer(session: requests.Session, url: str, params: dict[str, str] | None = None) -> requests.Response:
    answer = session.get(url, params=params, timeout=30)
    answer.raise_for_status()
    return answer


def _ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000
