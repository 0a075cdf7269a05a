"""The two modes that must agree: a poke, and a trigger whose polls are made when a history says so."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.triggers import _poller
from airflow_provider_sptasks.triggers._base import SensorTrigger
from airflow_provider_sptasks.triggers._poller import Poller
from airflow_provider_sptasks.triggers._subscription import Subscription
from airflow_provider_sptasks.waiting import verdict as verdicts
from airflow_provider_sptasks.waiting.aggregations import AggregationWait
from airflow_provider_sptasks.waiting.driver import Driver
from airflow_provider_sptasks.waiting.errors import UnknownSourceError, UnknownTaskError
from airflow_provider_sptasks.waiting.events import answers_in, seen_event
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.tasks import TaskWait
from tests.differential.oracle import NOT_FOUND, WAITS, Verdict
from tests.differential.world import World

SETTLE_SECONDS = 20.0
MAX_FAILED_POLLS = 50

log = logging.getLogger("differential")
log.setLevel(logging.CRITICAL)
log.propagate = False


class Sensor:
    """
    A sensor that waits in both modes since the same moment.

    :param trigger: the deferred one
    :param hook: what the poke asks with
    """

    def __init__(self, trigger: SensorTrigger, hook: SailPointHook) -> None:
        wait = trigger._wait()
        assert isinstance(wait, AggregationWait | TaskWait)
        self.wait: AggregationWait | TaskWait = wait
        self._trigger = trigger
        self._hook = hook
        self._lasting: Any = {}
        self._task = asyncio.create_task(trigger._poll(wait, ProgressLogger(log)))

    def __str__(self) -> str:
        return repr(self.wait)

    @property
    def is_over(self) -> bool:
        """Whether the trigger has ended."""
        return self._task.done()

    def poke(self) -> Verdict:
        """
        Poll again, as another process in reschedule mode does.

        The ends of tasks that it has seen are kept, as in poke mode: an end is final.
        """
        driver = Driver(
            self._hook,
            self.wait,
            ProgressLogger(log),
            seconds_left=lambda: math.inf,
            sleep=lambda _: None,
            has_worked=True,
            defers=False,
        )
        driver.answers = dict(self._lasting)
        for _ in range(MAX_FAILED_POLLS):
            try:
                verdict = driver.poll()
            except (UnknownTaskError, UnknownSourceError):
                return NOT_FOUND
            if verdict is not None:
                if isinstance(self.wait, TaskWait):
                    self._lasting = driver.answers
                return _spelled(verdict)
        raise AssertionError(f"{MAX_FAILED_POLLS} polls failed, with faults that are few")

    def deferred(self, world: World) -> Verdict:
        """Say what the trigger has come to, and a worker by its event."""
        if not self._task.done():
            return WAITS
        try:
            ended = self._task.result()
        except (UnknownTaskError, UnknownSourceError):
            return NOT_FOUND
        assert ended is not None, "the connection leads to the same tenant all the time"
        _wait, verdict, answers = ended
        event = json.loads(json.dumps(seen_event(self.wait, answers)))
        on_worker = self.wait.judge(answers_in(event, self.wait), world.now)
        assert _spelled(on_worker) == _spelled(verdict), "the worker that is resumed must judge the same"
        return _spelled(verdict)

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError, UnknownTaskError, UnknownSourceError):
            await self._task


async def poll_now(sensors: Sequence[Sensor], bystanders: Sequence[Subscription]) -> None:
    """
    Make the poller ask for everything once more, and wait until every trigger has judged the answers.

    :param sensors: the sensors
    :param bystanders: subscriptions without a reader
    """
    since = asyncio.get_running_loop().time()
    async with asyncio.timeout(SETTLE_SECONDS):
        await _settle(sensors, bystanders, since)
        for poller in _pollers():
            for subscription in [each for each in poller._subscriptions if each not in bystanders]:
                subscription._pending()  # as at the time at which a verdict changes by itself
                subscription.wake()
        await _settle(sensors, bystanders, since)


async def _settle(sensors: Sequence[Sensor], bystanders: Sequence[Subscription], since: float) -> None:
    while True:
        waiting = sum(not sensor.is_over for sensor in sensors)
        subscribed = sum(len(poller._subscriptions) for poller in _pollers()) - len(bystanders)
        is_behind = [_is_behind(poller, bystanders, since) for poller in _pollers()]
        if waiting == subscribed and not any(is_behind):
            return
        await asyncio.sleep(0.0005)


def _pollers() -> list[Poller]:
    return list(_poller._pollers.get(asyncio.get_running_loop(), {}).values())


def _is_behind(poller: Poller, bystanders: Sequence[Subscription], since: float) -> bool:
    """Whether something is still to be asked or read; what isn't under way is made due."""
    is_behind = False
    for queue in poller._queues.values():
        for entry in list(queue.entries.values()):
            if entry.asked_at < since and any(each not in bystanders for each in entry.subscriptions):
                is_behind = True
                now = asyncio.get_running_loop().time()
                if now < entry.due < math.inf:
                    queue.push(entry, now)
                    poller._changed.set()
    return is_behind or any(_has_unread(each) for each in poller._subscriptions if each not in bystanders)


def _has_unread(subscription: Subscription) -> bool:
    is_idle = subscription._future is not None and not subscription._future.done()
    return subscription._update is not None or subscription._error is not None or not is_idle


def _spelled(verdict: verdicts.Verdict) -> Verdict:
    if verdict.is_done:
        return ("done", *(each.id for each in verdict.accepted))
    return ("failed", *(each.id for each in verdict.refused)) if verdict.refused else WAITS
