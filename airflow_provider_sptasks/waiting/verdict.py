"""What answers mean for whoever waits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from airflow_provider_sptasks.arguments import cut_list
from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus

MAX_MESSAGES = 3


class Verdict(NamedTuple):
    """
    What the present answers mean.

    :param is_done: whether the wait is over, and well
    :param accepted: the tasks that it ended with, in the order of what is waited for
    :param refused: the tasks that ended with a status that isn't accepted
    :param judge_again_at: when the same answers may mean something else, aware; ``None`` for never
    """

    is_done: bool
    accepted: tuple[TaskStatus, ...] = ()
    refused: tuple[TaskStatus, ...] = ()
    judge_again_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether the wait is over, well or not."""
        return self.is_done or bool(self.refused)

    def result(self, single: bool) -> Any:
        """
        Return what a sensor returns when the wait is over.

        :param single: whether one thing was waited for by itself, and not a list
        :return: a task status as :meth:`~airflow_provider_sptasks.client.models.TaskStatus.to_json` gives it,
            or a list of them
        """
        statuses = [status.to_json() for status in self.accepted]
        return statuses[0] if single else statuses


def failure(refused: Iterable[TaskStatus]) -> str:
    """
    Say for a person how tasks ended: what, of which source and why; the ids come last.

    :param refused: the tasks
    """
    return cut_list(map(_failure, refused), "; ")


def outcome(status: TaskStatus) -> str:
    """
    Say for a person how a task ended, and after how long, without its id.

    :param status: a task that has ended
    """
    ended = f"{title(status)} ended with {spelled(status)}"
    if status.duration is None:
        return ended
    return f"{ended} after {timedelta(seconds=round(status.duration.total_seconds()))}"


def title(status: TaskStatus) -> str:
    """
    Name a task for a person: what it does and for which source.

    :param status: the task
    """
    name = status.unique_name or status.description or "Task"
    return f"{name} of {status.source_name}" if status.source_name else name


def spelled(status: TaskStatus) -> str | None:
    """
    Spell a completion status in the one way that logs and messages use.

    :param status: the task
    """
    if status.completion_status in (None, CompletionStatus.UNKNOWN):
        return status.completion_status_text
    return str(status.completion_status)


def _failure(status: TaskStatus) -> str:
    """Say the reason as early as it goes: Airflow's log view shows some 75 characters of a line."""
    messages = "; ".join(status.messages[:MAX_MESSAGES])
    details = [f"task {status.id}"]
    if status.duration is not None:
        details.insert(0, f"after {timedelta(seconds=round(status.duration.total_seconds()))}")
    if status.source_name and status.unique_name:
        details.insert(0, status.unique_name)
    name = status.source_name or title(status)
    reason = f": {messages}" if messages else ""
    return f"{name} ended with {spelled(status)}{reason} ({', '.join(details)})"
