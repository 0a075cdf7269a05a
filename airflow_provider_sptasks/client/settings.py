"""What a client needs to know about a tenant, checked once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from airflow_provider_sptasks.client.budget import TENANT_LIMIT
from airflow_provider_sptasks.client.redaction import basic_credentials
from airflow_provider_sptasks.client.urls import (
    ascii_host,
    check_budget_url,
    check_proxy,
    checked_url,
    proxy_secrets,
)
from airflow_provider_sptasks.client.versions import DEFAULT_API_VERSION, TOKEN_PATH, ApiVersion, api_version

MIN_REQUESTS = 1

# Up to a thousand sensors are polled every 5 seconds.
DEFAULT_POLL_SHARE = 0.1

# What a header can carry as it is.
SENDABLE = re.compile(r"[!-~]+")

# The administration UI is at {tenant}.{domain}, the API at {tenant}.api.{domain}.
_DOMAINS = (
    "identitynow.com",
    "identitynow-demo.com",
    "identitynowgov.com",
    "saas.sailpointfedramp.com",
    "cloud.sailpoint.com",
)
# Besides the tenant itself, only these may be sent the client's secret.
_TOKEN_DOMAINS = (*_DOMAINS, "sailpoint.com")
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class ClientSettings:
    """
    A tenant, the credentials for it, and how to talk to it.

    :param host: the tenant's name (``acme``), its API host (``acme.api.identitynow.com``) or a full URL;
        plain ``http`` is for loopback only
    :param client_id: OAuth client id, of a personal access token for what changes tasks; with
        ``access_token`` only whose requests are counted, and may be left out
    :param client_secret: its secret; empty with ``access_token``
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``
    :param token_url: where tokens are issued, at the tenant's own host, below it, or in one of SailPoint's
        domains, since the secret is sent there; ``None`` for ``{base}/oauth/token``
    :param timeout: seconds until the last byte of an answer has come; for an upload, from its end on
    :param verify: whether TLS certificates are verified, or the path of a CA bundle to verify them by
    :param proxies: proxy URLs by ``http``, ``https`` or ``all``, or by one of these with ``://`` and a host;
        nothing on loopback goes through a proxy
    :param requests_per_10s: requests that this host may send in 10 seconds, 1 to 100, all its processes
        together: SailPoint allows 100 for each client id and API version
    :param poll_share: the part of SailPoint's limit that the polls of all deferred sensors of this host take
        up while a thousand or more of them wait, 0.01 to 1: the larger, the sooner they see an end. Up to a
        thousand are polled every 5 seconds with the default, every second with 0.5; a sensor's own
        ``poke_interval`` may need more
    :param max_answer_mb: megabytes that an answer may hold when it is unpacked, 1 to 1024
    :param access_token: a token that was got elsewhere, instead of a client's secret. It can't be renewed, so
        that nothing works any more once it has expired
    :param budget_url: a Redis or Valkey server at which all hosts share ``requests_per_10s`` and
        ``poll_share``, such as ``redis://host:6379/0`` or ``redis://user@host:6379/0``, without a password;
        ``None`` for each host by itself
    :param budget_password: that server's password, if it wants one
    :param port: the API host's port, where ``host`` doesn't hold it
    :param ui_url: the administration UI, to which links lead, where it has a domain of its own; ``None`` for
        the tenant's, such as ``https://acme.identitynow.com``
    :raises ValueError: a field is invalid; the message names it, and shows no secret
    """

    host: str
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    api_version: str = DEFAULT_API_VERSION
    token_url: str | None = None
    timeout: float = 30.0
    verify: bool | str = True
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    requests_per_10s: int = 80
    poll_share: float = DEFAULT_POLL_SHARE
    max_answer_mb: float = 64.0
    access_token: str | None = field(default=None, repr=False)
    budget_url: str | None = None
    budget_password: str | None = field(default=None, repr=False)
    port: int | None = None
    ui_url: str | None = None

    base_url: str = field(init=False, repr=False)
    """The tenant's URL, to which paths are appended."""
    token_endpoint: str = field(init=False, repr=False)
    """The URL that issues tokens."""
    admin_url: str = field(init=False, repr=False)
    """The URL of the administration UI, to which paths are appended."""
    version: ApiVersion = field(init=False, repr=False)
    """What the API version is like."""

    def __post_init__(self) -> None:
        self._check_credentials()
        if isinstance(self.verify, str) and not Path(self.verify).exists():
            raise ValueError(
                f"verify {self.verify!r} is neither true, nor false, nor the path of a CA bundle."
            )
        if not 0 < self.timeout <= 3600:
            raise ValueError(f"timeout {self.timeout!r} is out of range. Give seconds, up to 3600.")
        if not MIN_REQUESTS <= self.requests_per_10s <= TENANT_LIMIT:
            raise ValueError(
                f"requests_per_10s {self.requests_per_10s!r} is out of range. "
                f"Give {MIN_REQUESTS} to {TENANT_LIMIT}, which is what SailPoint allows."
            )
        if not 0.01 <= self.poll_share <= 1:
            raise ValueError(f"poll_share {self.poll_share!r} is out of range. Give 0.01 to 1.")
        if not 1 <= self.max_answer_mb <= 1024:
            raise ValueError(f"max_answer_mb {self.max_answer_mb!r} is out of range. Give 1 to 1024.")
        for key, url in self.proxies.items():
            check_proxy(key, url)
        self._check_budget()
        base_url = _base_url(self.host, self.port)
        object.__setattr__(self, "base_url", base_url)
        object.__setattr__(self, "token_endpoint", _token_endpoint(self.token_url, base_url))
        object.__setattr__(self, "admin_url", _admin_url(self.ui_url, base_url))
        object.__setattr__(self, "version", api_version(self.api_version))

    def _check_credentials(self) -> None:
        if self.access_token is None:
            _check_credential("Client ID (client_id)", self.client_id)
            _check_credential("Client Secret (client_secret)", self.client_secret)
            return
        if not SENDABLE.fullmatch(self.access_token):
            raise ValueError(
                "access_token is empty, or holds a space, a control character, or a letter beyond ASCII. "
                "Paste the token alone, without 'Bearer'."
            )
        if self.client_secret:
            raise ValueError("Client Secret (client_secret) and access_token are given. Give one of them.")
        if self.client_id:
            _check_credential("Client ID (client_id)", self.client_id)
        else:
            # Tokens of unknown clients share nothing.
            digest = hashlib.sha256(self.access_token.encode()).hexdigest()
            object.__setattr__(self, "client_id", f"token-{digest[:16]}")

    def _check_budget(self) -> None:
        if self.budget_url is not None:
            check_budget_url(self.budget_url)
        if self.budget_password is not None:
            if self.budget_url is None:
                raise ValueError("budget_password is given without budget_url. Give both, or neither.")
            _check_credential("budget_password", self.budget_password, "the server of budget_url")

    @property
    def secrets(self) -> frozenset[str]:
        """What must not be seen, of the credentials, the proxies and the budget's server."""
        own = {self.client_secret, self.access_token or "", self.budget_password or ""}
        if self.client_secret:
            own |= basic_credentials(self.client_id, self.client_secret)
        return frozenset(own.union(*map(proxy_secrets, self.proxies.values())) - {""})


def _check_credential(
    name: str, value: object, owner: str = "a personal access token or an API client"
) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is empty. Give the one of {owner}.")
    if not value.isprintable() or value != value.strip():
        raise ValueError(
            f"{name} begins or ends with a space, or holds a line end or another control character. "
            "Paste it again without that."
        )


def _base_url(given: object, port: int | None) -> str:
    name = "Tenant (host)"
    host = given.strip() if isinstance(given, str) else ""
    if not host:
        raise ValueError(f"{name} is empty. Give the tenant's name, such as 'acme', or its API host.")
    if "://" not in host:
        host = (
            f"https://{host}" if any(each in host for each in ".:@") else f"https://{host}.api.{_DOMAINS[0]}"
        )
    parts = checked_url(host, name)
    if parts.path.strip("/"):
        raise ValueError(f"{name} has a path. Give the tenant's URL alone; api_version is separate.")
    tenants = ascii_host(parts.hostname or "").rstrip(".")
    for domain in _DOMAINS:
        if tenants.endswith(f".{domain}") and not tenants.endswith(f".api.{domain}"):
            tenant = tenants.removesuffix(f".{domain}")
            raise ValueError(
                f"{name} {tenants!r} is the administration UI's. The API's is '{tenant}.api.{domain}'."
            )
    if port is not None and parts.port not in (None, port):
        raise ValueError(f"{name} has the port {parts.port}, and Port (port) is {port}. Give one of them.")
    if port is not None and not 0 < port < 65_536:
        raise ValueError(f"Port (port) {port!r} is out of range. Give 1 to 65535.")
    # One spelling for one tenant: by it processes share what they know of it.
    host = f"[{tenants}]" if ":" in tenants else tenants
    port = port or parts.port
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, _PORTS[parts.scheme]) else "")


def _token_endpoint(token_url: str | None, base_url: str) -> str:
    if not token_url:
        return base_url + TOKEN_PATH
    host = checked_url(token_url, "token_url").hostname or ""
    tenants = urlsplit(base_url).hostname or ""
    if host != tenants and not any(host.endswith(f".{each}") for each in (tenants, *_TOKEN_DOMAINS)):
        raise ValueError(
            f"token_url is at {host!r:.120}. The secret is sent there, so it must be at {tenants!r:.120}, "
            "below it, or in a domain of SailPoint's."
        )
    return token_url


def _admin_url(ui_url: str | None, base_url: str) -> str:
    if ui_url:
        checked_url(ui_url, "ui_url")
        return ui_url.rstrip("/")
    parts = urlsplit(base_url)
    return parts._replace(netloc=parts.netloc.replace(".api.", ".", 1)).geturl()
