"""The connection to a SailPoint tenant."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_sptasks.client.client import TaskStatusClient
from airflow_provider_sptasks.client.errors import (
    APIError,
    ForbiddenError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    SailPointError,
    ServerError,
    TransientResponseError,
    UnauthorizedError,
)
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.client.sources_client import SourcesClient
from airflow_provider_sptasks.client.urls import proxy_passwords
from airflow_provider_sptasks.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from airflow.sdk import Connection

try:
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 3.0
    from airflow.sdk.execution_time.secrets_masker import mask_secret  # type: ignore[no-redef]


# Airflow says that a connection doesn't exist also while its API server restarts.
CONNECTION_GRACE_SECONDS, CONNECTION_RETRY_SECONDS = 15.0, 1.0


class SailPointHook(BaseHook):
    """
    Connects to the task-status API of SailPoint Identity Security Cloud.

    The connection's fields, all checked before anything is sent:

    * Tenant (host): the tenant's name (``acme``), its API host (``acme.api.identitynow.com``) or a full URL
    * Client ID (login) and Client Secret (password): of a personal access token for what clears tasks
    * extra, all optional: ``api_version``, ``token_url`` (at the tenant or in one of SailPoint's domains),
      ``timeout`` (seconds), ``verify`` (whether TLS is verified, or the path of a CA bundle), ``proxies``
      (URLs by scheme), ``requests_per_10s``, ``poll_share`` (of SailPoint's limit, for deferred sensors),
      ``max_answer_mb`` (megabytes of an answer)

    :param sailpoint_conn_id: the Airflow connection
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``; ``None`` for the connection's,
        which is ``v1`` where it has none
    :param retry: how long and how often the client tries a call; ``None`` for 5 minutes
    """

    conn_name_attr = "sailpoint_conn_id"
    default_conn_name = "sailpoint_default"
    conn_type = "sailpoint"
    hook_name = "SailPoint Identity Security Cloud"

    def __init__(
        self,
        sailpoint_conn_id: str = default_conn_name,
        api_version: str | None = None,
        *,
        retry: RetryPolicy | None = None,
    ) -> None:
        super().__init__()
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self.retry = retry

    @cached_property
    def client(self) -> TaskStatusClient:
        """
        The client of the connection's tenant, made when it is first used.

        :raises ValueError: the connection has an invalid field; the message names it
        :raises AirflowNotFoundException: there is no such connection
        """
        return TaskStatusClient(self.settings, retry=self.retry, on_token=mask_secret)

    @cached_property
    def sources(self) -> SourcesClient:
        """The client of the tenant's sources; it shares session, token and pace with :attr:`client`."""
        return SourcesClient(self.client.transport)

    @cached_property
    def settings(self) -> ClientSettings:
        """What the connection says, checked; its secrets are masked in the log from here on."""
        connection = self.get_connection(self.sailpoint_conn_id)
        try:
            settings = _settings(connection, self.api_version)
        except ValueError as error:
            raise ValueError(f"Connection {self.sailpoint_conn_id!r}: {error}") from None
        for secret in {settings.client_secret}.union(*map(proxy_passwords, settings.proxies.values())):
            mask_secret(secret)
        if settings.verify is False:
            self.log.warning("Connection %r does not verify TLS certificates", self.sailpoint_conn_id)
        return settings

    def get_conn(self) -> TaskStatusClient:
        """Return :attr:`client`."""
        return self.client

    def connect(self) -> Self:
        """
        Read the connection; one that isn't there is looked for again for 15 seconds.

        Airflow says that a connection doesn't exist also while its API server restarts.

        :return: itself
        :raises ValueError: the connection has an invalid field; the message names it
        :raises AirflowNotFoundException: there is no such connection
        """
        give_up_at = time.monotonic() + CONNECTION_GRACE_SECONDS
        while True:
            try:
                self.get_conn()
            except AirflowNotFoundException:
                if time.monotonic() >= give_up_at:
                    raise
                time.sleep(CONNECTION_RETRY_SECONDS)
            else:
                return self

    def reconnect(self) -> None:
        """Forget what the connection said: it is read again with the next call."""
        if "client" in self.__dict__:
            self.client.close()
        for name in ("client", "sources", "settings"):
            self.__dict__.pop(name, None)

    def test_connection(self) -> tuple[bool, str]:
        """
        Try the connection: settings, tenant, credentials, API version and scope, each with its own message.

        Airflow tests a form with the secret that it has stored, and lets who edits it not change the tenant
        or the port without giving the secret again. Settings by which the secret could reach others
        are refused here: a proxy that TLS doesn't keep from reading along. ``verify`` as the path of a CA
        bundle is not, since it takes a file on the server.

        :return: whether it works, and what is wrong
        """
        try:
            if self.settings.verify is False and self.settings.proxies:
                return (
                    False,
                    "A test sends no secret through a proxy without verifying TLS (verify)",
                )
            client = self.client.with_retry(RetryPolicy(deadline=10.0))
            next(client.list(page_size=1), None)
        except ValueError as error:
            return False, str(error)
        except SailPointError as error:
            return False, self.diagnosis(error)
        return True, f"Connected to {self.settings.base_url} (API version {self.settings.api_version})"

    def diagnosis(self, error: SailPointError) -> str:
        """
        Say for a person what in the connection, or at the tenant, causes an error.

        :param error: what reading tasks ended with
        """
        settings = self.settings
        at_token_endpoint = (
            isinstance(error, APIError) and error.path == urlsplit(settings.token_endpoint).path
        )
        if isinstance(error, UnauthorizedError):
            cause = f"The Client ID or the Client Secret is wrong for {settings.base_url}"
        elif isinstance(error, RateLimitedError | NotSentError):
            cause = f"{settings.base_url} limits requests; try again later"
        elif isinstance(error, ServerError):
            cause = f"{settings.base_url} has an error; try again later"
        elif at_token_endpoint or not isinstance(error, APIError):
            cause = f"No SailPoint tenant answers at {settings.token_endpoint} (Tenant or Token URL)"
        elif isinstance(error, TransientResponseError):
            cause = f"Something on the way to {settings.base_url} answers instead of it"
        elif isinstance(error, ForbiddenError):
            cause = "The credentials may not read tasks: the scope is missing, or the user's level is too low"
        elif isinstance(error, NotFoundError):
            cause = f"{settings.base_url} has no API version {settings.api_version!r} (api_version)"
        else:
            cause = f"{settings.base_url} refuses the request"
        return f"{cause}. {error}"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Describe the standard fields of the connection form to Airflow 3.0 and 3.1."""
        behaviour = get_provider_info()["connection-types"][0]["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Describe the other fields of the connection form to Airflow 3.0 and 3.1."""
        from wtforms import IntegerField, StringField
        from wtforms.validators import Optional, any_of

        def widget(label: str, description: str, schema: dict[str, Any]) -> Any:
            field = IntegerField if "integer" in schema["type"] else StringField
            among = [any_of(schema["enum"])] if "enum" in schema else []
            return field(label, validators=[Optional(), *among], description=description)

        fields = get_provider_info()["connection-types"][0]["conn-fields"]
        return {name: widget(**field) for name, field in fields.items()}


def _settings(connection: Connection, api_version: str | None) -> ClientSettings:
    if connection.schema:
        raise ValueError(f"schema {connection.schema!r} is not used. Put the whole URL into host.")
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
    if unknown := sorted(given.keys() - _EXTRAS.keys()):
        raise ValueError(f"extra {unknown[0]!r} is unknown. Known are {', '.join(_EXTRAS)}.")
    return {name: _EXTRAS[name](name, value) for name, value in given.items() if value not in (None, "", {})}


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r} is not a string.")
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
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"{name} is not JSON. Give URLs by scheme: " + _PROXIES_EXAMPLE) from None
    if not isinstance(value, dict) or not all(isinstance(url, str) for url in value.values()):
        raise ValueError(f"{name} is not an object of strings. Give URLs by scheme: " + _PROXIES_EXAMPLE)
    return value


_PROXIES_EXAMPLE = '{"https": "http://proxy.example.com:3128"}'

_EXTRAS: Mapping[str, Callable[[str, object], Any]] = {
    "api_version": _text,
    "token_url": _text,
    "timeout": _number,
    "verify": _verify,
    "proxies": _proxies,
    "requests_per_10s": _whole_number,
    "poll_share": _number,
    "max_answer_mb": _number,
    "ui_url": _text,
}
