"""What a client needs to know about a tenant, checked once."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from airflow_provider_sptasks.client.pacing import TENANT_LIMIT
from airflow_provider_sptasks.client.versions import DEFAULT_API_VERSION, TOKEN_PATH, ApiVersion, api_version

# Below this a task could not be read and then cleared within seconds.
MIN_REQUESTS = 5

# Up to a thousand gates are looked at every 5 seconds.
DEFAULT_POLL_SHARE = 0.1

# The administration UI is at {tenant}.{domain}, the API at {tenant}.api.{domain}.
_DOMAINS = (
    "identitynow.com",
    "identitynow-demo.com",
    "identitynowgov.com",
    "saas.sailpointfedramp.com",
    "cloud.sailpoint.com",
)


@dataclass(frozen=True)
class ClientSettings:
    """
    A tenant, the credentials for it, and how to talk to it.

    :param host: the tenant's name (``acme``), its API host (``acme.api.identitynow.com``) or a full URL;
        plain ``http`` is for loopback only
    :param client_id: OAuth client id, of a personal access token for what changes tasks
    :param client_secret: its secret
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``
    :param token_url: where tokens are issued; ``None`` for ``{base}/oauth/token``
    :param timeout: seconds to wait for a connection, and between two bytes of an answer
    :param verify: whether TLS certificates are verified, or the path of a CA bundle to verify them by
    :param proxies: proxy URLs by scheme, as ``requests`` takes them
    :param requests_per_10s: requests that this process may send in 10 seconds, 5 to 100: SailPoint allows
        100 for each client id and API version, in all processes together
    :param poll_share: the part of SailPoint's limit that the looks of all deferred gates of a process take
        up while a thousand or more of them wait, 0.01 to 1: the larger, the sooner they see an end. Up to a
        thousand are looked at every 5 seconds with the default, every second with 0.5; a gate's own
        ``poke_interval`` may need more
    :param port: the API host's port, where ``host`` doesn't hold it
    :param ui_url: the administration UI, to which links lead, where it has a domain of its own; ``None`` for
        the tenant's, such as ``https://acme.identitynow.com``
    :raises ValueError: a field can't be right; the message names it
    """

    host: str
    client_id: str
    client_secret: str = field(repr=False)
    api_version: str = DEFAULT_API_VERSION
    token_url: str | None = None
    timeout: float = 30.0
    verify: bool | str = True
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    requests_per_10s: int = 80
    poll_share: float = DEFAULT_POLL_SHARE
    max_answer_mb: float = 64.0
    port: int | None = None
    ui_url: str | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("client_id (login)", self.client_id),
            ("client_secret (password)", self.client_secret),
        ):
            if not isinstance(value, str) or not value.strip():
                raise ValueError(
                    f"{name} is empty. Give the one of a personal access token or an API client."
                )
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
        _ = (
            self.base_url,
            self.token_endpoint,
            self.admin_url,
            self.version,
        )  # raise for what can't be right

    @property
    def base_url(self) -> str:
        """The tenant's URL, to which paths are appended."""
        host = self.host.strip() if isinstance(self.host, str) else ""
        if not host:
            raise ValueError("host is empty. Give the tenant's name, such as 'acme', or its API host.")
        if "://" not in host:
            host = f"https://{host}" if "." in host or ":" in host else f"https://{host}.api.{_DOMAINS[0]}"
        if self.port is not None:
            host = f"{host.rstrip('/')}:{self.port}"
        url = _checked_url(host, "host")
        parts = urlsplit(url)
        if parts.path.strip("/"):
            raise ValueError(
                f"host {self.host!r} has a path. Give the tenant's URL alone; api_version is separate."
            )
        name = parts.hostname or ""
        for domain in _DOMAINS:
            if name.endswith(f".{domain}") and not name.endswith(f".api.{domain}"):
                tenant = name.removesuffix(f".{domain}")
                raise ValueError(
                    f"host {name!r} is the administration UI's. The API's is '{tenant}.api.{domain}'."
                )
        return url.rstrip("/")

    @property
    def token_endpoint(self) -> str:
        """The URL that issues tokens."""
        return _checked_url(self.token_url, "token_url") if self.token_url else self.base_url + TOKEN_PATH

    @property
    def admin_url(self) -> str:
        """The URL of the administration UI, to which paths are appended."""
        if self.ui_url:
            return _checked_url(self.ui_url, "ui_url").rstrip("/")
        parts = urlsplit(self.base_url)
        return parts._replace(netloc=parts.netloc.replace(".api.", ".", 1)).geturl()

    @property
    def version(self) -> ApiVersion:
        """What the API version is like."""
        return api_version(self.api_version)


def _checked_url(url: str, name: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{name} is not a URL: {error}.") from None
    if "@" in parts.netloc:
        raise ValueError(f"{name} holds credentials. Give them as login and password of the connection.")
    if parts.query or parts.fragment:
        raise ValueError(f"{name} {url!r} has a query or a fragment. Leave them out.")
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not _is_host(host) or port == 0:
        raise ValueError(f"{name} {url!r} is not a tenant's name, a host or an https URL.")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"{name} {url!r} is plain http, which is for loopback only. Use https.")
    return url


def _is_host(host: str) -> bool:
    return bool(host) and (":" in host or all(char.isalnum() or char in ".-_" for char in host))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
