"""
SailPoint's API of tasks as data and pure functions: nothing here sends anything.

Taken from SailPoint's OpenAPI documents and SDK pages for Task Management.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from airflow_provider_sptasks.client.entries import Page, read_page
from airflow_provider_sptasks.client.errors import UnexpectedPayloadError
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE, is_null
from airflow_provider_sptasks.client.http import Request, Response, decode_json, decode_list
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.versions import ApiVersion

WRITE_SCOPE = "idn:task-management:write"


def get_task(version: ApiVersion, task_status_id: str) -> Request:
    """Ask for one task."""
    return Request("GET", _task_path(version, task_status_id), one_record=True)


def list_tasks(
    version: ApiVersion, *, filters: str = "", sorters: str = "", limit: int = MAX_PAGE_SIZE, offset: int = 0
) -> Request:
    """Ask for a page of tasks."""
    query = [("limit", str(limit)), ("offset", str(offset))]
    if filters:
        query.append(("filters", filters))
    if sorters:
        query.append(("sorters", sorters))
    return Request("GET", version.task_status, tuple(query))


def pending_tasks(version: ApiVersion, offset: int) -> Request:
    """Ask for a page of the list of pending tasks, in a version whose list of all tasks lacks them."""
    return Request("GET", version.pending_tasks, (("limit", str(MAX_PAGE_SIZE)), ("offset", str(offset))))


def count_tasks(version: ApiVersion, filters: str = "") -> Request:
    """Ask how many tasks the list has; the answer's ``X-Total-Count`` says it."""
    query = (("limit", "1"), ("count", "true"), *((("filters", filters),) if filters else ()))
    return Request("GET", version.task_status, query)


def count_pending_tasks(version: ApiVersion) -> Request:
    """
    Ask how many tasks are pending; the answer's ``X-Total-Count`` says it.

    The list of pending tasks is deprecated where the list of all tasks holds them too.
    """
    if version.lists_pending:
        return count_tasks(version, is_null("completionStatus"))
    return Request("HEAD", version.pending_tasks, (("limit", "1"), ("count", "true")))


def update_task(version: ApiVersion, task_status_id: str, operations: Sequence[Mapping[str, Any]]) -> Request:
    """Ask to change a task with JSON Patch (RFC 6902)."""
    return Request(
        "PATCH",
        _task_path(version, task_status_id),
        headers={"Content-Type": "application/json-patch+json"},
        body=json.dumps([dict(operation) for operation in operations]).encode(),
        if_forbidden=f"Changing a task needs a personal access token of a user with the scope {WRITE_SCOPE}",
        one_record=True,
    )


def clear_operations(completion_status: str, completed: datetime) -> list[dict[str, str]]:
    """
    Make the JSON Patch that clears a pending task.

    :param completion_status: the status to set; the documented one is ``Error``
    :param completed: when the task shall be said to have ended
    :raises ValueError: ``completed`` has no time zone
    """
    if completed.tzinfo is None:
        raise ValueError(f"completed {completed.isoformat()} has no time zone. Give an aware datetime.")
    moment = completed.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [
        {"op": "replace", "path": "/completionStatus", "value": completion_status},
        {"op": "replace", "path": "/completed", "value": moment},
    ]


def decode_task(request: Request, response: Response, task_status_id: str) -> TaskStatus:
    """
    Read the answer to a request for one task.

    :param task_status_id: the task's id
    :raises UnexpectedPayloadError: it is about another task: something on the way mixes answers up
    """
    task = TaskStatus.from_json(decode_json(request, response))
    if task.id.casefold() != task_status_id.casefold():
        raise UnexpectedPayloadError(
            f"{request.method} {request.path} was answered with another task, {task.id}"
        )
    return task


def decode_page(request: Request, response: Response) -> Page[TaskStatus]:
    """Read the answer to a request for a page of tasks; 204 is an empty one."""
    return read_page(decode_list(request, response), TaskStatus.from_json)


def _task_path(version: ApiVersion, task_status_id: str) -> str:
    return f"{version.task_status}/{quote(task_status_id, safe='')}"
