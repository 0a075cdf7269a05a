"""What the log of requests doesn't keep: secrets, the contents of uploaded files, and endless bodies."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

from airflow_provider_sptasks.emulator.uploads import Form

REDACTED = "***"
URLENCODED = "application/x-www-form-urlencoded"
MAX_FIELDS = 100
"""How many fields a urlencoded body or a query string may have where they stand for a form."""
MAX_LOGGED_BODY = 65_536
"""How much of a body the log keeps, in bytes."""
SECRET_HEADERS = frozenset({b"authorization", b"proxy-authorization", b"cookie"})

_SECRET = frozenset(
    {"client_secret", "client_assertion", "assertion", "password", "access_token", "refresh_token", "code"}
)
# Of a request for a token, other parameters are left out: a secret may have got into any of them.
_GRANT = frozenset({"grant_type", "client_id", "scope"})


def redacted(parameters: Iterable[tuple[str, str]], *, grant: bool) -> dict[str, str]:
    """
    Return parameters without the values of secret ones.

    :param parameters: names and values; of several with the same name the last counts.
    :param grant: they are those of a request for a token.
    """
    kept = {}
    for name, value in parameters:
        if name.lower() in _SECRET:
            kept[name] = REDACTED
        elif not grant or name in _GRANT:
            kept[name] = value
    return kept


def logged_body(body: bytes, content_type: str, form: Form | None, *, grant: bool) -> bytes:
    """
    Return what the log keeps of a body.

    :param body: the body.
    :param content_type: the request's ``Content-Type``.
    :param form: the form that it is, ``None`` for another type.
    :param grant: it is that of a request for a token.
    """
    if form is not None:
        return form.summary().encode()[:MAX_LOGGED_BODY]
    if content_type.lower().startswith(URLENCODED):
        parameters = parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
        if grant or any(name.lower() in _SECRET for name, _ in parameters):
            body = urlencode(redacted(parameters, grant=grant), encoding="latin-1", safe="*").encode()
    elif grant:
        return b""
    return body[:MAX_LOGGED_BODY]
