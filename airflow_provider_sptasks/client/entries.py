"""Reads the entries of a list, and passes over those that can't be read: one must not hide the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_provider_sptasks.client.errors import UnexpectedPayloadError
from airflow_provider_sptasks.client.ids import usable_id
from airflow_provider_sptasks.client.reading import describe

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """
    A page of a list.

    :param items: what could be read
    :param keys: what tells the records apart, one for each that was sent, whether it could be read or not
    :param unreadable: for each kind of problem how many could not be read, and what is wrong with one of them
    """

    items: Sequence[T]
    keys: Sequence[str]
    unreadable: Mapping[str, tuple[int, str]]


def read_page(entries: Sequence[Any], decode: Callable[[object], T]) -> Page[T]:
    """
    Read what can be read of the entries of a list.

    :param entries: the list
    :param decode: reads an entry, or raises ``UnexpectedPayloadError``
    """
    items: list[T] = []
    keys: list[str] = []
    unreadable: dict[str, tuple[int, str]] = {}
    for entry in entries:
        key = usable_id(entry.get("id")) if isinstance(entry, Mapping) else None
        keys.append(key or describe(entry))
        try:
            items.append(decode(entry))
        except UnexpectedPayloadError as error:
            problem = "are no JSON objects" if not isinstance(entry, Mapping) else "lack what they need"
            count, example = unreadable.get(problem, (0, str(error)))
            unreadable[problem] = (count + 1, example)
    return Page(items, keys, unreadable)


class PassedOver:
    """Logs which entries were passed over, once for each endpoint and kind of problem."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str]] = set()

    def note(self, endpoint: str, page: Page[Any]) -> None:
        """
        Log what is wrong with entries of a page, unless such a thing has been logged.

        :param endpoint: where the page is from, such as ``GET /task-status/v1``
        :param page: the page
        """
        for problem, (count, example) in page.unreadable.items():
            if (endpoint, problem) not in self._logged:
                self._logged.add((endpoint, problem))
                log.warning(
                    "%s: passed over %d of %d entries, which %s (logged once). %s",
                    endpoint,
                    count,
                    len(page.keys),
                    problem,
                    example,
                )
