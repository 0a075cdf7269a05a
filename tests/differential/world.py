"""A tenant whose true history is known: each record is changed here and in the emulator at once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from airflow_provider_sptasks.emulator import Emulator


@dataclass(eq=False)
class Record:
    """What is true of a task."""

    id: str
    source: str
    kind: str
    created: datetime
    launched: datetime | None
    status: str | None = None
    completed: datetime | None = None
    is_hidden: bool = False
    is_removed: bool = False

    @property
    def started(self) -> datetime:
        return self.launched or self.created

    @property
    def is_queued(self) -> bool:
        return self.launched is None and self.status is None


@dataclass
class World:
    """
    The tenant in the hands of a history. Its clock stands still while the history doesn't advance it.

    :param emulator: an empty one
    :param rng: makes the ids, which decide between records of the same times
    :param sources: the sources' ids
    :param records: all tasks that there ever were
    """

    emulator: Emulator
    rng: random.Random
    sources: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    advanced: float = 0.0

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.emulator.clock.now(), UTC)

    @property
    def listed(self) -> list[Record]:
        return [each for each in self.records if not each.is_hidden and not each.is_removed]

    def of_source(self, source: str) -> list[Record]:
        return [each for each in self.listed if each.source == source]

    def id(self) -> str:
        return f"{self.rng.getrandbits(128):032x}"

    def add_source(self) -> str:
        source = self.emulator.add_source(name_of(len(self.sources)), self.id())
        self.sources.append(source.id)
        return source.id

    def add(
        self,
        source: str,
        kind: str = "accounts",
        *,
        created: datetime | None = None,
        launched: datetime | None = None,
        is_queued: bool = False,
        record_id: str | None = None,
    ) -> Record:
        """Add a record; created now by default, and launched when it was created."""
        created = milliseconds(created or self.now)
        launched = None if is_queued else milliseconds(launched or created)
        record = Record(record_id or self.id(), source, kind, created, launched)
        self.emulator.add_task(
            record.id,
            source=source,
            source_id=source,
            kind=kind,
            duration=None,
            fields={"created": spelled(created), "launched": spelled(launched)},
        )
        self.records.append(record)
        return record

    def launch_queued(self, record: Record, launched: datetime) -> None:
        record.launched = milliseconds(launched)
        self.emulator.override_task(record.id, launched=spelled(record.launched))

    def end(self, record: Record, status: str) -> None:
        record.status, record.completed = status, milliseconds(self.now)
        self.emulator.complete(record.id, status)

    def remove(self, record: Record) -> None:
        record.is_removed = True
        self.emulator.remove_task(record.id)

    def hide(self, record: Record, is_hidden: bool = True) -> None:
        record.is_hidden = is_hidden
        self.emulator.hide_task(record.id, is_hidden)

    def advance(self, seconds: float) -> None:
        self.advanced += seconds
        self.emulator.clock.advance(seconds)

    def clear(self) -> None:
        """Leave the tenant as it was found; tokens stay valid, and connections open."""
        self.emulator.on_request(None)
        self.emulator.clear_faults()
        self.emulator.reset_requests()
        with self.emulator.state.lock:
            self.emulator.state.tenant.clear()
        self.emulator.clock.advance(-self.advanced)


def name_of(number: int) -> str:
    return f"Source {number}"


def milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def ago(world: World, seconds: float) -> datetime:
    return world.now - timedelta(seconds=seconds)


def spelled(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
