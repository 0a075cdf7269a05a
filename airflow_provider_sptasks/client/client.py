"""The client of SailPoint's task-status API: what is asked of a tenant, and how the answers add up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Self

from airflow_provider_sptasks.client import newest
from airflow_provider_sptasks.client import tasks as api
from airflow_provider_sptasks.client.base_client import BaseClient
from airflow_provider_sptasks.client.chunks import ids_that_fit
from airflow_provider_sptasks.client.clearing import OneClearing
from airflow_provider_sptasks.client.extent import Extent
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE, Criteria
from airflow_provider_sptasks.client.http import decode_count
from airflow_provider_sptasks.client.ids import check_id, check_ids
from airflow_provider_sptasks.client.launches import AggregationQuery, NewestAggregation
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.pacing import Pacer
from airflow_provider_sptasks.client.reader import TaskReader
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.client.transport import Transport


class TaskStatusClient(BaseClient):
    """
    Reads and clears the tasks of a tenant.

    Every method raises :class:`~airflow_provider_sptasks.client.errors.SailPointError`; see that module.

    :param settings: the tenant and the credentials
    :param retry: how long and how often a call is tried; ``None`` for 5 minutes
    :param pacer: the pace to keep; ``None`` for the one that the host's processes share
    :param on_token: gets every access token before it is used, so that it can be masked in logs
    :param clock: returns seconds, monotonic
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        retry: RetryPolicy | None = None,
        pacer: Pacer | None = None,
        on_token: Callable[[str], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(Transport(settings, retry=retry, pacer=pacer, on_token=on_token))
        self._version = settings.version
        self.reader = TaskReader.over(self.transport, clock)
        """Reads tasks whose ids have been checked; the methods here check them."""

    def _over(self, transport: Transport) -> Self:
        twin = super()._over(transport)
        twin.reader = self.reader.with_transport(transport)
        return twin

    @property
    def max_ids(self) -> int:
        """How many tasks' ids fit in a request: fewer for a while after longer ones were refused."""
        return ids_that_fit(self.reader.max_ids.value)

    @property
    def max_sources(self) -> int:
        """How many sources' ids fit in a request: fewer for a while after longer ones were refused."""
        return ids_that_fit(self.reader.max_sources.value)

    def get(self, task_status_id: str) -> TaskStatus:
        """
        Return one task (``GET /task-status/{id}``).

        :param task_status_id: SailPoint's id of the task
        :raises NotFoundError: the tenant knows no such task, or it is older than 90 days
        :raises ValueError: the id can't be one
        """
        return self.reader.get(check_id(task_status_id, "task_status_id"))

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
        limit: int | None = None,
        offset: int = 0,
    ) -> Iterator[TaskStatus]:
        """
        Yield tasks, page by page as they are consumed (``GET /task-status``).

        The criteria must all hold. On ``beta`` and ``v2024`` the list holds completed tasks only. A task is
        yielded once, though those that come or go while the pages are read shift others between pages.

        :param task_status_ids: only these tasks; for many, see :meth:`find`
        :param source_ids: only tasks of these sources
        :param completion_statuses: only tasks that ended so, as the API spells it
        :param pending: only tasks that have not ended; not on ``beta`` and ``v2024``, see :meth:`pending`
        :param launchers: only tasks of these launchers; on ``v2026`` and ``v1``
        :param filters: a filter expression of your own, as SailPoint documents them
        :param sorters: ``created`` or ``-created`` (newest first)
        :param page_size: tasks in a page, 1 to 250; 1 is taken for 2. Each page repeats up to 10 tasks of the
            page before, to notice when the list has shifted
        :param limit: yield at most that many tasks; ``None`` for all
        :param offset: pass over that many tasks from the front
        :raises UnexpectedPayloadError: the list kept changing while its pages were read
        :raises ValueError: a criterion that this API version doesn't have, or a number out of range
        """
        criteria = Criteria(
            task_status_ids, source_ids, completion_statuses, pending, launchers, filters
        ).expression(self._version)
        extent = Extent(limit, offset, page_size)
        if criteria is None:
            return iter(())
        return self.reader.list(criteria, sorters, extent)

    def count(
        self,
        *,
        task_status_ids: Sequence[str] | None = None,
        source_ids: Sequence[str] | None = None,
        completion_statuses: Sequence[str] | None = None,
        pending: bool = False,
        launchers: Sequence[str] | None = None,
        filters: str = "",
    ) -> int:
        """
        Count the tasks that :meth:`list` would read, without reading them (``X-Total-Count``).

        :param task_status_ids: see :meth:`list`, as for all parameters
        :param source_ids: only tasks of these sources
        :param completion_statuses: only tasks that ended so
        :param pending: only tasks that have not ended
        :param launchers: only tasks that these launched
        :param filters: a filter expression of your own, as SailPoint documents them
        :return: their number
        :raises UnexpectedPayloadError: the tenant doesn't say how many there are
        :raises ValueError: a criterion that this API version doesn't have
        """
        criteria = Criteria(
            task_status_ids, source_ids, completion_statuses, pending, launchers, filters
        ).expression(self._version)
        if criteria is None:
            return 0
        return self.transport.call(api.count_tasks(self._version, criteria), decode_count)

    def find(self, task_status_ids: Iterable[str]) -> dict[str, TaskStatus]:
        """
        Read any number of tasks in as few requests as possible: about 200 ids in each.

        On ``beta`` and ``v2024``, whose list holds completed tasks only, the others are read by their ids if
        they are few, and else from the list of pending tasks. A gateway that refuses long requests gets
        shorter ones for some time.

        :param task_status_ids: SailPoint's ids of the tasks; they compare without case
        :return: the tasks by these ids as they were given. The tenant doesn't know an id that is missing
        :raises ValueError: an id can't be one
        """
        given = check_ids(task_status_ids, "task_status_ids")
        found = self.reader.find({each.casefold(): each for each in given.values()})
        return {each: found[key] for each, task_id in given.items() if (key := task_id.casefold()) in found}

    def created_since(self, since: datetime, task_status_ids: Iterable[str] = ()) -> Iterator[TaskStatus]:
        """
        Yield the tasks that were created lately, and some others, in as few requests as possible.

        They are read page by page as they are consumed, the former newest first. On ``beta`` and ``v2024``,
        whose list holds completed tasks only, the pending ones are read first.

        :param since: the time, aware, at which or after which they were created
        :param task_status_ids: SailPoint's ids of the others; the tenant doesn't know one that doesn't come
        :raises UnexpectedPayloadError: the list kept changing while its pages were read
        :raises ValueError: an id can't be one
        """
        given = check_ids(task_status_ids, "task_status_ids")
        return self.reader.created_since(since, {each.casefold(): each for each in given.values()})

    def newest_aggregations(
        self, queries: Iterable[AggregationQuery]
    ) -> dict[AggregationQuery, NewestAggregation]:
        """
        Read the newest aggregation of each of any number of sources, in as few requests as possible.

        About 200 sources are asked for together, newest first, and no further back than needed. On ``beta``
        and ``v2024``, whose list holds completed tasks only, the pending ones are read first. What is
        returned for a query depends on its source only, not on what else is asked for.

        :param queries: what is asked for
        :return: an answer to each query; an empty one for a source that launched nothing, or is unknown
        :raises UnexpectedPayloadError: the list kept changing while its pages were read
        :raises ValueError: an id of a source can't be one
        """
        return newest.newest_aggregations(
            self.reader, {query: check_id(query.source_id, "source_id") for query in queries}
        )

    def aggregations(self, since: Mapping[str, datetime]) -> dict[str, tuple[TaskStatus, ...]]:
        """
        Read all tasks that sources launched lately, as :meth:`newest_aggregations` reads the newest.

        :param since: sources' ids, each with the time, aware, from which on its tasks are wanted. When a
            task was launched decides; one that still waits to be launched is wanted too
        :return: for each of these ids the source's tasks, of any kind, newest first; none for a source that
            launched none, or that the tenant doesn't know
        :raises ValueError: an id can't be one, or a time has no time zone
        """
        return newest.launched_tasks(self.reader, since, check_ids(since, "source_ids"))

    def pending(
        self, source_ids: Sequence[str] | None = None, *, limit: int | None = None, offset: int = 0
    ) -> Iterator[TaskStatus]:
        """
        Yield the tasks that have not ended, page by page as they are consumed, oldest first.

        From ``v2025`` on these are the tasks without ``completionStatus``; before, ``GET
        /task-status/pending-tasks``. Not only aggregations: refreshes, deletions and others too.

        :param source_ids: only tasks of these sources
        :param limit: yield at most that many tasks; ``None`` for all
        :param offset: pass over that many tasks from the front
        :raises UnexpectedPayloadError: the list kept changing while its pages were read
        :raises ValueError: an id can't be one, or a number is out of range
        """
        wanted = None if source_ids is None else check_ids(source_ids, "source_ids").values()
        return self.reader.pending(wanted, Extent(limit, offset))

    def count_pending(self) -> int:
        """
        Return how many tasks have not ended, without reading them (``X-Total-Count``).

        From ``v2025`` on this counts the tasks without ``completionStatus``; before, it is ``HEAD
        /task-status/pending-tasks``.
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
        :raises ValueError: the id can't be one
        """
        task_id = check_id(task_status_id, "task_status_id")
        request = api.update_task(self._version, task_id, operations)
        return self.transport.call(request, partial(api.decode_task, task_status_id=task_id))

    def clear(
        self, task_status_id: str, completion_status: str = "Error", completed: datetime | None = None
    ) -> TaskStatus:
        """
        Give a pending task a completion status: corrects the record, and does not stop the work.

        Whoever waits for the task sees it as ended so. ``Error`` is the documented status. After an attempt
        that failed the task is read again, and left alone where it has ended meanwhile.

        :param task_status_id: SailPoint's id of the task
        :param completion_status: the status to set
        :param completed: when the task shall be said to have ended, aware; ``None`` for now, by the
            tenant's clock as its last answer showed it
        :return: the task after that
        :raises ForbiddenError: as :meth:`update` does
        :raises ValueError: the id can't be one, or ``completed`` has no time zone
        """
        operations = api.clear_operations(completion_status, completed or self.transport.clock.now())
        return OneClearing(self, task_status_id, operations).run()
