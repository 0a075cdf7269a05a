"""Budgets as they may be found where they are kept: whatever that is, requests go on before long."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import redis

from airflow_provider_sptasks.client import budget, host_budget
from airflow_provider_sptasks.client.budget import (
    MAX_AHEAD_SECONDS,
    MAX_BYTES,
    WINDOW,
    Budget,
    State,
    restored,
    stored,
)
from airflow_provider_sptasks.client.host_budget import HostBudget
from airflow_provider_sptasks.client.http import LONGEST_BAN
from airflow_provider_sptasks.client.pacing import Pacer
from airflow_provider_sptasks.client.redis_budget import BudgetServer, RedisBudget
from harness.servers import Valkey

T = TypeVar("T")

PARTS = ("https://acme.api.identitynow.com", "id", "v1")
BOOT = "a boot"
# Each time of a usable state; what it lets wait for is HELD seconds.
TIMES = ("next", "held_until", "sent_at", "learnt_at", "at")
HELD = 5.0
HOUR, YEAR = 3_600.0, 31_536_000.0
NAN, INFINITY = float("nan"), float("inf")
NO_NUMBERS: tuple[Any, ...] = ("soon", "", None, True, [], {}, -1, -1e300, NAN, INFINITY, -INFINITY)
NOT_LEARNT: tuple[Any, ...] = ("much", True, [], {}, -1, 0, 0.0, 1e-300, 0.99, NAN, INFINITY, 10**400)
NO_LANES: tuple[Any, ...] = (
    *([], None, "0.1", 7, {str(number): 0 for number in range(10_000)}),
    *({"0.1": no_number} for no_number in (*NO_NUMBERS, 1e300)),
)


def usable(now: float) -> dict[str, Any]:
    """What is found after some requests, while nothing may be sent."""
    return {
        "next": now + 1,
        "held_until": now + HELD,
        "lanes": {"0.1": now + 2},
        "sent": 12.5,
        "sent_at": now,
        "learnt": None,
        "learnt_at": 0,
        "at": now,
    }


def moved(seconds: float) -> Callable[[float], dict[str, Any]]:
    """What was stored before the clock was set that many seconds back."""
    return lambda now: usable(now + seconds)


def with_(**changes: Any) -> Callable[[float], dict[str, Any]]:
    return lambda now: usable(now) | changes


def ahead(name: str, seconds: float) -> Callable[[float], dict[str, Any]]:
    return lambda now: usable(now) | {name: now + seconds}


def without(name: str) -> Callable[[float], dict[str, Any]]:
    return lambda now: {each: value for each, value in usable(now).items() if each != name}


# What is found, and for how long nothing is sent then.
FOUND: dict[str, tuple[Callable[[float], dict[str, Any]] | bytes, float]] = {
    "usable": (usable, HELD),
    "nothing": (b"", 0.0),
    **{
        f"garbage: {content[:12]!r}": (content, WINDOW)
        for content in (
            *(b"{", b"{}", b"null", b"[]", b"7", b'"text"', b"NaN", b'{"next": "soon"}', b'{"mood": 1}'),
            *(b" " * 9, b"\0" * MAX_BYTES, b"\xff\xfe\xfd", b"[" * MAX_BYTES, b"[" * 500_000),
        )
    },
    **{f"without {name}": (without(name), WINDOW) for name in usable(0)},
    **{
        f"{name} is {value!r:.20}": (with_(**{name: value}), WINDOW)
        for name in (*TIMES, "sent")
        for value in NO_NUMBERS
    },
    **{f"learnt is {value!r:.20}": (with_(learnt=value), WINDOW) for value in NOT_LEARNT},
    **{f"lanes is {value!r:.20}": (with_(lanes=value), WINDOW) for value in NO_LANES},
    **{
        f"{name} is {seconds:g} s ahead": (ahead(name, seconds), WINDOW)
        for name in TIMES
        if name != "at"
        for seconds in (MAX_AHEAD_SECONDS + 60, HOUR, YEAR, 1e12, 1e300)
    },
    "an integer beyond all numbers": (with_(held_until=10**400), WINDOW),
    "more than is known": (with_(mood="good", more={"a": [1]}), HELD),
    "much sent": (with_(sent=1e308), HELD),
    "much learnt": (with_(learnt=1e308), HELD),
    "the clock was set back by a second": (moved(1), HELD),
    "the clock was set back by an hour": (moved(HOUR), HELD),
    "the clock was set back by years": (moved(30 * YEAR), HELD),
    # No more is to be waited for, as after that much time.
    "the clock was set forward by an hour": (moved(-HOUR), 0.0),
}


class Store(ABC):
    """Where a budget is kept, and the clock of who keeps it."""

    budget: Budget

    @abstractmethod
    def now(self) -> float:
        """Return the time by its clock."""

    @abstractmethod
    def write(self, content: bytes) -> None:
        """Put something there."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Let time pass, or as if the time were over."""

    @abstractmethod
    def set_back(self, seconds: float) -> None:
        """Set its clock back."""

    def find(self, found: Callable[[float], dict[str, Any]] | bytes) -> None:
        content = found if isinstance(found, bytes) else json.dumps(found(self.now()) | self.own()).encode()
        self.write(content)

    def own(self) -> dict[str, Any]:
        return {"clock": ""}


class HostStore(Store):
    """A file, and a clock that the test moves."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 2 * YEAR
        stand_in = SimpleNamespace(monotonic=self.now, sleep=time.sleep)
        monkeypatch.setattr(budget, "time", stand_in)
        monkeypatch.setattr(host_budget, "time", stand_in)
        monkeypatch.setattr(host_budget, "_boot_id", lambda: BOOT)
        self.budget = HostBudget(*PARTS, directory=str(directory))
        self.budget.update(lambda *_: None)
        (self._file,) = directory.glob("*.json")

    def now(self) -> float:
        return self._now

    def write(self, content: bytes) -> None:
        self._file.write_bytes(content)

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    def set_back(self, seconds: float) -> None:
        self._now -= seconds

    def own(self) -> dict[str, Any]:
        return {"clock": BOOT}


class Elsewhere:
    """Nothing may be asked of it."""

    def update(self, change: Callable[[State, float], T]) -> T:
        raise AssertionError(change)


class ServerStore(Store):
    """A server, whose clock can't be moved: what is stored is moved instead."""

    def __init__(self, server: Any, url: str) -> None:
        self._server = server
        self._server.flushall()
        self.budget = RedisBudget(BudgetServer(url), *PARTS, otherwise=Elsewhere())
        self.budget.update(lambda *_: None)
        (self._key,) = self._server.keys()

    def now(self) -> float:
        seconds, microseconds = self._server.time()
        return float(seconds + microseconds / 1e6)

    def write(self, content: bytes) -> None:
        self._server.set(self._key, content)

    def sleep(self, seconds: float) -> None:
        self._move(-seconds)

    def set_back(self, seconds: float) -> None:
        self._move(seconds)

    def _move(self, seconds: float) -> None:
        values = json.loads(self._server.get(self._key))
        values |= {name: max(values[name] + seconds, 0.0) for name in TIMES}
        values["lanes"] = {name: at + seconds for name, at in values["lanes"].items()}
        self.write(json.dumps(values).encode())


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Any, str]]:
    with Valkey() as started, redis.Redis.from_url(started.url) as client:
        yield client, started.url


@pytest.fixture(params=["host", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "host":
        yield HostStore(tmp_path / "budget", monkeypatch)
    else:
        yield ServerStore(*request.getfixturevalue("server"))


def waited(pacer: Pacer, store: Store) -> float:
    """Wait for a turn, as each request does; return the seconds of it."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        store.sleep(seconds)

    pacer.wait_for_turn("A request", time.monotonic() + 600, sleep)
    return sum(waits)


@pytest.mark.parametrize("name", FOUND)
def test_goes_on_whatever_is_found(name: str, store: Store) -> None:
    found, seconds = FOUND[name]
    pacer = Pacer(80, budget=store.budget)
    store.find(found)
    assert pacer.held() == pytest.approx(seconds, abs=1)
    store.find(found)
    assert waited(pacer, store) == pytest.approx(seconds, abs=1)
    assert waited(pacer.lane(0.1), store) == pytest.approx(0, abs=3)
    pacer.refused(30)
    assert waited(pacer, store) == pytest.approx(30, abs=1)
    assert store.budget.update(lambda state, now: state.allowed(WINDOW, now)) < 80


@pytest.mark.parametrize("seconds", [0.001, 60.0, HOUR, YEAR])
def test_a_clock_that_is_set_back_changes_nothing(seconds: float, store: Store) -> None:
    """Neither a ban nor a lesson is forgotten, and nothing is waited for longer."""
    pacer = Pacer(80, budget=store.budget)
    pacer.refused(LONGEST_BAN)
    before = store.budget.update(lambda state, now: (state.learnt, now - state.learnt_at))
    store.set_back(seconds)
    assert pacer.held() == pytest.approx(LONGEST_BAN, abs=1)
    after = store.budget.update(lambda state, now: (state.learnt, now - state.learnt_at))
    assert after == pytest.approx(before, abs=1)
    store.set_back(seconds)
    # As who must clear a task at the end of its own time: it takes a place behind the ban.
    pacer.urgent().reserve()
    assert pacer.held() == pytest.approx(LONGEST_BAN, abs=1)


def test_the_longest_ban_is_believed() -> None:
    state = State()
    state.hold(LONGEST_BAN, 1_000.0)
    assert restored(stored(state, 1_000.0), 1_000.0) == state
    assert LONGEST_BAN + WINDOW < MAX_AHEAD_SECONDS


def test_lanes_that_have_passed_do_not_pile_up(store: Store) -> None:
    """Each value of ``poll_share`` that was ever set has one."""
    pacer = Pacer(80, budget=store.budget)
    for number in range(1, 200):
        pacer.lane(number / 1_000).reserve()
        store.sleep(1_000)
    assert store.budget.update(lambda state, _: len(state.lanes)) <= 1


def test_what_is_too_long_is_not_stored() -> None:
    lanes = {str(number): 1.0 for number in range(200)}
    with pytest.raises(OSError, match="bytes are too many for it"):
        stored(State(lanes=lanes), 0.0)
