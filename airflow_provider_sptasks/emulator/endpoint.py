"""What all endpoints of the API have in common: who is let in, pages of lists, filters, answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_sptasks.emulator import filters, oauth
from airflow_provider_sptasks.emulator.credentials import Right
from airflow_provider_sptasks.emulator.errors import ApiError
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.tenant import Tenant
from airflow_provider_sptasks.emulator.versions import ApiVersion

MAX_LIMIT = 250

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Call:
    """
    A request that was let in.

    :param tenant: the tenant.
    :param version: the API version.
    :param request: the request.
    :param body: its body.
    """

    tenant: Tenant
    version: ApiVersion
    request: Request
    body: bytes

    @property
    def id(self) -> str:
        """The id in the path."""
        return str(self.request.path_params["id"])

    @property
    def media_type(self) -> str:
        """The media type of the body, in lower case, without parameters; empty for none."""
        return self.request.headers.get("content-type", "").partition(";")[0].strip().lower()


Handler = Callable[[Call], Response]


def route(
    state: State,
    version: ApiVersion,
    path: str,
    handlers: Mapping[str, tuple[Handler, Right]],
) -> Route:
    """
    Return the route of an endpoint.

    :param state: the emulator's state.
    :param version: the API version.
    :param path: its path.
    :param handlers: what answers each method, and the right that it asks for.
    """

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        with state.lock:
            credential = oauth.caller(request, state)
            if state.limiter is not None:
                delay = state.limiter.delay(credential.client_id, version.name)
                if delay > 0:
                    raise ApiError(429, headers={"Retry-After": state.limiter.limit.retry_after(delay)})
            # Starlette answers HEAD wherever it answers GET; the API has it for pending tasks only.
            if request.method not in handlers:
                raise HTTPException(405)
            handler, right = handlers[request.method]
            oauth.demand(right, credential)
            return handler(Call(state.tenant, version, request, body))

    return Route(path, endpoint, methods=list(handlers))


def page(
    call: Call, records: Sequence[Record], render: Callable[[Record], bytes]
) -> tuple[bytes, dict[str, str]]:
    """
    Return the body and the headers of one page of a list.

    :param call: the request.
    :param records: the whole list.
    :param render: gives the JSON of a record.
    """
    limit = _number(call, "limit", MAX_LIMIT, MAX_LIMIT)
    offset = _number(call, "offset", 0, 2**31 - 1)
    count = call.request.query_params.get("count", "false").lower()
    if count not in ("true", "false"):
        raise ApiError(400, f"The count {count} is neither true nor false.")
    headers = {"X-Total-Count": str(len(records))} if count == "true" else {}
    return b"[" + b",".join(map(render, records[offset : offset + limit])) + b"]", headers


def expression(call: Call, fields: Mapping[str, frozenset[str]]) -> filters.Expression | None:
    """
    Return what a list is to be filtered by, ``None`` for nothing.

    :param call: the request.
    :param fields: the fields that may be used, each with its operators.
    """
    text = call.request.query_params.get("filters", "")
    if not text.strip():
        return None
    try:
        return filters.parse(text, fields)
    except filters.FilterError as error:
        raise ApiError(400, str(error)) from error


def encoded(document: Mapping[str, object]) -> bytes:
    """
    Return a document as JSON.

    :param document: the document.
    """
    return json.dumps(document, separators=(",", ":")).encode()


def json_answer(body: bytes, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """
    Return an answer.

    :param body: its body, which is JSON.
    :param headers: more headers.
    :param status: its status.
    """
    return Response(body, status, headers, "application/json")


def _number(call: Call, name: str, default: int, highest: int) -> int:
    text = call.request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > highest:
        raise ApiError(400, f"The {name} {text} is not a whole number from 0 to {highest}.")
    return int(text)
