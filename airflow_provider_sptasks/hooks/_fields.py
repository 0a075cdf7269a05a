"""What the fields of an Airflow connection mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_sptasks.client.settings import ClientSettings

if TYPE_CHECKING:
    from airflow.sdk import Connection


def settings_of(connection: Connection, api_version: str | None) -> ClientSettings:
    """
    Make settings of a connection.

    :param connection: the connection
    :param api_version: the API version; ``None`` for the connection's
    :raises ValueError: a field is invalid; the message names it, and shows no secret
    """
    if connection.schema:
        # Its value isn't shown: of a URI with a slash in the password, it is the rest of that.
        raise ValueError("schema is not used. Put the whole URL into host; in a URI, / in a password is %2F.")
    extra = _extra(connection)
    if api_version:
        extra["api_version"] = api_version
    return ClientSettings(
        host=connection.host or "",
        port=connection.port or None,  # forms send 0
        client_id=connection.login or "",
        client_secret=connection.password or "",
        **extra,
    )


def _extra(connection: Connection) -> dict[str, Any]:
    """Read the extras that are known; an empty one counts as absent, as forms send it."""
    try:
        given = json.loads(connection.extra) if connection.extra else {}
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ValueError("extra is not a JSON object.")
    if unknown := sorted(given.keys() - EXTRAS.keys()):
        raise ValueError(f"extra {unknown[0]!r} is unknown. Known are {', '.join(EXTRAS)}.")
    return {name: EXTRAS[name](name, value) for name, value in given.items() if value not in (None, "", {})}


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r} is not a string.")
    return value.strip()


def _secret(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string.")
    return value.strip()


def _number(name: str, value: object) -> float:
    try:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise ValueError(f"{name} {value!r} is not a number.")


def _whole_number(name: str, value: object) -> int:
    number = _number(name, value)
    if not number.is_integer():
        raise ValueError(f"{name} {value!r} is not a whole number.")
    return int(number)


def _verify(name: str, value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    text = _text(name, value)
    return {"true": True, "false": False}.get(text.lower(), text)


def _proxies(name: str, value: object) -> dict[str, str]:
    if isinstance(value, str):
        with suppress(ValueError):  # its own error holds the whole string
            value = json.loads(value)
    if not isinstance(value, dict) or not all(isinstance(url, str) for url in value.values()):
        raise ValueError(f"{name} is not a JSON object of strings. Give URLs by scheme: " + _PROXIES_EXAMPLE)
    return value


_PROXIES_EXAMPLE = '{"https": "http://proxy.example.com:3128"}'

EXTRAS: Mapping[str, Callable[[str, object], Any]] = {
    "api_version": _text,
    "token_url": _text,
    "timeout": _number,
    "verify": _verify,
    "proxies": _proxies,
    "requests_per_10s": _whole_number,
    "poll_share": _number,
    "max_answer_mb": _number,
    "ui_url": _text,
    "access_token": _secret,
    # Not shown if it is no string: it may hold a password, which is refused.
    "budget_url": _secret,
    "budget_password": _secret,
}
