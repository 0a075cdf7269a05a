from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from tenacity import wait_fixed

from airflow_provider_sptasks.client import ClientSettings, RetryPolicy, TaskStatusClient
from airflow_provider_sptasks.client.http import Request
from airflow_provider_sptasks.client.pacing import Pacer
from airflow_provider_sptasks.emulator import Emulator, LoggedRequest

Connect = Callable[..., TaskStatusClient]


def prepared(request: Request) -> requests.PreparedRequest:
    """What ``requests`` makes of a request."""
    url = f"https://acme.api.identitynow.com{request.target}"
    return requests.Request(request.method, url, headers=dict(request.headers), data=request.body).prepare()


class Waits:
    """Stands for ``time.sleep``: remembers how long it was asked to wait, and doesn't."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class OpenPacer(Pacer):
    """A pace without a limit, that remembers how long it had to hold."""

    def __init__(self) -> None:
        super().__init__(100)
        self.holds: list[float] = []

    def reserve(self, max_wait: float = float("inf")) -> float:
        return 0.0

    def refused(self, seconds: float) -> None:
        self.holds.append(seconds)


def settings(emulator: Emulator, **kwargs: Any) -> ClientSettings:
    given = {
        "host": emulator.url,
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
        **kwargs,
    }
    return ClientSettings(**given)


def api_requests(emulator: Emulator) -> list[LoggedRequest]:
    return [request for request in emulator.requests if not request.path.startswith("/oauth/")]


def token_requests(emulator: Emulator) -> list[LoggedRequest]:
    return [request for request in emulator.requests if request.path.startswith("/oauth/")]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A tenant without a rate limit."""
    with Emulator(rate_limit=None) as emulator:
        yield emulator


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def pacer() -> OpenPacer:
    return OpenPacer()


@pytest.fixture
def connect(emulator: Emulator, waits: Waits, pacer: OpenPacer) -> Iterator[Connect]:
    """
    Make clients of the tenant that try four times, and wait for nothing between.

    Keyword arguments are those of the settings, and ``retry``, ``pacer`` and ``on_token``.
    """
    with ExitStack() as stack:

        def connect(api_version: str = "v1", **kwargs: Any) -> TaskStatusClient:
            retry = RetryPolicy(max_attempts=4, wait=wait_fixed(0.25), sleep=waits)
            own: dict[str, Any] = {"retry": retry, "pacer": pacer}
            own |= {name: kwargs.pop(name) for name in ("retry", "pacer", "on_token") if name in kwargs}
            client = TaskStatusClient(settings(emulator, api_version=api_version, **kwargs), **own)
            return stack.enter_context(client)

        yield connect


@pytest.fixture
def client(connect: Connect) -> TaskStatusClient:
    return connect()
