"""How clients ask for a token: in a form of either type, or in the query string."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Scope

from airflow_provider_sptasks.emulator.redaction import MAX_FIELDS, URLENCODED

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path


class MalformedGrantError(ValueError):
    """A request for a token that can't be read."""


def grant_of(scope: Scope, body: bytes) -> dict[str, str]:
    """
    Return the parameters of a request for a token.

    As a real tenant does, it takes those of a urlencoded body (SailPoint's SDKs for Python and Go), of
    ``multipart/form-data`` (those for TypeScript and PowerShell), and of the query string (the File Upload
    Utility). What the body says counts more.

    :param scope: the request, with its form if it brings one.
    :param body: its body.
    """
    try:
        parameters = _decoded(scope["query_string"])
        form = scope["state"].get("form")
        if form is not None:
            if form.problem is not None:
                raise MalformedGrantError(form.problem)
            return parameters | {name: part.text for name, part in form.parts.items()}
        if Headers(scope=scope).get("content-type", "").lower().startswith(URLENCODED):
            return parameters | _decoded(body)
    except ValueError as error:
        # parse_qsl's own message holds a number, and no value.
        raise MalformedGrantError(str(error)) from error
    return parameters


def _decoded(text: bytes) -> dict[str, str]:
    return dict(parse_qsl(text.decode("latin-1"), encoding="utf-8", max_num_fields=MAX_FIELDS))
