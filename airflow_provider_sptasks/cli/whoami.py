"""The verb that shows what the credentials may do."""

from __future__ import annotations

import argparse
import base64
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_sptasks.cli.codes import ExitCode
from airflow_provider_sptasks.cli.printing import print_records
from airflow_provider_sptasks.cli.session import Session
from airflow_provider_sptasks.client.errors import APIError, NotFoundError, UnauthorizedError
from airflow_provider_sptasks.client.reading import read_plain

# Of an access token that is a JSON Web Token; others hold nothing that can be read.
CLAIMS = ("org", "user_name", "identity_id", "client_id", "authorities", "scope")
MAX_ITEMS = 200


def whoami(options: argparse.Namespace) -> ExitCode:
    """Show what the credentials may do: read-only requests, and one change of a task that doesn't exist."""
    session = Session(options)
    client, sources = session.client, session.sources
    may_read, why_not = _may(lambda: next(client.list(page_size=2), None))
    rights = {
        "read tasks": (may_read, why_not),
        "count pending tasks": _may(client.count_pending),
        "read sources": _may(lambda: next(sources.list(), None)),
        "change tasks": _may(lambda: client.update(uuid.uuid4().hex, [])),
    }
    claims = _claims(client.transport.access_token())
    record = {
        "tenant": session.tenant,
        "apiVersion": client.settings.api_version,
        "clientId": client.settings.client_id,
        "token": claims,
        "may": {name: may for name, (may, _) in rights.items()},
        "why": {name: why for name, (_, why) in rights.items() if why},
    }
    facts = [("tenant", session.tenant), ("API version", client.settings.api_version)]
    facts += [("client id", client.settings.client_id), *((name, _text(claims[name])) for name in claims)]
    rows = [{"what": name, "answer": value, "why": ""} for name, value in facts]
    rows += [
        {"what": f"may {name}", "answer": "yes" if may else "no", "why": why}
        for name, (may, why) in rights.items()
    ]
    print_records([record], rows, options.output)
    return ExitCode.OK if may_read else ExitCode.REFUSED


def _may(call: Callable[[], object]) -> tuple[bool, str]:
    """Say whether a request is allowed, and why it isn't."""
    try:
        call()
    except UnauthorizedError:
        raise
    except NotFoundError:
        return True, ""
    except APIError as error:
        if error.retryable:
            raise
        # Rights are checked first: to change nothing of a task that doesn't exist is then a bad request.
        return error.status == 400, "" if error.status == 400 else str(error)
    return True, ""


def _claims(token: str) -> Mapping[str, Any]:
    """Read what an access token says of its holder; it is not verified, and nothing depends on it."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(claims, dict):
        return {}
    return {name: _read(claims[name]) for name in CLAIMS if name in claims}


def _read(claim: object) -> Any:
    """Read a claim as anything else that a tenant sends."""
    return [read_plain(each) for each in claim[:MAX_ITEMS]] if isinstance(claim, list) else read_plain(claim)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
