"""The poller's queues: what is due, and which entries share a request."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_sptasks.client.errors import BadRequestError, SailPointError
from airflow_provider_sptasks.waiting.queries import Query

if TYPE_CHECKING:
    from airflow_provider_sptasks.triggers._subscription import Subscription

# Processes that were started together drift apart: due times vary by up to this part.
JITTER = 0.1
# A new subscription to what was polled a moment ago waits that long, in which others may come.
COALESCE_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
# A refusal that repeats for that long is no accident.
REFUSAL_SECONDS = 120.0

UNANSWERED: Final = object()


@dataclass(eq=False, slots=True)
class Entry:
    """
    A query that subscriptions share.

    :param query: what is asked
    :param due: when it is to be asked next, in the event loop's time; infinite while it is being asked
    :param subscriptions: who wants to know
    :param answer: the latest answer
    :param asked_at: when the request of that answer was sent
    :param failures: how often in a row it could not be asked
    :param failed_at: when the first of these was
    :param refused_at: when the tenant refused it first, if it has refused it ever since
    :param max_batch: with how many others it may share a request: fewer while one of them may be the culprit
    """

    query: Query
    due: float
    subscriptions: list[Subscription] = field(default_factory=list)
    answer: Any = UNANSWERED
    asked_at: float = -math.inf
    failures: int = 0
    failed_at: float = 0.0
    refused_at: float | None = None
    max_batch: int = 0

    def __post_init__(self) -> None:
        self.max_batch = self.query.max_batch

    def next_due(self, asked_at: float, round_seconds: float) -> float:
        """
        Return when to ask next, in the event loop's time.

        :param asked_at: when it was asked last
        :param round_seconds: seconds between two polls, where no subscription wants it sooner
        """
        if any(subscription.is_new(self.query, asked_at) for subscription in self.subscriptions):
            return asked_at + COALESCE_SECONDS
        early, late = random.uniform(1 - JITTER, 1), random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
        interval = min(subscription.interval for subscription in self.subscriptions)
        return asked_at + min(round_seconds * late, interval * early)

    def answered(self, answer: Any, asked_at: float) -> None:
        """Keep an answer, and forget failures."""
        self.answer = answer
        self.asked_at = asked_at
        self.failures = 0
        self.refused_at = None
        self.max_batch = self.query.max_batch


class Queue:
    """The entries of one type of query, in the order in which they are due."""

    def __init__(self, kind: type[Query]) -> None:
        self.kind = kind
        self.entries: dict[Query, Entry] = {}
        self.in_flight = 0
        self.is_out = False
        self._heap: list[tuple[float, int, Entry]] = []
        self._order = itertools.count()
        self._worked_at = -math.inf
        self._retry_at = -math.inf
        self._probe: Entry | None = None

    def push(self, entry: Entry, due: float) -> None:
        """Let an entry be asked at a time; an earlier due time of it is void from now on."""
        entry.due = due
        heapq.heappush(self._heap, (due, next(self._order), entry))

    @property
    def due(self) -> float:
        """When the first entry is due; never, if there is none."""
        while self._heap and not self._is_current(*self._heap[0][::2]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def pop_batch(self, latest: float) -> list[Entry]:
        """
        Take entries that share a request, the first of them that is due first.

        :param latest: only entries that are due by then
        """
        batch: list[Entry] = []
        passed_over: list[tuple[float, Entry]] = []
        limit = self.kind.max_batch
        while len(batch) < limit and len(passed_over) < self.kind.max_batch and self.due <= latest:
            due, _, entry = heapq.heappop(self._heap)
            entry.due = math.inf  # it may stand in the heap more than once, and must not be taken again
            if len(batch) < entry.max_batch:
                limit = min(limit, entry.max_batch)
                batch.append(entry)
            else:
                passed_over.append((due, entry))
        for due, entry in passed_over:
            self.push(entry, due)
        return batch

    def worked(self, batch: Sequence[Entry], now: float) -> bool:
        """
        Note that the tenant has answered; say whether that ends an outage.

        :param batch: the entries that were asked for
        :param now: the event loop's time
        """
        self._worked_at = now
        self._probe = None
        if not self.is_out:
            return False
        answered = set(batch)
        self.is_out = any(entry.failures and entry not in answered for entry in self.entries.values())
        return not self.is_out

    def failed(self, batch: Sequence[Entry], error: SailPointError, now: float) -> list[Entry]:
        """
        Put entries back that could not be asked.

        One of them may be the culprit. Where the tenant refuses the request (400) or answers others, they are
        asked in halves. Otherwise it is an outage: they are asked together when it may be over, and one of
        them by itself, which tells an outage from a culprit.

        :param batch: the entries
        :param error: why
        :param now: the event loop's time
        :return: those that are refused for good, which are not put back
        """
        for entry in batch:
            self._count(entry, error, now)
        works = self._worked_at > batch[0].failed_at
        if len(batch) > 1 and (works or isinstance(error, BadRequestError)):
            for entry in batch:
                entry.max_batch = max(1, len(batch) // 2)
                self.push(entry, now)
            return []
        refused = [each for each in batch if self._is_final(each, now)] if not error.retryable else []
        wait = backoff(batch[0].failures, error.retry_after)
        if not works:
            self._choose_probe(batch)
            # All that an outage concerns is asked again together, or it would take ever more requests.
            self._retry_at = self._retry_at if now < self._retry_at <= now + wait else now + wait
            wait = self._retry_at - now
        for entry in batch:
            if entry not in refused:
                self.push(entry, now + wait)
        return refused

    @staticmethod
    def _count(entry: Entry, error: SailPointError, now: float) -> None:
        entry.failed_at = entry.failed_at if entry.failures else now
        entry.failures += 1
        if error.retryable:
            entry.refused_at = None
        elif entry.refused_at is None:
            entry.refused_at = now

    def _choose_probe(self, batch: Sequence[Entry]) -> None:
        """Let one entry be asked by itself next time; one that was, and failed, goes back to the others."""
        if self._probe is not None and self._probe in batch and len(batch) == 1:
            self._probe.max_batch = self.kind.max_batch
            self._probe = None
        elif self._probe is None and len(batch) > 1:
            self._probe = random.choice(batch)  # noqa: S311 - no secret
            self._probe.max_batch = 1

    def _is_final(self, entry: Entry, now: float) -> bool:
        """Whether a refusal is no accident: at once where nothing has ever worked, else when it repeats."""
        if self._worked_at == -math.inf:
            return True
        return entry.refused_at is not None and now - entry.refused_at >= REFUSAL_SECONDS

    @staticmethod
    def _is_current(due: float, entry: Entry) -> bool:
        return bool(entry.subscriptions) and entry.due == due


def backoff(failures: int, retry_after: float | None = None) -> float:
    """
    How long to wait before what has failed is tried again, in seconds.

    :param failures: how often it has failed in a row
    :param retry_after: seconds that the tenant asks for, which never shorten the wait
    """
    wait = max(min(2.0 ** (failures - 1), LONGEST_BACKOFF_SECONDS), retry_after or 0.0)
    return wait * random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
