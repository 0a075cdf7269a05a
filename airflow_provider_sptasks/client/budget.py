"""The budget of requests to a tenant as plain numbers, how it is stored, and the one that a process keeps."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from airflow_provider_sptasks.client.locks import fork_safe_lock

T = TypeVar("T")

TENANT_LIMIT = 100
WINDOW = 10.0
# After a 429 this part of what was sent in the window before it goes on to be sent.
KEPT_AFTER_429 = 0.4
MIN_PER_WINDOW = 1.0
# No lesson counts less than this part of what was allowed.
LEAST_COUNTED = 0.25
# How long the pace takes to grow again, in windows. It grows with the square of itself: however many share a
# tenant, all of them together grow alike, and so slowly that they don't violate the limit three times in two
# minutes, for which SailPoint locks the client out.
REGROWTH_WINDOWS = 24.0
# No time that is stored is further ahead: SailPoint's longest ban takes 20 minutes, behind which places are
# taken.
MAX_AHEAD_SECONDS = 1_800.0
# Nothing that is stored is longer.
MAX_BYTES = 1024


@dataclass(slots=True)
class State:
    """
    What has been sent, and what the tenant has said. Times are in seconds, by the clock of its keeper.

    :param next: when the next request would be due, were all of them evenly spread
    :param held_until: nothing may be sent before
    :param lanes: as ``next``, for the requests of each lane by its name
    :param sent: how many requests were sent in the window that ended at ``sent_at``, about
    :param sent_at: when the last request was sent
    :param learnt: how many requests in a window the last 429 has left; ``None`` if there was none
    :param learnt_at: when that was
    """

    next: float = 0.0
    held_until: float = 0.0
    lanes: dict[str, float] = field(default_factory=dict)
    sent: float = 0.0
    sent_at: float = 0.0
    learnt: float | None = None
    learnt_at: float = 0.0

    def take(
        self, lane: str | None, *, interval: float, burst: int, max_wait: float, window: float, now: float
    ) -> float:
        """
        Take the next place.

        :param lane: the name of the lane; ``None`` for the whole
        :param interval: seconds between two requests
        :param burst: how many may be sent at once after a pause
        :param max_wait: no place is taken if it comes later than that many seconds from now
        :param window: seconds of a window
        :param now: the time
        :return: seconds until the place
        """
        spread = (burst - 1) * interval
        before = self.next if lane is None else self.lanes.get(lane, 0.0)
        due = max(before, now, self.held_until + spread)
        wait = max(due - spread - now, 0.0)
        if wait > max_wait:
            return wait
        if lane is None:
            self.next = due + interval
            self.sent = self._sent_lately(now + wait, window) + 1
            self.sent_at = now + wait
        else:
            self.lanes[lane] = due + interval
        return wait

    def hold(self, seconds: float, now: float) -> None:
        """
        Let nothing be sent for some time.

        :param seconds: from now on
        :param now: the time
        """
        self.held_until = max(self.held_until, now + seconds)

    def learn(self, window: float, now: float) -> None:
        """
        Send less after a 429: others send to the same tenant, too.

        :param window: seconds of a window
        :param now: the time
        """
        if self.learnt is not None and now < self.learnt_at + window:
            return  # all refusals of a window are one lesson
        allowed = min(self.allowed(window, now), TENANT_LIMIT)
        # Who has sent little lately, since there was little to do, doesn't learn from that.
        sent = max(self._sent_lately(now, window), allowed * LEAST_COUNTED)
        self.learnt = max(MIN_PER_WINDOW, KEPT_AFTER_429 * min(allowed, sent))
        self.learnt_at = now

    def allowed(self, window: float, now: float) -> float:
        """
        Say how many requests may be sent in a window by what 429s have taught.

        :param window: seconds of a window
        :param now: the time
        """
        if self.learnt is None:
            return math.inf
        grown = max(now - max(self.learnt_at, self.held_until), 0.0) / (
            REGROWTH_WINDOWS * window * TENANT_LIMIT
        )
        rest = 1 / self.learnt - grown
        return 1 / rest if rest > 0 else math.inf

    def _sent_lately(self, now: float, window: float) -> float:
        return self.sent * math.exp(-max(now - self.sent_at, 0.0) / window)


def stored(state: State, now: float, clock: str = "") -> bytes:
    """
    Return what makes the same state again.

    :param state: the state
    :param now: the time
    :param clock: what tells its keeper's clock from one that counts from another start
    :raises OSError: it is too long
    """
    values = {name: getattr(state, name) for name in state.__slots__} | {"at": now, "clock": clock}
    content = json.dumps(values).encode()
    if len(content) > MAX_BYTES:
        raise OSError(f"{len(content)} bytes are too many for it")
    return content


def restored(content: bytes, now: float, clock: str = "") -> State:
    """
    Make a state of what was stored, whatever that is: nothing in it lets anyone wait for ever.

    If the clock was set back since then, the times are moved along with it.

    :param content: what :func:`stored` returned; empty if there is none
    :param now: the time
    :param clock: as for :func:`stored`; by another clock it means nothing, and the state is a new one
    """
    if not content:
        return State()
    try:
        if len(content) > MAX_BYTES:
            raise ValueError
        values = json.loads(content)
        if values["clock"] != clock:
            return State()
        lanes, learnt = values["lanes"], values["learnt"]
        numbers = [
            values["at"],
            values["sent"],
            MIN_PER_WINDOW if learnt is None else learnt,
            values["next"],
            values["held_until"],
            values["sent_at"],
            values["learnt_at"],
            *lanes.values(),
        ]
        for each in numbers:
            if type(each) not in (int, float) or not 0 <= each < math.inf:
                raise ValueError
        at, sent, learnt_number, *times = map(float, numbers)
        back = max(at - now, 0.0)
        if max(times) > now + back + MAX_AHEAD_SECONDS or learnt_number < MIN_PER_WINDOW:
            raise ValueError
        due, held_until, sent_at, learnt_at, *lane_times = [max(time - back, 0.0) for time in times]
        return State(
            next=due,
            held_until=held_until,
            # What has passed means nothing, and would pile up.
            lanes={name: time for name, time in zip(lanes, lane_times, strict=True) if time > now},
            sent=sent,
            sent_at=sent_at,
            learnt=None if learnt is None else learnt_number,
            learnt_at=learnt_at,
        )
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        # What was sent lately is not known any more: nothing is sent for as long as it may count.
        return State(held_until=now + WINDOW)


class Budget(Protocol):
    """Who keeps a state, for one process or for several."""

    def update(self, change: Callable[[State, float], T]) -> T:
        """
        Change the state, while no other thread or process changes it.

        :param change: gets the state and the time; it may be called again, with a newer state
        :return: what ``change`` returns
        """


class OwnBudget:
    """
    The budget of one process. Safe to share between threads.

    :param clock: returns seconds, monotonic
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._lock = fork_safe_lock()
        self._state = State()

    def update(self, change: Callable[[State, float], T]) -> T:
        """Change the state, while no other thread changes it."""
        with self._lock:
            return change(self._state, time.monotonic() if self._clock is None else self._clock())
