"""What a request passes on its way to the API: the log, the faults, the length limit."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_sptasks.emulator.errors import error_body, proxy_page
from airflow_provider_sptasks.emulator.faults import ENDLESS_CHUNK, Fault
from airflow_provider_sptasks.emulator.grant import TOKEN_PATH, MalformedGrantError, grant_of
from airflow_provider_sptasks.emulator.redaction import logged_body, redacted
from airflow_provider_sptasks.emulator.requestlog import LoggedRequest
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.uploads import MULTIPART, Form
from airflow_provider_sptasks.emulator.versions import version_of

ADMIN_PREFIX = "/_emulator"
MAX_TARGET = 8_192
"""The longest path with query string that a request may have, in bytes."""
MAX_BODY = 1_048_576
"""The longest body that a request may have, in bytes; forms may have any length."""

_HTML = {"Content-Type": "text/html"}


@dataclass(slots=True)
class _Answer:
    """An answer on its way out, as ASGI messages carry it."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def collect(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")


class Gateway:
    """
    Logs every request but the admin's, and lets faults strike.

    Faults come first, as the network and proxies do; then the limit on the length of the request line; then
    the API itself. An answer is logged before it is sent, so whoever has it finds it in the log.

    :param app: the API.
    :param state: the emulator's state.
    """

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        at = time.time()
        form = _form(scope)
        body = await _read(receive, form)
        if body is None:
            return
        if scope["path"].startswith(ADMIN_PREFIX):
            refusal = JSONResponse({"error": "the body is too long"}, 413) if len(body) > MAX_BODY else None
            await (refusal or self._app)(scope, _replay(body), send)
            return
        if form is not None:
            scope["state"]["form"] = form
        path = scope["path"]
        api = not path.startswith("/oauth/")
        query = unquote_plus(scope["query_string"].decode("latin-1"))
        with self._state.lock:
            faults = self._state.faults.strike(scope["method"], path, query, api=api)
        delay = sum(fault.hold for fault in faults)
        if delay:
            try:
                await asyncio.sleep(delay)
            except asyncio.CancelledError:
                # The emulator stops, and uvicorn would log the cancellation as an error of this application.
                return
        fault = next((fault for fault in faults if fault.kind != "delay"), None)
        watcher = self._state.on_request
        if watcher is not None and api:
            # Without the lock: it may wait for another thread that needs the emulator.
            watcher(self._entry(scope, at, body, 0, None))
        answer = await self._answer(scope, body, fault)
        struck = fault or (faults[0] if faults else None)
        with self._state.lock:
            self._state.requests.add(self._entry(scope, at, body, answer.status, struck))
        await _deliver(scope, answer, fault, receive, send)

    async def _answer(self, scope: Scope, body: bytes, fault: Fault | None) -> _Answer:
        answer = _Answer()
        if fault is not None and fault.kind == "drop":
            return answer
        if fault is not None and fault.kind in ("status", "html", "empty", "endless", "gzip"):
            response = _fault_response(fault)
        elif len(scope["raw_path"]) + len(scope["query_string"]) + bool(scope["query_string"]) > MAX_TARGET:
            response = Response(proxy_page(414), 414, _HTML)
        elif len(body) > MAX_BODY:
            response = Response(proxy_page(413), 413, _HTML)
        else:
            await self._app(scope, _replay(body), answer.collect)
            return answer
        await response(scope, _replay(body), answer.collect)
        return answer

    def _entry(self, scope: Scope, at: float, body: bytes, status: int, fault: Fault | None) -> LoggedRequest:
        version = version_of(scope["path"])
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        content_type = Headers(scope=scope).get("content-type", "")
        grant = scope["path"] == TOKEN_PATH
        return LoggedRequest(
            method=scope["method"],
            path=scope["path"],
            query=redacted(query, grant=grant),
            status=status,
            at=at,
            client_id=self._client_id(scope, body),
            api_version=None if version is None else version.name,
            headers=self._state.requests.headers(scope["headers"]),
            body=logged_body(body, content_type, scope["state"].get("form"), grant=grant),
            fault=None if fault is None else fault.kind,
        )

    def _client_id(self, scope: Scope, body: bytes) -> str | None:
        if scope["path"] == TOKEN_PATH:
            try:
                return grant_of(scope, body).get("client_id")
            except MalformedGrantError:
                return None
        token = bearer_token(Request(scope))
        return None if token is None else self._state.tenant.credentials.owner(token)


def bearer_token(request: Request) -> str | None:
    """
    Return the token that a request carries.

    :param request: the request.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _form(scope: Scope) -> Form | None:
    """Return the form that a request is going to bring, ``None`` if it brings none."""
    content_type = Headers(scope=scope).get("content-type", "")
    return Form(content_type) if content_type.lower().startswith(MULTIPART) else None


async def _read(receive: Receive, form: Form | None) -> bytes | None:
    """
    Return the body of a request, ``None`` if the client went away before it was complete.

    A form reads it as it comes in, since a file may be of any size, and nothing is returned then. Of another
    body that is too long, only as much is returned as shows that it is.
    """
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = bytes(message.get("body", b""))
        if form is not None:
            form.add(chunk)
        else:
            body += chunk[: MAX_BODY + 1 - len(body)]
        if not message.get("more_body", False):
            return body


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _fault_response(fault: Fault) -> Response:
    if fault.kind == "empty" or fault.status in (204, 304):
        return Response(b"", fault.status, dict(fault.headers))
    if fault.kind == "html":
        return Response(fault.body or proxy_page(fault.status), fault.status, {**_HTML, **fault.headers})
    headers = {"Content-Type": "application/json", **fault.headers}
    if fault.kind == "endless":
        # The body is made while it is sent.
        response = Response(b"", fault.status, headers)
        del response.headers["content-length"]
        return response
    if fault.kind == "gzip":
        headers["Content-Encoding"] = "gzip, gzip"
    return Response(error_body(fault.status) if fault.body is None else fault.body, fault.status, headers)


async def _deliver(scope: Scope, answer: _Answer, fault: Fault | None, receive: Receive, send: Send) -> None:
    kind = None if fault is None else fault.kind
    if kind in ("drop", "drop_after"):
        scope["state"]["transport"].abort()
        await _disconnected(receive)
        return
    headers = answer.headers
    if fault is not None and kind in ("truncate", "trickle"):
        headers = headers + [
            (n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in fault.headers.items()
        ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if kind == "truncate":
        half = answer.body[: len(answer.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        # Not abort(), which would throw away what is still to be written.
        scope["state"]["transport"].close()
        await _disconnected(receive)
        return
    if fault is not None and kind in ("trickle", "endless"):
        pieces = _bytes(answer.body) if kind == "trickle" else itertools.repeat(fault.body or ENDLESS_CHUNK)
        for piece in pieces:
            if scope["state"]["transport"].is_closing():
                await _disconnected(receive)
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(fault.delay)
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.body", "body": answer.body})


def _bytes(body: bytes) -> Iterator[bytes]:
    for position in range(len(body)):
        yield body[position : position + 1]


async def _disconnected(receive: Receive) -> None:
    """Wait until uvicorn knows that the connection is gone, lest it complains about the missing answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
