"""Sends requests to a tenant: session, token, pace, patience, and errors. Knows no task and no Airflow."""

from __future__ import annotations

import copy
import logging
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

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
from airflow_provider_sptasks.client.multipart import Form, Sending
from airflow_provider_sptasks.client.pacing import Pacer, shared_pacer
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

HEADERS = {"Accept": "application/json", "X-SailPoint-Experimental": "true"}
CONNECTIONS = 32
# For how many seconds nobody sends after a 429, whatever it asks for.
SHORTEST_HOLD = 1.0
# A certificate that doesn't verify, or a URL that is none: requests' other ValueErrors.
HOPELESS = (requests.exceptions.SSLError, ValueError)


class Transport:
    """
    Sends requests to a tenant and reads the answers.

    Safe to share between threads. Each call is tried again after connection errors, time-outs, 429 and 5xx
    until its retry policy's deadline, and keeps to the pace that all clients of the process with the same
    tenant, client id and API version share.

    :param settings: the tenant and the credentials
    :param retry: how long and how often a call is tried
    :param pacer: the pace to keep; ``None`` for the one that the process shares
    :param on_token: told every access token before it is used, so that it can be masked in logs
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
        self._pacer = pacer or shared_pacer(
            settings.base_url, settings.client_id, settings.api_version, settings.requests_per_10s
        )
        self._session = requests.Session()
        self._session.headers.update(HEADERS)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
        self._auth = ClientCredentialsAuth(
            settings.token_endpoint,
            settings.client_id,
            settings.client_secret,
            fetch=self._fetch_token,
            on_token=on_token,
        )
        self._deprecations: set[str] = set()

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

    def polling(self) -> Transport:
        """Return a transport whose requests keep to the settings' ``poll_share``, as all polls do."""
        return self.with_pacer(self._pacer.lane(self.settings.poll_share))

    def close(self) -> None:
        """Close the connections; the transport can be used again."""
        self._session.close()

    def call(self, request: http.Request, decode: Callable[[http.Request, http.Response], T]) -> T:
        """
        Try until it succeeds, fails for good, or the policy's deadline is near.

        :param request: what to send
        :param decode: reads the answer
        :raises SailPointError: the last attempt's error
        """
        deadline = time.monotonic() + self.retry.deadline
        return self.retry.call(
            lambda: _decoded(request, self._attempt(request, deadline), decode),
            f"{request.method} {request.path}",
        )

    def _attempt(self, request: http.Request, deadline: float) -> http.Response:
        """Send once, and once more if the token was refused: it may have been revoked."""
        token = self._auth.token()
        try:
            return self._send_in_time(request, deadline)
        except APIError as error:
            if error.status != 401:
                raise
            self._auth.token(refused=token)
            return self._send_in_time(request, deadline)

    def _send_in_time(self, request: http.Request, deadline: float) -> http.Response:
        self._keep_pace(request, deadline)
        try:
            response = self._send(request, self.settings.base_url + request.target, auth=self._auth)
        except RateLimitedError as error:
            self._pacer.hold(max(SHORTEST_HOLD, error.retry_after or 0.0))
            raise
        self._note_deprecation(request, response)
        return response

    def _keep_pace(self, request: http.Request, deadline: float) -> None:
        """Wait for a place within the pace, but not beyond the deadline: then nothing is sent."""
        for pacer in self._pacer.stages:
            wait = pacer.reserve(max(deadline - time.monotonic(), 0.0))
            while wait > 0:
                if wait > deadline - time.monotonic():
                    raise NotSentError(
                        f"{request.method} {request.path} was not sent: the client's own pace allows it in "
                        f"{wait:.1f} s, which is after the call's deadline",
                        retry_after=wait,
                    )
                self.retry.sleep(wait)
                wait = pacer.held()
        if self.retry.strict and time.monotonic() > deadline:
            raise NotSentError(
                f"{request.method} {request.path} was not sent: the call's deadline has passed"
            )

    def _send(self, request: http.Request, url: str, auth: Callable[..., Any]) -> http.Response:
        if not isinstance(request.body, Form):
            return self._send_body(request, url, auth, request.body)
        body = request.body.sending()
        try:
            return self._send_body(request, url, auth, body)
        except (TransportError, TransientResponseError, ServerError) as error:
            if request.repeatable or not body.complete:
                raise
            raise AmbiguousError(error) from error

    def _send_body(
        self, request: http.Request, url: str, auth: Callable[..., Any], body: bytes | Sending | None
    ) -> http.Response:
        try:
            answer = self._session.request(
                request.method,
                url,
                headers=dict(request.headers),
                data=body,
                auth=auth,
                timeout=self.settings.timeout,
                verify=self.settings.verify,
                proxies=dict(self.settings.proxies),
                allow_redirects=False,
            )
        except OSError as error:  # the base of requests' own, which leaves a missing CA bundle as it is
            raise TransportError(
                f"{request.method} {request.path} at {urlsplit(url).netloc} got no answer: {_reason(error)}",
                retryable=isinstance(error, requests.RequestException) and not isinstance(error, HOPELESS),
            ) from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        response = http.Response(answer.status_code, headers, answer.content)
        if 200 <= response.status < 300:
            return response
        raise http.decode_error(request, response)

    def _fetch_token(self) -> Any:
        """Ask for a token: outside of the pace, which is the API's; the call that needs it tries again."""
        url = self.settings.token_endpoint
        request = http.get_token(urlsplit(url).path, self.settings.client_id, self.settings.client_secret)
        try:
            response = self._send(request, url, auth=_unsigned)
        except BadRequestError as error:
            if error.status == 400:
                raise _refused(error) from None
            raise
        except UnauthorizedError as error:
            raise _refused(error) from None
        return http.decode_json(request, response, secret=True)

    def _note_deprecation(self, request: http.Request, response: http.Response) -> None:
        if response.headers.get("x-deprecated", "").lower() == "true":
            name = self.version.name
            if name not in self._deprecations:
                self._deprecations.add(name)
                log.warning("SailPoint marks %s %s (%s) as deprecated", request.method, request.path, name)


def _decoded(
    request: http.Request, response: http.Response, decode: Callable[[http.Request, http.Response], T]
) -> T:
    try:
        return decode(request, response)
    except UnexpectedPayloadError as error:
        if request.repeatable:
            raise
        raise AmbiguousError(error) from error


def _refused(error: APIError) -> UnauthorizedError:
    return UnauthorizedError(
        error.method,
        error.path,
        401,
        text=error.text,
        tracking_id=error.tracking_id,
        hint="The token endpoint refused the client id or the client secret",
    )


def _unsigned(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep ``requests`` from adding credentials of a netrc file."""
    return request


def _reason(error: OSError) -> str:
    """Name the cause below the layers of urllib3: their texts hold URLs and object addresses."""
    cause: BaseException = error
    while isinstance(reason := getattr(cause, "reason", None) or _inner(cause), BaseException):
        cause = reason
    text = re.sub(r"^HTTPS?Connection(Pool)?\([^)]*\): ", "", str(cause))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _inner(error: BaseException) -> BaseException | None:
    return next((arg for arg in error.args if isinstance(arg, BaseException)), None)
