"""
Finds many tasks in few requests: by their ids, among the pending ones, and lately created.

On ``beta`` and ``v2024`` the list of tasks holds completed ones only, and pending ones have a list of their
own. A task that ends between a request for one list and a request for the other must not be missed: it is in
both if the pending ones are read first, and in neither if they are read last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from airflow_provider_sptasks.client import tasks as api
from airflow_provider_sptasks.client.chunks import send_in_chunks
from airflow_provider_sptasks.client.entries import Page
from airflow_provider_sptasks.client.errors import NotFoundError
from airflow_provider_sptasks.client.extent import EVERYTHING, Extent
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE, one_of, task_filters
from airflow_provider_sptasks.client.http import Request
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.reader import TaskReader

# With more, the request line would be too long: all are read then, and the others passed over.
MAX_FILTERED_SOURCES = 100
# Up to that many tasks are read by their ids if the length of the list of pending tasks isn't known.
FEW = 5


def get_task(reader: TaskReader, task_status_id: str) -> TaskStatus:
    """
    Read one task.

    :raises NotFoundError: the tenant knows no such task
    """
    request = api.get_task(reader.transport.version, task_status_id)
    return reader.transport.call(request, partial(api.decode_task, task_status_id=task_status_id))


def list_tasks(
    reader: TaskReader, filters: str, sorters: str = "", extent: Extent = EVERYTHING
) -> Iterator[TaskStatus]:
    """Read the tasks of the list, each once, as they are consumed."""
    if extent.limit == 0:
        return iter(())
    return extent.cut_end(_list_from(reader, filters, sorters, extent.offset, extent.first_page))


def _list_from(reader: TaskReader, filters: str, sorters: str, start: int, size: int) -> Iterator[TaskStatus]:
    version = reader.transport.version
    seen: set[str] = set()

    def request_at(offset: int) -> Request:
        return api.list_tasks(version, filters=filters, sorters=sorters, limit=size, offset=start + offset)

    for page in reader.pages(request_at, size):
        yield from _unseen(page.items, seen)


def pending_tasks(
    reader: TaskReader, source_ids: Iterable[str] | None = None, extent: Extent = EVERYTHING
) -> Iterator[TaskStatus]:
    """
    Read the tasks that have not ended, each once, as they are consumed.

    :param source_ids: only tasks of these sources
    :param extent: the part of these tasks that is wanted
    """
    wanted = None if source_ids is None else {each.casefold(): each for each in source_ids}
    if extent.limit == 0 or (wanted is not None and not wanted):
        return iter(())
    version = reader.transport.version
    if version.lists_pending and (wanted is None or len(wanted) <= MAX_FILTERED_SOURCES):
        narrow = None if wanted is None else list(wanted.values())
        return list_tasks(
            reader, task_filters(version, source_ids=narrow, pending=True) or "", "created", extent
        )
    if version.lists_pending:
        tasks = list_tasks(reader, task_filters(version, pending=True) or "", "created")
    else:
        tasks = _pending_list(reader)
    return extent.cut(task for task in tasks if wanted is None or (task.source_id or "").casefold() in wanted)


def find_tasks(reader: TaskReader, wanted: Mapping[str, str]) -> dict[str, TaskStatus]:
    """
    Read tasks by their ids.

    :param wanted: the ids, by what compares: the same in one case
    :return: what was found, by the same
    """
    if reader.transport.version.lists_pending:
        return _listed(reader, wanted)
    found, is_all = _pending(reader, wanted)
    found |= _listed(reader, {each: wanted[each] for each in wanted if each not in found})
    if not is_all:
        for each in wanted.keys() - found.keys():
            with suppress(NotFoundError):
                found[each] = get_task(reader, wanted[each])
    return found


def _pending(reader: TaskReader, wanted: Mapping[str, str]) -> tuple[dict[str, TaskStatus], bool]:
    """
    Read tasks from the list of pending ones, unless and until it is cheaper to read them by their ids.

    :return: what was found, and whether that is all that was pending
    """
    found: dict[str, TaskStatus] = {}
    expected = reader.pending_list.pages
    if not wanted or _ids_are_cheaper(len(wanted), expected, 0):
        return found, False
    for read, page in enumerate(_pending_pages(reader), 1):
        for task in page.items:
            if task.id.casefold() in wanted:
                found[task.id.casefold()] = task
        missing = len(wanted) - len(found)
        if not missing or (_is_full(page) and _ids_are_cheaper(missing, expected, read)):
            return found, not missing
    return found, True


def _ids_are_cheaper(missing: int, expected: int | None, read: int) -> bool:
    """Whether reading tasks by their ids takes fewer requests than the rest of the pending list."""
    left = None if expected is None or read >= expected else expected - read
    return missing <= (FEW if left is None else left)


def created_since(reader: TaskReader, since: datetime, wanted: Mapping[str, str]) -> Iterator[TaskStatus]:
    """
    Read the tasks that were created at a time or later, newest first, and some others, each once.

    :param since: the time, aware
    :param wanted: the others' ids, by what compares
    """
    others = dict(wanted)
    pending: dict[str, TaskStatus] = {}
    if not reader.transport.version.lists_pending:
        for task in pending_tasks(reader):
            if task.id.casefold() in others or _is_since(task, since):
                pending[task.id.casefold()] = task
    for task in list_tasks(reader, "", "-created"):
        if not _is_since(task, since):
            break
        pending.pop(task.id.casefold(), None)
        others.pop(task.id.casefold(), None)
        yield task
    yield from pending.values()
    yield from _listed(reader, {each: others[each] for each in others.keys() - pending.keys()}).values()


def _listed(reader: TaskReader, wanted: Mapping[str, str]) -> dict[str, TaskStatus]:
    """Read those of some tasks that the list of tasks has."""
    found: dict[str, TaskStatus] = {}
    version = reader.transport.version

    def send(chunk: Sequence[str]) -> None:
        for task in reader.page(api.list_tasks(version, filters=one_of("id", chunk))).items:
            if task.id.casefold() in wanted:
                found[task.id.casefold()] = task

    send_in_chunks(list(wanted.values()), reader.max_ids, send)
    return found


def _pending_list(reader: TaskReader) -> Iterator[TaskStatus]:
    seen: set[str] = set()
    for page in _pending_pages(reader):
        yield from _unseen(page.items, seen)


def _pending_pages(reader: TaskReader) -> Iterator[Page[TaskStatus]]:
    """Read the list of pending tasks page by page, and remember how many there are."""
    version = reader.transport.version
    pages = reader.pages(lambda offset: api.pending_tasks(version, offset))
    for read, page in enumerate(pages, 1):
        reader.pending_list.pages = max(read + 1, reader.pending_list.pages or 0) if _is_full(page) else read
        yield page


def _is_full(page: Page[TaskStatus]) -> bool:
    return len(page.keys) >= MAX_PAGE_SIZE


def _unseen(tasks: Iterable[TaskStatus], seen: set[str]) -> Iterator[TaskStatus]:
    for task in tasks:
        if task.id not in seen:
            seen.add(task.id)
            yield task


def _is_since(task: TaskStatus, since: datetime) -> bool:
    return task.created is None or task.created >= since
