"""Everything that the emulator knows, and the lock that guards it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_sptasks.emulator.faults import Faults
from airflow_provider_sptasks.emulator.ratelimit import RateLimiter
from airflow_provider_sptasks.emulator.requestlog import LoggedRequest, RequestLog
from airflow_provider_sptasks.emulator.tenant import Tenant


@dataclass(slots=True)
class State:
    """
    The tenant and what stands in front of it.

    The server's thread and the test's threads share it: whoever reads or changes it holds the lock.

    :param tenant: the tenant.
    :param faults: what goes wrong.
    :param requests: the log.
    :param limiter: the rate limit, ``None`` if it is switched off.
    :param lock: the lock.
    :param on_request: is called before a request to the API is answered, without the lock.
    """

    tenant: Tenant
    faults: Faults
    requests: RequestLog
    limiter: RateLimiter | None
    lock: threading.RLock = field(default_factory=threading.RLock)
    on_request: Callable[[LoggedRequest], object] | None = None

    def reset(self) -> None:
        """Remove all that is in the tenant, faults, tokens and the log, and what the rate limit counted."""
        self.tenant.clear()
        self.tenant.credentials.revoke()
        self.faults.clear()
        self.requests.clear()
        if self.limiter is not None:
            self.limiter.reset()
