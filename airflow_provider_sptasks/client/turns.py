"""Waiting for a place within the pace."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

from airflow_provider_sptasks.client.errors import NotSentError
from airflow_provider_sptasks.client.pacing import Stage


def wait_for_turn(
    stages: Iterable[Stage], what: str, deadline: float, sleep: Callable[[float], object]
) -> None:
    """
    Take a place in each pace, one after the other, and wait until it has come.

    :param stages: the paces
    :param what: what is to be sent, for the error
    :param deadline: when it must have come, by the monotonic clock
    :param sleep: waits for seconds
    :raises NotSentError: it comes later than that
    """
    for stage in stages:
        wait = _take_place(stage, what, deadline, sleep)
        while wait > 0:
            sleep(wait)
            wait = _in_time(what, deadline, stage.pacer.held())


def _take_place(stage: Stage, what: str, deadline: float, sleep: Callable[[float], object]) -> float:
    """Take a place as soon as it comes within the stage's horizon; return the seconds until then."""
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        wait = _in_time(what, deadline, stage.pacer.reserve(min(left, stage.horizon)))
        if wait <= stage.horizon:
            return wait
        # All who wait for one must not come at the same time.
        sleep(wait - stage.horizon * random.uniform(0.5, 1))  # noqa: S311 - no secret


def _in_time(what: str, deadline: float, wait: float) -> float:
    if wait > max(deadline - time.monotonic(), 0.0):
        raise NotSentError(
            f"{what} was not sent: the client's own pace allows it in {wait:.1f} s, "
            "which is after the call's deadline",
            retry_after=wait,
        )
    return wait
