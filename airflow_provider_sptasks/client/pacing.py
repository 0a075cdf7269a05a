"""The client's own pace, kept below the tenant's limit of 100 requests in 10 seconds."""

from __future__ import annotations

import time

from airflow_provider_sptasks.client.locks import fork_safe_lock

TENANT_LIMIT = 100
WINDOW = 10.0
MAX_BURST = 10
LANE_BURST = 2

_pacers: dict[tuple[str, str, str], Pacer] = {}
_pacers_lock = fork_safe_lock()


class Pacer:
    """
    Spreads requests evenly, after a small burst, so that no window holds more than the limit.

    A client that sends its whole budget at once relies on every request taking equally long to arrive;
    evenly spread requests need not. In any window at most ``requests`` and the burst are sent, and the
    burst is never more than what ``requests`` leaves of the tenant's limit.

    :param requests: how many requests may be sent in a window
    :param window: seconds of a window
    """

    max_burst = MAX_BURST

    def __init__(self, requests: float, window: float = WINDOW) -> None:
        self.requests = requests
        self.window = window
        self._lanes: dict[float, Lane] = {}
        self._lock = fork_safe_lock()
        self._next = 0.0  # when the next request would be due, were all of them evenly spread
        self._held_until = 0.0

    @property
    def requests(self) -> float:
        """How many requests may be sent in a window; setting it takes effect with the next request."""
        return self._requests

    @requests.setter
    def requests(self, requests: float) -> None:
        self._requests = requests
        self._burst = max(1, min(self.max_burst, int(TENANT_LIMIT - requests)))

    @property
    def stages(self) -> tuple[Pacer, ...]:
        """The paces in which a request takes a place, one after the other, each when its time has come."""
        return (self,)

    def lane(self, share_of_limit: float) -> Lane:
        """
        Return the lane of some of the requests, such as all polls: the same one for the same share.

        :param share_of_limit: the part of SailPoint's limit that its requests may take up, above 0 to 1
        """
        with self._lock:
            if share_of_limit not in self._lanes:
                self._lanes[share_of_limit] = Lane(self, share_of_limit)
            return self._lanes[share_of_limit]

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
        Let no request be sent for some time, because the tenant said so.

        :param seconds: from now on
        """
        self._postpone(seconds)
        for lane in self._all_lanes():
            lane._postpone(seconds)

    def _all_lanes(self) -> list[Lane]:
        with self._lock:
            return list(self._lanes.values())

    def _postpone(self, seconds: float) -> None:
        """Let the next place be after some time, from which on the requests are evenly spread."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)
            spread = (self._burst - 1) * self.window / self._requests
            self._next = max(self._next, self._held_until + spread)

    def held(self) -> float:
        """Return how many seconds nothing may be sent for, even by a request that has its place."""
        with self._lock:
            return max(self._held_until - time.monotonic(), 0.0)


class Lane(Pacer):
    """
    The pace of some of a pacer's requests: they are spread by themselves, and keep to the whole's pace too.

    A request takes its place in the lane first, and in the whole when its time in the lane has come: the
    lane's backlog waits in the lane, and takes no places from the others.

    :param parent: the pace of all requests
    :param share_of_limit: the part of SailPoint's limit, above 0 to 1
    """

    max_burst = LANE_BURST

    def __init__(self, parent: Pacer, share_of_limit: float) -> None:
        super().__init__(TENANT_LIMIT * share_of_limit, parent.window)
        self._parent = parent

    @property
    def stages(self) -> tuple[Pacer, ...]:
        """The lane, then the whole."""
        return (self, *self._parent.stages)

    def lane(self, share_of_limit: float) -> Lane:
        """Return a lane beside this one: shares are always of the whole limit."""
        return self._parent.lane(share_of_limit)

    def hold(self, seconds: float) -> None:
        """Let no request be sent for some time, in this lane or beside it."""
        self._parent.hold(seconds)

    def held(self) -> float:
        """Seconds for which nothing may be sent."""
        return self._parent.held()


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
