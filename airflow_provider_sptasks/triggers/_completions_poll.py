"""What a feed asks a tenant for: the tasks of late, all that is pending, and older tasks by their ids."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from airflow_provider_sptasks.arguments import cut_list
from airflow_provider_sptasks.client.client import TaskStatusClient
from airflow_provider_sptasks.client.errors import BadRequestError, NotFoundError, ServerError
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.completions import (
    AGGREGATIONS,
    OVERLAP_SECONDS,
    Cursor,
    Snapshot,
    newest_second,
)

log = logging.getLogger(__name__)

# As many of the newest tasks are read to see up to when there are some: a few may have odd times.
NEWEST_TASKS = 50
# To find one of 250 ids takes 16 requests.
MAX_SEARCH_REQUESTS = 20
# An id that the tenant refuses, or fails on, is left out for this time.
EXCLUSION_SECONDS = 120.0


class CompletionsPoll:
    """
    Polls for watchers with cursors of any age. Not for several threads at a time.

    :param clock: returns seconds, monotonic
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests = 0
        """About how many requests the last poll took."""
        self._clock = clock
        self._excluded: dict[str, float] = {}

    def poll(self, client: TaskStatusClient, cursors: Collection[Cursor | None], latest: int) -> Snapshot:
        """
        Take a snapshot that covers some cursors.

        :param client: asks the tenant
        :param cursors: the watchers' cursors; ``None`` for one that begins, and needs all that is pending
        :param latest: the latest credible time, in seconds since 1970
        """
        known = [cursor for cursor in cursors if cursor is not None]
        begins = len(known) < len(cursors)
        tasks: dict[str, TaskStatus] = {}
        since, newest = min((cursor.since for cursor in known), default=latest), 0
        if begins:
            tasks = {task.id: _lean(task) for task in client.pending() if task.kind in AGGREGATIONS}
            listed = client.list(sorters="-created", page_size=NEWEST_TASKS)
            newest = newest_second(itertools.islice(listed, NEWEST_TASKS), latest)
            since = min(since, max((newest or latest) - OVERLAP_SECONDS, 0))
        task_status_ids = self._included(known)
        read = self._created_since(client, since, task_status_ids)
        newest = max(newest, newest_second(read, latest))
        tasks |= {task.id: task for task in read if task.kind in AGGREGATIONS}
        self.requests = len(read) // MAX_PAGE_SIZE + 1 + math.ceil(len(task_status_ids) / MAX_PAGE_SIZE)
        return Snapshot(tasks, since, newest, begins)

    def _included(self, cursors: Iterable[Cursor]) -> frozenset[str]:
        """The ids of all awaited tasks, but for those that made the tenant fail a while ago."""
        now = self._clock()
        self._excluded = {each: until for each, until in self._excluded.items() if until > now}
        return frozenset(each for cursor in cursors for each in cursor.awaited if each not in self._excluded)

    def _created_since(
        self, client: TaskStatusClient, since: int, task_status_ids: Collection[str]
    ) -> list[TaskStatus]:
        """Read what was created lately, and some others; an id that the tenant fails on harms no others."""
        moment = datetime.fromtimestamp(since, UTC)
        try:
            return list(map(_lean, client.created_since(moment, task_status_ids)))
        except (BadRequestError, NotFoundError, ServerError) as error:
            if not task_status_ids:
                raise
            # If it is not about the ids, this fails too.
            found = list(map(_lean, client.created_since(moment)))
            log.warning("Asking for %d tasks by their ids failed: %s", len(task_status_ids), error)
            return found + self._search(client, task_status_ids)

    def _search(self, client: TaskStatusClient, task_status_ids: Collection[str]) -> list[TaskStatus]:
        """Ask in halves for what could not be asked for as a whole, until the culprit is found."""
        found: list[TaskStatus] = []
        groups = _halves(sorted(task_status_ids))
        culprits: list[str] = []
        for _ in range(MAX_SEARCH_REQUESTS):
            if not groups:
                break
            group = groups.pop()
            try:
                found += map(_lean, client.find(group).values())
            except (BadRequestError, NotFoundError, ServerError):
                if len(group) > 1:
                    groups += _halves(group)
                else:
                    culprits += group
        culprits += itertools.chain(*groups)
        if culprits:
            log.warning("Not asked for in the next %.0f s: tasks %s", EXCLUSION_SECONDS, cut_list(culprits))
            self._excluded |= dict.fromkeys(culprits, self._clock() + EXCLUSION_SECONDS)
        return found


def _halves(ids: list[str]) -> list[list[str]]:
    middle = (len(ids) + 1) // 2
    return [half for half in (ids[:middle], ids[middle:]) if half]


def _lean(task: TaskStatus) -> TaskStatus:
    return replace(task, raw={})
