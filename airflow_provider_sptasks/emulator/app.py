"""The task-status API over the tenant, in all its versions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from airflow_provider_sptasks.emulator import admin, filters, oauth
from airflow_provider_sptasks.emulator.credentials import READ_TASKS, WRITE_TASKS, Right
from airflow_provider_sptasks.emulator.errors import ApiError
from airflow_provider_sptasks.emulator.gateway import Gateway
from airflow_provider_sptasks.emulator.patching import InvalidPatchError
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.tasks import Task
from airflow_provider_sptasks.emulator.tenant import Tenant, UnknownTaskError
from airflow_provider_sptasks.emulator.versions import VERSIONS, ApiVersion

MAX_LIMIT = 250
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


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that was let in."""

    tenant: Tenant
    version: ApiVersion
    request: Request
    body: bytes


Handler = Callable[[_Call], Response]


def create_app(state: State) -> Starlette:
    """
    Return the ASGI application.

    :param state: the emulator's state.
    """
    routes: list[BaseRoute] = [*oauth.routes(state), admin.mount(state)]
    for version in VERSIONS:
        routes += _version_routes(state, version)
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Gateway, state=state)],
        exception_handlers={ApiError: _refusal, HTTPException: _refusal},
    )
    app.router.redirect_slashes = False
    return app


def _version_routes(state: State, version: ApiVersion) -> list[BaseRoute]:
    routes: list[BaseRoute] = []
    route = partial(_route, state, version)
    if version.pending_endpoint:
        routes.append(
            route("/pending-tasks", {"GET": (_pending, READ_TASKS), "HEAD": (_pending, READ_TASKS)})
        )
    routes.append(route("", {"GET": (_list, READ_TASKS)}))
    routes.append(route("/{id}", {"GET": (_get, READ_TASKS), "PATCH": (_patch, WRITE_TASKS)}))
    return routes


def _route(state: State, version: ApiVersion, path: str, handlers: dict[str, tuple[Handler, Right]]) -> Route:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        with state.lock:
            credential = oauth.caller(request, state)
            if state.limiter is not None:
                delay = state.limiter.delay(credential.client_id, version.name)
                if delay > 0:
                    raise ApiError(429, headers={"Retry-After": state.limiter.limit.retry_after(delay)})
            if version.experimental and request.headers.get("x-sailpoint-experimental", "").lower() != "true":
                raise ApiError(
                    400, "This API is experimental: set the header X-SailPoint-Experimental to true."
                )
            # Starlette answers HEAD wherever it answers GET; the API has it for pending tasks only.
            if request.method not in handlers:
                raise HTTPException(405)
            handler, right = handlers[request.method]
            oauth.demand(right, credential)
            return handler(_Call(state.tenant, version, request, body))

    return Route(version.prefix + path, endpoint, methods=list(handlers))


def _list(call: _Call) -> Response:
    where = _filter(call)
    sorter = call.request.query_params.get("sorters")
    if sorter not in (None, "created", "-created"):
        raise ApiError(400, f"Sorting by {sorter} is not supported.")
    tasks = call.tenant.tasks(pending=None if call.version.lists_pending else False, where=where)
    if sorter is not None:
        tasks.sort(key=lambda task: task.launched, reverse=sorter == "-created")
    return _json(*_page(call, tasks))


def _pending(call: _Call) -> Response:
    page, headers = _page(call, call.tenant.tasks(pending=True))
    headers["X-Deprecated"] = "true"
    return Response(status_code=204, headers=headers) if page == b"[]" else _json(page, headers)


def _get(call: _Call) -> Response:
    try:
        return _json(call.tenant.render(call.tenant.task(call.request.path_params["id"])))
    except UnknownTaskError as error:
        raise ApiError(404) from error


def _patch(call: _Call) -> Response:
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _PATCH_TYPE:
        raise ApiError(
            415, f"Content-Type {media_type or '(none)'} is not supported: it must be {_PATCH_TYPE}."
        )
    try:
        operations = json.loads(call.body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "The body is not JSON.", detail_code="400.0 Bad Request Syntax") from error
    try:
        return _json(call.tenant.render(call.tenant.patch(call.request.path_params["id"], operations)))
    except UnknownTaskError as error:
        raise ApiError(404) from error
    except InvalidPatchError as error:
        raise ApiError(400, str(error)) from error


def _page(call: _Call, tasks: list[Task]) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of one page of a list."""
    limit = _number(call, "limit", MAX_LIMIT, MAX_LIMIT)
    offset = _number(call, "offset", 0, 2**31 - 1)
    count = call.request.query_params.get("count", "false").lower()
    if count not in ("true", "false"):
        raise ApiError(400, f"The count {count} is neither true nor false.")
    page = tasks[offset : offset + limit]
    headers = {"X-Total-Count": str(len(tasks))} if count == "true" else {}
    return b"[" + b",".join(map(call.tenant.render, page)) + b"]", headers


def _number(call: _Call, name: str, default: int, highest: int) -> int:
    text = call.request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > highest:
        raise ApiError(400, f"The {name} {text} is not a whole number from 0 to {highest}.")
    return int(text)


def _filter(call: _Call) -> filters.Expression | None:
    text = call.request.query_params.get("filters", "")
    if not text.strip():
        return None
    try:
        where = filters.parse(text, {**call.version.filters, _FAILING_FIELD: frozenset({"eq", "in"})})
    except filters.FilterError as error:
        raise ApiError(400, str(error)) from error
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


def _json(body: bytes, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    return Response(body, status, headers, "application/json")


async def _refusal(_request: Request, error: Exception) -> Response:
    # Starlette types every handler for any exception, and calls this one for two.
    refused = error if isinstance(error, ApiError) else ApiError(getattr(error, "status_code", 500))
    return _json(refused.body(), refused.headers, refused.status)
