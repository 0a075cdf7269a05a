"""What the tenant launches by itself: the schedules of sources, and retries."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from dataclasses import dataclass

from airflow_provider_sptasks.emulator.kinds import AGGREGATIONS
from airflow_provider_sptasks.emulator.sources import Plan
from airflow_provider_sptasks.emulator.tasks import Task

TRIES = 3
"""How often SailPoint tries an aggregation in all, where it retries."""
MAX_DUE = 100_000
"""How many aggregations of one schedule may be due at once."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    Aggregations of a source that SailPoint launches again and again.

    :param id: its id.
    :param source: the name of the source.
    :param source_id: the id of the source.
    :param kind: a key of ``KINDS``.
    :param first: when the first is launched, in seconds since 1970.
    :param every: how many seconds lie between two launches.
    :param plan: how the aggregations go.
    """

    id: str
    source: str
    source_id: str
    kind: str
    first: float
    every: float
    plan: Plan

    def __post_init__(self) -> None:
        if self.kind not in AGGREGATIONS:
            raise ValueError(f"kind: {self.kind!r} is none of {', '.join(AGGREGATIONS)}")
        if self.every <= 0:
            raise ValueError(f"every: {self.every!r} is not above 0")


@dataclass(frozen=True, slots=True)
class Launch:
    """
    An aggregation that is to be launched.

    :param at: when, in seconds since 1970.
    :param owner: the id of the schedule or of the source that decides how it goes.
    :param source: the name of the source.
    :param source_id: the id of the source.
    :param kind: a key of ``KINDS``.
    :param plan: how it goes.
    :param tries: which try it is, from 1 on.
    :param retried: the id of the task that it tries again, ``None`` for none.
    """

    at: float
    owner: str
    source: str
    source_id: str
    kind: str
    plan: Plan
    tries: int = 1
    retried: str | None = None


class Launches:
    """What is to be launched, and when."""

    def __init__(self) -> None:
        self._schedules: dict[str, Schedule] = {}
        self._due: list[tuple[float, int, Launch]] = []
        self._numbers = itertools.count()
        self._launched: Counter[str] = Counter()

    def add(self, schedule: Schedule) -> None:
        """
        Add a schedule.

        :param schedule: the schedule.
        """
        self._schedules[schedule.id] = schedule
        self._push(_launch(schedule, schedule.first))

    def retry(self, launch: Launch, task: Task) -> None:
        """
        Note that a task is tried again, if it is one that SailPoint retries.

        :param launch: how the task came to be.
        :param task: the task.
        """
        after = launch.plan.retry_after
        if after is None or task.duration is None or not is_temporary(task.outcome) or launch.tries >= TRIES:
            return
        self._push(
            Launch(
                at=task.launched + task.duration + after,
                owner=launch.owner,
                source=launch.source,
                source_id=launch.source_id,
                kind=launch.kind,
                plan=launch.plan,
                tries=launch.tries + 1,
                retried=task.id,
            )
        )

    def next(self, now: float) -> Launch | None:
        """
        Return what is due next, each launch once, in the order of their times; ``None`` when nothing is.

        :param now: the tenant's time.
        """
        if not self._due or self._due[0][0] > now:
            return None
        launch = heapq.heappop(self._due)[2]
        schedule = self._schedules.get(launch.owner)
        if schedule is not None and launch.retried is None:
            self._push(_launch(schedule, launch.at + schedule.every))
        return launch

    def check(self, until: float) -> None:
        """
        Refuse a time until which more aggregations are due than a test could want.

        :param until: the time, in seconds since 1970.
        """
        for at, _, launch in self._due:
            schedule = self._schedules.get(launch.owner)
            if schedule is not None and (until - at) / schedule.every > MAX_DUE:
                raise ValueError(f"{schedule.source}: more than {MAX_DUE} aggregations would be due")

    def outcome(self, launch: Launch) -> str:
        """
        Return the outcome of a task that is launched now, each in its turn.

        :param launch: the launch.
        """
        outcomes = launch.plan.outcomes
        self._launched[launch.owner] += 1
        return outcomes[(self._launched[launch.owner] - 1) % len(outcomes)]

    def schedules(self) -> list[Schedule]:
        """Return the schedules, in the order in which they were added."""
        return list(self._schedules.values())

    def clear(self) -> None:
        """Launch nothing any more, retries included."""
        self._schedules.clear()
        self._due.clear()
        self._launched.clear()

    def _push(self, launch: Launch) -> None:
        heapq.heappush(self._due, (launch.at, next(self._numbers), launch))


def is_temporary(status: str | None) -> bool:
    """
    Return whether a ``completionStatus`` is ``TEMPERROR``, in any of its spellings.

    :param status: the text.
    """
    return status is not None and status.replace("_", "").casefold() == "temperror"


def _launch(schedule: Schedule, at: float) -> Launch:
    return Launch(at, schedule.id, schedule.source, schedule.source_id, schedule.kind, schedule.plan)
