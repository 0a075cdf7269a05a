"""
What can be asked of a tenant while waiting: a query is one thing, and many of a type share a request.

The only place that knows which method of the client answers a query; sensors ask at once, and the poller asks
for all sensors in the triggerer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from airflow_provider_sptasks.client.durations import Aggregated, aggregated_by
from airflow_provider_sptasks.client.errors import (
    BadRequestError,
    NotFoundError,
    SourceNotFoundError,
    SourceNotUniqueError,
)
from airflow_provider_sptasks.client.launches import AggregationQuery

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient
    from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
    from airflow_provider_sptasks.client.sources_client import SourcesClient


# For an estimate only, so it must cost no more.
MAX_HISTORY_PAGES = 2


class Clients(Protocol):
    """What answers queries: :class:`~airflow_provider_sptasks.hooks.sailpoint.SailPointHook` does."""

    @property
    def client(self) -> TaskStatusClient:
        """The client of the tenant's tasks."""

    @property
    def sources(self) -> SourcesClient:
        """The client of the tenant's sources."""


class Query(ABC):
    """One thing that can be asked; equal queries have equal answers."""

    __slots__ = ()

    subject: ClassVar[str]
    """What it is about, for the log."""
    max_batch: ClassVar[int] = 1
    """How many are asked together."""
    is_left_to_trigger: ClassVar[bool] = False
    """Whether a sensor that defers leaves it to its trigger, which asks for many sensors together."""

    @classmethod
    @abstractmethod
    def ask(cls, clients: Clients, queries: Sequence[Self]) -> Mapping[Self, Any]:
        """
        Ask for all of them.

        :param clients: what to ask with
        :param queries: any number of this class; more than ``max_batch`` take several requests
        :return: an answer for each of them
        :raises SailPointError: none of them can be answered
        """

    def lasts(self, answer: Any) -> bool:  # noqa: ARG002 - what subclasses go by
        """
        Whether an answer can't change any more, so that it need not be asked for again.

        :param answer: an answer to this query
        """
        return False


Answers = dict[Query, Any]


@dataclass(frozen=True, slots=True)
class _OneTask(Query):
    """
    About one task.

    :param task_status_id: SailPoint's id of the task; compares without case
    """

    task_status_id: str = field(compare=False)
    key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        key = self.task_status_id.casefold()
        # Mostly that is the same text: ten thousand waits need not hold it twice.
        object.__setattr__(self, "key", self.task_status_id if key == self.task_status_id else key)


@dataclass(frozen=True, slots=True)
class TaskQuery(_OneTask):
    """How is a task? Asked of the list: its status, or ``None`` where the list doesn't have it."""

    subject = "tasks"
    max_batch = 200

    @classmethod
    def ask(cls, clients: Clients, queries: Sequence[Self]) -> Mapping[Self, TaskStatus | None]:
        """Ask for all of them together."""
        found = clients.client.reader.find({query.key: query.task_status_id for query in queries})
        return {query: found.get(query.key) for query in queries}

    def lasts(self, answer: Any) -> bool:
        """Whether it has ended: that is final."""
        return answer is not None and answer.is_complete


@dataclass(frozen=True, slots=True)
class TaskLookup(_OneTask):
    """Does the tenant know a task? Asked by its id: its status, or ``None`` where it doesn't."""

    subject = "tasks by id"

    @classmethod
    def ask(cls, clients: Clients, queries: Sequence[Self]) -> Mapping[Self, TaskStatus | None]:
        """Ask for each by itself."""
        return {query: _looked_up(clients, query.task_status_id) for query in queries}


@dataclass(frozen=True, slots=True)
class SourceQuery(Query):
    """
    Which is the newest aggregation of a source? Answered with a ``NewestAggregation``.

    :param aggregations: which aggregations are meant
    """

    subject = "aggregations"
    max_batch = 200

    aggregations: AggregationQuery

    @classmethod
    def of(cls, source_id: str, kind: TaskKind | None, launched_after: datetime) -> Self:
        """
        Make the query.

        :param source_id: SailPoint's id of the source
        :param kind: what is aggregated; ``None`` for any kind
        :param launched_after: when an aggregation that counts was launched at the earliest, aware
        """
        return cls(AggregationQuery(source_id, kind, launched_after))

    @classmethod
    def ask(cls, clients: Clients, queries: Sequence[Self]) -> Mapping[Self, Any]:
        """Ask for all of them together."""
        found = clients.client.newest_aggregations([query.aggregations for query in queries])
        return {query: found[query.aggregations] for query in queries}


@dataclass(frozen=True, slots=True)
class SourceName(Query):
    """
    Which source has a name? Answered with its id, or with the error that there is none, or several.

    :param name: the source's name
    """

    subject = "sources by name"

    name: str

    @classmethod
    def ask(cls, clients: Clients, queries: Sequence[Self]) -> Mapping[Self, Any]:
        """Ask for each by itself."""
        return {query: _named(clients, query.name) for query in queries}

    def lasts(self, answer: Any) -> bool:
        """Whether it was found: it is looked up once."""
        return isinstance(answer, str)


@dataclass(frozen=True, slots=True)
class KnownSource(Query):
    """
    Does the tenant know a source? Answered with ``True`` or ``False``; ``True`` where one may not ask.

    :param source_id: SailPoint's id of the source
    """

    subject = "sources"
    max_batch = 100
    is_left_to_trigger = True

    source_id: str

    @classmethod
    def ask(cls, clients: Clients, queries: Sequence[Self]) -> Mapping[Self, bool]:
        """Ask for all of them together."""
        unknown = clients.sources.unknown([query.source_id for query in queries])
        return {query: query.source_id not in unknown for query in queries}

    def lasts(self, answer: Any) -> bool:
        """Whether it is known."""
        return bool(answer)


def ask_all(clients: Clients, queries: Iterable[Query]) -> Answers:
    """
    Ask queries of any types, those of a type together.

    What the tenant refuses (400) is asked in halves, as the poller does, until what causes it stands alone.

    :param clients: what to ask with
    :param queries: the queries
    :raises SailPointError: one of them can't be answered
    """
    by_type: dict[type[Query], list[Query]] = {}
    for query in queries:
        by_type.setdefault(type(query), []).append(query)
    answers: Answers = {}
    to_ask = [*reversed(by_type.items())]
    while to_ask:
        kind, same = to_ask.pop()
        try:
            answers |= kind.ask(clients, same)
        except BadRequestError:
            if len(same) == 1:
                raise
            middle = len(same) // 2
            to_ask += [(kind, same[middle:]), (kind, same[:middle])]
    return answers


def ask_usual_durations(clients: Clients, statuses: Iterable[TaskStatus]) -> Mapping[Aggregated, timedelta]:
    """
    Ask how long the aggregations that run usually take: once, and at most two pages of the last ones.

    :param clients: what to ask with
    :param statuses: what was seen
    :raises SailPointError: the tenant can't be asked
    """
    from airflow_provider_sptasks.client.history import read_usual_durations

    wanted = {what for each in statuses if not each.is_complete and (what := aggregated_by(each))}
    if not wanted:
        return {}
    client = clients.client
    once = client.with_retry(replace(client.retry, deadline=0.0, min_answer_seconds=0.0, max_attempts=1))
    return read_usual_durations(once, wanted, max_pages=MAX_HISTORY_PAGES)


def _looked_up(clients: Clients, task_status_id: str) -> TaskStatus | None:
    try:
        return clients.client.get(task_status_id)
    except NotFoundError:
        return None


def _named(clients: Clients, name: str) -> str | SourceNotFoundError | SourceNotUniqueError:
    try:
        return clients.sources.find_by_name(name).id
    except (SourceNotFoundError, SourceNotUniqueError) as error:
        return error
