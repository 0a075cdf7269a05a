"""SailPoint's filter expressions: how they are spelled, and how many ids fit in a request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider_sptasks.client.ids import refuse_single
from airflow_provider_sptasks.client.versions import ApiVersion

MAX_PAGE_SIZE = 250
# Common gateways refuse a request line over 8 KB; the rest is for the method, path, and other parameters.
MAX_IDS_LENGTH = 7920
QUOTES_LENGTH = len("%22%22,")


def equals(name: str, value: str) -> str:
    """Make the filter that a field has a value."""
    return f"{name} eq {_quoted(value)}"


def one_of(name: str, values: Iterable[str]) -> str:
    """Make the filter that a field has one of some values."""
    return f"{name} in ({','.join(map(_quoted, values))})"


def is_null(name: str) -> str:
    """Make the filter that a field is not set."""
    return f"{name} isnull"


def all_of(*expressions: str) -> str:
    """Make the filter that all of some filters hold; empty ones are passed over."""
    given = [expression for expression in expressions if expression]
    if len(given) < 2:
        return "".join(given)
    return " and ".join(f"({expression})" for expression in given)


def task_filters(
    version: ApiVersion,
    *,
    task_status_ids: Sequence[str] | None = None,
    source_ids: Sequence[str] | None = None,
    completion_statuses: Sequence[str] | None = None,
    launchers: Sequence[str] | None = None,
    pending: bool = False,
) -> str | None:
    """
    Make the filter that all of the given criteria hold.

    :return: the filter, empty where no criterion is given; ``None`` where one of them allows no value, so
        that nothing can match
    :raises ValueError: the version doesn't have a criterion
    """
    given = {
        "id": task_status_ids,
        "sourceId": source_ids,
        "completionStatus": completion_statuses,
        "launcher": launchers,
    }
    criteria = {name: values for name, values in given.items() if values is not None}
    for name in criteria.keys() - version.filters:
        raise ValueError(f"A list can't be filtered by {name} in API version {version.name!r}.")
    if pending and not version.lists_pending:
        raise ValueError(f"The list of API version {version.name!r} has no pending tasks. Use pending().")
    if not all(criteria.values()):
        return None
    return all_of(
        *(one_of(name, values) for name, values in criteria.items()),
        is_null("completionStatus") if pending else "",
    )


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a list of tasks is narrowed by; see ``TaskStatusClient.list``."""

    task_status_ids: Sequence[str] | None
    source_ids: Sequence[str] | None
    completion_statuses: Sequence[str] | None
    pending: bool
    launchers: Sequence[str] | None
    filters: str

    def expression(self, version: ApiVersion) -> str | None:
        """
        Make the filter.

        :return: empty where no criterion is given; ``None`` where nothing can match
        :raises ValueError: the version doesn't have a criterion, or one is a single string
        """
        for name in ("task_status_ids", "source_ids", "completion_statuses", "launchers"):
            refuse_single(getattr(self, name), name)
        given = task_filters(
            version,
            task_status_ids=self.task_status_ids,
            source_ids=self.source_ids,
            completion_statuses=self.completion_statuses,
            launchers=self.launchers,
            pending=self.pending,
        )
        return None if given is None else all_of(given, self.filters)


def first_chunk(ids: Sequence[str], most: int) -> Sequence[str]:
    """
    Take as many ids from the front as fit in one request, and at least one.

    :param ids: any number of ids
    :param most: the maximum to take; a page and the request line bound it as well
    """
    chunk = ids[: min(most, MAX_PAGE_SIZE)]
    length = 0
    for taken, each in enumerate(chunk):
        length += len(quote(each, safe="")) + QUOTES_LENGTH
        if taken and length > MAX_IDS_LENGTH:
            return chunk[:taken]
    return chunk


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
