"""Errors of the tenant, and the bodies that SailPoint documents for them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus

_DETAIL = {
    400: (
        "400.1 Bad Request Content",
        "The request was syntactically correct but its content is semantically invalid.",
    ),
    403: ("403 Forbidden", "The server understood the request but refuses to authorize it."),
    404: ("404 Not found", "The server did not find a current representation for the target resource."),
    500: ("500.0 Internal Fault", "An internal fault occurred."),
}


class ApiError(Exception):
    """
    A request that the tenant refuses, with the answer that a client gets for it.

    :param status: the HTTP status.
    :param text: the English message; the documented one of this status by default.
    :param detail_code: SailPoint's ``detailCode``; the documented one of this status by default.
    :param headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        text: str | None = None,
        *,
        detail_code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.detail_code = detail_code
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """Return the JSON body of the answer."""
        return error_body(self.status, self.text, self.detail_code)


def error_body(status: int, text: str | None = None, detail_code: str | None = None) -> bytes:
    """
    Return the body that SailPoint documents for a status.

    :param status: the HTTP status.
    :param text: the English message; the documented one of this status by default.
    :param detail_code: SailPoint's ``detailCode``; the documented one of this status by default.
    """
    if status == 401:
        return json.dumps({"error": text or "JWT validation failed: JWT is expired"}).encode()
    if status == 429:
        return json.dumps({"message": text or " Rate Limit Exceeded "}).encode()
    default_code, default_text = _DETAIL.get(status, (f"{status} {_phrase(status)}", _phrase(status)))
    message = {"locale": "en-US", "localeOrigin": "DEFAULT", "text": text or default_text}
    return json.dumps(
        {
            "detailCode": detail_code or default_code,
            "trackingId": uuid.uuid4().hex,
            "messages": [message],
            "causes": [],
        }
    ).encode()


def proxy_page(status: int) -> bytes:
    """
    Return the HTML page that a proxy on the way would send for a status.

    :param status: the HTTP status.
    """
    title = f"{status} {_phrase(status)}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    ).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
