"""OAuth 2: the token endpoint, and who is behind a request."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_sptasks.emulator.credentials import (
    Credential,
    InvalidClientError,
    InvalidTokenError,
    Right,
)
from airflow_provider_sptasks.emulator.errors import ApiError
from airflow_provider_sptasks.emulator.gateway import bearer_token
from airflow_provider_sptasks.emulator.grant import TOKEN_PATH, MalformedGrantError, grant_of
from airflow_provider_sptasks.emulator.state import State

TENANT_NAME = "emulator"


def routes(state: State) -> list[Route]:
    """
    Return the routes below ``/oauth``.

    :param state: the emulator's state.
    """

    async def token(request: Request) -> Response:
        try:
            form = grant_of(request.scope, await request.body())
        except MalformedGrantError as error:
            return _refusal(400, "invalid_request", str(error))
        missing = [name for name in ("grant_type", "client_id", "client_secret") if not form.get(name)]
        if missing:
            return _refusal(400, "invalid_request", f"Missing parameter: {', '.join(missing)}")
        if form["grant_type"] != "client_credentials":
            return _refusal(400, "unsupported_grant_type", f"Unsupported grant type: {form['grant_type']}")
        with state.lock:
            tenant = state.tenant
            try:
                issued = tenant.credentials.issue(
                    form["client_id"], form["client_secret"], tenant.clock.now()
                )
            except InvalidClientError as error:
                return _refusal(401, "invalid_client", str(error))
            credential = tenant.credentials.get(form["client_id"])
        lifetime = issued.expires_in
        return JSONResponse(
            {
                "access_token": issued.value,
                "token_type": "bearer",
                "expires_in": int(lifetime) if lifetime == int(lifetime) else lifetime,
                "scope": " ".join(sorted(credential.scopes)),
                "org": TENANT_NAME,
                "pod": "local",
                "strong_auth_supported": credential.user,
            }
        )

    async def info(request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        return JSONResponse(
            {"tenantName": TENANT_NAME, "apiBaseUrl": base, "tokenEndpoint": f"{base}{TOKEN_PATH}"}
        )

    return [Route(TOKEN_PATH, token, methods=["POST"]), Route("/oauth/info", info, methods=["GET"])]


def caller(request: Request, state: State) -> Credential:
    """
    Return who is behind a request.

    :param request: the request.
    :param state: the emulator's state.
    """
    token = bearer_token(request)
    if token is None:
        raise ApiError(401, "Full authentication is required to access this resource")
    try:
        return state.tenant.credentials.resolve(token, state.tenant.clock.now())
    except InvalidTokenError as error:
        raise ApiError(401, str(error)) from error


def demand(right: Right, credential: Credential) -> None:
    """
    Refuse a caller who lacks a right.

    :param right: what is asked for.
    :param credential: the caller.
    """
    refusal = right.refusal(credential)
    if refusal is not None:
        raise ApiError(403, refusal)


def _refusal(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)
