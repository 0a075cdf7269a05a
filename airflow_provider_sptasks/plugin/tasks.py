"""What the page keeps of tasks, and asks of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from airflow_provider_sptasks.client.durations import SUCCESSFUL
from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus

MAX_MESSAGES = 3


def lean(task: TaskStatus) -> TaskStatus:
    """
    Leave out of a task what the page doesn't show: thousands are kept.

    :param task: as it was read
    """
    has_reason = task.is_complete and task.completion_status is not CompletionStatus.SUCCESS
    return replace(
        task,
        description=None if task.unique_name else task.description,
        messages=task.messages[:MAX_MESSAGES] if has_reason else (),
        attributes={},
        raw={},
    )


def name_of(task: TaskStatus) -> str:
    """
    Name what a task is about: its source, or itself if it has none.

    :param task: the task
    """
    return task.source_name or task.unique_name or task.description or "Task"


def about(task: TaskStatus) -> str:
    """
    Return what tasks of the same source have in common; of those without a source, tasks of the same name.

    :param task: the task
    """
    return (task.source_id or name_of(task)).casefold()


def began(task: TaskStatus) -> datetime | None:
    """
    Return when a task was launched, or created.

    :param task: the task
    """
    return task.launched or task.created


def ended(task: TaskStatus) -> datetime | None:
    """
    Return when a task ended; if it doesn't say, when it began.

    :param task: the task
    :return: ``None`` while it is pending
    """
    return task.completed or began(task) if task.is_complete else None


def is_successful(task: TaskStatus) -> bool:
    """
    Whether a task has ended as sensors accept by default.

    :param task: the task
    """
    return task.completion_status in SUCCESSFUL
