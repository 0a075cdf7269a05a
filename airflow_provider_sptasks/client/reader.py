"""Sends requests for lists of tasks, and keeps what they teach about the tenant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from airflow_provider_sptasks.client import tasks as api
from airflow_provider_sptasks.client.chunks import ChunkSize
from airflow_provider_sptasks.client.entries import Page, PassedOver
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE
from airflow_provider_sptasks.client.http import Request
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.paging import read_pages
from airflow_provider_sptasks.client.transport import Transport

# Attempts for a page that fails after others were read, even if the policy has fewer: or those were in
# vain.
LATER_PAGE_ATTEMPTS = 3


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
    Reads lists of tasks.

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
