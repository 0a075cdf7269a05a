"""URLs that a connection may hold: checked, and never shown where they may hold a password."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import SplitResult, unquote, urlsplit

from airflow_provider_sptasks.client.redaction import basic_credentials

PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
BUDGET_SCHEMES = ("redis", "rediss", "valkey", "valkeys")
PROXY_KEYS = ("http", "https", "all")
_BRACKETED = re.compile(r"\[[^\[\]]*:[^\[\]]*\](:\d*)?")
_ZONE = re.compile(r"[A-Za-z0-9._~-]*[A-Za-z0-9]")
# What can be looked up: parts of 1 to 63 characters, 253 in all.
_HOST_NAME = re.compile(r"(?=.{1,253}\.?\Z)([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")


def checked_url(url: str, name: str) -> SplitResult:
    """
    Check the URL of a tenant.

    :param url: the URL
    :param name: what it is called where the reader gave it
    :raises ValueError: it is none, holds what it must not, or is plain http to another machine
    """
    if "@" in url:
        raise ValueError(f"{name} holds credentials. Give them as Client ID and Client Secret.")
    parts = _split(url)
    if parts is None:
        raise ValueError(f"{name} is not a URL. Check its host and its port.")
    if parts.query or parts.fragment:
        raise ValueError(f"{name} has a query or a fragment. Leave them out.")
    host = parts.hostname or ""
    if (
        parts.scheme not in ("http", "https")
        or not _is_host(host)
        or not _is_printable(url)
        or parts.port == 0
    ):
        raise ValueError(f"{name} {url!r:.120} is not a tenant's name, a host or an https URL.")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"{name} {url!r:.120} is plain http, which is for loopback only. Use https.")
    return parts


def check_proxy(key: str, url: str) -> None:
    """
    Check a proxy's URL.

    :param key: what it is for: ``http``, ``https`` or ``all``, or one of them with ``://`` and a host
    :param url: the URL
    :raises ValueError: the key is another, so that the proxy would be passed over, or the URL is none; it
        isn't shown, since it may hold a password
    """
    scheme, _, host = key.partition("://")
    if scheme not in PROXY_KEYS or (key != scheme and not _is_host(host)) or key != key.lower():
        raise ValueError(
            f"proxies has the key {key!r:.80}. Use {', '.join(PROXY_KEYS)}, or one of them with a host, "
            "such as https://acme.api.identitynow.com: in lower case, and without a port."
        )
    problem = f"The URL of {key!r:.80} in proxies"
    url = _with_scheme(url)
    authority = url.partition("://")[2].rstrip("/")
    if any(each in authority for each in "/?#\\") or authority.count("@") > 1 or not _is_printable(url):
        raise ValueError(
            f"{problem} has a path, or a character in its user or password that must be percent-encoded: "
            "# as %23, / as %2F, ? as %3F, @ as %40."
        )
    parts = _split(url)
    if (
        parts is None
        or parts.scheme not in PROXY_SCHEMES
        or not _is_host(parts.hostname or "")
        or parts.port == 0
        or any(each in authority.rpartition("@")[0] for each in "[]")
    ):
        raise ValueError(
            f"{problem} is not one. Give such as http://proxy.example.com:3128; "
            "in a user or a password [ is %5B, ] is %5D."
        )


def check_budget_url(url: str) -> None:
    """
    Check the URL of a Redis or Valkey server.

    Airflow shows it to whoever may read connections, so that a password has a field of its own.

    :param url: the URL
    :raises ValueError: it is none, or holds a password; it isn't shown, since it may hold one
    """
    if ":" in re.sub(r"^\w*://", "", url).rpartition("@")[0]:
        raise ValueError("budget_url holds a password. Give it as budget_password.")
    parts = _split(url)
    if (
        parts is None
        or parts.scheme not in BUDGET_SCHEMES
        or not _is_host(parts.hostname or "")
        or not _is_printable(url)
        or parts.query
        or parts.fragment
        or not re.fullmatch(r"(/\d{0,4})?", parts.path)
    ):
        raise ValueError(
            "budget_url is not the URL of a Redis or Valkey server. Give such as redis://host:6379/0, "
            "and the password as budget_password."
        )


def proxy_secrets(url: str) -> set[str]:
    """
    Return what must not be seen of a proxy's URL: its password, in the forms that are sent.

    :param url: a URL that was checked
    """
    parts = urlsplit(_with_scheme(url))
    if not parts.password:
        return set()
    user, password = unquote(parts.username or ""), unquote(parts.password)
    return {parts.password, password} | basic_credentials(user, password)


@lru_cache
def is_loopback(host: str) -> bool:
    """
    Return whether a host is this machine.

    :param host: its name or address
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult | None:
    """Split a URL; ``None`` for what is none: an error's text, even as a context, may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    at = parts.netloc.rpartition("@")[2]
    # Or what stands beside the brackets would be passed over.
    return None if "[" in at and not _BRACKETED.fullmatch(at) else parts


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def ascii_host(host: str) -> str:
    """
    Write a host as it is looked up: letters beyond ASCII as ``xn--``.

    :param host: its name or address, not empty
    :raises ValueError: it is none
    """
    if ":" not in host:
        name = host.encode("idna").decode()
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(host)
        return name
    address, has_zone, zone = host.partition("%")
    ipaddress.IPv6Address(address)
    if has_zone and not _ZONE.fullmatch(zone):
        raise ValueError(zone)
    return host


def _is_host(host: str) -> bool:
    try:
        return bool(ascii_host(host))
    except ValueError:
        return False


def _is_printable(url: str) -> bool:
    return url.isprintable() and " " not in url
