"""The tenant's rate limit: a number of requests in any interval, and lock-outs for repeated violations."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Literal

_VIOLATED_INTERVALS = 3
# In intervals of ten seconds, so that a scaled limit scales its lock-outs.
_VIOLATION_MEMORY = 12
_BANS = (6, 30, 60, 120)
_BAN_MEMORY = 360


@dataclass(frozen=True, slots=True)
class RateLimit:
    """
    A limit for each client id and API version, on real time.

    The interval slides: no ``seconds`` long stretch of time holds more than ``requests`` accepted requests.
    Refused requests don't count. With ``escalate``, three violated intervals within 12 (120 s by default)
    bring a ban of 6 intervals (60 s), the next time of 30, then 60, then 120 (20 minutes); the level is
    remembered for 360 intervals (an hour) after a ban has ended. Requests during a ban are refused and change
    nothing.

    :param requests: how many requests.
    :param seconds: in how many seconds.
    :param escalate: lock out those who keep violating it.
    :param retry_after_format: the form of ``Retry-After``.
    """

    requests: int = 100
    seconds: float = 10.0
    escalate: bool = True
    retry_after_format: Literal["seconds", "date"] = "seconds"

    def __post_init__(self) -> None:
        if self.requests < 1 or self.seconds <= 0:
            raise ValueError(f"A rate limit needs requests >= 1 and seconds > 0, not {self}")
        if self.retry_after_format not in ("seconds", "date"):
            raise ValueError(
                f"retry_after_format: {self.retry_after_format!r} is neither 'seconds' nor 'date'"
            )

    def retry_after(self, delay: float) -> str:
        """
        Return the value of ``Retry-After``.

        :param delay: how long the client has to wait, in seconds.
        """
        seconds = max(1, math.ceil(delay))
        return (
            str(seconds)
            if self.retry_after_format == "seconds"
            else formatdate(time.time() + seconds, usegmt=True)
        )


@dataclass(slots=True)
class _Account:
    accepted: deque[float] = field(default_factory=deque)
    violations: deque[float] = field(default_factory=deque)
    banned_until: float = -math.inf
    level: int = 0


class RateLimiter:
    """
    Counts the requests against a limit.

    :param limit: the limit.
    :param now: a monotonic clock.
    """

    def __init__(self, limit: RateLimit, now: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._now = now
        self._accounts: dict[tuple[str, str], _Account] = {}

    def delay(self, client_id: str, version: str) -> float:
        """
        Count a request, and return how long the client has to wait before it is accepted: 0 if it is.

        :param client_id: who asks.
        :param version: the name of the API version.
        """
        limit, now = self.limit, self._now()
        account = self._accounts.setdefault((client_id, version), _Account())
        if now < account.banned_until:
            return account.banned_until - now
        accepted = account.accepted
        while accepted and accepted[0] <= now - limit.seconds:
            accepted.popleft()
        if len(accepted) < limit.requests:
            accepted.append(now)
            return 0.0
        if limit.escalate and self._ban(account, now):
            return account.banned_until - now
        return accepted[0] + limit.seconds - now

    def reset(self) -> None:
        """Forget all requests and lock-outs."""
        self._accounts.clear()

    def _ban(self, account: _Account, now: float) -> bool:
        """Note a violated interval, and ban the client if it was one too many."""
        interval = self.limit.seconds
        violations = account.violations
        if violations and now < violations[-1] + interval:
            return False
        while violations and violations[0] <= now - _VIOLATION_MEMORY * interval:
            violations.popleft()
        violations.append(now)
        if len(violations) < _VIOLATED_INTERVALS:
            return False
        if now > account.banned_until + _BAN_MEMORY * interval:
            account.level = 0
        account.banned_until = now + _BANS[min(account.level, len(_BANS) - 1)] * interval
        account.level += 1
        violations.clear()
        return True
