from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
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
        ("https://[fe80::1%eth0.1]:8787", "https://[fe80::1%eth0.1]:8787"),
        ("sail_point-1.example.com", "https://sail_point-1.example.com"),
        ("bücher.example.com", "https://xn--bcher-kva.example.com"),
        ("xn--bcher-kva.example.com", "https://xn--bcher-kva.example.com"),
    ],
)
def test_hosts(host: str, base_url: str) -> None:
    given = settings(host=host)
    assert given.base_url == base_url
    assert given.token_endpoint == f"{base_url}/oauth/token"


@pytest.mark.parametrize(
    "given",
    [
        {"host": "ACME"},
        {"host": "acme", "port": 443},
        {"host": "acme.api.identitynow.com:443"},
        {"host": "https://acme.api.identitynow.com:443/", "port": 443},
        {"host": "HTTPS://Acme.API.identitynow.com"},
        {"host": "acme.api.identitynow.com."},
    ],
    ids=str,
)
def test_a_tenant_is_one_however_it_is_spelt(given: dict[str, Any]) -> None:
    """FAULTS K5: by its URL it has one budget, one poller and one token."""
    assert settings(**given).base_url == settings(host="acme").base_url
    assert settings(**given).token_endpoint == settings(host="acme").token_endpoint


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("", "is empty. Give the tenant's name"),
        ("  ", "is empty. Give the tenant's name"),
        (None, "is empty. Give the tenant's name"),
        ("acme.identitynow.com", r"administration UI's. The API's is 'acme\.api\.identitynow\.com'"),
        ("https://acme.identitynow.com", r"The API's is 'acme\.api\.identitynow\.com'"),
        ("acme.identitynow-demo.com", r"The API's is 'acme\.api\.identitynow-demo\.com'"),
        ("acme.saas.sailpointfedramp.com", r"The API's is 'acme\.api\.saas\.sailpointfedramp\.com'"),
        ("acme.cloud.sailpoint.com", r"The API's is 'acme\.api\.cloud\.sailpoint\.com'"),
        ("https://acme.api.identitynow.com/v2024", "has a path.*api_version is separate"),
        ("acme.api.identitynow.com/beta/task-status", "has a path"),
        ("https://user:pass@acme.api.identitynow.com", "holds credentials"),
        ("user:pass@acme.api.identitynow.com", "holds credentials"),
        ("https://user:p#ss@acme.api.identitynow.com", "holds credentials"),
        ("https://user:p/ss@acme.api.identitynow.com", "holds credentials"),
        ("https://user:p?ss@acme.api.identitynow.com", "holds credentials"),
        ("https://user:[pass@acme.api.identitynow.com", "holds credentials"),
        ("user:pass@acme", "holds credentials"),
        ("https://user:pass", "is not a URL"),
        ("https://acme.example.com\n.evil.com", "is not a tenant's name"),
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
        (".", "is not a tenant's name"),
        ("https://..", "is not a tenant's name"),
        (".acme.example.com", "is not a tenant's name"),
        ("acme..example.com", "is not a tenant's name"),
        ("acme.example.com..", "is not a tenant's name"),
        (f"{'a' * 64}.example.com", "is not a tenant's name"),
        (f"{'a' * 64}", "is not a tenant's name"),
        (".".join(["a" * 63] * 4) + ".com", "is not a tenant's name"),
        (f"{'ü' * 63}.example.com", "is not a tenant's name"),
        ("https://[::g]", "is not a"),
        ("https://[::1%.]", "is not a tenant's name"),
        ("https://[::1%a:b]", "is not a tenant's name"),
        ("https://acme[::1].example.com", "is not a URL"),
        ("https://[::1]x", "is not a URL"),
        ("https://a[::1]", "is not a URL"),
        ("https://[v1.abc]", "is not a URL"),
        ("https://acme.example.com:port", "is not a URL. Check its host and its port"),
        ("https://acme.example.com:99999", "is not a URL. Check its host and its port"),
        ("https://[::1", "is not a URL. Check its host and its port"),
    ],
)
def test_refused_hosts(host: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        settings(host=host)
    assert str(caught.value).startswith("Tenant (host)")
    assert "pass" not in str(caught.value).replace("passwd", "")


@pytest.mark.parametrize(
    ("token_url", "endpoint"),
    [
        (None, "https://acme.api.identitynow.com/oauth/token"),
        ("", "https://acme.api.identitynow.com/oauth/token"),
        ("https://acme.api.identitynow.com/acme/token", "https://acme.api.identitynow.com/acme/token"),
        ("https://acme.api.identitynow.com:8443/token", "https://acme.api.identitynow.com:8443/token"),
        ("https://login.acme.api.identitynow.com/token", "https://login.acme.api.identitynow.com/token"),
        ("https://acme.identitynow.com/oauth/token", "https://acme.identitynow.com/oauth/token"),
        ("https://acme.login.sailpoint.com/oauth/token", "https://acme.login.sailpoint.com/oauth/token"),
    ],
)
def test_token_urls(token_url: str | None, endpoint: str) -> None:
    assert settings(token_url=token_url).token_endpoint == endpoint


@pytest.mark.parametrize(
    ("host", "token_url"),
    [
        ("acme", "https://login.example.com/acme/oauth/token"),
        ("acme", "https://identitynow.com.example.com/oauth/token"),
        ("acme", "https://evilidentitynow.com/oauth/token"),
        ("acme", "https://acme.api.identitynow.com.evil.com/oauth/token"),
        ("acme", "http://localhost:8787/oauth/token"),
        ("gateway.example.com", "https://login.example.com/oauth/token"),
        ("http://127.0.0.1:8787", "http://127.0.0.2:8787/oauth/token"),
    ],
)
def test_the_secret_is_sent_nowhere_else(host: str, token_url: str) -> None:
    """Who edits a connection could else have the secret sent anywhere."""
    with pytest.raises(ValueError, match=r"token_url is at '.*', below it, or in a domain of SailPoint's"):
        settings(host=host, token_url=token_url)


@pytest.mark.parametrize("field", ["client_id", "client_secret"])
@pytest.mark.parametrize(
    "value", [f"{SECRET}\n", f"{SECRET}\r\n", f" {SECRET}", f"{SECRET} ", f"s\x00{SECRET}", "a\u2028b"]
)
def test_a_pasted_credential_is_refused_by_name_alone(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"^Client (ID|Secret) \({field}\) begins or ends") as caught:
        settings(**{field: value})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("https", "http://proxy.example.com:3128"),
        ("http", "https://proxy.example.com"),
        ("all", "socks5h://proxy.example.com:1080/"),
        ("all://acme.api.identitynow.com", "proxy.example.com:3128"),
        ("https://acme.api.identitynow.com", "http://user:p%23ss%2F@proxy.example.com:3128"),
        ("https", "http://user@[2001:db8::1]:3128"),
        ("https", "user:pass@proxy"),
    ],
)
def test_proxies(key: str, url: str) -> None:
    assert settings(proxies={key: url}).proxies == {key: url}


@pytest.mark.parametrize(
    ("key", "url", "problem"),
    [
        *(
            (key, "http://proxy", "proxies has the key '")
            for key in (
                *("HTTP", "http://", "all://", "ftp", "", "no"),
                # Not found for any request.
                *("https://acme.example.com:443", "https://[2001:db8::1]", "https://ACME.example.com"),
            )
        ),
        *(
            ("https", f"http://user:{password}@proxy.example.com:3128", "must be percent-encoded|%5B")
            for password in (
                "p#ss",
                "p/ss",
                "p?ss",
                "p@ss",
                "p\\ss",
                "p ss",
                "p\nss",
                "[pss",
                "p]ss",
                "p[s]s",
            )
        ),
        ("https", "user:p#ss@proxy.example.com", "must be percent-encoded"),
        ("https", "http://proxy.example.com/pss", "has a path"),
        ("https", "http://user:pss", "is not one. Give such as"),
        ("https", "http://user:pss@proxy..example.com", "is not one. Give such as"),
        ("https", "http://user:pss@.:3128", "is not one. Give such as"),
        ("https", "http://proxy.example.com:0", "is not one"),
        ("https", "http://proxy.example.com:99999", "is not one"),
        ("https", "http://:3128", "is not one"),
        ("https", "", "is not one"),
        ("https", "ftp://user:pss@proxy.example.com", "is not one"),
        ("https", "http://user:pss@pro,xy", "is not one"),
    ],
)
def test_a_proxy_that_would_not_be_used_is_refused_and_not_shown(key: str, url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        settings(proxies={key: url})
    assert "proxies" in str(caught.value)
    assert "ss" not in str(caught.value).replace("passwords", "").replace("password", "").replace(
        "passed", ""
    )


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("redis://cache.example.com", None),
        ("redis://cache.example.com:6379/0", "s3cr3t /+&=% é"),
        ("rediss://user@cache.example.com:6379/12", "an0ther"),
        ("valkey://[2001:db8::1]:6379", "an0ther"),
        ("valkeys://user@[2001:db8::1]/", None),
    ],
)
def test_budgets(url: str, password: str | None) -> None:
    given = settings(budget_url=url, budget_password=password)
    assert (given.budget_url, given.budget_password) == (url, password)
    assert given.secrets - settings().secrets == ({password} if password else set())
    assert url in repr(given)
    assert password is None or password not in repr(given)


@pytest.mark.parametrize(
    "url",
    [
        *(
            f"{scheme}{user}:{password}@cache.example.com:6379/0"
            for scheme in ("redis://", "rediss://", "valkey://", "ftp://", "")
            for user in ("", "user")
            for password in ("", "p4ss", *(f"p4{each}ss" for each in ("#", "/", "?", "@", " ", "[", "://")))
        ),
        "redis://user:p4ss@[2001:db8::1]:6379",
        "redis://user:p4ss@",
    ],
)
def test_a_password_in_budget_url_is_refused_and_not_shown(url: str) -> None:
    """Airflow's API shows the extra to whoever may read connections."""
    problem = r"^budget_url holds a password\. Give it as budget_password\.$"
    with pytest.raises(ValueError, match=problem) as caught:
        settings(budget_url=url)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache.example.com:6379",
        "http://cache.example.com",
        "redis://",
        "redis://.:6379",
        "redis://cache..example.com",
        "redis://cache.example.com:port",
        "redis://cache.example.com:99999",
        "redis://cache.example.com/name",
        "redis://cache.example.com/0?password=p4ss",
        "redis://cache.example.com/0#p4ss",
        "redis://cache.example.com\n/0",
        "redis://user:p4ss",
    ],
)
def test_refused_budgets(url: str) -> None:
    problem = "budget_url is not the URL .* Give such as .*, and the password as budget_password"
    with pytest.raises(ValueError, match=problem) as caught:
        settings(budget_url=url)
    assert "p4ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("password", "url", "problem"),
    [
        (SECRET, None, "budget_password is given without budget_url. Give both, or neither"),
        ("", "redis://cache", "budget_password is empty. Give the one of the server of budget_url"),
        (" ", "redis://cache", "budget_password is empty"),
        (f"{SECRET}\n", "redis://cache", "budget_password begins or ends with a space"),
        (f"a\ud800{SECRET}", "redis://cache", "another control character"),
    ],
)
def test_refused_budget_passwords(password: str, url: str | None, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        settings(budget_url=url, budget_password=password)
    assert SECRET not in str(caught.value)


def test_are_computed_once() -> None:
    given = settings(host="acme", ui_url="https://acme.example.com/")
    for name in ("base_url", "token_endpoint", "admin_url", "version"):
        assert getattr(given, name) is getattr(given, name)
        assert name in vars(given)
    assert given.admin_url == "https://acme.example.com"
    assert given == settings(host="acme", ui_url="https://acme.example.com/")
    assert hash(given) == hash(settings(host="acme", ui_url="https://acme.example.com/"))
    assert replace(given, host="other").base_url == "https://other.api.identitynow.com"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("client_id", "", r"^Client ID \(client_id\) is empty"),
        ("client_id", None, r"^Client ID \(client_id\) is empty"),
        ("client_secret", " ", r"^Client Secret \(client_secret\) is empty"),
        ("client_secret", None, r"^Client Secret \(client_secret\) is empty"),
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
        ("port", 0, r"^Port \(port\) 0 is out of range"),
        ("port", 99_999, r"^Port \(port\) 99999 is out of range"),
        ("max_answer_mb", 0.5, "max_answer_mb 0.5 is out of range. Give 1 to 1024"),
        ("max_answer_mb", float("nan"), "max_answer_mb nan is out of range"),
        ("timeout", 0, "timeout 0 is out of range"),
        ("timeout", -1.0, "timeout -1.0 is out of range"),
        ("timeout", 3_601, "timeout 3601 is out of range"),
        ("timeout", float("nan"), "timeout nan is out of range"),
        ("port", 65_536, r"^Port \(port\) 65536 is out of range"),
        ("port", -1, r"^Port \(port\) -1 is out of range"),
        ("max_answer_mb", 1_025, "max_answer_mb 1025 is out of range"),
        ("timeout", float("inf"), "timeout inf is out of range"),
        ("poll_share", 0, "poll_share 0 is out of range. Give 0.01 to 1"),
        ("poll_share", 0.009, "poll_share 0.009 is out of range"),
        ("poll_share", 1.01, "poll_share 1.01 is out of range"),
        ("poll_share", float("nan"), "poll_share nan is out of range"),
        ("ui_url", "http://acme.identitynow.com", "ui_url .* plain http"),
        ("requests_per_10s", 0, "requests_per_10s 0 is out of range. Give 1 to 100"),
        ("requests_per_10s", 101, "requests_per_10s 101 is out of range. Give 1 to 100"),
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
    assert settings(host="gateway.example.com:8443", port=8443).base_url == "https://gateway.example.com:8443"
    with pytest.raises(
        ValueError, match=r"^Tenant \(host\) has the port 8443, and Port \(port\) is 8444. Give one of them"
    ):
        settings(host="gateway.example.com:8443", port=8444)


@pytest.mark.parametrize("verify", [True, False, __file__])
def test_verify(verify: bool | str) -> None:
    assert settings(verify=verify).verify == verify


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("requests_per_10s", [1, 5, 80, 100]),
        ("poll_share", [0.01, 0.5, 1, 1.0]),
        ("timeout", [0.1, 1, 3_600]),
        ("max_answer_mb", [1, 1.5, 1_024]),
        ("port", [1, 65_535]),
    ],
)
def test_numbers_up_to_their_limits(field: str, values: list[float]) -> None:
    for value in values:
        given = settings(**{field: value})
        assert getattr(given, field) == value
        if field == "port":
            assert given.base_url.endswith(f":{value}")


@given(st.text() | st.from_regex(r"(https?://)?[a-zA-Zü.@:%/?#\[\]0-9_-]{1,30}", fullmatch=True))
@example("https://[::1%.]")
@example(".")
def test_any_host_is_refused_by_name_or_made_a_url(host: str) -> None:
    try:
        base_url = settings(host=host).base_url
    except ValueError as error:
        assert str(error).startswith("Tenant (host)")  # noqa: PT017 - most texts are good for nothing
        return
    found = urlsplit(base_url).hostname
    assert found is not None
    assert found.isascii()
    assert base_url.startswith("https://") or found == "localhost" or ip_address(found).is_loopback
    assert settings(host=base_url).base_url == base_url


def test_shows_no_secret() -> None:
    shown = repr(settings(proxies={"https": f"http://user:{SECRET}@proxy.example.com"}))
    assert "acme" in shown
    assert SECRET not in shown


def test_shows_what_makes_the_same_again() -> None:
    given = settings(api_version="beta", timeout=7.0, port=8443, ui_url="https://acme.example.com")
    shown = repr(given)
    assert eval(shown[:-1] + ", client_secret=SECRET)") == given
