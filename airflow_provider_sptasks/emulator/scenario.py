"""Scenarios: what is in a tenant when it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from airflow_provider_sptasks.emulator.controls import Controls

_NUMBERED = frozenset({"id", "name", "source"})

Added = TypeVar("Added")


@dataclass(frozen=True, slots=True)
class Batch:
    """
    What one table of a scenario adds, ``count`` times.

    In ``id``, ``name`` and ``source``, ``{n}`` stands for the number of each, from 1 on.

    :param values: arguments of ``Emulator.add_task``, ``add_source`` or ``schedule``. What is not among them
        is as it is there by default.
    :param count: how many.
    :param every: of tasks, how many seconds earlier than the one before each is launched.
    """

    values: Mapping[str, object]
    count: int = 1
    every: float = 0.0

    def arguments(self) -> Iterator[dict[str, object]]:
        """Yield the arguments of each."""
        launched = self.values.get("launched", 0.0)
        for number in range(1, self.count + 1):
            each = dict(self.values)
            for key in _NUMBERED & each.keys():
                each[key] = str(each[key]).replace("{n}", str(number))
            if self.every and isinstance(launched, int | float):
                each["launched"] = launched - (number - 1) * self.every
            yield each

    def add(self, add: Callable[..., Added]) -> list[Added]:
        """
        Add each, and return what was added.

        :param add: ``Emulator.add_task``, ``add_source`` or ``schedule``, whichever they are for.
        """
        return [add(**arguments) for arguments in self.arguments()]


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    What is in a tenant when it starts.

    :param name: its name, or the path of its file.
    :param description: what it is good for.
    :param tasks: its tasks.
    :param sources: its sources, besides those that tasks and schedules name.
    :param schedules: its schedules.
    """

    name: str
    description: str
    tasks: tuple[Batch, ...] = ()
    sources: tuple[Batch, ...] = ()
    schedules: tuple[Batch, ...] = ()

    def fill(self, controls: Controls) -> None:
        """
        Put everything into a tenant; it begins now.

        :param controls: the tenant's.
        """
        with controls.clock.stopped():
            for batch in self.sources:
                batch.add(controls.add_source)
            for batch in self.tasks:
                batch.add(controls.add_task)
            for batch in self.schedules:
                batch.add(controls.schedule)
