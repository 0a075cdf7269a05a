"""OAuth 2 client credentials for ``requests``: tokens shared by a process, renewed in time, once replayed."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from requests.auth import AuthBase

from airflow_provider_sptasks.client.errors import UnexpectedPayloadError

# A token is renewed this long before it runs out, or at a tenth of its life where that is shorter.
RENEW_BEFORE = 60.0

_REPLAYED = "_sailpoint_replayed"


@dataclass(frozen=True)
class _Token:
    value: str
    renew_at: float  # monotonic


class _Cache:
    """The token of one client at one tenant, and who may fetch it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.token: _Token | None = None


_caches: dict[tuple[str, str, str], _Cache] = {}
_caches_lock = threading.Lock()


class ClientCredentialsAuth(AuthBase):
    """
    Signs requests with an access token.

    Tokens are cached in the process by endpoint and credentials. The first thread that finds none, or one
    that is about to run out, fetches it while the others wait for it. A request that is answered with 401
    is sent once more with a new token: the token may have been revoked.

    :param token_url: where tokens are issued
    :param client_id: OAuth client id
    :param client_secret: its secret
    :param fetch: asks the endpoint for a token and returns the answer's JSON; what it raises reaches
        whoever sends the request
    :param on_token: told every token before this object first uses it, so that it can be masked in logs
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
        self._told: str | None = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request, as ``requests`` asks for it."""
        self._sign(request, self.token())
        request.register_hook("response", self._replay_once)  # type: ignore[no-untyped-call]
        return request

    def token(self) -> str:
        """Return a token that is good for a while, fetched if there is none."""
        with self._cache.lock:
            token = self._cache.token
            if token is None or time.monotonic() >= token.renew_at:
                token = self._cache.token = self._new_token()
            return self._tell(token)

    def _new_token(self) -> _Token:
        asked_at = time.monotonic()
        payload = self._fetch()
        value = payload.get("access_token") if isinstance(payload, dict) else None
        if not isinstance(value, str) or not value:
            raise UnexpectedPayloadError("The token endpoint answered without an access_token")
        try:
            lifetime = float(payload.get("expires_in"))
        except (TypeError, ValueError):
            raise UnexpectedPayloadError("The token endpoint answered without a usable expires_in") from None
        return _Token(value, asked_at + lifetime - min(RENEW_BEFORE, lifetime / 10))

    def _renewed(self, refused: str) -> str:
        with self._cache.lock:
            token = self._cache.token
            if token is None or token.value == refused:
                token = self._cache.token = self._new_token()
            return self._tell(token)

    def _tell(self, token: _Token) -> str:
        """Say which token is about to be used: another object may have fetched it."""
        if token.value != self._told:
            self._on_token(token.value)
            self._told = token.value
        return token.value

    def _replay_once(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        if response.status_code != 401 or getattr(response.request, _REPLAYED, False):
            return response
        _ = response.content  # read it, so that the connection can be used again
        response.close()
        replay = response.request.copy()
        setattr(replay, _REPLAYED, True)
        self._sign(replay, self._renewed(replay.headers["Authorization"].removeprefix("Bearer ")))
        answer: requests.Response = response.connection.send(replay, **kwargs)
        answer.history.append(response)
        answer.request = replay
        return answer

    @staticmethod
    def _sign(request: requests.PreparedRequest, token: str) -> None:
        request.headers["Authorization"] = f"Bearer {token}"
