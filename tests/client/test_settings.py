from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sptasks.client import ClientSettings

SECRET = "s3cr3t-value"


def settings(**kwargs: Any) -> ClientSettings:
    return ClientSettings(**{"host": "acme", "client_id": "id", "client_secret": SECRET, **kwargs})


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("acme", "https://acme.api.identitynow.com"),
        (" acme ", "https://acme.api.identitynow.com"),
        ("acme-sb", "https://acme-sb.api.identitynow.com"),
        ("acme.api.identitynow.com", "https://acme.api.identitynow.com"),
        ("acme.api.identitynow-demo.com", "https://acme.api.identitynow-demo.com"),
        ("acme.api.identitynowgov.com", "https://acme.api.identitynowgov.com"),
        ("acme.api.saas.sailpointfedramp.com", "https://acme.api.saas.sailpointfedramp.com"),
        ("acme.api.cloud.sailpoint.com", "https://acme.api.cloud.sailpoint.com"),
        ("https://acme.api.identitynow.com", "https://acme.api.identitynow.com"),
        ("https://acme.api.identitynow.com/", "https://acme.api.identitynow.com"),
        ("https://acme.api.identitynow.com:8443", "https://acme.api.identitynow.com:8443"),
        ("gateway.example.com", "https://gateway.example.com"),
        ("gateway.example.com:8443", "https://gateway.example.com:8443"),
        ("http://localhost:8787", "http://localhost:8787"),
        ("http://127.0.0.1:8787/", "http://127.0.0.1:8787"),
        ("http://127.8.8.8", "http://127.8.8.8"),
        ("http://[::1]:8787", "http://[::1]:8787"),
        ("https://[2001:db8::1]:8787", "https://[2001:db8::1]:8787"),
    ],
)
def test_hosts(host: str, base_url: str) -> None:
    given = settings(host=host)
    assert given.base_url == base_url
    assert given.token_endpoint == f"{base_url}/oauth/token"


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("", "host is empty"),
        ("  ", "host is empty"),
        (None, "host is empty"),
        ("acme.identitynow.com", r"administration UI's. The API's is 'acme\.api\.identitynow\.com'"),
        ("https://acme.identitynow.com", r"The API's is 'acme\.api\.identitynow\.com'"),
        ("acme.identitynow-demo.com", r"The API's is 'acme\.api\.identitynow-demo\.com'"),
        ("acme.saas.sailpointfedramp.com", r"The API's is 'acme\.api\.saas\.sailpointfedramp\.com'"),
        ("acme.cloud.sailpoint.com", r"The API's is 'acme\.api\.cloud\.sailpoint\.com'"),
        ("https://acme.api.identitynow.com/v2024", "has a path.*api_version is separate"),
        ("acme.api.identitynow.com/beta/task-status", "has a path"),
        ("https://user:pass@acme.api.identitynow.com", "holds credentials"),
        ("user:pass@acme.api.identitynow.com", "holds credentials"),
        ("https://acme.api.identitynow.com?x=1", "has a query or a fragment"),
        ("https://acme.api.identitynow.com/#/", "has a query or a fragment"),
        ("http://acme.api.identitynow.com", "plain http, which is for loopback only. Use https"),
        ("http://10.0.0.1", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("http://127.0.0.1.example.com", "plain http"),
        ("ftp://acme.api.identitynow.com", "is not a tenant's name, a host or an https URL"),
        ("file:///etc/passwd", "is not a tenant's name"),
        ("https://", "is not a tenant's name"),
        ("https://:443", "is not a tenant's name"),
        ("acme corp", "is not a tenant's name"),
        ("acme,evil.com", "is not a tenant's name"),
        ("https://acme.example.com:0", "is not a tenant's name"),
        ("https://acme.example.com:port", "host is not a URL"),
        ("https://acme.example.com:99999", "host is not a URL"),
        ("https://[::1", "host is not a URL"),
    ],
)
def test_refused_hosts(host: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        settings(host=host)
    assert str(caught.value).startswith("host")
    assert "pass" not in str(caught.value).replace("passwd", "").replace("password", "")


@pytest.mark.parametrize(
    ("token_url", "endpoint"),
    [
        (None, "https://acme.api.identitynow.com/oauth/token"),
        ("", "https://acme.api.identitynow.com/oauth/token"),
        ("https://login.example.com/acme/oauth/token", "https://login.example.com/acme/oauth/token"),
        ("http://localhost:8787/oauth/token", "http://localhost:8787/oauth/token"),
    ],
)
def test_token_urls(token_url: str | None, endpoint: str) -> None:
    assert settings(token_url=token_url).token_endpoint == endpoint


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("client_id", "", r"client_id \(login\) is empty"),
        ("client_id", None, r"client_id \(login\) is empty"),
        ("client_secret", " ", r"client_secret \(password\) is empty"),
        ("client_secret", None, r"client_secret \(password\) is empty"),
        ("api_version", "v3", "api_version 'v3' is unknown. Use one of beta, v2024, v2025, v2026, v1"),
        ("token_url", "login.example.com", "token_url 'login.example.com' is not"),
        ("token_url", "http://login.example.com/token", "token_url .* plain http"),
        ("token_url", "https://id:pass@login.example.com/", "token_url holds credentials"),
        (
            "verify",
            "/does/not/exist.pem",
            "verify '/does/not/exist.pem' is neither true, nor false, nor the path",
        ),
        ("verify", "yes", "verify 'yes' is neither true"),
        ("port", 0, "host .* is not a tenant's name"),
        ("port", 99_999, "host is not a URL"),
        ("timeout", 0, "timeout 0 is out of range"),
        ("timeout", -1.0, "timeout -1.0 is out of range"),
        ("timeout", 3_601, "timeout 3601 is out of range"),
        ("timeout", float("nan"), "timeout nan is out of range"),
        ("requests_per_10s", 4, "requests_per_10s 4 is out of range. Give 5 to 100"),
        ("requests_per_10s", 101, "requests_per_10s 101 is out of range. Give 5 to 100"),
    ],
)
def test_refused_values(field: str, value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        settings(**{field: value})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("acme", "https://acme.api.identitynow.com:8443"),
        ("gateway.example.com", "https://gateway.example.com:8443"),
        ("https://gateway.example.com/", "https://gateway.example.com:8443"),
        ("http://localhost", "http://localhost:8443"),
    ],
)
def test_a_port_of_its_own(host: str, base_url: str) -> None:
    assert settings(host=host, port=8443).base_url == base_url


def test_two_ports() -> None:
    with pytest.raises(ValueError, match="host is not a URL"):
        settings(host="gateway.example.com:8443", port=8444)


@pytest.mark.parametrize("verify", [True, False, __file__])
def test_verify(verify: bool | str) -> None:
    assert settings(verify=verify).verify == verify


@pytest.mark.parametrize("requests", [5, 80, 100])
def test_paces(requests: int) -> None:
    assert settings(requests_per_10s=requests).requests_per_10s == requests


@given(st.text() | st.from_regex(r"(https?://)?[a-z.@:/?#\[\]0-9-]{1,30}", fullmatch=True))
def test_any_host_is_refused_by_name_or_made_a_url(host: str) -> None:
    try:
        base_url = settings(host=host).base_url
    except ValueError as error:
        assert str(error).startswith("host")  # noqa: PT017 - most texts are good for nothing
        return
    assert base_url.startswith(("https://", "http://localhost", "http://127.", "http://[::1]"))
    assert not base_url.endswith("/")


def test_shows_no_secret() -> None:
    shown = repr(settings(proxies={"https": f"http://user:{SECRET}@proxy.example.com"}))
    assert "acme" in shown
    assert SECRET not in shown
