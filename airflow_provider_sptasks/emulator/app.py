"""The application over the tenant: the API in all its versions, tokens, and the admin routes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from airflow_provider_sptasks.emulator import (
    admin,
    aggregation_routes,
    dataset_routes,
    oauth,
    source_routes,
    task_routes,
)
from airflow_provider_sptasks.emulator.controls import Controls
from airflow_provider_sptasks.emulator.endpoint import json_answer
from airflow_provider_sptasks.emulator.errors import ApiError
from airflow_provider_sptasks.emulator.gateway import Gateway
from airflow_provider_sptasks.emulator.versions import VERSIONS


def create_app(controls: Controls) -> Starlette:
    """
    Return the ASGI application.

    :param controls: what the admin routes use.
    """
    state = controls.state
    routes: list[BaseRoute] = [*oauth.routes(state), admin.mount(controls)]
    for version in VERSIONS:
        routes += [*task_routes.routes(state, version)]
        routes += [*source_routes.routes(state, version), *aggregation_routes.routes(state, version)]
        routes += dataset_routes.routes(state, version)
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Gateway, state=state)],
        exception_handlers={ApiError: _refusal, HTTPException: _refusal},
    )
    app.router.redirect_slashes = False
    return app


async def _refusal(_request: Request, error: Exception) -> Response:
    # Starlette types every handler for any exception, and calls this one for two.
    refused = error if isinstance(error, ApiError) else ApiError(getattr(error, "status_code", 500))
    return json_answer(refused.body(), refused.headers, refused.status)
