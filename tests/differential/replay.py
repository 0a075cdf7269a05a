"""Plays a history, and compares after each of its steps what both modes make of the tenant."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from airflow_provider_sptasks.client.errors import ForbiddenError
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.triggers import _queue
from airflow_provider_sptasks.triggers._base import SensorTrigger
from airflow_provider_sptasks.triggers._poller import subscribe
from airflow_provider_sptasks.triggers._subscription import Subscription
from airflow_provider_sptasks.waiting.queries import TaskQuery
from tests.differential.histories import Shift, Steps
from tests.differential.modes import Sensor, poll_now
from tests.differential.oracle import WAITS, Verdict, verdicts
from tests.differential.world import World

CONN_ID = "sailpoint_default"
VERSIONS = ("v1", "beta")
MAX_SENSORS = 2


class DisagreementError(AssertionError):
    """The modes come to different verdicts, or to one that the rule doesn't allow."""


@dataclass
class Totals:
    """What was played and found."""

    histories: int = 0
    steps: int = 0
    comparisons: int = 0
    shifts: int = 0
    done: int = 0
    failed: int = 0


@dataclass
class History:
    """
    A history under way.

    :param seed: makes it
    :param emulator: an empty tenant
    :param hooks: what pokes ask with, by API version
    :param totals: counted up
    """

    seed: int
    emulator: Emulator
    hooks: dict[str, SailPointHook]
    totals: Totals
    _lines: list[str] = field(default_factory=list)
    _sensors: list[Sensor] = field(default_factory=list)
    _bystanders: list[Subscription] = field(default_factory=list)

    async def play(self) -> None:
        """
        Play it to its end.

        :raises DisagreementError: with all that has happened
        """
        random.seed(self.seed)  # the poller's own
        self._rng = random.Random(self.seed)
        self._version = VERSIONS[self.seed % len(VERSIONS)]
        self._hook = self.hooks[self._version]
        self._hook.client.reader.pending_list.pages = None
        with self.emulator.clock.stopped():
            self._world = World(self.emulator, self._rng)
            self._steps = Steps(self._world, self._version)
            async with AsyncExitStack() as self._stack:
                try:
                    await self._play()
                finally:
                    self._world.clear()
        self.totals.histories += 1

    async def _play(self) -> None:
        for _ in range(self._rng.randint(0, 9)):
            self._lines.append(self._steps.take())
        self.emulator.clear_faults()
        refusal_at = self._rng.randrange(40)
        for number in range(self._rng.randint(4, 8)):
            if number == refusal_at:
                await self._join_after_a_refusal()
            if number == 0 or (len(self._sensors) < MAX_SENSORS and self._rng.random() < 0.3):
                line, trigger = self._steps.sensor()
                self._join(line, trigger)
            await self._step()
        self._lines.append("the end")
        self._steps.finish()
        await self._compare()
        if self._sensors:
            raise self._disagreement(self._sensors[0], "it still waits, with no reason to", WAITS)

    def _join(self, line: str, trigger: SensorTrigger) -> None:
        self._lines.append(line)
        sensor = Sensor(trigger, self._hook)
        self._stack.push_async_callback(sensor.close)
        self._sensors.append(sensor)

    async def _join_after_a_refusal(self) -> None:
        """Let a subscription be refused, and a sensor come to the same task before that is closed."""
        record = self._world.add(self._world.sources[0])
        # The others are polled meanwhile, and may end by what is there now.
        await self._compare()
        subscription = self._stack.enter_context(await subscribe(CONN_ID, self._version, 3_600.0))
        self._bystanders.append(subscription)
        self.emulator.fail(403, path="*task-status*")
        with mock.patch.object(_queue, "REFUSAL_SECONDS", 0.0), suppress(ForbiddenError):
            subscription.watch([TaskQuery(record.id)])
            while True:
                await subscription.update()
        self.emulator.clear_faults()
        self._join(f"sensor of {record.id[:4]}, after a refusal", self._steps.sensor_of(record))

    async def _step(self) -> None:
        self.totals.steps += 1
        if self._rng.random() < 0.35:
            await self._shift()
        else:
            self._lines.append(self._steps.take())
            await self._compare()

    async def _shift(self) -> None:
        """Let something happen while a list is read: either what was before or what is after may be seen."""
        shift = self._steps.shift()
        before = [verdicts(sensor.wait, self._world) for sensor in self._sensors]
        self.emulator.on_request(lambda request: self._happen(shift, request))
        found = await self._both()
        self.emulator.on_request(None)
        after = [verdicts(sensor.wait, self._world) for sensor in self._sensors]
        self._lines.append(f"{shift.what} between two pages: {shift.has_happened}")
        self.totals.shifts += shift.has_happened
        for sensor, poked, deferred, *allowed in zip(self._sensors, *found, before, after, strict=True):
            if any(each is None for each in allowed):
                continue
            either: set[Verdict] = set().union(*(each for each in allowed if each is not None))
            for each in (poked, deferred):
                if each not in either:
                    raise self._disagreement(sensor, f"poke {poked}, deferred {deferred}", *either)
        self._sensors = [each for each in self._sensors if not each.is_over]
        await self._compare()

    @staticmethod
    def _happen(shift: Shift, request: Any) -> None:
        if not shift.has_happened and int(request.query.get("offset", "0")) > 0:
            shift.has_happened = True
            shift.happen()

    async def _compare(self) -> None:
        """Compare the modes with each other and with what is right."""
        for sensor, poked, deferred in zip(self._sensors, *(await self._both()), strict=True):
            allowed = verdicts(sensor.wait, self._world)
            self.totals.comparisons += 1
            is_open = allowed is not None and len(allowed) > 1
            if (poked != deferred and not is_open) or (allowed is not None and poked not in allowed):
                raise self._disagreement(sensor, f"poke {poked}, deferred {deferred}", *(allowed or ()))
            if allowed is not None and deferred not in allowed:
                raise self._disagreement(sensor, f"deferred {deferred}", *allowed)
            self.totals.done += deferred[0] == "done"
            self.totals.failed += deferred[0] not in ("done", "waits")
        self._sensors = [each for each in self._sensors if not each.is_over]

    async def _both(self) -> tuple[list[Verdict], list[Verdict]]:
        poke_first = self._rng.random() < 0.5
        poked = [sensor.poke() for sensor in self._sensors] if poke_first else []
        try:
            await poll_now(self._sensors, self._bystanders)
        except TimeoutError:
            raise self._disagreement(self._sensors[0], "something is never polled") from None
        if not poke_first:
            poked = [sensor.poke() for sensor in self._sensors]
        return poked, [sensor.deferred(self._world) for sensor in self._sensors]

    def _disagreement(self, sensor: Sensor, found: str, *allowed: Verdict) -> DisagreementError:
        history = "\n  ".join(self._lines)
        return DisagreementError(
            f"History {self.seed} ({self._version}): {found}; right is {allowed}\n{sensor}\n  {history}"
        )
