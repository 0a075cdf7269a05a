"""Tasks over HTTP: lists of them, one by its id, and PATCH."""

from __future__ import annotations

import json
from functools import partial

from starlette.responses import Response
from starlette.routing import BaseRoute

from airflow_provider_sptasks.emulator import filters
from airflow_provider_sptasks.emulator.credentials import READ_TASKS, WRITE_TASKS
from airflow_provider_sptasks.emulator.endpoint import Call, expression, json_answer, page, route
from airflow_provider_sptasks.emulator.errors import ApiError
from airflow_provider_sptasks.emulator.patching import InvalidPatchError
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.tasks import Task
from airflow_provider_sptasks.emulator.taskstore import UnknownTaskError
from airflow_provider_sptasks.emulator.versions import ApiVersion

# A real tenant breaks at a filter by this field, instead of refusing it.
_FAILING_FIELD = "target.id"
_PATCH_TYPE = "application/json-patch+json"
# What a task's own "type" says, which is not what the filter of that name means.
_REJECTED_TYPES = frozenset({"quartz", "qpoc", "queued_task"})
_FILTER_TYPES = frozenset(
    name.casefold()
    for name in (
        "CLOUD_ACCOUNT_AGGREGATION",
        "CLOUD_GROUP_AGGREGATION",
        "CLOUD_PROCESS_UNCORRELATED_ACCOUNTS",
        "CLOUD_REFRESH_ROLE",
        "SOURCE_APPLICATION_DISCOVERY",
        "AI_AGENT_AGGREGATION",
        "CLOUD_UNCORRELATED_REFRESH",
        "CLOUD_IDENTITY_AGGREGATION",
        "CLOUD_ATTRIBUTE_SYNCHRONIZATION",
        "IDENTITY_REFRESH",
        "APPLICATION_DISCOVERY",
        "MACHINE_IDENTITY_AGGREGATION",
        "MACHINE_IDENTITY_DELETION",
        "ACCOUNT_DELETION",
    )
)


def routes(state: State, version: ApiVersion) -> list[BaseRoute]:
    """
    Return the routes of a version.

    :param state: the emulator's state.
    :param version: the API version.
    """
    add = partial(route, state, version)
    one = {"GET": (_get, READ_TASKS), "PATCH": (_patch, WRITE_TASKS)}
    found: list[BaseRoute] = [add(version.prefix, {"GET": (_list, READ_TASKS)})]
    if version.pending_endpoint:
        pending = {"GET": (_pending, READ_TASKS), "HEAD": (_pending, READ_TASKS)}
        found.append(add(f"{version.prefix}/pending-tasks", pending))
    return [*found, add(f"{version.prefix}/{{id}}", one)]


def _list(call: Call) -> Response:
    where = _filter(call)
    sorter = call.request.query_params.get("sorters")
    if sorter not in (None, "created", "-created"):
        raise ApiError(400, f"Sorting by {sorter} is not supported.")
    tasks = call.tenant.tasks(pending=None if call.version.lists_pending else False, where=where)
    if sorter is not None:
        tasks.sort(key=Task.order, reverse=sorter == "-created")
    return json_answer(*page(call, tasks, call.tenant.render))


def _pending(call: Call) -> Response:
    body, headers = page(call, call.tenant.tasks(pending=True), call.tenant.render)
    headers["X-Deprecated"] = "true"
    return Response(status_code=204, headers=headers) if body == b"[]" else json_answer(body, headers)


def _get(call: Call) -> Response:
    try:
        return json_answer(call.tenant.render(call.tenant.task(call.id)))
    except UnknownTaskError as error:
        raise ApiError(404) from error


def _patch(call: Call) -> Response:
    if call.media_type != _PATCH_TYPE:
        raise ApiError(
            415, f"Content-Type {call.media_type or '(none)'} is not supported: it must be {_PATCH_TYPE}."
        )
    try:
        operations = json.loads(call.body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "The body is not JSON.", detail_code="400.0 Bad Request Syntax") from error
    try:
        return json_answer(call.tenant.render(call.tenant.patch(call.id, operations)))
    except UnknownTaskError as error:
        raise ApiError(404) from error
    except InvalidPatchError as error:
        raise ApiError(400, str(error)) from error


def _filter(call: Call) -> filters.Expression | None:
    where = expression(call, {**call.version.filters, _FAILING_FIELD: frozenset({"eq", "in"})})
    if where is None:
        return None
    for comparison in filters.comparisons(where):
        if comparison.field == _FAILING_FIELD:
            raise ApiError(500)
        if comparison.field == "type":
            _check_types(comparison)
    return where


def _check_types(comparison: filters.Comparison) -> None:
    for value in comparison.values:
        if value.casefold() in _REJECTED_TYPES:
            raise ApiError(400, f"Filtering by the type {value} is not supported.")
        if value.casefold() not in _FILTER_TYPES:
            raise ApiError(400, f"Unsupported Task Definition type: {value}")
