"""Logs in a task's log what is awaited and how far it is, without flooding it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_sptasks.client.durations import Aggregated, aggregated_by
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.waiting.verdict import outcome, title

# A tenth of the work is worth a line; otherwise one each minute, then each two, up to each quarter of an
# hour.
PERCENT_STEP = 10
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 900.0


@dataclass(slots=True)
class _Logged:
    line: str
    percent: int
    at: float
    pause: float = FIRST_PAUSE_SECONDS


@dataclass(slots=True)
class ProgressLogger:
    """
    Logs what is awaited once, each task's progress now and then, its end, and outages when they begin and
    end.

    :param log: the log
    :param clock: the monotonic clock, in seconds
    :param usual: how long aggregations usually take, as far as it is known
    """

    log: Any
    clock: Callable[[], float] = time.monotonic
    usual: Mapping[Aggregated, timedelta] = field(default_factory=dict)
    _logged: dict[str, _Logged] = field(default_factory=dict)
    _notes: frozenset[str] = frozenset()
    _begun: bool = False
    _is_out: bool = False

    def begin(self, awaited: str) -> None:
        """
        Log what is awaited, once.

        :param awaited: for a person
        """
        if not self._begun:
            self.log.info("Waiting for the completion of %s", awaited)
        self._begun = True

    def outage(self, error: Exception) -> None:
        """
        Log that polling fails, when that begins.

        :param error: why
        """
        if not self._is_out:
            self.log.warning("Polling fails, trying again: %s", error)
        self._is_out = True

    def works(self) -> None:
        """Log that polling works again, when an outage ends."""
        if self._is_out:
            self.log.info("Polling works again")
        self._is_out = False

    def polled(self, statuses: Iterable[TaskStatus], notes: Sequence[str] = ()) -> None:
        """
        Log what is new after a poll that has answered everything.

        :param statuses: the tasks that were seen
        :param notes: what else a person should know, each said once
        """
        self.works()
        self.answered(statuses, notes)

    def answered(self, statuses: Iterable[TaskStatus], notes: Sequence[str] = ()) -> None:
        """
        Log what is new, while something else may not be answered.

        :param statuses: the tasks that were seen
        :param notes: what else a person should know, each said once
        """
        seen = set()
        for status in statuses:
            seen.add(status.id)
            self._status(status)
        for gone in [
            each for each, logged in self._logged.items() if each not in seen and logged.percent <= 100
        ]:
            self.log.info(
                "%s: gone from SailPoint's list, or a newer one decides (task %s)",
                self._logged.pop(gone).line,
                gone,
            )
        for note in notes:
            if note not in self._notes:
                self._notes |= {note}
                self.log.info("%s", note)

    def _status(self, status: TaskStatus) -> None:
        line, percent = _line(status), 101 if status.is_complete else status.percent_complete or 0
        logged = self._logged.get(status.id)
        if logged is None:
            self._logged[status.id] = _Logged(line, percent, self.clock())
        elif logged.line == line:
            return
        else:
            waited = self.clock() - logged.at
            if not status.is_complete and percent - logged.percent < PERCENT_STEP and waited < logged.pause:
                return
            pause = min(logged.pause * 2, LONGEST_PAUSE_SECONDS) if waited >= logged.pause else logged.pause
            self._logged[status.id] = _Logged(line, percent, self.clock(), pause)
        self.log.info("%s%s (task %s)", line, self._estimate(status), status.id)

    def _estimate(self, status: TaskStatus) -> str:
        """Say how long it usually takes, and how long it will take yet; nothing where that isn't known."""
        what, started = aggregated_by(status), status.launched or status.created
        usual = None if what is None else self.usual.get(what)
        if usual is None or started is None or status.is_complete:
            return ""
        left = usual - (datetime.now(UTC) - started)
        more = f"about {rounded(left)} left" if left > timedelta(0) else f"{rounded(-left)} longer by now"
        return f", usually {rounded(usual)}, {more}"


def rounded(length: timedelta) -> str:
    """
    Say for a person how long something takes: in seconds, minutes, hours or days.

    :param length: how long
    """
    seconds = max(1, round(length.total_seconds()))
    if seconds < 100:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} days"


def _line(status: TaskStatus) -> str:
    if status.is_complete:
        counters = ", ".join(f"{name} {value}" for name, value in status.counters.items())
        return f"{outcome(status)}: {counters}" if counters else outcome(status)
    percent = "" if status.percent_complete is None else f" ({status.percent_complete} %)"
    return f"{title(status)}: {status.progress or 'pending'}{percent}"
