"""How answers get to the client: whole, or as a fault lets them through."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from airflow_provider_sptasks.emulator.errors import error_body, proxy_page
from airflow_provider_sptasks.emulator.faults import ENDLESS_CHUNK, Fault

HTML = {"Content-Type": "text/html"}


@dataclass(slots=True)
class Answer:
    """
    An answer on its way out, as ASGI messages carry it.

    :param status: its status, 0 for none.
    :param headers: its headers.
    :param body: its body.
    """

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def collect(self, message: Message) -> None:
        """
        Take what the application sends.

        :param message: an ASGI message.
        """
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")


def fault_response(fault: Fault) -> Response:
    """
    Return the answer that a fault gives instead of the API.

    :param fault: the fault.
    """
    if fault.kind == "empty" or fault.status in (204, 304):
        return Response(b"", fault.status, dict(fault.headers))
    if fault.kind == "html":
        return Response(fault.body or proxy_page(fault.status), fault.status, {**HTML, **fault.headers})
    headers = {"Content-Type": "application/json", **fault.headers}
    if fault.kind == "endless":
        # The body is made while it is sent.
        response = Response(b"", fault.status, headers)
        del response.headers["content-length"]
        return response
    if fault.kind == "gzip":
        headers["Content-Encoding"] = "gzip, gzip"
    return Response(error_body(fault.status) if fault.body is None else fault.body, fault.status, headers)


async def deliver(scope: Scope, answer: Answer, fault: Fault | None, receive: Receive, send: Send) -> None:
    """
    Send an answer, in the way in which a fault lets it through.

    :param scope: the request.
    :param answer: the answer.
    :param fault: the fault that struck the request, ``None`` for none.
    :param receive: says when the connection is gone.
    :param send: takes the answer.
    """
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
