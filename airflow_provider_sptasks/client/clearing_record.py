"""Gives up the record of an aggregation that was started here. Knows no Airflow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient

# The tenant may keep "completed" with less precision than it is sent.
SAME_TIME_SECONDS = 1.0


def clear_record(client: TaskStatusClient, task_status_id: str) -> TaskStatus | None:
    """
    Give a task the completion status ``Error``, unless it has ended: that does not stop its work.

    It is read again before each attempt, so that one that ends meanwhile keeps its status.

    :param client: talks to the tenant
    :param task_status_id: SailPoint's id of the task
    :return: the task after that; ``None`` if it had ended
    """
    once = client.with_retry(replace(client.retry, max_attempts=1))
    sent: list[datetime] = []

    def attempt() -> TaskStatus | None:
        status = once.get(task_status_id)
        if status.is_complete:
            return status if is_cleared(status, CompletionStatus.ERROR, sent) else None
        sent.append(once.transport.clock.now())
        return once.clear(task_status_id, completed=sent[-1])

    return client.retry.call(attempt, f"Clearing the record of {task_status_id}")


def is_cleared(
    status: TaskStatus, completion_status: CompletionStatus | None, times: Iterable[datetime]
) -> bool:
    """
    Whether a task has ended by a request of ours that got no answer, and not by itself.

    :param status: the task
    :param completion_status: the status that was to be set
    :param times: the values of ``completed`` that were sent
    """
    ended = status.completed
    return (
        ended is not None
        and status.completion_status is completion_status
        and any(abs((ended - each).total_seconds()) <= SAME_TIME_SECONDS for each in times)
    )
