"""When to try again, and after how long."""

from __future__ import annotations

import inspect
import logging
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_base, wait_random, wait_random_exponential

from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.stopping import StopFlag

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """
    How long and how often a call is tried.

    :param deadline: seconds after the call's start by which the last attempt must begin; 0 for one at once
    :param min_answer_seconds: how long an answer may take however near the deadline is; never longer than the
        connection's ``timeout``
    :param strict: whether nothing at all is sent after the deadline; otherwise the first attempt is, however
        long it had to wait for a token
    :param max_attempts: maximum number of attempts; ``None`` for as many as the deadline allows
    :param wait: how long to wait before the next attempt; an answer can only ask for longer
    :param sleep: how to wait; the seconds are its only argument
    :param stop: what stops its calls; ``None`` for nothing
    """

    deadline: float = 300.0
    min_answer_seconds: float = 0.0
    strict: bool = False
    max_attempts: int | None = None
    wait: wait_base = field(default_factory=lambda: wait_random_exponential(multiplier=0.5, min=0.2, max=10))
    sleep: Callable[[float], None] = time.sleep
    stop: StopFlag | None = None

    def stopped_by(self, stop: StopFlag) -> RetryPolicy:
        """
        Return the same policy, whose calls neither wait nor send anything after a stop.

        :param stop: what stops them
        """
        return replace(self, sleep=stop.sleep, stop=stop)

    def check(self) -> None:
        """
        Go on, unless its calls are to stop.

        :raises StoppedError: they are
        """
        if self.stop is not None:
            self.stop.check()

    def call(self, attempt: Callable[[], T], what: str) -> T:
        """
        Run ``attempt`` until it succeeds, fails for good, or the deadline is near.

        :param attempt: one try
        :param what: what is tried, for the log
        :return: what ``attempt`` returned
        :raises SailPointError: the last attempt's error
        :raises StoppedError: the calls were stopped
        """
        self.check()
        stop = stop_before_delay(self.deadline)
        retrying = Retrying(
            retry=retry_if_exception(_is_retryable),
            wait=partial(_at_least_as_asked, self.wait),
            stop=stop if self.max_attempts is None else stop | stop_after_attempt(self.max_attempts),
            sleep=self.sleep,
            before_sleep=lambda state: _prepare_retry(state, what),
            reraise=True,
        )
        try:
            return retrying(attempt)
        except Exception as error:
            _clear_frames(error)
            raise


def _at_least_as_asked(own: wait_base, state: RetryCallState) -> float:
    """Wait as ``own``, or as ``Retry-After`` asks if that is longer, and a little more to spread a herd."""
    seconds = own(state)
    error = state.outcome and state.outcome.exception()
    if isinstance(error, SailPointError) and error.retry_after is not None:
        return max(seconds, error.retry_after) + wait_random(0, 1)(state)
    return seconds


def _clear_frames(error: BaseException | None) -> None:
    """
    Leave an error its traceback, but not what is in the frames of it.

    That holds whole answers, and tokens, and would stay in memory until the next garbage collection.
    """
    waiting = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            for frame, _ in traceback.walk_tb(each.__traceback__):
                # An error that several threads share has passed coroutines, which clearing would close.
                if not frame.f_code.co_flags & inspect.CO_COROUTINE:
                    with suppress(RuntimeError):  # it still runs
                        frame.clear()
            waiting += [each.__cause__, each.__context__]


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, SailPointError) and error.retryable


def _prepare_retry(state: RetryCallState, what: str) -> None:
    error = state.outcome.exception() if state.outcome else None
    _clear_frames(error)
    log.warning(
        "%s failed (attempt %d), trying again in %.1f s: %s",
        what,
        state.attempt_number,
        state.upcoming_sleep,
        error,
    )
