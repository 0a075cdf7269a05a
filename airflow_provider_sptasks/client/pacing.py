"""The client's own pace, kept below the tenant's limit of 100 requests in 10 seconds."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from airflow_provider_sptasks.client.budget import TENANT_LIMIT, WINDOW, Budget, OwnBudget, State
from airflow_provider_sptasks.client.errors import NotSentError
from airflow_provider_sptasks.client.host_budget import HostBudget
from airflow_provider_sptasks.client.locks import fork_safe_lock
from airflow_provider_sptasks.client.redis_budget import BudgetServer, RedisBudget

MAX_BURST = 10
LANE_BURST = 2
# Requests that are no polls take their places at most this many seconds ahead: polls never queue behind more.
HORIZON_SECONDS = 2.0
# A lane leaves a part of the whole to the others, even if its own share is larger.
MAX_LANE_PART = 0.75
# A process among many tries a little more than what it got lately: it may get more by now.
CROWD_GROWTH = 1.25

_pacers: dict[tuple[str, str, str, BudgetServer | None], Pacer] = {}
_pacers_lock = fork_safe_lock()


class Pacer:
    """
    Spreads requests evenly, after a small burst, so that no window holds more than the limit.

    A client that sends its whole budget at once relies on every request taking equally long to arrive;
    evenly spread requests need not. In any window at most ``requests`` and the burst are sent, and the
    burst is never more than what ``requests`` leaves of the tenant's limit. After a 429 fewer are sent for
    some time, see ``client/budget.py``.

    :param requests: how many requests may be sent in a window
    :param window: seconds of a window
    :param budget: who keeps count; ``None`` for this process by itself
    """

    max_burst = MAX_BURST
    horizon = HORIZON_SECONDS
    """How many seconds ahead a place may be to be taken."""

    def __init__(self, requests: float, window: float = WINDOW, budget: Budget | None = None) -> None:
        self.requests = requests
        self.window = window
        self.budget = budget or OwnBudget()
        self._lanes: dict[float, Lane] = {}
        self._lock = fork_safe_lock()
        self._allowed = requests
        self._began_at = math.inf
        self._crowded_at = -math.inf
        self._taken_at: deque[float] = deque(maxlen=TENANT_LIMIT)

    @property
    def interval(self) -> float:
        """Seconds from one request to the next, by all who share the budget."""
        return self.window / min(self.requests, self._allowed)

    @property
    def per_second(self) -> float:
        """How many requests a second this process may expect to send, by what others left it lately."""
        now = time.monotonic()
        if now > self._crowded_at + self.window:
            return 1 / self.interval
        seconds = min(max(now - self._began_at, 1.0), self.window)
        lately = sum(at > now - self.window for at in tuple(self._taken_at))
        return min(1 / self.interval, CROWD_GROWTH * max(lately, 1) / seconds)

    def lane(self, share_of_limit: float) -> Lane:
        """
        Return the lane of some of the requests, such as all polls: the same one for the same share.

        :param share_of_limit: the part of SailPoint's limit that its requests may take up, above 0 to 1
        """
        with self._lock:
            if share_of_limit not in self._lanes:
                self._lanes[share_of_limit] = Lane(self, share_of_limit)
            return self._lanes[share_of_limit]

    def urgent(self) -> Pacer:
        """Return the pace of requests that can't wait but for a :meth:`hold`: the others wait for them."""
        return _Urgent(self)

    def wait_for_turn(
        self,
        what: str,
        deadline: float,
        sleep: Callable[[float], object],
        horizon: float | None = None,
    ) -> None:
        """
        Take a place as soon as it comes within the horizon, and wait until it has come.

        :param what: what is to be sent, for the error
        :param deadline: when the place must have come, by the monotonic clock
        :param sleep: waits for seconds
        :param horizon: how many seconds ahead a place may be to be taken; ``None`` for :attr:`horizon`
        :raises NotSentError: the place comes after the deadline
        """
        if horizon is None:
            horizon = self.horizon
        while True:
            wait = self.reserve(min(max(deadline - time.monotonic(), 0.0), horizon))
            # The clock is read again: who shares the budget may have let it wait.
            if wait > max(deadline - time.monotonic(), 0.0):
                raise NotSentError(_too_late(what, wait), retry_after=wait)
            if wait <= horizon:
                break
            # All who wait for one must not come at the same time.
            sleep(wait - horizon * random.uniform(0.5, 1))  # noqa: S311 - no secret
        while wait > 0:
            sleep(wait)
            wait = self.held()
            if wait > max(deadline - time.monotonic(), 0.0):
                raise NotSentError(_too_late(what, wait), retry_after=wait)

    def wait_in_whole(self, what: str, deadline: float, sleep: Callable[[float], object]) -> None:
        """
        Wait for a turn among all requests only, whether or not this is a lane.

        :param what: see :meth:`wait_for_turn`, as for all parameters
        :param deadline: when the place must have come
        :param sleep: waits for seconds
        :raises NotSentError: the place comes after the deadline
        """
        self.wait_for_turn(what, deadline, sleep)

    def reserve(self, max_wait: float = math.inf) -> float:
        """
        Take the next place.

        :param max_wait: seconds that the caller can wait
        :return: seconds to wait before sending; where that is more than ``max_wait``, no place was taken
        """
        return self.budget.update(partial(self._take, max_wait=max_wait))

    def _take(self, state: State, now: float, *, max_wait: float) -> float:
        self._allowed = state.allowed(self.window, now)
        requests = min(self.requests, self._allowed)
        wait = state.take(
            None,
            interval=self.window / requests,
            burst=max(1, min(self.max_burst, int(TENANT_LIMIT - self.requests), math.ceil(requests / 8))),
            max_wait=max_wait,
            window=self.window,
            now=now,
        )
        at = time.monotonic()
        self._began_at = min(self._began_at, at)
        if wait <= max_wait:
            self._taken_at.append(at)
        elif state.held_until <= now:
            self._crowded_at = at
        return wait

    def hold(self, seconds: float) -> None:
        """
        Let no request be sent for some time.

        :param seconds: from now on
        """
        self.budget.update(lambda state, now: state.hold(seconds, now))

    def refused(self, seconds: float) -> None:
        """
        Learn from a 429: let no request be sent for some time, and fewer after that.

        :param seconds: from now on
        """

        def change(state: State, now: float) -> None:
            state.learn(self.window, now)
            state.hold(seconds, now)

        self.budget.update(change)

    def held(self) -> float:
        """Return the seconds for which nothing may be sent; also for those that have a place already."""
        return self.budget.update(lambda state, now: max(state.held_until - now, 0.0))


class Lane(Pacer):
    """
    The pace of some of a pacer's requests: they are spread by themselves, and keep to the whole's pace too.

    A request takes its place in the lane first, and in the whole when its time in the lane has come: the
    lane's backlog waits in the lane, and takes no places from the others.

    :param parent: the pace of all requests
    :param share_of_limit: the part of SailPoint's limit, above 0 to 1
    """

    horizon = math.inf

    def __init__(self, parent: Pacer, share_of_limit: float) -> None:
        super().__init__(TENANT_LIMIT * share_of_limit, parent.window, parent.budget)
        self._parent = parent
        self._name = f"{share_of_limit:g}"

    def lane(self, share_of_limit: float) -> Lane:
        """Return a lane beside this one: shares are always of the whole limit."""
        return self._parent.lane(share_of_limit)

    def wait_for_turn(
        self,
        what: str,
        deadline: float,
        sleep: Callable[[float], object],
        horizon: float | None = None,
    ) -> None:
        """Wait for a place in the lane, and then for one in the whole."""
        super().wait_for_turn(what, deadline, sleep, horizon)
        self.wait_in_whole(what, deadline, sleep)

    def wait_in_whole(self, what: str, deadline: float, sleep: Callable[[float], object]) -> None:
        """Wait for a place in the whole, however far ahead it is: others must not always be quicker."""
        self._parent.wait_for_turn(what, deadline, sleep, math.inf)

    def _take(self, state: State, now: float, *, max_wait: float) -> float:
        self._allowed = MAX_LANE_PART * min(self._parent.requests, state.allowed(self.window, now))
        return state.take(
            self._name,
            interval=self.interval,
            burst=max(1, min(LANE_BURST, int(TENANT_LIMIT - self.requests))),
            max_wait=max_wait,
            window=self.window,
            now=now,
        )


class _Urgent(Pacer):
    """The pace of requests that can't wait; what they take, the parent's others don't get."""

    horizon = math.inf

    def __init__(self, parent: Pacer) -> None:
        super().__init__(parent.requests, parent.window, parent.budget)
        self._parent = parent

    def reserve(self, max_wait: float = math.inf) -> float:  # noqa: ARG002 - it takes a place anyway
        """Take a place, wherever it is; return the seconds for which nothing may be sent."""
        self._parent.reserve()
        return self.held()


def shared_pacer(
    base_url: str, client_id: str, api_version: str, requests: float, server: BudgetServer | None = None
) -> Pacer:
    """
    Return the one pacer for what SailPoint counts together, in all processes of this user on this host.

    :param base_url: the tenant
    :param client_id: the OAuth client
    :param api_version: the API version
    :param requests: requests per 10 seconds; where clients differ, the last one's applies to all
    :param server: where all hosts share the budget; ``None`` for this host by itself
    :raises ValueError: ``server`` is given, and the package for it is not installed
    """
    counted = (base_url, client_id, api_version)
    key = (*counted, server)
    with _pacers_lock:
        pacer = _pacers.get(key)
        if pacer is None:
            budget: Budget = HostBudget(*counted)
            if server is not None:
                budget = RedisBudget(server, *counted, otherwise=budget)
            pacer = _pacers[key] = Pacer(requests, WINDOW, budget)
        pacer.requests = requests
        return pacer


def _too_late(what: str, wait: float) -> str:
    return (
        f"{what} was not sent: the client's own pace allows it in {wait:.1f} s, "
        "which is after the call's deadline"
    )
