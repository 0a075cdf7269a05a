"""What a test does with the sources of the tenant, and what clients have done with them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from airflow_provider_sptasks.emulator.ids import stable_id
from airflow_provider_sptasks.emulator.schedules import Schedule
from airflow_provider_sptasks.emulator.sources import Source, new_plan
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.tasks import DURATION, OUTCOME, Task
from airflow_provider_sptasks.emulator.uploads import Upload


class SourceControls:
    """Adds sources and schedules; lists what clients have started and uploaded."""

    _state: State

    def add_source(
        self,
        name: str,
        id: str | None = None,  # noqa: A002 - the API's own name for it
        *,
        delimited_file: bool = False,
        duration: float | None = DURATION,
        outcome: str | Sequence[str] = OUTCOME,
        retry_after: float | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> Source:
        """
        Add a source. Sources that tasks and schedules name are there without it, as with the defaults below.

        While an aggregation of a source runs, of whichever kind, a client can't start another one: it gets a
        202 without a task.

        :param name: its name; several may have the same.
        :param id: by default the same for the same name.
        :param delimited_file: its accounts come from an uploaded CSV file.
        :param duration: how long an aggregation runs that a client starts, in seconds; ``None`` for one that
            never ends.
        :param outcome: its ``completionStatus`` in the end, any text; of several each start takes the next.
        :param retry_after: how many seconds after a ``TEMPERROR`` SailPoint launches it again, twice at most;
            never by default.
        :param fields: overrides of the source's JSON, as they are.
        :return: the source.
        """
        with self._state.lock:
            tenant = self._state.tenant
            source = Source(
                id=id or stable_id(name),
                name=name,
                created=tenant.clock.now(),
                delimited_file=delimited_file,
                plan=new_plan(duration, outcome, retry_after),
                fields=dict(fields or {}),
            )
            tenant.sources.add(source)
            return source

    def schedule(
        self,
        source: str,
        *,
        source_id: str | None = None,
        every: float,
        offset: float = 0.0,
        kind: str = "accounts",
        duration: float | None = DURATION,
        outcome: str | Sequence[str] = OUTCOME,
        retry_after: float | None = None,
    ) -> Schedule:
        """
        Launch aggregations of a source again and again, by the tenant's clock.

        When ``clock.advance()`` jumps over several launches, each task appears with its own times. A launch
        is left out while an aggregation of the same source and kind runs, and nothing makes up for it.
        Aggregations of different kinds of a source don't wait for each other here.

        :param source: the name of the source.
        :param source_id: its id, by default that of the source with this name.
        :param every: how many seconds lie between two launches.
        :param offset: when the first is launched, in seconds from now; negative for a past.
        :param kind: ``accounts``, ``entitlements`` or ``uncorrelated_accounts``.
        :param duration: how long each runs, in seconds; ``None`` for ones that never end.
        :param outcome: their ``completionStatus`` in the end, any text; of several each takes the next.
        :param retry_after: how many seconds after a ``TEMPERROR`` SailPoint launches it again, twice at most;
            never by default. The retry takes the next outcome.
        :return: the schedule.
        """
        with self._state.lock:
            tenant = self._state.tenant
            schedule = Schedule(
                id=uuid.uuid4().hex,
                source=source,
                source_id=source_id or tenant.sources.id_of(source),
                kind=kind,
                first=tenant.clock.now() + offset,
                every=every,
                plan=new_plan(duration, outcome, retry_after),
            )
            tenant.schedule(schedule)
            return schedule

    def clear_schedules(self) -> None:
        """Launch nothing any more, retries included; what was launched stays."""
        with self._state.lock:
            self._state.tenant.clear_schedules()

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources, those that tasks and schedules name too, in the order of their addition."""
        with self._state.lock:
            return tuple(self._state.tenant.sources.all())

    @property
    def started(self) -> tuple[Task, ...]:
        """The tasks that clients have started with a POST, oldest first, answered or not."""
        with self._state.lock:
            return tuple(self._state.tenant.started())

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """The files that clients have uploaded and the tenant didn't refuse, oldest first."""
        with self._state.lock:
            return tuple(self._state.tenant.uploads)
