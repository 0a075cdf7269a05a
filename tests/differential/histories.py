"""Random histories of a tenant: what its sources launch and how that ends, and what the network does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow_provider_sptasks.triggers._base import SensorTrigger
from airflow_provider_sptasks.triggers.sailpoint import SailPointAggregationTrigger, SailPointTaskTrigger
from tests.differential.world import Record, World, ago, name_of

KINDS = ("accounts", "accounts", "accounts", "entitlements", "account_deletion")
STATUSES = ("SUCCESS", "SUCCESS", "SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR")
ACCEPTED = (("SUCCESS", "WARNING"), ("SUCCESS", "WARNING"), ("SUCCESS",), None)
FAR = datetime(2099, 1, 1, tzinfo=UTC)
# No sum of the times that pass: whether it is over never hangs on a millisecond.
RETRY_GRACE, NOT_FOUND_GRACE = 907.3, 123.4
PASSING = (1.0, 20.0, 60.0, 240.0, 600.0, 1_000.0, 3_600.0)
RETRY_AFTER = ("0", "-5", "soon", "", "nan", "0.001", "Thu, 01 Jan 1970 00:00:00 GMT")
FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 503},
    {"status": 408},
    {"status": 502, "kind": "html"},
    {"status": 403, "kind": "html"},
    {"status": 503, "kind": "empty"},
    {"status": 200, "kind": "html"},
    {"kind": "drop"},
    {"kind": "truncate"},
)


@dataclass
class Shift:
    """What happens in the tenant while the second page of a list is read."""

    what: str
    happen: Callable[[], object]
    has_happened: bool = False


class Steps:
    """
    Makes a history step by step.

    :param world: the tenant
    :param api_version: of the sensors
    """

    def __init__(self, world: World, api_version: str) -> None:
        self._world = world
        self._rng = world.rng
        self._api_version = api_version
        self._awaited: set[str] = set()
        for _ in range(self._rng.randint(1, 4)):
            world.add_source()
        self._filler = world.add_source()
        world.sources.remove(self._filler)
        for _ in range(self._rng.choice((0, 4, 5, 5))):
            world.add(self._filler)
        self._choices: dict[Callable[[], str], int] = {
            self.launch: 5,
            self.queue: 2,
            self.start_queued: 3,
            self.end: 7,
            self.appear_late: 2,
            self.burst: 1,
            self.vanish: 2,
            self.hide: 2,
            self.show: 2,
            self.fail: 3,
        }

    def take(self) -> str:
        """Let something happen, and some time pass; say what."""
        step = self._rng.choices(list(self._choices), list(self._choices.values()))[0]
        done = step()
        if self._rng.random() < 0.6:
            seconds = self._rng.choice(PASSING)
            self._world.advance(seconds)
            done += f", {seconds:.0f} s pass"
        return done

    def launch(self) -> str:
        now = self._world.now
        created, launched = self._rng.choice(
            (
                (now, now),
                (now, now),
                (now, now - timedelta(milliseconds=1)),  # SailPoint was seen to do that
                (ago(self._world, 2.0), now),
                (ago(self._world, 240.0), now),
                (ago(self._world, 1_200.0), now),
                (FAR, now),
            )
        )
        record = self._world.add(self._source(), self._kind(), created=created, launched=launched)
        return f"launch {_named(record)}"

    def queue(self) -> str:
        created = self._rng.choice((self._world.now, ago(self._world, 60.0), ago(self._world, 7_200.0), FAR))
        record = self._world.add(self._source(), self._kind(), created=created, is_queued=True)
        return f"queue {_named(record)}"

    def start_queued(self) -> str:
        queued = [each for each in self._world.listed if each.is_queued]
        if not queued:
            return self.queue()
        record = self._rng.choice(queued)
        soon = min(self._world.now, record.created + timedelta(seconds=self._rng.choice((-2.0, 0.0, 240.0))))
        self._world.launch_queued(record, self._rng.choice((soon, soon, soon, self._world.now)))
        return f"launch what was queued {_named(record)}"

    def end(self) -> str:
        running = [each for each in self._running() if each.source != self._filler]
        if not running:
            return self.launch()
        record = self._rng.choice(running)
        if record.started > self._world.now:
            # Or it would be the newest one till 2099, and if that is no success, there is a reason to wait.
            self._world.launch_queued(record, self._world.now)
        self._world.end(record, self._rng.choice(STATUSES))
        if record.status == "TEMPERROR" and self._rng.random() < 0.5:
            retry = self._world.add(record.source, record.kind)
            return f"end {_named(record)}, retried as {_named(retry)}"
        return f"end {_named(record)}"

    def appear_late(self) -> str:
        began = ago(self._world, self._rng.choice((10.0, 300.0, 1_500.0)))
        record = self._world.add(self._source(), self._kind(), created=began)
        if self._rng.random() < 0.6:
            self._world.end(record, self._rng.choice(STATUSES))
        return f"appears late {_named(record)}"

    def burst(self) -> str:
        source, kind = self._source(), self._rng.choice(("account_deletion", "entitlements"))
        number = self._rng.randint(3, 7)
        for _ in range(number):
            record = self._world.add(source, kind)
            if self._rng.random() < 0.7:
                self._world.end(record, "SUCCESS")
        return f"{number} x {kind} of {source[:4]}"

    def vanish(self) -> str:
        record = self._any(self._removable())
        if record is None:
            return self.launch()
        self._world.remove(record)
        return f"remove {_named(record)}"

    def hide(self) -> str:
        record = self._any(self._world.listed)
        if record is None:
            return self.launch()
        self._world.hide(record)
        return f"hide {_named(record)}"

    def show(self) -> str:
        hidden = self._any([each for each in self._world.records if each.is_hidden and not each.is_removed])
        if hidden is None:
            return self.end()
        self._world.hide(hidden, False)
        return f"show {_named(hidden)}"

    def fail(self) -> str:
        fault = dict(self._rng.choice(FAULTS))
        if self._rng.random() < 0.3:
            fault = {"status": 429, "headers": {"Retry-After": self._rng.choice(RETRY_AFTER)}}
        times = self._rng.randint(1, 4)
        self._world.emulator.fail(**fault, times=times)
        return f"{times} x fault {fault}, {self.end()}"

    def shift(self) -> Shift:
        """Choose what happens while the second page of a list is read, once one is."""
        world = self._world
        fillers = [each for each in self._running() if each.source == self._filler]
        running = [each for each in self._running() if each.source != self._filler]
        choices: list[tuple[str, Callable[[], object]]] = [
            ("a record is added", partial(world.add, self._source(), self._kind())),
        ]
        for number in range(1, min(len(fillers), 3) + 1):
            choices += [
                (f"{number} fillers end", partial(self._each, fillers[:number], self._succeed)),
                (f"{number} fillers go", partial(self._each, fillers[:number], world.remove)),
            ]
        for record in running[:1]:
            status = self._rng.choice(STATUSES)
            if record.started <= world.now:
                choices.append((f"end {_named(record)}", partial(world.end, record, status)))
        return Shift(*self._rng.choice(choices))

    def finish(self) -> None:
        """End the history so that no wait has a reason to go on."""
        world = self._world
        world.emulator.clear_faults()
        for record in world.records:
            if record.is_hidden and not record.is_removed:
                world.hide(record, False)
        world.advance(3_600.0)
        for record in self._running():
            if record.id in self._awaited:
                world.launch_queued(record, min(record.started, world.now))
                world.end(record, "SUCCESS")
        for source in world.sources:
            for kind in ("accounts", "entitlements"):
                world.end(world.add(source, kind), "SUCCESS")

    def sensor(self) -> tuple[str, SensorTrigger]:
        """Make the trigger of a random sensor, which waits from now on."""
        known = [each for each in self._world.records if not each.is_removed and each.source != self._filler]
        return self._by_task(known) if known and self._rng.random() < 0.25 else self._by_source()

    def sensor_of(self, record: Record) -> SensorTrigger:
        """Make the trigger of a sensor of one task, which waits from now on."""
        self._awaited.add(record.id)
        return SailPointTaskTrigger(task_status_id=record.id, **self._common())

    def _by_task(self, known: list[Record]) -> tuple[str, SensorTrigger]:
        chosen = self._rng.sample(known, min(len(known), self._rng.choice((1, 1, 2, 3))))
        self._awaited.update(each.id for each in chosen)
        ids = [self._rng.choice((each.id, each.id, each.id.upper())) for each in chosen]
        if self._rng.random() < 0.1:
            ids.append(self._world.id())
        trigger = SailPointTaskTrigger(
            task_status_id=ids[0] if len(ids) == 1 else ids,
            accepted_statuses=self._rng.choice(ACCEPTED),
            not_found_grace=NOT_FOUND_GRACE,
            **self._common(),
        )
        return f"sensor of tasks {[each[:4] for each in ids]}", trigger

    def _by_source(self) -> tuple[str, SensorTrigger]:
        sources = self._rng.sample(
            self._world.sources, self._rng.randint(1, min(3, len(self._world.sources)))
        )
        if self._rng.random() < 0.04:
            sources.append(self._world.id())
        names = [name_of(self._world.sources.index(each)) for each in sources if each in self._world.sources]
        given: dict[str, Any] = (
            {"source_name": names} if self._rng.random() < 0.15 else {"source_id": sources}
        )
        kind = self._rng.choice(("accounts", "accounts", "entitlements", "any"))
        after = self._rng.choice((7_200.0, 7_200.0, 7_200.0, 600.0, 60.0, 0.0, -300.0))
        if_failed = self._rng.choice(("fail", "wait_for_next"))
        trigger = SailPointAggregationTrigger(
            **given,
            kind=kind,
            launched_after=ago(self._world, after).isoformat(),
            accepted_statuses=self._rng.choice(ACCEPTED),
            if_failed=if_failed,
            retry_grace=RETRY_GRACE,
            **self._common(),
        )
        return (
            f"sensor of {kind} of {[each[:4] for each in sources]} since {after:.0f} s, {if_failed}",
            trigger,
        )

    def _common(self) -> dict[str, Any]:
        return {
            "waiting_since": self._world.now.isoformat(),
            "api_version": self._api_version,
            "poke_interval": 3_600.0,
        }

    def _source(self) -> str:
        return self._rng.choice(self._world.sources)

    def _kind(self) -> str:
        return self._rng.choice(KINDS)

    def _running(self) -> list[Record]:
        return [each for each in self._world.records if each.status is None and not each.is_removed]

    def _removable(self) -> list[Record]:
        # The end of a task that is awaited is final, whether it was seen or not: not so its removal.
        return [each for each in self._world.listed if each.status is None or each.id not in self._awaited]

    def _succeed(self, record: Record) -> None:
        self._world.end(record, "SUCCESS")

    @staticmethod
    def _each(records: list[Record], change: Callable[[Record], object]) -> None:
        for record in records:
            change(record)

    def _any(self, records: list[Record]) -> Record | None:
        return self._rng.choice(records) if records else None


def _named(record: Record) -> str:
    return f"{record.id[:4]} ({record.kind} of {record.source[:4]}, {record.status})"
