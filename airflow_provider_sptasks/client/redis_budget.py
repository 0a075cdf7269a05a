"""The budget that several hosts share, in a Redis or Valkey server; needs the package's extra ``budget``."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from airflow_provider_sptasks.client.budget import Budget, State, restored, stored

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_SECONDS = 0.5
# For that long the host's budget is used after the server failed.
RETRY_SECONDS = 30.0
# Longer than anything in it counts.
EXPIRY_SECONDS = 7_200
MAX_ATTEMPTS = 50

# Stores a state if no other one has been stored since it was read.
STORE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class BudgetServer:
    """
    A Redis or Valkey server.

    :param url: ``redis://``, ``rediss://``, ``valkey://`` or ``valkeys://``, without a password
    :param password: its password; ``None`` if it wants none
    """

    url: str
    password: str | None = field(default=None, repr=False)


class RedisBudget:
    """
    The budget of all hosts for one tenant, client id and API version. Safe to share between threads.

    Times are by the server's clock. While the server is away, the budget is the host's; that is said once.

    :param server: the server
    :param parts: what is counted together; only their hash is in the key
    :param otherwise: the budget while the server is away
    :raises ValueError: the package ``redis`` is not installed
    """

    def __init__(self, server: BudgetServer, *parts: str, otherwise: Budget) -> None:
        try:
            import redis
        except ImportError:
            raise ValueError(
                "budget_url needs the package redis. Install airflow-provider-sptasks[budget]."
            ) from None
        # A command is not repeated by the library: it would take longer than keeping count oneself.
        self._server: Any = redis.Redis.from_url(
            server.url.replace("valkey", "redis", 1) if server.url.startswith("valkey") else server.url,
            password=server.password,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=None,
        )
        self._failures: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._store = self._server.register_script(STORE)
        self._key = "sailpoint-budget:" + hashlib.sha256("\0".join(parts).encode()).hexdigest()
        self._at = urlsplit(server.url).hostname
        self._otherwise = otherwise
        self._retry_at = 0.0
        self._is_away = False

    def update(self, change: Callable[[State, float], T]) -> T:
        """Change the state, again if another process changed it meanwhile."""
        if time.monotonic() >= self._retry_at:
            try:
                result = self._update(change)
            except self._failures as error:
                self._retry_at = time.monotonic() + RETRY_SECONDS
                if not self._is_away:
                    # Its text may hold what was sent.
                    log.warning(
                        "The budget of requests at %s can't be had (%s): each host keeps count by itself",
                        self._at,
                        type(error).__name__,
                    )
                self._is_away = True
            else:
                if self._is_away:
                    log.info("The budget of requests at %s can be had again", self._at)
                self._is_away = False
                return result
        return self._otherwise.update(change)

    def _update(self, change: Callable[[State, float], T]) -> T:
        for _ in range(MAX_ATTEMPTS):
            (seconds, microseconds), found = (
                self._server.pipeline(transaction=False).time().get(self._key).execute()
            )
            before, now = found or b"", seconds + microseconds / 1e6
            state = restored(before, now)
            result = change(state, now)
            if self._store(keys=[self._key], args=[before, stored(state, now), EXPIRY_SECONDS]):
                return result
        raise TimeoutError(f"others were quicker {MAX_ATTEMPTS} times")
