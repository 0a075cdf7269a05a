"""OAuth 2 client credentials for ``requests``: tokens that a process shares and renews in time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from requests.auth import AuthBase

from airflow_provider_sptasks.client.errors import SailPointError, UnexpectedPayloadError
from airflow_provider_sptasks.client.locks import Lock

# A token is renewed this long before it runs out, or at a tenth of its life where that is shorter.
RENEW_BEFORE = 60.0


@dataclass(frozen=True)
class _Token:
    value: str
    renew_at: float  # monotonic


class _Cache:
    """The token of one client at one tenant, and who may fetch it."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.token: _Token | None = None
        self.failures = 0
        self.failure: SailPointError | None = None


_caches: dict[tuple[str, str, str], _Cache] = {}
_caches_lock = Lock()


class ClientCredentialsAuth(AuthBase):
    """
    Signs requests with an access token.

    Tokens are cached in the process by endpoint and credentials. The first thread that finds none, or one
    that is about to run out, fetches it while the others wait for it; if it fails, they fail with it.

    :param token_url: where tokens are issued
    :param client_id: OAuth client id
    :param client_secret: its secret
    :param fetch: asks the endpoint for a token and returns the answer's JSON; what it raises reaches
        whoever needs the token
    :param on_token: told every new token before it is used, so that it can be masked in logs
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        fetch: Callable[[], Any],
        on_token: Callable[[str], object] = lambda _: None,
    ) -> None:
        digest = hashlib.sha256(client_secret.encode()).hexdigest()
        with _caches_lock:
            self._cache = _caches.setdefault((token_url, client_id, digest), _Cache())
        self._fetch = fetch
        self._on_token = on_token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request, as ``requests`` asks for it."""
        request.headers["Authorization"] = f"Bearer {self.token()}"
        return request

    def token(self, refused: str | None = None) -> str:
        """
        Return a token that is good for a while, fetched if there is none.

        :param refused: a token that the tenant did not take: another one is wanted
        """
        failures_before = self._cache.failures
        with self._cache.lock:
            token = self._cache.token
            if token is not None and time.monotonic() < token.renew_at and token.value != refused:
                return token.value
            if self._cache.failure is not None and self._cache.failures > failures_before:
                raise self._cache.failure
            try:
                token = self._cache.token = self._new_token()
            except SailPointError as error:
                self._cache.failures += 1
                self._cache.failure = error
                raise
            return token.value

    def _new_token(self) -> _Token:
        asked_at = time.monotonic()
        payload = self._fetch()
        value = payload.get("access_token") if isinstance(payload, dict) else None
        if not isinstance(value, str) or not value:
            raise UnexpectedPayloadError("The token endpoint answered without an access_token")
        self._on_token(value)
        try:
            lifetime = float(payload.get("expires_in"))
        except (TypeError, ValueError):
            raise UnexpectedPayloadError("The token endpoint answered without a usable expires_in") from None
        return _Token(value, asked_at + lifetime - min(RENEW_BEFORE, lifetime / 10))
