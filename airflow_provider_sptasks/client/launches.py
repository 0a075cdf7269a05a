"""Which tasks their sources launched since an instant of each source's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import TaskStatus

# Lists are sorted by "created", and a task may wait this long before it is launched.
QUEUED = timedelta(minutes=5)

_NEVER = datetime.min.replace(tzinfo=UTC)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Launches:
    """
    Collects the tasks of sources, and picks those that were launched late enough.

    Ids of sources compare without case. Instants count to the millisecond, as SailPoint's do.

    :param since: sources' ids, each with the instant from which on its tasks are wanted
    :raises ValueError: an id can't be one, or an instant has no time zone
    """

    def __init__(self, since: Mapping[str, datetime]) -> None:
        self._since = {source_id: _checked(source_id, instant) for source_id, instant in since.items()}
        self._given: dict[str, list[str]] = {}
        self._earliest: dict[str, datetime] = {}
        for given, instant in self._since.items():
            folded = check_id(given, "source_id").casefold()
            self._given.setdefault(folded, []).append(given)
            self._earliest[folded] = min(instant, self._earliest.get(folded, instant))
        self._tasks: dict[str, TaskStatus] = {}

    @property
    def source_ids(self) -> Sequence[str]:
        """Each source's id once; those of which the least is wanted come first."""
        newest_first = sorted(self._earliest, key=self._earliest.__getitem__, reverse=True)
        return [self._given[folded][0].strip() for folded in newest_first]

    def add(self, tasks: Iterable[TaskStatus]) -> None:
        """
        Take tasks in as they were read; of a task that was read more than once, the last state counts.

        :param tasks: tasks of any source
        """
        self._tasks.update((task.id, task) for task in tasks if _source(task) in self._given)

    def unfinished(self, source_ids: Sequence[str], page: Sequence[TaskStatus]) -> Sequence[str]:
        """
        Tell which sources may have more tasks that are wanted.

        :param source_ids: the sources that were asked for
        :param page: the last page that was read, newest first
        """
        reached = next((task.created for task in reversed(page) if task.created), None)
        if reached is None:
            return source_ids
        return [each for each in source_ids if self._earliest[each.casefold()] - QUEUED <= reached]

    def by_source(self) -> dict[str, tuple[TaskStatus, ...]]:
        """Return what is wanted of each source, newest first, under the ids that were given."""
        picked: dict[str, list[TaskStatus]] = {given: [] for given in self._since}
        for task in sorted(self._tasks.values(), key=_start, reverse=True):
            for given in self._given[_source(task)]:
                if launched_since(task, self._since[given]):
                    picked[given].append(task)
        return {given: tuple(tasks) for given, tasks in picked.items()}


def _checked(source_id: str, instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(
            f"since {instant.isoformat()} of source {source_id} has no time zone. Give an aware datetime."
        )
    instant = max(instant.astimezone(UTC), _LONG_AGO)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _source(task: TaskStatus) -> str:
    return (task.source_id or "").casefold()


def _start(task: TaskStatus) -> datetime:
    return task.launched or task.created or _NEVER


def launched_since(task: TaskStatus, since: datetime) -> bool:
    """
    Whether a task was launched at an instant or later, or is still to be.

    :param task: the task
    :param since: the instant, aware
    """
    if task.launched is None and not task.is_complete:
        since -= QUEUED  # it is still to be launched
    return _start(task) >= since
