"""
Random histories of a tenant, in which a poke at every moment and the deferred sensor must agree.

A history that fails is played again by its seed: ``HISTORIES=1 FIRST_HISTORY=<seed>``. More of them take
``HISTORIES=2000``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from types import FunctionType
from typing import Any

import pytest
from tenacity.wait import wait_none

from airflow_provider_sptasks.client import retry, transport
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.triggers import _base, _connection, _poller, _queue
from airflow_provider_sptasks.waiting import driver
from tests.conftest import CONNECTION
from tests.differential import modes, old
from tests.differential.replay import CONN_ID, VERSIONS, DisagreementError, History, Totals

HISTORIES = int(os.environ.get("HISTORIES", "200"))
FIRST = int(os.environ.get("FIRST_HISTORY", "0"))
PAGE_SIZE = 5
# Where pending tasks have a list of their own; more than enough.
ON_BETA = range(1, 800, len(VERSIONS))

Player = Callable[[range], Totals]

pytestmark = pytest.mark.timeout(300 + HISTORIES)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Player]:
    """Play histories one after the other; nothing sleeps, and time passes as the histories say."""
    caplog.set_level(logging.CRITICAL, logger="airflow_provider_sptasks")  # of faults there are thousands
    with Emulator(rate_limit=None) as emulator:
        monkeypatch.setenv(CONNECTION, f"{emulator.connection_uri}/?poll_share=1")
        _poll_when_forced(monkeypatch)
        _small_pages(monkeypatch)
        clock = _clock_of(emulator)
        monkeypatch.setattr(driver, "datetime", clock)
        monkeypatch.setattr(_base, "datetime", clock)
        policy = RetryPolicy(deadline=10.0, max_attempts=2, wait=wait_none(), sleep=lambda _: None)
        hooks = {version: SailPointHook(CONN_ID, version, retry=policy) for version in VERSIONS}

        def player(seeds: range) -> Totals:
            totals = Totals()
            with asyncio.Runner() as runner:
                for seed in seeds:
                    runner.run(History(seed, emulator, hooks, totals).play())
            return totals

        yield player
        for hook in hooks.values():
            hook.client.close()


def _poll_when_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever is polled is made due by the history.
    monkeypatch.setattr(_connection, "SHORTEST_ROUND_SECONDS", 3_600.0)
    monkeypatch.setattr(_poller, "COALESCE_SECONDS", 0.0)
    monkeypatch.setattr(_queue, "LONGEST_BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(_connection, "CONNECTION_CACHE_SECONDS", 3_600.0)
    monkeypatch.setattr(_connection, "RETRY", RetryPolicy(deadline=10.0, max_attempts=2, wait=wait_none()))
    monkeypatch.setattr(retry, "wait_random", lambda *_: wait_none())
    monkeypatch.setattr(transport, "SHORTEST_HOLD", 0.0)
    monkeypatch.setattr("airflow_provider_sptasks.client.pacing.WINDOW", 0.001)


def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client read pages of few records, also where that is a parameter's default."""
    for module in [
        each for name, each in sys.modules.items() if name.startswith(transport.__package__ or "")
    ]:
        for holder in [module, *(each for each in vars(module).values() if isinstance(each, type))]:
            for name, value in list(vars(holder).items()):
                if name == "MAX_PAGE_SIZE":
                    monkeypatch.setattr(holder, name, PAGE_SIZE)
                elif isinstance(value, FunctionType):
                    _small_defaults(monkeypatch, value)


def _small_defaults(monkeypatch: pytest.MonkeyPatch, function: FunctionType) -> None:
    def small(value: Any) -> Any:
        return PAGE_SIZE if value == MAX_PAGE_SIZE and type(value) is int else value

    if function.__defaults__:
        monkeypatch.setattr(function, "__defaults__", tuple(map(small, function.__defaults__)))
    if function.__kwdefaults__:
        defaults = {name: small(value) for name, value in function.__kwdefaults__.items()}
        monkeypatch.setattr(function, "__kwdefaults__", defaults)


def _clock_of(emulator: Emulator) -> type[datetime]:
    class TenantsTime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(emulator.clock.now(), tz or UTC)

    return TenantsTime


def test_a_poke_and_the_trigger_agree_at_every_moment(play: Player) -> None:
    totals = play(range(FIRST, FIRST + HISTORIES))
    print(totals)  # noqa: T201 - how much was compared
    assert totals.histories == HISTORIES


@pytest.mark.parametrize("put_back", old.ALL, ids=lambda each: each.__name__)
def test_what_was_wrong_once_is_found(
    play: Player, monkeypatch: pytest.MonkeyPatch, put_back: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """FAULTS W1, W2 and W7: histories are played until one shows the fault."""
    monkeypatch.setattr(modes, "SETTLE_SECONDS", 3.0)
    put_back(monkeypatch)
    with pytest.raises(DisagreementError):
        play(ON_BETA)
