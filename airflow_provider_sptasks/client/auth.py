"""OAuth 2 client credentials: tokens that a process shares and renews in time."""

from __future__ import annotations

import hashlib
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_sptasks.client.errors import NotSentError, SailPointError, UnexpectedPayloadError
from airflow_provider_sptasks.client.locks import fork_safe_lock

# A token is renewed this long before it runs out, or at a tenth of its life where that is shorter.
RENEW_BEFORE = 60.0


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    renew_at: float  # monotonic


class _Cache:
    """The token of one client at one tenant, and who may fetch it."""

    def __init__(self) -> None:
        self.lock = fork_safe_lock()
        self.token: _Token | None = None
        self.failures = 0
        self.failure: SailPointError | None = None


_caches: dict[tuple[str, str, str], _Cache] = {}
_caches_lock = fork_safe_lock()


class ClientCredentialsAuth:
    """
    The access token of a client at a tenant.

    Tokens are cached in the process by endpoint and credentials. The first thread that finds none, or one
    that is about to run out, fetches it while the others wait for it; if it fails, they fail with it.

    :param token_url: where tokens are issued
    :param client_id: OAuth client id
    :param client_secret: its secret
    :param on_token: gets every new token before it is used, so that it can be masked in logs
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        on_token: Callable[[str], object] = lambda _: None,
    ) -> None:
        digest = hashlib.sha256(client_secret.encode()).hexdigest()
        with _caches_lock:
            self._cache = _caches.setdefault((token_url, client_id, digest), _Cache())
        self._on_token = on_token

    def token(
        self, fetch: Callable[[], Any], *, refused: str | None = None, max_wait: float = threading.TIMEOUT_MAX
    ) -> str:
        """
        Return a token that is good for a while, fetched if there is none.

        :param fetch: asks the endpoint for a token and returns the answer's JSON; what it raises reaches
            all who wait for the token
        :param refused: a token that the tenant did not take: another one is wanted
        :param max_wait: seconds to wait for a token that another thread fetches
        :raises NotSentError: it took that thread longer
        """
        cache = self._cache
        failures_before = cache.failures
        if not cache.lock.acquire(timeout=max_wait):
            raise NotSentError(f"Another thread has not got an access token within {max_wait:.1f} s")
        try:
            token = cache.token
            if token is not None and time.monotonic() < token.renew_at and token.value != refused:
                return token.value
            if cache.failure is not None and cache.failures > failures_before:
                raise cache.failure
            try:
                token = cache.token = self._new_token(fetch)
            except SailPointError as error:
                cache.failures += 1
                cache.failure = error
                raise
            return token.value
        finally:
            cache.lock.release()

    def _new_token(self, fetch: Callable[[], Any]) -> _Token:
        asked_at = time.monotonic()
        payload = fetch()
        value = payload.get("access_token") if isinstance(payload, dict) else None
        if not isinstance(value, str) or not value:
            raise UnexpectedPayloadError("The token endpoint answered without an access_token")
        if not re.fullmatch(r"[!-~]+", value):
            # Neither sent nor shown: an exception about it would hold it, and no log masks it yet.
            raise UnexpectedPayloadError(
                "The token endpoint answered with an access_token that holds a space, a control character, "
                "or a letter beyond ASCII"
            )
        self._on_token(value)
        try:
            lifetime = float(payload.get("expires_in"))
        except (TypeError, ValueError, OverflowError):
            lifetime = math.nan
        if not 0 < lifetime < math.inf:
            raise UnexpectedPayloadError("The token endpoint answered without a usable expires_in")
        return _Token(value, asked_at + lifetime - min(RENEW_BEFORE, lifetime / 10))
