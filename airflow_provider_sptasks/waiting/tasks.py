"""Waiting for tasks by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from airflow_provider_sptasks.arguments import completion_statuses, cut_list, status_names, texts
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus
from airflow_provider_sptasks.times import duration, optional_datetime
from airflow_provider_sptasks.waiting.errors import UnknownTaskError
from airflow_provider_sptasks.waiting.options import NO_TASK, NOT_FOUND_GRACE_SECONDS
from airflow_provider_sptasks.waiting.queries import Answers, Query, TaskLookup, TaskQuery
from airflow_provider_sptasks.waiting.verdict import Verdict


@dataclass(frozen=True, slots=True)
class TaskWait:
    """
    Tasks that are waited for: over when all of them have ended, or one with a status that isn't accepted.

    :param task_status_ids: SailPoint's ids of the tasks, each once
    :param accepted: the completion statuses to accept; ``None`` for any
    :param not_found_grace: how long after ``waiting_since`` the tenant may not know a task
    :param single: whether one id was given by itself, and not a list
    :param waiting_since: when the first poll was, aware; ``None`` before it
    """

    task_status_ids: tuple[str, ...]
    accepted: frozenset[CompletionStatus] | None
    not_found_grace: timedelta
    single: bool
    waiting_since: datetime | None = None

    @classmethod
    def parse(
        cls,
        *,
        task_status_id: object,
        accepted_statuses: object,
        not_found_grace: object,
        waiting_since: object = None,
    ) -> Self:
        """
        Read what a DAG author gave, or what :meth:`to_json` made.

        :param task_status_id: an id or several
        :param accepted_statuses: names of completion statuses; ``None`` for any
        :param not_found_grace: seconds or a ``timedelta``
        :param waiting_since: ISO 8601, or ``None``
        :raises ValueError: one of them is invalid; the message names it
        """
        ids = texts(task_status_id, "task_status_id", check_id)
        if not ids:
            raise ValueError(NO_TASK)
        spellings: dict[str, str] = {}
        for each in ids:
            spellings.setdefault(each.casefold(), each)
        return cls(
            task_status_ids=tuple(spellings.values()),
            accepted=completion_statuses(accepted_statuses),
            not_found_grace=duration(not_found_grace, "not_found_grace"),
            single=isinstance(task_status_id, str),
            waiting_since=optional_datetime(waiting_since, "waiting_since"),
        )

    @classmethod
    def for_one(cls, task_status_id: str, accepted: frozenset[CompletionStatus] | None) -> Self:
        """
        Wait for a task whose id SailPoint itself has given, with the usual grace.

        :param task_status_id: SailPoint's id of the task
        :param accepted: the completion statuses to accept; ``None`` for any
        """
        return cls((task_status_id,), accepted, timedelta(seconds=NOT_FOUND_GRACE_SECONDS), single=True)

    def to_json(self) -> dict[str, Any]:
        """Return the arguments of :meth:`parse` as plain JSON."""
        return {
            "task_status_id": self.task_status_ids[0] if self.single else list(self.task_status_ids),
            "accepted_statuses": status_names(self.accepted),
            "not_found_grace": self.not_found_grace.total_seconds(),
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
        return cut_list(self.task_status_ids)

    def queries(self, answers: Answers, now: datetime) -> list[Query]:
        """
        Name what has to be asked: the list for each task, and by its id what the list should have by now.

        :param answers: the answers so far
        :param now: the time, aware
        """
        queries: list[Query] = [TaskQuery(each) for each in self.task_status_ids]
        if now >= (self.waiting_since or now) + self.not_found_grace:
            queries += [TaskLookup(each) for each in self._missing(answers)]
        return queries

    def judge(self, answers: Answers, now: datetime) -> Verdict:
        """
        Decide what answers mean: the one place that does.

        :param answers: the answers so far
        :param now: the time, aware
        :raises UnknownTaskError: the tenant doesn't know a task, after the grace
        """
        found, unknown = {}, []
        for each in self.task_status_ids:
            listed = answers.get(TaskQuery(each))
            status = listed if listed is not None else answers.get(TaskLookup(each))
            if status is not None:
                found[each] = status
            elif TaskQuery(each) in answers and TaskLookup(each) in answers:
                unknown.append(each)
        ended = [found[each] for each in self.task_status_ids if each in found and found[each].is_complete]
        refused = tuple(
            each
            for each in ended
            if self.accepted is not None and each.completion_status not in self.accepted
        )
        # A refused one decides first: answers to other queries come later in a trigger than in a poke.
        if unknown and not refused and all(query in answers for query in self.queries(answers, now)):
            raise _not_found(unknown[0])
        is_done = not refused and len(ended) == len(self.task_status_ids)
        again = (self.waiting_since or now) + self.not_found_grace if self._missing(answers) else None
        return Verdict(
            is_done,
            tuple(ended) if is_done else (),
            refused,
            again if again is not None and again > now else None,
        )

    def statuses(self, answers: Answers) -> list[TaskStatus]:
        """
        Return the tasks that were seen, in the order of the ids.

        :param answers: the answers so far
        """
        both = (
            (answers.get(TaskQuery(each)), answers.get(TaskLookup(each))) for each in self.task_status_ids
        )
        return [status for listed, looked_up in both if (status := listed or looked_up) is not None]

    def answers_of(
        self,
        statuses: Iterable[TaskStatus],
        source_ids: Sequence[str],  # noqa: ARG002 - other waits go by it
    ) -> Answers:
        """
        Make the answers that statuses once were: an event carries no others.

        :param statuses: the tasks that were seen
        :param source_ids: not used here
        """
        return {TaskQuery(status.id): status for status in statuses}

    def source_ids(self, answers: Answers) -> list[str]:
        """
        Return the sources that the tasks are of, as far as they were seen.

        :param answers: the answers so far
        """
        return [status.source_id for status in self.statuses(answers) if status.source_id]

    def notes(self, answers: Answers) -> list[str]:  # noqa: ARG002 - other waits go by it
        """Say what else a person should know; nothing here."""
        return []

    def _missing(self, answers: Answers) -> list[str]:
        queries = ((each, TaskQuery(each)) for each in self.task_status_ids)
        return [each for each, query in queries if query in answers and answers[query] is None]


def _not_found(task_status_id: str) -> UnknownTaskError:
    return UnknownTaskError(
        f"The tenant has no task with the task_status_id {task_status_id!r}: it is unknown, was removed, or "
        "is older than the 90 days that SailPoint keeps. Check the id and the tenant of the connection."
    )
