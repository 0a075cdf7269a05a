"""
Reads tasks in few requests: by their ids, pending, or lately created; keeps what that teaches.

On ``beta`` and ``v2024`` the list of tasks holds completed ones only, and pending ones have a list of their
own. A task that ends between a request for one list and a request for the other must not be missed: it is in
both if the pending ones are read first, and in neither if they are read last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from airflow_provider_sptasks.client import tasks as api
from airflow_provider_sptasks.client.chunks import ChunkSize, send_in_chunks
from airflow_provider_sptasks.client.entries import Page, PassedOver
from airflow_provider_sptasks.client.errors import NotFoundError
from airflow_provider_sptasks.client.extent import EVERYTHING, Extent
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE, one_of, task_filters
from airflow_provider_sptasks.client.http import Request
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.paging import read_pages
from airflow_provider_sptasks.client.transport import Transport

# Attempts for a page that fails after others were read, even if the policy has fewer: or those were in
# vain.
LATER_PAGE_ATTEMPTS = 3
# With more, the request line would be too long: all are read then, and the others passed over.
MAX_FILTERED_SOURCES = 100
# Up to that many tasks are read by their ids if the length of the list of pending tasks isn't known.
FEW = 5


@dataclass(slots=True)
class PendingList:
    """
    What is known of the length of the list of pending tasks.

    :param pages: how many pages it had when it was last read; ``None`` if it never was
    """

    pages: int | None = None


@dataclass(frozen=True, slots=True)
class TaskReader:
    """
    Reads tasks, whose ids have been checked.

    :param transport: sends the requests
    :param max_ids: how many tasks' ids a request may have
    :param max_sources: how many sources' ids a request may have
    :param pending_list: how long the list of pending tasks is
    :param passed_over: logs entries that can't be read
    """

    transport: Transport
    max_ids: ChunkSize
    max_sources: ChunkSize
    pending_list: PendingList
    passed_over: PassedOver

    @classmethod
    def over(cls, transport: Transport, clock: Callable[[], float] = time.monotonic) -> TaskReader:
        """
        Make a reader that knows nothing of its tenant yet.

        :param transport: sends the requests
        :param clock: returns seconds, monotonic
        """
        return cls(transport, ChunkSize(clock), ChunkSize(clock), PendingList(), PassedOver())

    def with_transport(self, transport: Transport) -> TaskReader:
        """Return a reader that shares what this one knows, and sends its requests by another transport."""
        return replace(self, transport=transport)

    def get(self, task_status_id: str) -> TaskStatus:
        """
        Read one task.

        :raises NotFoundError: the tenant knows no such task
        """
        request = api.get_task(self.transport.version, task_status_id)
        return self.transport.call(request, partial(api.decode_task, task_status_id=task_status_id))

    def find(self, wanted: Mapping[str, str]) -> dict[str, TaskStatus]:
        """
        Read tasks by their ids.

        :param wanted: the ids, by what compares: the same in one case
        :return: what was found, by the same
        """
        if self.transport.version.lists_pending:
            return self._listed(wanted)
        found, is_all = self._pending_among(wanted)
        found |= self._listed({each: wanted[each] for each in wanted if each not in found})
        if not is_all:
            for each in wanted.keys() - found.keys():
                with suppress(NotFoundError):
                    found[each] = self.get(wanted[each])
        return found

    def list(self, filters: str, sorters: str = "", extent: Extent = EVERYTHING) -> Iterator[TaskStatus]:
        """Read the tasks of the list, each once, as they are consumed."""
        if extent.limit == 0:
            return iter(())
        version, size = self.transport.version, extent.first_page

        def request_at(offset: int) -> Request:
            return api.list_tasks(
                version, filters=filters, sorters=sorters, limit=size, offset=extent.offset + offset
            )

        return extent.cut_end(_each_once(self.pages(request_at, size)))

    def pending(
        self, source_ids: Iterable[str] | None = None, extent: Extent = EVERYTHING
    ) -> Iterator[TaskStatus]:
        """
        Read the tasks that have not ended, each once, as they are consumed.

        :param source_ids: only tasks of these sources
        :param extent: the part of these tasks that is wanted
        """
        wanted = None if source_ids is None else {each.casefold(): each for each in source_ids}
        if extent.limit == 0 or (wanted is not None and not wanted):
            return iter(())
        version = self.transport.version
        if version.lists_pending and (wanted is None or len(wanted) <= MAX_FILTERED_SOURCES):
            narrow = None if wanted is None else list(wanted.values())
            return self.list(task_filters(version, source_ids=narrow, pending=True) or "", "created", extent)
        if version.lists_pending:
            tasks = self.list(task_filters(version, pending=True) or "", "created")
        else:
            tasks = _each_once(self._pending_pages())
        return extent.cut(
            task for task in tasks if wanted is None or (task.source_id or "").casefold() in wanted
        )

    def created_since(self, since: datetime, wanted: Mapping[str, str]) -> Iterator[TaskStatus]:
        """
        Read the tasks that were created at a time or later, newest first, and some others, each once.

        :param since: the time, aware
        :param wanted: the others' ids, by what compares
        """
        others = dict(wanted)
        pending: dict[str, TaskStatus] = {}
        if not self.transport.version.lists_pending:
            for task in self.pending():
                if task.id.casefold() in others or _is_since(task, since):
                    pending[task.id.casefold()] = task
        for task in self.list("", "-created"):
            if not _is_since(task, since):
                break
            pending.pop(task.id.casefold(), None)
            others.pop(task.id.casefold(), None)
            yield task
        yield from pending.values()
        yield from self._listed({each: others[each] for each in others.keys() - pending.keys()}).values()

    def page(self, request: Request) -> Page[TaskStatus]:
        """Read a page."""
        page = self.transport.call(request, api.decode_page)
        if page.unreadable:
            self.passed_over.note(f"{request.method} {request.path}", page)
        return page

    def pages(
        self, request_at: Callable[[int], Request], page_size: int = MAX_PAGE_SIZE
    ) -> Iterator[Page[TaskStatus]]:
        """
        Read a list page by page, as the pages are consumed; see :func:`read_pages`.

        :param request_at: makes the request for the page at an offset
        :param page_size: how many tasks a page has
        """
        first = request_at(0)

        def fetch(offset: int) -> Page[TaskStatus]:
            return self.page(first) if offset == 0 else self._persistent().page(request_at(offset))

        return read_pages(fetch, f"{first.method} {first.path}", page_size)

    def _persistent(self) -> TaskReader:
        retry = self.transport.retry
        if retry.max_attempts is None or retry.max_attempts >= LATER_PAGE_ATTEMPTS:
            return self
        return self.with_transport(
            self.transport.with_retry(replace(retry, max_attempts=LATER_PAGE_ATTEMPTS))
        )

    def _listed(self, wanted: Mapping[str, str]) -> dict[str, TaskStatus]:
        """Read those of some tasks that the list of tasks has."""
        found: dict[str, TaskStatus] = {}
        version = self.transport.version

        def send(chunk: Sequence[str]) -> None:
            for task in self.page(api.list_tasks(version, filters=one_of("id", chunk))).items:
                if task.id.casefold() in wanted:
                    found[task.id.casefold()] = task

        send_in_chunks(list(wanted.values()), self.max_ids, send)
        return found

    def _pending_among(self, wanted: Mapping[str, str]) -> tuple[dict[str, TaskStatus], bool]:
        """
        Read tasks from the list of pending ones, unless and until it is cheaper to read them by their ids.

        :return: what was found, and whether that is all that was pending
        """
        found: dict[str, TaskStatus] = {}
        expected = self.pending_list.pages
        if not wanted or _ids_are_cheaper(len(wanted), expected, 0):
            return found, False
        for read, page in enumerate(self._pending_pages(), 1):
            for task in page.items:
                if task.id.casefold() in wanted:
                    found[task.id.casefold()] = task
            missing = len(wanted) - len(found)
            if not missing or (_is_full(page) and _ids_are_cheaper(missing, expected, read)):
                return found, not missing
        return found, True

    def _pending_pages(self) -> Iterator[Page[TaskStatus]]:
        """Read the list of pending tasks page by page, and remember how many there are."""
        version, known = self.transport.version, self.pending_list
        pages = self.pages(lambda offset: api.pending_tasks(version, offset))
        for read, page in enumerate(pages, 1):
            known.pages = max(read + 1, known.pages or 0) if _is_full(page) else read
            yield page


def _ids_are_cheaper(missing: int, expected: int | None, read: int) -> bool:
    """Whether reading tasks by their ids takes fewer requests than the rest of the pending list."""
    left = None if expected is None or read >= expected else expected - read
    return missing <= (FEW if left is None else left)


def _is_full(page: Page[TaskStatus]) -> bool:
    return len(page.keys) >= MAX_PAGE_SIZE


def _each_once(pages: Iterable[Page[TaskStatus]]) -> Iterator[TaskStatus]:
    seen: set[str] = set()
    for page in pages:
        for task in page.items:
            if task.id not in seen:
                seen.add(task.id)
                yield task


def _is_since(task: TaskStatus, since: datetime) -> bool:
    return task.created is None or task.created >= since
