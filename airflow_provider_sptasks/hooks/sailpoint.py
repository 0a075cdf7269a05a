"""The connection to a SailPoint tenant."""

from __future__ import annotations

import itertools
import math
import time
from functools import cached_property
from typing import Any, Self
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from airflow.sdk.log import mask_secret

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
from airflow_provider_sptasks.client.redaction import spellings
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.client.sources_client import SourcesClient
from airflow_provider_sptasks.get_provider_info import get_provider_info
from airflow_provider_sptasks.hooks._fields import settings_of

# Airflow says that a connection doesn't exist also while its API server restarts.
CONNECTION_GRACE_SECONDS, CONNECTION_RETRY_SECONDS = 15.0, 1.0
# Airflow's masker never forgets a secret, and compiles all that it knows again for each new one. A triggerer
# gets some 120 tokens a day; 200 of SailPoint's made it take 2.5 seconds and a gigabyte.
MAX_MASKED_TOKENS = 10
_tokens = itertools.count(1)


class SailPointHook(BaseHook):
    """
    Connects to the task-status API of SailPoint Identity Security Cloud.

    The connection's fields, all checked before anything is sent:

    * Tenant (host): the tenant's name (``acme``), its API host (``acme.api.identitynow.com``) or a full URL
    * Client ID (login) and Client Secret (password): of a personal access token, or of an API client, which
      can't clear tasks
    * extra, all optional: ``api_version``, ``token_url`` (at the tenant or in one of SailPoint's domains),
      ``timeout`` (seconds), ``verify`` (whether TLS is verified, or the path of a CA bundle), ``proxies``
      (URLs by scheme), ``requests_per_10s`` (of all this host's processes together), ``poll_share`` (of
      SailPoint's limit, for deferred sensors), ``budget_url`` (a Redis or Valkey server at which hosts share
      both), ``budget_password`` (that server's), ``max_answer_mb`` (megabytes of an answer), ``access_token``
      (instead of the Client Secret), ``ui_url`` (the administration UI, if it has a domain of its own)

    :param sailpoint_conn_id: the Airflow connection
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``; ``None`` for the connection's,
        which is ``v1`` if it has none
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
        return TaskStatusClient(self.settings, retry=self.retry, on_token=_mask_token)

    @cached_property
    def sources(self) -> SourcesClient:
        """The client of the tenant's sources; it shares session, token and pace with :attr:`client`."""
        return SourcesClient(self.client.transport)

    @cached_property
    def settings(self) -> ClientSettings:
        """
        What the connection says, checked; its secrets are masked in the log from here on.

        :raises ValueError: the connection has an invalid field; the message names it
        :raises AirflowNotFoundException: there is no such connection
        """
        connection = self.get_connection(self.sailpoint_conn_id)
        try:
            settings = settings_of(connection, self.api_version)
        except ValueError as error:
            raise ValueError(f"Connection {self.sailpoint_conn_id!r}: {error}") from None
        for secret in settings.secrets:
            _mask(secret)
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

        Airflow tests a form with the secret that it has stored; to change the tenant or the port, a user must
        give the secret again. A proxy without verified TLS is refused here, since it could read the secret.
        ``verify`` as the path of a CA bundle is allowed, since it takes a file on the server.

        :return: whether it works, and for a person what was connected to, or what is wrong
        """
        try:
            if self.settings.verify is False and self.settings.proxies:
                return (
                    False,
                    "A test sends no secret through a proxy without verifying TLS (verify)",
                )
            client = self.client.with_retry(RetryPolicy(deadline=10.0, min_answer_seconds=math.inf))
            next(client.list(page_size=1), None)
        except ValueError as error:
            return False, str(error)
        except SailPointError as error:
            return False, self.diagnosis(error)
        return True, f"Connected to {self.settings.base_url} (API version {self.settings.api_version})"

    def diagnosis(self, error: SailPointError) -> str:
        """
        Say what in the connection, or at the tenant, causes an error.

        :param error: what reading tasks ended with
        :return: the cause, for a person, and the error
        """
        settings = self.settings
        at_token_endpoint = (
            isinstance(error, APIError) and error.path == urlsplit(settings.token_endpoint).path
        )
        if isinstance(error, UnauthorizedError):
            wrong = "Client ID or the Client Secret" if settings.access_token is None else "access token"
            cause = f"The {wrong} is wrong for {settings.base_url}"
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
        """Return the standard fields of the connection form, for Airflow 3.1."""
        behaviour = get_provider_info()["connection-types"][0]["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the other fields of the connection form by their names, for Airflow 3.1."""
        from wtforms import IntegerField, PasswordField, StringField
        from wtforms.validators import Optional, any_of

        def widget(label: str, description: str, schema: dict[str, Any]) -> Any:
            field = IntegerField if "integer" in schema["type"] else StringField
            field = PasswordField if schema.get("format") == "password" else field
            among = [any_of(schema["enum"])] if "enum" in schema else []
            return field(label, validators=[Optional(), *among], description=description)

        fields = get_provider_info()["connection-types"][0]["conn-fields"]
        return {name: widget(**field) for name, field in fields.items()}


def _mask_token(token: str) -> None:
    if next(_tokens) <= MAX_MASKED_TOKENS:
        _mask(token)


def _mask(secret: str) -> None:
    for spelling in spellings(secret):
        mask_secret(spelling)
