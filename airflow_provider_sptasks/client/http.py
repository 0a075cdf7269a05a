"""
Requests and answers as data, and what every answer has in common: JSON, lists and errors.

Nothing here sends anything. Taken from SailPoint's OpenAPI documents and its pages on errors, rate limits
and standard collection parameters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

from airflow_provider_sptasks.client.errors import (
    APIError,
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TooLongError,
    TransientResponseError,
    UnauthorizedError,
    UnexpectedPayloadError,
)
from airflow_provider_sptasks.client.multipart import Form
from airflow_provider_sptasks.client.reading import read_text

LONGEST_BAN = 1_200.0
# Of a count; what has more is none.
MAX_DIGITS = 18

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
    :param repeatable: whether it may be sent again if the tenant may have acted on it
    :param if_forbidden: what the reader can do about a 403
    :param one_record: whether it is about one record by its id, which SailPoint may refuse without a body
    :param oauth: whether it is for the token endpoint, whose errors are those of OAuth 2
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: bytes | Form | None = field(default=None, repr=False)
    repeatable: bool = True
    if_forbidden: str = scope_hint(READ_SCOPE)
    one_record: bool = False
    oauth: bool = False

    @cached_property
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
    :param sent_at: when its request was sent, by the monotonic clock
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    sent_at: float = 0.0


def get_token(path: str, client_id: str, client_secret: str) -> Request:
    """Ask for an access token with the client's own credentials (OAuth 2, client credentials)."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    return Request(
        "POST",
        path,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(form).encode(),
        if_forbidden="The token endpoint refused the client",
        oauth=True,
    )


def decode_json(request: Request, response: Response, *, secret: bool = False) -> Any:
    """
    Read a JSON body.

    :param secret: the body may hold what no error may show
    :raises UnexpectedPayloadError: it is something else
    """
    is_json, payload = _parse(response)
    if is_json:
        return payload
    what = f"{request.method} {request.path} was answered with {response.status} and"
    if not response.body.strip():
        problem = "an empty body"
    elif response.body.lstrip()[:1] == b"<":
        problem = "an HTML page: is a proxy or a login page on the way?"
    else:
        problem = f"a body of {len(response.body)} bytes that is not JSON"
        problem += "" if secret else f", beginning {response.body[:40]!r}"
    raise UnexpectedPayloadError(f"{what} {problem}")


def _parse(response: Response) -> tuple[bool, Any]:
    """Read a body, if it is JSON; the decoder's own error, which holds the whole body, goes no further."""
    try:
        return True, json.loads(response.body)
    except _NOT_JSON:
        return False, None


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
    if not text.isdecimal() or len(text) > MAX_DIGITS:
        raise UnexpectedPayloadError(
            f"{request.method} {request.path} was answered without a usable X-Total-Count: {text!r:.80}"
        )
    return int(text)


# Whoever answers with these, the answer says the same.
_ANYBODYS: Mapping[int, type[APIError]] = {
    408: TransientResponseError,
    413: TooLongError,
    414: TooLongError,
    425: TransientResponseError,
    429: RateLimitedError,
    431: TooLongError,
}
_SAILPOINTS: Mapping[int, type[APIError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
}


def decode_error(request: Request, response: Response) -> APIError:
    """
    Turn an answer with an error status, or with a redirect, into its exception.

    Every detail is optional: 403 and 404 may have no body, and a proxy's answer may be HTML.
    """
    payload = _payload(response)
    details: dict[str, Any] = {}
    if payload:
        details["detail_code"] = _string(payload.get("detailCode"))
        details["tracking_id"] = _string(payload.get("trackingId"))
        details["text"] = error_text(payload)
    elif response.body.lstrip()[:1] == b"<":
        details["text"] = "an HTML page, which a proxy on the way may have sent"
    kind = _kind(request, response, payload)
    return kind(
        request.method,
        request.path,
        response.status,
        retry_after=parse_retry_after(response.headers.get("retry-after"), response.headers.get("date")),
        hint=_hint(request, response, kind),
        **details,
    )


def _payload(response: Response) -> Mapping[str, Any]:
    _, payload = _parse(response)
    return payload if isinstance(payload, dict) else {}


def _kind(request: Request, response: Response, payload: Mapping[str, Any]) -> type[APIError]:
    status = response.status
    if status >= 500:
        return ServerError
    if status in _ANYBODYS:
        return _ANYBODYS[status]
    if status < 400 or not _is_sailpoints(request, response, payload):
        return TransientResponseError
    return _SAILPOINTS.get(status, BadRequestError)


def _is_sailpoints(request: Request, response: Response, payload: Mapping[str, Any]) -> bool:
    """Whether a refusal is SailPoint's own, and not that of a gateway, a firewall or a maintenance page."""
    status = response.status
    if not response.body.strip():
        return request.method == "HEAD" or (request.one_record and status in (403, 404))
    if _string(payload.get("detailCode")) or _string(payload.get("trackingId")):
        return True
    messages = payload.get("messages")
    if isinstance(messages, list) and any(isinstance(each, dict) and "text" in each for each in messages):
        return True
    if request.oauth:
        return bool(_string(payload.get("error")))
    return status == 401 and bool(_string(payload.get("error")) or _string(payload.get("message")))


def parse_retry_after(text: str | None, date: str | None = None) -> float | None:
    """
    Read ``Retry-After``, which holds seconds or a date.

    :param text: the header
    :param date: the answer's own ``Date``, by whose clock a date is meant; ``None`` for the clock of this
        machine
    :return: seconds from now, above 0, at most those of SailPoint's longest ban; ``None`` where there is
        none, it can't be read, or it is over already
    """
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        until = _http_date(text)
        if until is None:
            return None
        seconds = (until - (_http_date(date or "") or datetime.now(UTC))).total_seconds()
    return min(seconds, LONGEST_BAN) if seconds > 0 else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _hint(request: Request, response: Response, kind: type[APIError]) -> str | None:
    if 300 <= response.status < 400:
        target = _without_credentials(response.headers.get("location", ""))
        return f"Redirects are not followed (to {target!r:.120}): check the connection's Tenant (host)"
    return request.if_forbidden if kind is ForbiddenError else None


def _without_credentials(url: str) -> str:
    """Leave out what may be a secret in a URL: the query, the fragment, and who signs in."""
    url = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"^([^/]*//)?.*@", r"\1", url)


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
    return read_text(value) if isinstance(value, str) else None
