"""Keeps web pages of other origins away from the admin routes."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_JSON = "application/json"


class SameOrigin:
    """
    Refuses what a web page of another origin sends.

    A browser says where a request comes from. One that doesn't can't send JSON to another origin without
    asking it first, which the emulator never allows; so what changes the tenant has to be JSON.

    :param app: the admin routes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        refusal = _refusal(scope["method"], Headers(scope=scope))
        await (self._app if refusal is None else refusal)(scope, receive, send)


def _refusal(method: str, headers: Headers) -> JSONResponse | None:
    origin = headers.get("origin")
    foreign = origin is not None and origin.lower() != f"http://{headers.get('host', '').lower()}"
    if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return JSONResponse({"error": "a web page of another origin can't use this"}, 403)
    if method == "POST" and headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        return JSONResponse({"error": f"set the header Content-Type: {_JSON}, as curl --json does"}, 415)
    return None
