"""
What a trigger hands to the worker that goes on: plain JSON, with the wait itself, so that nothing is derived
again.

An event is one of

* ``{"version": 2, "wait": {...}, "source_ids": [...], "statuses": [...]}``: what was seen in the end,
* ``{"version": 2, "error": "not_found" | "source_not_found" | "refused", "message": "..."}``: why it ended,
* ``{"version": 2, "again": "..."}``: the worker has to poll again; why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, Self

from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointSourceNotFoundError,
    SailPointTaskNotFoundError,
)
from airflow_provider_sptasks.waiting.queries import Answers, Query
from airflow_provider_sptasks.waiting.verdict import Verdict

# Of the triggers' arguments and events; raised when either changes, so that an upgrade finds sensors that
# wait.
ARGUMENTS_VERSION = 2

ErrorName = Literal["not_found", "source_not_found", "refused"]
_ERRORS: Mapping[str, type[Exception]] = {
    "not_found": SailPointTaskNotFoundError,
    "source_not_found": SailPointSourceNotFoundError,
    "refused": SailPointRequestError,
}


class Wait(Protocol):
    """What is waited for: a ``TaskWait`` or an ``AggregationWait``."""

    @property
    def single(self) -> bool:
        """Whether one thing is waited for by itself, and not a list."""

    def begun(self, now: datetime) -> Self:
        """Return the same with the time of the first poll."""

    def describe(self) -> str:
        """Say for a person what is waited for."""

    def queries(self, answers: Answers, now: datetime) -> list[Query]:
        """Name what has to be asked."""

    def judge(self, answers: Answers, now: datetime) -> Verdict:
        """Decide what answers mean."""

    def statuses(self, answers: Answers) -> list[TaskStatus]:
        """Return the tasks that decide."""

    def source_ids(self, answers: Answers) -> list[str]:
        """Return the ids of the sources, as far as they are known."""

    def answers_of(self, statuses: Iterable[TaskStatus], source_ids: Sequence[str]) -> Answers:
        """Make the answers that statuses once were."""

    def notes(self, answers: Answers) -> list[str]:
        """Say what else a person should know."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""


def seen_event(wait: Wait, answers: Answers) -> dict[str, Any]:
    """
    Make the event of a final verdict.

    :param wait: what was waited for
    :param answers: what it was judged by
    """
    return {
        "version": ARGUMENTS_VERSION,
        "wait": wait.to_json(),
        "source_ids": wait.source_ids(answers),
        "statuses": [status.to_json() for status in wait.statuses(answers)],
    }


def error_event(name: ErrorName, error: Exception) -> dict[str, Any]:
    """
    Make the event of an error that waiting can't help.

    :param name: what kind of error
    :param error: the error
    """
    return {"version": ARGUMENTS_VERSION, "error": name, "message": str(error)}


def poll_again(why: str) -> dict[str, Any]:
    """
    Make the event that hands a sensor back to a worker.

    :param why: for a person
    """
    return {"version": ARGUMENTS_VERSION, "again": why}


def why_again(event: Mapping[str, Any]) -> str | None:
    """
    Say why a worker has to poll again: the trigger says so, or it is of another version than the worker.

    :param event: the event
    :return: ``None`` if the event says how it ended
    """
    if event.get("version") != ARGUMENTS_VERSION:
        return "the trigger that waited was of another version"
    return event.get("again")


def raise_error(event: Mapping[str, Any]) -> None:
    """
    Raise the error that an event holds, if it holds one.

    :param event: the event
    :raises SailPointTaskNotFoundError: the tenant doesn't know a task
    :raises SailPointSourceNotFoundError: the tenant doesn't know a source
    :raises SailPointRequestError: the tenant refuses, or an argument is invalid
    """
    if "error" in event:
        raise _ERRORS.get(event["error"], SailPointRequestError)(event["message"])


def answers_in(event: Mapping[str, Any], wait: Wait) -> Answers:
    """
    Read the answers that a final verdict was judged by.

    :param event: made by :func:`seen_event`
    :param wait: what was waited for
    """
    return wait.answers_of(map(TaskStatus.from_json, event["statuses"]), event["source_ids"])
