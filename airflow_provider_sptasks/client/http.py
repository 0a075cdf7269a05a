"""
Requests and answers as data, and what every answer has in common: JSON, lists and errors.

Nothing here sends anything. Taken from SailPoint's OpenAPI documents and its pages on errors, rate limits
and standard collection parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from airflow_provider_sptasks.client.errors import (
    APIError,
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    UnauthorizedError,
    UnexpectedPayloadError,
)
from airflow_provider_sptasks.client.multipart import Form

LONGEST_BAN = 1_200.0

READ_SCOPE = "idn:task-management:read"

# What the decoder raises: the second where arrays are nested too deeply for it.
_NOT_JSON = (ValueError, RecursionError)


def scope_hint(scope: str) -> str:
    """Say what to do about a 403 where a scope is all that it takes."""
    return f"Check that the credentials have the scope {scope}"


@dataclass(frozen=True)
class Request:
    """
    A request, ready to be sent.

    :param method: HTTP method
    :param path: percent-encoded path below the tenant's base URL
    :param query: names and values, not encoded
    :param headers: headers beside those that every request carries
    :param body: what is sent
    :param repeatable: whether it may be sent again while nobody knows whether the tenant acted on it
    :param if_forbidden: what the reader can do about a 403
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: bytes | Form | None = field(default=None, repr=False)
    repeatable: bool = True
    if_forbidden: str = scope_hint(READ_SCOPE)

    @property
    def target(self) -> str:
        """Path and query as they stand in the request line."""
        if not self.query:
            return self.path
        return f"{self.path}?{urlencode(self.query, quote_via=quote, safe='(),')}"


@dataclass(frozen=True)
class Response:
    """
    An answer as it arrived.

    :param status: HTTP status
    :param headers: headers, with lower-case names
    :param body: the whole body
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def get_token(path: str, client_id: str, client_secret: str) -> Request:
    """Ask for an access token with the client's own credentials (OAuth 2, client credentials)."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    return Request(
        "POST",
        path,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(form).encode(),
    )


def decode_json(request: Request, response: Response, *, secret: bool = False) -> Any:
    """
    Read a JSON body.

    :param secret: the body may hold what no error may show
    :raises UnexpectedPayloadError: it is something else; retryable, since the tenant answers with JSON and
        so the body comes from something on the way
    """
    try:
        return json.loads(response.body)
    except _NOT_JSON:
        what = f"{request.method} {request.path} was answered with {response.status} and"
        if not response.body.strip():
            problem = "an empty body"
        elif response.body.lstrip()[:1] == b"<":
            problem = "an HTML page: is a proxy or a login page on the way?"
        else:
            problem = f"a body of {len(response.body)} bytes that is not JSON"
            problem += "" if secret else f", beginning {response.body[:40]!r}"
        raise UnexpectedPayloadError(f"{what} {problem}", retryable=True) from None


def decode_list(request: Request, response: Response) -> list[Any]:
    """Read a JSON array; 204 is an empty one."""
    if response.status == 204:
        return []
    payload = decode_json(request, response)
    if not isinstance(payload, list):
        raise UnexpectedPayloadError(
            f"{request.method} {request.path} should be answered with a JSON array, "
            f"not with {type(payload).__name__}"
        )
    return payload


def decode_count(request: Request, response: Response) -> int:
    """Read ``X-Total-Count``; 204 without it is none."""
    text = response.headers.get("x-total-count", "0" if response.status == 204 else "")
    if not text.isdecimal():
        raise UnexpectedPayloadError(
            f"{request.method} {request.path} was answered without a usable X-Total-Count: {text!r:.80}"
        )
    return int(text)


_ERRORS: Mapping[int, type[APIError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    429: RateLimitedError,
}


def decode_error(request: Request, response: Response) -> APIError:
    """
    Turn an answer with an error status, or with a redirect, into its exception.

    Every detail is optional: 403 and 404 may have no body, and a proxy's answer may be HTML.
    """
    status = response.status
    details: dict[str, Any] = {}
    try:
        payload = json.loads(response.body)
    except _NOT_JSON:
        payload = None
    if isinstance(payload, dict):
        details["detail_code"] = _string(payload.get("detailCode"))
        details["tracking_id"] = _string(payload.get("trackingId"))
        details["text"] = error_text(payload)
    elif response.body.lstrip()[:1] == b"<":
        details["text"] = "an HTML page, which a proxy on the way may have sent"
    kind = _ERRORS.get(status, ServerError if status >= 500 else BadRequestError)
    return kind(
        request.method,
        request.path,
        status,
        retry_after=parse_retry_after(response.headers.get("retry-after")),
        hint=_hint(request, response),
        **details,
    )


def parse_retry_after(text: str | None) -> float | None:
    """
    Read ``Retry-After``, which holds seconds or a date.

    :return: seconds from now, at most those of SailPoint's longest ban, never negative; ``None`` where there
        is none or it can't be read
    """
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_BAN) if seconds == seconds else None


def _hint(request: Request, response: Response) -> str | None:
    if 300 <= response.status < 400:
        target = response.headers.get("location", "").split("?")[0]
        return f"Redirects are not followed (to {target!r:.120}): check the connection's host"
    return request.if_forbidden if response.status == 403 else None


def error_text(payload: Mapping[str, Any]) -> str | None:
    """Find SailPoint's words in a body that says what is wrong, in English where it can be had."""
    messages = payload.get("messages")
    texts = [item for item in messages if isinstance(item, dict)] if isinstance(messages, list) else []
    english = [item for item in texts if str(item.get("locale", "en")).lower().startswith("en")]
    for item in english or texts:
        if text := _string(item.get("text")):
            return text
    for name in ("message", "error_description", "error"):
        if text := _string(payload.get(name)):
            return text
    return None


def _string(value: object) -> str | None:
    return value.strip()[:500] or None if isinstance(value, str) else None
