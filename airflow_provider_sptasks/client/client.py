"""The client of SailPoint's task-status API: what is asked of a tenant, and how the answers add up."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from airflow_provider_sptasks.client import tasks as api
from airflow_provider_sptasks.client.errors import BadRequestError
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE, all_of, first_chunk, task_filters
from airflow_provider_sptasks.client.http import Request, decode_count
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.launches import Launches
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.pacing import Pacer
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.client.stopping import StopFlag
from airflow_provider_sptasks.client.transport import Transport

TOO_LONG = (400, 414, 431)
# With more, the request line would be too long: all are read then, and the others passed over.
MAX_FILTERED_SOURCES = 100


class TaskStatusClient:
    """
    Reads and clears the tasks of a tenant.

    Safe to share between threads. Each call is tried again after connection errors, time-outs, 429 and 5xx
    until its retry policy's deadline, and keeps to the pace that all clients of the process with the same
    tenant, client id and API version share.

    Every method raises :class:`~airflow_provider_sptasks.client.errors.SailPointError`; see that module.

    :param settings: the tenant and the credentials
    :param retry: how long and how often a call is tried
    :param pacer: the pace to keep; ``None`` for the one that the process shares
    :param on_token: told every access token before it is used, so that it can be masked in logs
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        retry: RetryPolicy | None = None,
        pacer: Pacer | None = None,
        on_token: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.transport = Transport(settings, retry=retry, pacer=pacer, on_token=on_token)
        self._version = settings.version
        self._most_ids = _Most()
        self._most_sources = _Most()

    @property
    def settings(self) -> ClientSettings:
        """The tenant and the credentials."""
        return self.transport.settings

    @property
    def retry(self) -> RetryPolicy:
        """How long and how often a call is tried."""
        return self.transport.retry

    def with_retry(self, retry: RetryPolicy) -> TaskStatusClient:
        """
        Return a client that shares everything with this one but its patience.

        :param retry: how long and how often its calls are tried
        """
        twin = copy.copy(self)
        twin.transport = self.transport.with_retry(retry)
        return twin

    def with_stop(self, stop: threading.Event) -> TaskStatusClient:
        """
        Return a client that shares everything with this one, and sends nothing after a stop.

        Whatever it does then ends with :class:`~airflow_provider_sptasks.client.stopping.StoppedError`.

        :param stop: set it to stop
        """
        return self.with_retry(self.retry.stopped_by(StopFlag(stop)))

    def with_pacer(self, pacer: Pacer) -> TaskStatusClient:
        """
        Return a client that shares everything with this one but its pace.

        :param pacer: the pace to keep
        """
        twin = copy.copy(self)
        twin.transport = self.transport.with_pacer(pacer)
        return twin

    def polling(self) -> TaskStatusClient:
        """Return a client for polls, which keep to the settings' ``poll_share`` besides the common pace."""
        twin = copy.copy(self)
        twin.transport = self.transport.polling()
        return twin

    def close(self) -> None:
        """Close the connections; the client can be used again."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, task_status_id: str) -> TaskStatus:
        """
        Read one task (``GET /task-status/{id}``).

        :param task_status_id: SailPoint's id of the task
        :raises NotFoundError: the tenant knows no such task, or it is older than 90 days
        :raises ValueError: the id can't be one
        """
        return self.transport.call(api.get_task(self._version, task_status_id), api.decode_task)

    def list(
        self,
        *,
        task_status_ids: Sequence[str] | None = None,
        source_ids: Sequence[str] | None = None,
        completion_statuses: Sequence[str] | None = None,
        pending: bool = False,
        launchers: Sequence[str] | None = None,
        filters: str = "",
        sorters: str = "",
        page_size: int = MAX_PAGE_SIZE,
    ) -> Iterator[TaskStatus]:
        """
        Read tasks, page by page as they are consumed (``GET /task-status``).

        The criteria must all hold. On ``beta`` and ``v2024`` the list holds completed tasks only. Tasks that
        come or go while the pages are read can shift others between pages; a task is yielded once.

        :param task_status_ids: only these tasks; for many, see :meth:`find`
        :param source_ids: only tasks of these sources
        :param completion_statuses: only tasks that ended so, as the API spells it
        :param pending: only tasks that have not ended; not on ``beta`` and ``v2024``, see :meth:`pending`
        :param launchers: only tasks of these launchers; on ``v2026`` and ``v1``
        :param filters: a filter expression of your own, as SailPoint documents them
        :param sorters: ``created`` or ``-created`` (newest first)
        :param page_size: tasks in a page, 1 to 250
        :raises ValueError: a criterion that this API version doesn't have, or a page size out of range
        """
        for name, values in {
            "task_status_ids": task_status_ids,
            "source_ids": source_ids,
            "completion_statuses": completion_statuses,
            "launchers": launchers,
        }.items():
            _refuse_single(values, name)
        if not 1 <= page_size <= MAX_PAGE_SIZE:
            raise ValueError(f"page_size {page_size!r} is out of range. Give 1 to {MAX_PAGE_SIZE}.")
        given = task_filters(
            self._version,
            task_status_ids=task_status_ids,
            source_ids=source_ids,
            completion_statuses=completion_statuses,
            pending=pending,
            launchers=launchers,
        )
        if given is None:
            return iter(())
        expression = all_of(given, filters)
        return self._pages(
            lambda offset: api.list_tasks(
                self._version, filters=expression, sorters=sorters, limit=page_size, offset=offset
            ),
            page_size,
        )

    def find(self, task_status_ids: Iterable[str]) -> dict[str, TaskStatus]:
        """
        Read any number of tasks in as few requests as possible: about 200 ids in each.

        On ``beta`` and ``v2024``, whose list holds completed tasks only, the pending ones are read first.
        A gateway that refuses long requests gets shorter ones from then on.

        :param task_status_ids: SailPoint's ids of the tasks
        :return: the tasks by id. An id that is missing is unknown, or slipped through while pages were
            read; only :meth:`get` tells for certain
        :raises ValueError: an id can't be one
        """
        _refuse_single(task_status_ids, "task_status_ids")
        wanted = dict.fromkeys(check_id(each, "task_status_id") for each in task_status_ids)
        found: dict[str, TaskStatus] = {}
        if wanted and not self._version.lists_pending:
            # In this order a task that ends in between is in both, in the other it would be in neither.
            found = {task.id: task for task in self.pending() if task.id in wanted}
        found.update(self._find_listed([each for each in wanted if each not in found]))
        return found

    def _find_listed(self, task_status_ids: Sequence[str]) -> dict[str, TaskStatus]:
        """Read those of some tasks that the list of tasks has."""
        wanted = frozenset(task_status_ids)
        found: dict[str, TaskStatus] = {}
        rest = task_status_ids
        most = self._most_ids.value
        while rest:
            chunk = first_chunk(api.find_tasks, self._version, rest, most)
            try:
                tasks = self.transport.call(api.find_tasks(self._version, chunk), api.decode_tasks)
            except BadRequestError as error:
                most = _half(chunk, error)
                continue
            self._most_ids.value = most
            found.update((task.id, task) for task in tasks if task.id in wanted)
            rest = rest[len(chunk) :]
        return found

    def created_since(self, since: datetime, task_status_ids: Iterable[str] = ()) -> Iterator[TaskStatus]:
        """
        Read the tasks that were created lately, and some others, in as few requests as possible.

        They are read page by page as they are consumed, the former newest first. On ``beta`` and ``v2024``,
        whose list holds completed tasks only, the pending ones are read first.

        :param since: the instant, aware, at which or after which they were created
        :param task_status_ids: SailPoint's ids of the others; one that doesn't come is unknown, or slipped
            through
        :raises ValueError: an id can't be one
        """
        _refuse_single(task_status_ids, "task_status_ids")
        wanted = dict.fromkeys(check_id(each, "task_status_id") for each in task_status_ids)
        return self._created_since(since, wanted)

    def _created_since(self, since: datetime, wanted: dict[str, None]) -> Iterator[TaskStatus]:
        pending: dict[str, TaskStatus] = {}
        if not self._version.lists_pending:
            # In this order a task that ends in between is in both, in the other it would be in neither.
            pending = {
                task.id: task for task in self.pending() if task.id in wanted or _created(task) >= since
            }
        for task in self.list(sorters="-created"):
            if _created(task) < since:
                break
            pending.pop(task.id, None)
            wanted.pop(task.id, None)
            yield task
        yield from pending.values()
        yield from self._find_listed([each for each in wanted if each not in pending]).values()

    def aggregations(self, since: Mapping[str, datetime]) -> dict[str, tuple[TaskStatus, ...]]:
        """
        Read the tasks that sources launched lately, in as few requests as possible.

        About 200 sources are asked for together, newest first, and no further back than needed. On ``beta``
        and ``v2024``, whose list holds completed tasks only, the pending ones are read first. A gateway that
        refuses long requests gets shorter ones from then on.

        :param since: sources' ids, each with the instant, aware, from which on its tasks are wanted. When a
            task was launched decides; one that still waits to be launched is wanted too
        :return: for each of these ids the source's tasks, of any kind, newest first; none for a source that
            launched none, or that the tenant doesn't know
        :raises ValueError: an id can't be one, or an instant has no time zone
        """
        launches = Launches(since)
        if since and not self._version.lists_pending:
            # In this order a task that ends in between is in both, in the other it would be in neither.
            launches.add(self.pending(launches.source_ids))
        rest = launches.source_ids
        most = self._most_sources.value
        while rest:
            chunk = first_chunk(api.newest_tasks, self._version, rest, most)
            try:
                again = self._read_newest(chunk, launches)
            except BadRequestError as error:
                most = _half(chunk, error)
                continue
            self._most_sources.value = most
            rest = [*again, *rest[len(chunk) :]]
        return launches.by_source()

    def _read_newest(self, source_ids: Sequence[str], launches: Launches) -> Sequence[str]:
        """
        Read the tasks of some sources, as far back as they are wanted.

        :return: the sources to ask for again, without the others: when they are half of them or fewer, so
            that a source of which much is wanted doesn't make that much of the others be read
        """
        offset = repeated = 0
        seen: set[str] = set()
        while True:
            request = api.newest_tasks(self._version, source_ids, offset=offset)
            tasks, length = self.transport.call(request, api.decode_page)
            launches.add(tasks)
            repeated = 0 if {task.id for task in tasks} - seen else repeated + 1
            # Newly launched tasks shift the others, once perhaps by a whole page; twice means that the
            # offset is not heeded.
            if length < MAX_PAGE_SIZE or repeated == 2:
                return []
            seen.update(task.id for task in tasks)
            unfinished = launches.unfinished(source_ids, tasks)
            if len(unfinished) <= len(source_ids) // 2:
                return unfinished
            offset += length

    def pending(self, source_ids: Sequence[str] | None = None) -> Iterator[TaskStatus]:
        """
        Read the tasks that have not ended, page by page as they are consumed, oldest first.

        From ``v2025`` on these are the tasks without ``completionStatus``; before, ``GET
        /task-status/pending-tasks``. Not only aggregations: refreshes, deletions and others too.

        :param source_ids: only tasks of these sources
        """
        _refuse_single(source_ids, "source_ids")
        wanted = None if source_ids is None else {each.casefold() for each in source_ids}
        if self._version.lists_pending:
            narrow = source_ids if wanted is not None and len(wanted) <= MAX_FILTERED_SOURCES else None
            tasks = self.list(pending=True, source_ids=narrow, sorters="created")
        else:
            tasks = self._pages(lambda offset: api.pending_tasks(self._version, offset=offset))
        return (task for task in tasks if wanted is None or (task.source_id or "").casefold() in wanted)

    def count_pending(self) -> int:
        """
        Count the tasks that have not ended, without reading them.

        ``HEAD /task-status/pending-tasks`` where the version has it.
        """
        return self.transport.call(api.count_pending_tasks(self._version), decode_count)

    def update(self, task_status_id: str, operations: Sequence[Mapping[str, Any]]) -> TaskStatus:
        """
        Change a task (``PATCH /task-status/{id}``).

        :param task_status_id: SailPoint's id of the task
        :param operations: JSON Patch operations (RFC 6902), such as
            ``{"op": "replace", "path": "/completionStatus", "value": "Error"}``. They may be sent more than
            once when an answer is lost, so they must be idempotent, as ``replace`` is
        :return: the task after the change
        :raises ForbiddenError: the credentials are no user's, or lack ``idn:task-management:write``
        """
        return self.transport.call(
            api.update_task(self._version, task_status_id, operations), api.decode_task
        )

    def clear(
        self, task_status_id: str, completion_status: str = "Error", completed: datetime | None = None
    ) -> TaskStatus:
        """
        Give a pending task a completion status: corrects the record, and does not stop the work.

        Whoever waits for the task sees it as ended so. ``Error`` is the documented status.

        :param task_status_id: SailPoint's id of the task
        :param completion_status: the status to set
        :param completed: when the task shall be said to have ended, aware; ``None`` for now
        :return: the task after the change
        """
        return self.update(
            task_status_id, api.clear_operations(completion_status, completed or datetime.now(UTC))
        )

    def _pages(
        self, request_at: Callable[[int], Request], page_size: int = MAX_PAGE_SIZE
    ) -> Iterator[TaskStatus]:
        seen: set[str] = set()
        offset = 0
        while True:
            page = self.transport.call(request_at(offset), api.decode_tasks)
            new = [task for task in page if task.id not in seen]
            seen.update(task.id for task in new)
            yield from new
            if len(page) < page_size or not new:  # nothing new: the offset is not heeded
                return
            offset += len(page)


@dataclass
class _Most:
    """How many ids a request may have, learnt from what the tenant, or a gateway before it, refuses."""

    value: int = MAX_PAGE_SIZE


def _half(ids: Sequence[str], error: BadRequestError) -> int:
    """Say how many ids to try instead of these, if the request may have been refused for its length."""
    if error.status not in TOO_LONG or len(ids) == 1:
        raise error
    return len(ids) // 2


def _created(task: TaskStatus) -> datetime:
    return task.created or datetime.max.replace(tzinfo=UTC)


def _refuse_single(values: Iterable[str] | None, name: str) -> None:
    if isinstance(values, str):
        raise ValueError(f"{name} is one string, {values[:80]!r}. Give a list.")
