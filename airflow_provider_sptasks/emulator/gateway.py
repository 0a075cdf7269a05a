"""What a request passes on its way to the API: the log, the faults, the limits on its length."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from urllib.parse import parse_qsl, unquote_plus

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_sptasks.emulator.delivery import HTML, Answer, deliver, fault_response
from airflow_provider_sptasks.emulator.errors import proxy_page
from airflow_provider_sptasks.emulator.faults import Fault
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


class Gateway:
    """
    Logs every request but the admin's, and lets faults strike.

    Faults come first, as the network and proxies do; then the limit on the length of the request line; then
    the API itself. An answer has the tenant's time, and is logged before it is sent, so whoever has it finds
    it in the log.

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
        if not any(name.lower() == b"date" for name, _ in answer.headers):
            answer.headers.append((b"date", formatdate(self._state.tenant.clock.now(), usegmt=True).encode()))
        struck = fault or (faults[0] if faults else None)
        with self._state.lock:
            self._state.requests.add(self._entry(scope, at, body, answer.status, struck))
        await deliver(scope, answer, fault, receive, send)

    async def _answer(self, scope: Scope, body: bytes, fault: Fault | None) -> Answer:
        answer = Answer()
        if fault is not None and fault.kind == "drop":
            return answer
        if fault is not None and fault.kind in ("status", "html", "empty", "endless", "gzip"):
            response = fault_response(fault)
        elif len(scope["raw_path"]) + len(scope["query_string"]) + bool(scope["query_string"]) > MAX_TARGET:
            response = Response(proxy_page(414), 414, HTML)
        elif len(body) > MAX_BODY:
            response = Response(proxy_page(413), 413, HTML)
        else:
            await self._app(scope, _replay(body), answer.collect)
            return answer
        await response(scope, _replay(body), answer.collect)
        return answer

    def _entry(self, scope: Scope, at: float, body: bytes, status: int, fault: Fault | None) -> LoggedRequest:
        version = version_of(scope["path"])
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        content_type = Headers(scope=scope).get("content-type", "")
        # Also where the path is misspelt.
        grant = scope["path"].startswith(TOKEN_PATH)
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
