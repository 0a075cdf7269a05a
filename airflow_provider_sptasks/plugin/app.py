"""The page's routes, as an application that Airflow's api-server mounts. Each has a guard of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response, status
from fastapi.responses import FileResponse, JSONResponse

from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.plugin import changes
from airflow_provider_sptasks.plugin.access import User, requires_changing, requires_reading
from airflow_provider_sptasks.plugin.changes import Change, Result
from airflow_provider_sptasks.plugin.overview import STARTABLE, task_json
from airflow_provider_sptasks.plugin.page import Page
from airflow_provider_sptasks.plugin.watch import Watch

STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
WINDOWS = (24, 168)
MAX_BODY = 1_000
TOO_LARGE = 413  # its name differs between versions
STATUSES = {
    Result.DONE: status.HTTP_200_OK,
    Result.WOULD_BE_DONE: status.HTTP_200_OK,
    Result.CONFLICT: status.HTTP_409_CONFLICT,
    Result.NOT_FOUND: status.HTTP_404_NOT_FOUND,
    Result.FAILED: status.HTTP_502_BAD_GATEWAY,
}


def build(page: Page | None = None) -> FastAPI:
    """
    Return the application.

    :param page: what its routes share; ``None`` for a new one
    """
    app = FastAPI(title="SailPoint", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(_routes(page or Page()), prefix="/page")

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Callable[[Request], Any]) -> Any:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    return app


def _routes(page: Page) -> APIRouter:
    router = APIRouter()
    reading, changing = requires_reading(), requires_changing()

    @router.get("/")
    async def document(_: User) -> Response:
        return FileResponse(STATIC / "page.html")

    @router.get("/page.js")
    async def script(_: User) -> Response:
        return FileResponse(STATIC / "page.js", media_type="text/javascript")

    @router.get("/page.css")
    async def style(_: User) -> Response:
        return FileResponse(STATIC / "page.css")

    @router.get("/api/connections")
    async def connections(user: User) -> Response:
        return JSONResponse(await page.connections(user))

    @router.get("/api/{connection_id}/overview", dependencies=[reading])
    async def overview(connection_id: str, user: User) -> Response:
        return JSONResponse(await page.overview(connection_id, user))

    @router.get("/api/{connection_id}/history", dependencies=[reading])
    async def history(connection_id: str, hours: str = "24") -> Response:
        if hours not in map(str, WINDOWS):
            raise HTTPException(status.HTTP_400_BAD_REQUEST, f"hours must be one of {WINDOWS}")
        return Response(await page.history(connection_id, int(hours)), media_type="application/json")

    @router.get("/api/{connection_id}/tasks/{task_id}", dependencies=[reading])
    async def task(connection_id: str, task_id: str) -> Response:
        return JSONResponse(await page.task(connection_id, _checked(task_id)))

    @router.post("/api/{connection_id}/tasks/{task_id}/clear", dependencies=changing)
    async def clear(connection_id: str, task_id: str, request: Request, user: User) -> Response:
        watch, task_id = await page.watch(connection_id), _checked(task_id)
        dry_run = await _argument(request, "dry_run", (True, False))

        def work() -> Change:
            if dry_run:
                return changes.clear(watch.hook(), task_id, dry_run=True)
            with changes.audited("sailpoint_clear", user, connection_id, task_id) as note:
                return note(changes.clear(watch.hook(), task_id, dry_run=False))

        return _answer(watch, await page.ask(work))

    @router.post("/api/{connection_id}/sources/{source_id}/aggregate", dependencies=changing)
    async def aggregate(connection_id: str, source_id: str, request: Request, user: User) -> Response:
        watch, source_id = await page.watch(connection_id), _checked(source_id)
        kind = await _argument(request, "kind", STARTABLE)

        def work() -> Change:
            with changes.audited("sailpoint_aggregate", user, connection_id, source_id) as note:
                return note(changes.aggregate(watch.hook(), source_id, kind))

        return _answer(watch, await page.ask(work))

    return router


def _checked(given: str) -> str:
    try:
        return check_id(given, "id")
    except ValueError as error:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, str(error)) from None


async def _argument(request: Request, name: str, choices: tuple[Any, ...]) -> Any:
    """Read the one argument of a change, which is an object in JSON."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(TOO_LARGE, "The request is too large")
    try:
        value = json.loads(body)[name]
    except (ValueError, KeyError, TypeError):
        value = None
    if not any(value is each or (isinstance(value, str) and value == each) for each in choices):
        names = ", ".join(map(json.dumps, choices))
        raise HTTPException(status.HTTP_400_BAD_REQUEST, f"Give {name} in a JSON object: {names}")
    return value


def _answer(watch: Watch, change: Change) -> Response:
    answer: dict[str, Any] = {"result": change.result, "message": change.message}
    if change.task is not None:
        watch.take_in(change.task)
        answer |= task_json(change.task, attributes=False)
    return JSONResponse(answer, STATUSES[change.result])
