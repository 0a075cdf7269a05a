"""
Reads lists page by page, and notices when a list has shifted between two of its pages.

Offsets count records. When one goes before an offset, those behind move up, and the next page begins beyond
some that were not read; when one comes, the next page repeats some. So each page asks for the last records
of the page before once more. A list keeps its order, so whatever is still in it follows the last record that
was read: as long as a page shares a record with what was read, nothing was passed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from airflow_provider_sptasks.client.entries import Page
from airflow_provider_sptasks.client.errors import UnexpectedPayloadError
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE

T = TypeVar("T")

# Of which at least one is expected again in the next page.
OVERLAP = 10
# 500,000 records: more are to be narrowed by a filter.
MAX_PAGES = 2_000
# How often a list may be read again from further ahead because it has shifted.
MAX_SETBACKS = 5
# How often a page may be the very same as the one before, at another offset.
MAX_REPEATS = 1
# Pages whose records are compared with the next page.
REMEMBERED_PAGES = 4


def overlap_of(page_size: int) -> int:
    """Return how many records the next page repeats, at least one."""
    return max(1, min(OVERLAP, page_size // 2))


def read_pages(
    fetch: Callable[[int], Page[T]], what: str, page_size: int = MAX_PAGE_SIZE, max_pages: int = MAX_PAGES
) -> Iterator[Page[T]]:
    """
    Read a list page by page, as the pages are consumed.

    What is in the list from the first page to the last comes at least once; what comes or goes meanwhile
    may. A record may come more than once, and the last state of it counts. A list that has shifted is read
    again from further ahead.

    :param fetch: reads the page at an offset
    :param what: the list, for errors
    :param page_size: how many records a page has, at least 2; one with fewer is the last
    :param max_pages: how many pages to read
    :raises UnexpectedPayloadError: the list kept changing, the offset has no effect, or there are more
        pages; what was read until then is incomplete
    """
    overlap = overlap_of(page_size)
    recent: deque[frozenset[str]] = deque(maxlen=REMEMBERED_PAGES)
    last: Sequence[str] = ()
    offset = setbacks = repeats = 0
    for _ in range(max_pages):
        page = fetch(offset)
        if offset == 0:
            recent.clear()  # whatever happened before, this is where the list begins
        elif all(known.isdisjoint(page.keys) for known in recent):
            setbacks += 1
            if setbacks > MAX_SETBACKS:
                raise UnexpectedPayloadError(f"{what} kept changing while its pages were read")
            offset = max(0, offset - page_size * setbacks)
            continue
        elif page.keys == last:
            repeats += 1
            if repeats > MAX_REPEATS:
                raise UnexpectedPayloadError(f"{what} has the same {len(last)} records at every offset")
        else:
            repeats = 0
        recent.append(frozenset(page.keys))
        last = page.keys
        yield page
        if len(page.keys) < page_size:
            return
        offset += len(page.keys) - overlap
    raise UnexpectedPayloadError(f"{what} has more than {max_pages} pages. Narrow it by a filter")
