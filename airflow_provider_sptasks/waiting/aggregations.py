"""Waiting for the aggregations of sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from airflow_provider_sptasks.arguments import (
    check_choice,
    check_name,
    completion_statuses,
    cut_list,
    status_names,
    texts,
)
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.kinds import ANY_KIND
from airflow_provider_sptasks.client.launches import NewestAggregation, newest_of
from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus
from airflow_provider_sptasks.times import aware_datetime, duration, optional_datetime
from airflow_provider_sptasks.waiting.errors import UnknownSourceError
from airflow_provider_sptasks.waiting.options import IF_FAILED, KINDS
from airflow_provider_sptasks.waiting.queries import Answers, KnownSource, Query, SourceName, SourceQuery
from airflow_provider_sptasks.waiting.verdict import Verdict


@dataclass(frozen=True, slots=True)
class AggregationWait:
    """
    Aggregations that are waited for: over when that of each source has ended, or one as it should not.

    The newest aggregation of a source decides, of those that were launched at ``launched_after`` or later.
    One that runs is waited for, unless it was launched after ``waiting_since`` and the one before it ended
    with an accepted status: or else sources that are aggregated all the time would never be done together.

    :param sources: SailPoint's ids of the sources, or their names, each once
    :param named: whether these are names
    :param kind: what is aggregated; ``None`` for anything
    :param launched_after: when an aggregation that counts was launched at the earliest, aware
    :param accepted: the completion statuses to accept; ``None`` for any
    :param wait_for_next: whether the next one is waited for after one that ended otherwise
    :param retry_grace: how long SailPoint's own retry after a ``TEMPERROR`` may take to be launched
    :param single: whether one source was given by itself, and not a list
    :param waiting_since: when the first poll was, aware; ``None`` before it
    """

    sources: tuple[str, ...]
    named: bool
    kind: TaskKind | None
    launched_after: datetime
    accepted: frozenset[CompletionStatus] | None
    wait_for_next: bool
    retry_grace: timedelta
    single: bool
    waiting_since: datetime | None = None

    @classmethod
    def parse(
        cls,
        *,
        source_id: object,
        source_name: object,
        kind: object,
        launched_after: object,
        accepted_statuses: object,
        if_failed: object,
        retry_grace: object,
        waiting_since: object = None,
    ) -> Self:
        """
        Read what a DAG author gave, or what :meth:`to_json` made.

        :param source_id: an id or several; ``None`` where there are names
        :param source_name: a name or several; ``None`` where there are ids
        :param kind: what is aggregated, or ``any``
        :param launched_after: an aware ``datetime``, or ISO 8601 with a time zone
        :param accepted_statuses: names of completion statuses; ``None`` for any
        :param if_failed: ``fail`` or ``wait_for_next``
        :param retry_grace: seconds or a ``timedelta``
        :param waiting_since: ISO 8601, or ``None``
        :raises ValueError: one of them is invalid; the message names it
        """
        named = source_name is not None
        name, given = ("source_name", source_name) if named else ("source_id", source_id)
        sources = texts(given, name, check_name if named else check_id)
        if not sources:
            raise ValueError(f"{name} is an empty list. Give one at least.")
        chosen = check_choice(kind, "kind", KINDS)
        return cls(
            sources=tuple(sources),
            named=named,
            kind=None if chosen == ANY_KIND else TaskKind(chosen),
            launched_after=aware_datetime(launched_after, "launched_after").astimezone(UTC),
            accepted=completion_statuses(accepted_statuses),
            wait_for_next=check_choice(if_failed, "if_failed", IF_FAILED) == "wait_for_next",
            retry_grace=duration(retry_grace, "retry_grace"),
            single=not isinstance(given, (list, tuple)),
            waiting_since=optional_datetime(waiting_since, "waiting_since"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the arguments of :meth:`parse` as plain JSON."""
        sources = self.sources[0] if self.single else list(self.sources)
        return {
            "source_id": None if self.named else sources,
            "source_name": sources if self.named else None,
            "kind": ANY_KIND if self.kind is None else self.kind.value,
            "launched_after": self.launched_after.isoformat(),
            "accepted_statuses": status_names(self.accepted),
            "if_failed": "wait_for_next" if self.wait_for_next else "fail",
            "retry_grace": self.retry_grace.total_seconds(),
            "waiting_since": None if self.waiting_since is None else self.waiting_since.isoformat(),
        }

    def begun(self, now: datetime) -> Self:
        """
        Return the same with the time of the first poll.

        :param now: the time, aware
        """
        return self if self.waiting_since is not None else replace(self, waiting_since=now)

    def describe(self) -> str:
        """Say for a person what is waited for."""
        what = f"the aggregation ({self.kind})" if self.kind else "the aggregation"
        since = self.launched_after.isoformat(" ", "seconds").replace("+00:00", " UTC")
        return f"{what} of {cut_list(self.sources)} launched at {since} or later"

    def queries(self, answers: Answers, now: datetime) -> list[Query]:  # noqa: ARG002 - other waits go by it
        """
        Name what has to be asked: the sources of the names, their newest aggregations, and whether the tenant
        knows a source that has launched nothing.

        :param answers: the answers so far
        :param now: the time, aware
        """
        queries: list[Query] = [SourceName(each) for each in self.sources if self.named]
        for source_id in filter(None, self.source_ids(answers)):
            query = self._query(source_id)
            queries.append(query)
            answer: NewestAggregation | None = answers.get(query)
            if answer is not None and answer.newest is None and not answer.other_names:
                queries.append(KnownSource(source_id))
        return queries

    def judge(self, answers: Answers, now: datetime) -> Verdict:
        """
        Decide what answers mean: the one place that does.

        :param answers: the answers so far
        :param now: the time, aware
        :raises UnknownSourceError: the tenant doesn't know a source, or knows several of a name
        """
        accepted: list[TaskStatus] = []
        refused: list[TaskStatus] = []
        retries: list[datetime] = []
        for source_id in self.source_ids(answers):
            answer = answers.get(self._query(source_id)) if source_id else None
            decisive = self._decisive(answer)
            if decisive is None:
                continue
            if self.accepted is None or decisive.completion_status in self.accepted:
                accepted.append(decisive)
            elif not self.wait_for_next:
                retry_until = self._retry_until(decisive)
                if retry_until is not None and now < retry_until:
                    retries.append(retry_until)
                else:
                    refused.append(decisive)
        # A refused one decides first: answers to other queries come later in a trigger than in a poke.
        if not refused and all(query in answers for query in self.queries(answers, now)):
            self._check_sources(answers)
        is_done = not refused and len(accepted) == len(self.sources)
        return Verdict(
            is_done, tuple(accepted) if is_done else (), tuple(refused), min(retries, default=None)
        )

    def statuses(self, answers: Answers) -> list[TaskStatus]:
        """
        Return the aggregations that decide, in the order of the sources.

        :param answers: the answers so far
        """
        found = []
        for source_id in self.source_ids(answers):
            answer = answers.get(self._query(source_id)) if source_id else None
            if answer is not None:
                found += [each for each in (answer.newest, answer.last_complete) if each is not None]
        return found

    def answers_of(self, statuses: Iterable[TaskStatus], source_ids: Sequence[str]) -> Answers:
        """
        Make the answers that statuses once were: an event carries no others.

        :param statuses: the aggregations that decided
        :param source_ids: the ids of the sources as :meth:`source_ids` gave them
        """
        seen = list(statuses)
        answers: Answers = {}
        for source, source_id in zip(self.sources, source_ids, strict=True):
            if not source_id:
                continue
            if self.named:
                answers[SourceName(source)] = source_id
            query = self._query(source_id)
            answers[query] = newest_of(query.aggregations, seen)
        return answers

    def source_ids(self, answers: Answers) -> list[str]:
        """
        Return the ids of the sources, in their order; an empty one where it isn't known yet.

        :param answers: the answers so far
        """
        if not self.named:
            return list(self.sources)
        found = [answers.get(SourceName(each)) for each in self.sources]
        return [each if isinstance(each, str) else "" for each in found]

    def notes(self, answers: Answers) -> list[str]:
        """
        Say what else a person should know: what a source launched instead of what is waited for.

        :param answers: the answers so far
        """
        kind = f"kind {self.kind.value!r}" if self.kind else "a known kind of aggregation"
        notes = []
        for source, source_id in zip(self.sources, self.source_ids(answers), strict=True):
            answer = answers.get(self._query(source_id)) if source_id else None
            if answer is not None and answer.newest is None and answer.other_names:
                names = cut_list(answer.other_names)
                notes.append(f"Source {source} has launched tasks since then, but none of {kind}: {names}")
        return notes

    def _query(self, source_id: str) -> SourceQuery:
        return SourceQuery.of(source_id, self.kind, self.launched_after)

    def _check_sources(self, answers: Answers) -> None:
        for each in self.sources if self.named else ():
            error = answers.get(SourceName(each))
            if isinstance(error, Exception):
                raise UnknownSourceError(str(error)) from None
        unknown = [each for each in self.source_ids(answers) if answers.get(KnownSource(each)) is False]
        if unknown:
            raise UnknownSourceError(
                f"The tenant has no source with the id {cut_list(unknown)}. Check source_id, and that the "
                "connection is of the right tenant."
            )

    def _decisive(self, answer: NewestAggregation | None) -> TaskStatus | None:
        """Return the ended aggregation that decides; ``None`` where one has to be waited for."""
        if answer is None or answer.newest is None:
            return None
        if answer.newest.is_complete:
            return answer.newest
        last, start = answer.last_complete, answer.newest.launched or answer.newest.created
        if last is None or start is None or self.waiting_since is None or start <= self.waiting_since:
            return None
        return last if self.accepted is None or last.completion_status in self.accepted else None

    def _retry_until(self, status: TaskStatus) -> datetime | None:
        """Return until when SailPoint may retry a task by itself; ``None`` where it won't."""
        ended = status.completed or status.launched or status.created
        if status.completion_status is not CompletionStatus.TEMPERROR or ended is None:
            return None
        return ended + self.retry_grace
