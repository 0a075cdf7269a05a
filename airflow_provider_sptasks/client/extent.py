"""Which part of a list is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Extent:
    """
    A part of a list.

    :param limit: maximum number of records; ``None`` for all
    :param offset: how many records to pass over
    :param page_size: how many to ask for at a time, 1 to 250
    :raises ValueError: a number is out of range
    """

    limit: int | None = None
    offset: int = 0
    page_size: int = MAX_PAGE_SIZE

    def __post_init__(self) -> None:
        if not 1 <= self.page_size <= MAX_PAGE_SIZE:
            raise ValueError(f"page_size {self.page_size!r} is out of range. Give 1 to {MAX_PAGE_SIZE}.")
        if self.limit is not None and self.limit < 0:
            raise ValueError(f"limit {self.limit!r} is out of range. Give 0 or more, or None for all.")
        if self.offset < 0:
            raise ValueError(f"offset {self.offset!r} is out of range. Give 0 or more.")

    @property
    def first_page(self) -> int:
        """How many records the pages have: at least 2, of which one is expected again in the next page."""
        return max(2, self.page_size if self.limit is None else min(self.page_size, self.limit))

    def cut(self, records: Iterator[T]) -> Iterator[T]:
        """
        Return this part of records.

        :param records: the whole list
        """
        return islice(records, self.offset, None if self.limit is None else self.offset + self.limit)

    def cut_end(self, records: Iterator[T]) -> Iterator[T]:
        """
        Return this part of records.

        :param records: the list from the offset on
        """
        return islice(records, self.limit)


EVERYTHING = Extent()
