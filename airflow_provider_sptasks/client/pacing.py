"""The client's own pace, kept below the tenant's limit of 100 requests in 10 seconds."""

from __future__ import annotations

import threading
import time

TENANT_LIMIT = 100
WINDOW = 10.0
MAX_BURST = 10

_pacers: dict[tuple[str, str, str], Pacer] = {}
_pacers_lock = threading.Lock()


class Pacer:
    """
    Spreads requests evenly, after a small burst, so that no window holds more than the limit.

    A client that sends its whole budget at once relies on every request taking equally long to arrive;
    evenly spread requests need not. In any window at most ``requests`` and the burst are sent, and the
    burst is never more than what ``requests`` leaves of the tenant's limit.

    :param requests: how many requests may be sent in a window
    :param window: seconds of a window
    """

    def __init__(self, requests: int, window: float = WINDOW) -> None:
        self.requests = requests
        self.window = window
        self._lock = threading.Lock()
        self._next = 0.0  # when the next request would be due, were all of them evenly spread
        self._held_until = 0.0

    @property
    def requests(self) -> int:
        """How many requests may be sent in a window; setting it takes effect with the next request."""
        return self._requests

    @requests.setter
    def requests(self, requests: int) -> None:
        self._requests = requests
        self._burst = max(1, min(MAX_BURST, TENANT_LIMIT - requests))

    def reserve(self, max_wait: float = float("inf")) -> float:
        """
        Take the next place.

        :param max_wait: seconds that the caller can wait
        :return: seconds to wait before sending; where that is more than ``max_wait``, no place was taken
        """
        interval = self.window / self._requests
        with self._lock:
            now = time.monotonic()
            due = max(self._next, now)
            wait = due - (self._burst - 1) * interval - now
            if wait <= max_wait:
                self._next = due + interval
        return max(wait, 0.0)

    def hold(self, seconds: float) -> None:
        """
        Let nobody send for some time, because the tenant said so.

        :param seconds: from now on
        """
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)
            spread = (self._burst - 1) * self.window / self._requests
            self._next = max(self._next, self._held_until + spread)

    def held(self) -> float:
        """Seconds for which nobody may send; for those who took their place before a :meth:`hold`."""
        with self._lock:
            return max(self._held_until - time.monotonic(), 0.0)


def shared_pacer(base_url: str, client_id: str, api_version: str, requests: int) -> Pacer:
    """
    The one pacer of this process for what SailPoint counts together.

    :param base_url: the tenant
    :param client_id: the OAuth client
    :param api_version: the API version
    :param requests: requests per 10 seconds; where clients differ, the last one's applies to all
    """
    key = (base_url, client_id, api_version)
    with _pacers_lock:
        pacer = _pacers.setdefault(key, Pacer(requests, WINDOW))
        pacer.requests = requests
        return pacer
