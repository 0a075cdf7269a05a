"""Sends requests to a tenant: session, token, pace, patience, and errors. Knows no task and no Airflow."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from airflow_provider_sptasks.client import http
from airflow_provider_sptasks.client.auth import ClientCredentialsAuth
from airflow_provider_sptasks.client.errors import (
    AmbiguousError,
    APIError,
    BadRequestError,
    NotSentError,
    RateLimitedError,
    ServerError,
    TransientResponseError,
    TransportError,
    UnauthorizedError,
    UnexpectedPayloadError,
)
from airflow_provider_sptasks.client.exchange import Exchange
from airflow_provider_sptasks.client.multipart import Form, Sending
from airflow_provider_sptasks.client.pacing import Pacer, shared_pacer
from airflow_provider_sptasks.client.redis_budget import BudgetServer
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.client.tenant_clock import TenantClock

log = logging.getLogger(__name__)

T = TypeVar("T")
Decode = Callable[[http.Request, http.Response], T]

# Seconds for which nothing is sent after a 429, even if it asks for less.
SHORTEST_HOLD = 1.0
# An answer that is under way at a call's deadline may take that many seconds more.
DEADLINE_GRACE = 5.0

IF_GIVEN_REFUSED = (
    "The access token was given (access_token), so it can't be renewed: it has expired, or was revoked. "
    "Give another one, or a Client ID and a Client Secret"
)
IF_CLIENT_REFUSED = "The token endpoint refused the client id or the client secret"


class Transport:
    """
    Sends requests to a tenant and reads the answers.

    Safe to share between threads. Each call is tried again after connection errors, time-outs, 429 and 5xx
    until its retry policy's deadline, and keeps to the pace that all clients of the process with the same
    tenant, client id and API version share.

    :param settings: the tenant and the credentials
    :param retry: how long and how often a call is tried
    :param pacer: the pace to keep; ``None`` for the one that the process shares
    :param on_token: gets every access token before it is used, so that it can be masked in logs
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        retry: RetryPolicy | None = None,
        pacer: Pacer | None = None,
        on_token: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.retry = retry or RetryPolicy()
        self.version = settings.version
        server = BudgetServer(settings.budget_url, settings.budget_password) if settings.budget_url else None
        self._pacer = pacer or shared_pacer(
            settings.base_url,
            settings.client_id,
            settings.api_version,
            settings.requests_per_10s,
            server,
        )
        self._exchange = Exchange(settings)
        self._auth = ClientCredentialsAuth(
            settings.token_endpoint, settings.client_id, settings.client_secret, on_token=on_token
        )
        self.clock = TenantClock()
        self._deprecations: set[str] = set()
        self._note_answer: Callable[[http.Response], object] = lambda _: None

    def with_retry(self, retry: RetryPolicy) -> Transport:
        """
        Return a transport that shares everything with this one but its patience.

        :param retry: how long and how often its calls are tried
        """
        twin = copy.copy(self)
        twin.retry = retry
        return twin

    def with_pacer(self, pacer: Pacer) -> Transport:
        """
        Return a transport that shares everything with this one but its pace.

        :param pacer: the pace to keep
        """
        twin = copy.copy(self)
        twin._pacer = pacer
        return twin

    def with_answers(self, note: Callable[[http.Response], object]) -> Transport:
        """
        Return a transport that shares everything with this one, and hands over each answer of the API.

        :param note: called with each before it is read
        """
        twin = copy.copy(self)
        twin._note_answer = note
        return twin

    def polling(self) -> Transport:
        """Return a transport for polls, which keep to the settings' ``poll_share`` all together."""
        return self.with_pacer(self._pacer.lane(self.settings.poll_share))

    @property
    def pacer(self) -> Pacer:
        """The pace that its requests keep."""
        return self._pacer

    @property
    def answer_seconds(self) -> float:
        """How long answers take lately, from the request to the last byte; 0 before the first one."""
        return self._exchange.answer_seconds

    def access_token(self) -> str:
        """
        Return an access token, as requests carry it: a secret.

        :raises SailPointError: there is none to be had
        """
        deadline = time.monotonic() + self.retry.deadline
        return self.retry.call(lambda: self._token(deadline), "Fetching an access token")

    def close(self) -> None:
        """Close the connections; the transport can be used again."""
        self._exchange.close()

    def call(self, request: http.Request, decode: Decode[T]) -> T:
        """
        Try until it succeeds, fails for good, or the policy's deadline is near.

        :param request: what to send
        :param decode: reads the answer
        :raises SailPointError: the last attempt's error
        """
        deadline = time.monotonic() + self.retry.deadline
        return self.retry.call(
            partial(self._attempt, request, decode, deadline), f"{request.method} {request.path}"
        )

    def _attempt(self, request: http.Request, decode: Decode[T], deadline: float) -> T:
        """Send once, and once more if the token was refused: it may have been revoked."""
        url = self.settings.base_url + request.target
        token = self._token(deadline)
        try:
            return self._send(request, url, decode, deadline, token)
        except APIError as error:
            if error.status != 401:
                raise
            if self.settings.access_token is not None:
                # One that isn't SailPoint's own says nothing about the token.
                if not isinstance(error, UnauthorizedError):
                    raise
                raise _unauthorized(error, IF_GIVEN_REFUSED) from None
        return self._send(request, url, decode, deadline, self._token(deadline, refused=token))

    def _send(
        self, request: http.Request, url: str, decode: Decode[T], deadline: float, token: str | None = None
    ) -> T:
        """Send in turn; a request for a token doesn't wait in the lane of the call that needs it."""
        what = f"{request.method} {request.path}"
        wait_for_turn = self._pacer.wait_in_whole if token is None else self._pacer.wait_for_turn
        wait_for_turn(what, deadline, self.retry.sleep)
        if self.retry.strict and time.monotonic() > deadline:
            raise NotSentError(f"{what} was not sent: the call's deadline has passed")
        body = request.body.sending(self.retry.check) if isinstance(request.body, Form) else request.body
        try:
            response = self._exchange.send(
                request,
                url,
                body,
                token=token,
                seconds=self._seconds_left(deadline),
                check=self.retry.check,
            )
            if token is not None:
                self.clock.note(response.headers)
                self._note_answer(response)
            if not 200 <= response.status < 300:
                raise http.decode_error(request, response)
            self._note_deprecation(request, response)
            return decode(request, response)
        except RateLimitedError as error:
            if token is not None:  # the token endpoint's limit is not the API's
                self._pacer.refused(max(SHORTEST_HOLD, error.retry_after or 0.0))
            raise
        except (TransportError, TransientResponseError, UnexpectedPayloadError, ServerError) as error:
            if request.repeatable or (isinstance(body, Sending) and not body.complete):
                raise
            raise AmbiguousError(error) from error

    def _token(self, deadline: float, refused: str | None = None) -> str:
        if self.settings.access_token is not None:
            return self.settings.access_token
        return self._auth.token(
            lambda: self._fetch_token(deadline), refused=refused, max_wait=self._seconds_left(deadline)
        )

    def _seconds_left(self, deadline: float) -> float:
        """How long an answer may take, so that a call ends soon after its deadline, or as the policy says."""
        left = max(deadline - time.monotonic(), self.retry.min_answer_seconds, 0.0)
        return min(self.settings.timeout, left + DEADLINE_GRACE)

    def _fetch_token(self, deadline: float) -> Any:
        """Ask for a token; the call that needs it tries again."""
        url = self.settings.token_endpoint
        request = http.get_token(urlsplit(url).path, self.settings.client_id, self.settings.client_secret)
        try:
            return self._send(request, url, partial(http.decode_json, secret=True), deadline)
        except (BadRequestError, UnauthorizedError) as error:
            if error.status in (400, 401):
                raise _unauthorized(error, IF_CLIENT_REFUSED) from None
            raise

    def _note_deprecation(self, request: http.Request, response: http.Response) -> None:
        if response.headers.get("x-deprecated", "").lower() == "true":
            name = self.version.name
            if name not in self._deprecations:
                self._deprecations.add(name)
                log.warning("SailPoint marks %s %s (%s) as deprecated", request.method, request.path, name)


def _unauthorized(error: APIError, hint: str) -> UnauthorizedError:
    return UnauthorizedError(
        error.method,
        error.path,
        401,
        detail_code=error.detail_code,
        text=error.text,
        tracking_id=error.tracking_id,
        hint=hint,
    )
