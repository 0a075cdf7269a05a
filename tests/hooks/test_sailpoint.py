from __future__ import annotations

import itertools
import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from wtforms import PasswordField

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.get_provider_info import get_provider_info
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

ENV = "AIRFLOW_CONN_SAILPOINT_DEFAULT"


def connection(**fields: Any) -> str:
    return json.dumps(
        {"conn_type": "sailpoint", "host": "acme", "login": "id", "password": "secret"} | fields
    )


class TestForms:
    """However a connection is written down, it leads to the same tenant."""

    def test_uri_of_the_emulator(self, tenant: Emulator) -> None:
        task = tenant.add_task(duration=None)
        assert SailPointHook().client.get(task.id).id == task.id

    def test_uri_with_host_and_port(self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        host = tenant.url.removeprefix("http://")
        uri = f"sailpoint://http://{tenant.client_id}:{tenant.client_secret}@{host}/?api_version=v2025&timeout=5"
        monkeypatch.setenv(ENV, uri)
        hook = SailPointHook()
        assert list(hook.client.list()) == []
        assert hook.settings.base_url == tenant.url
        assert (hook.settings.api_version, hook.settings.timeout) == ("v2025", 5.0)

    def test_json(self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        fields = {"host": tenant.url, "login": tenant.client_id, "password": tenant.client_secret}
        monkeypatch.setenv(ENV, connection(**fields, extra={"api_version": "beta"}))
        assert SailPointHook().client.count_pending() == 0
        assert {request.api_version for request in tenant.requests} == {None, "beta"}

    def test_secret_with_special_characters(self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        secret = "p@ss/w:rd?&=%#é"
        tenant.add_credential(client_id="special", client_secret=secret)
        uri = f"sailpoint://special:{quote(secret, safe='')}@{quote(tenant.url, safe='')}"
        monkeypatch.setenv(ENV, uri)
        assert SailPointHook().client.count_pending() == 0

    def test_a_form_sends_empty_fields_and_port_0(self, monkeypatch: pytest.MonkeyPatch) -> None:
        extra: dict[str, Any] = {
            "api_version": "",
            "token_url": None,
            "proxies": {},
            "timeout": None,
            "verify": "",
        }
        monkeypatch.setenv(ENV, connection(port=0, schema="", extra=extra))
        settings = SailPointHook().settings
        assert settings.base_url == "https://acme.api.identitynow.com"
        assert (settings.api_version, settings.timeout, settings.verify) == ("v1", 30.0, True)

    @pytest.mark.parametrize(
        ("host", "url"),
        [
            ("acme", "https://acme.api.identitynow.com:8443"),
            ("acme.api.identitynow.com", "https://acme.api.identitynow.com:8443"),
            ("http://127.0.0.1", "http://127.0.0.1:8443"),
        ],
    )
    def test_port(self, monkeypatch: pytest.MonkeyPatch, host: str, url: str) -> None:
        monkeypatch.setenv(ENV, connection(host=host, port=8443))
        assert SailPointHook().settings.base_url == url

    def test_all_extras(self, monkeypatch: pytest.MonkeyPatch) -> None:
        extra = {
            "api_version": "v2026",
            "token_url": "https://acme.login.sailpoint.com/oauth/token",
            "timeout": "12.5",
            "verify": "false",
            "proxies": '{"https": "http://proxy.example.com:3128"}',
            "requests_per_10s": "20",
            "poll_share": "0.5",
            "max_answer_mb": "16",
        }
        monkeypatch.setenv(ENV, connection(extra=extra))
        settings = SailPointHook().settings
        assert settings.api_version == "v2026"
        assert settings.token_endpoint == "https://acme.login.sailpoint.com/oauth/token"
        assert settings.timeout == 12.5
        assert settings.verify is False
        assert settings.proxies == {"https": "http://proxy.example.com:3128"}
        assert settings.requests_per_10s == 20
        assert settings.poll_share == 0.5
        assert settings.max_answer_mb == 16

    def test_argument_wins_over_the_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(ENV, connection(extra={"api_version": "beta"}))
        assert SailPointHook(api_version="v2024").settings.api_version == "v2024"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": ""}, r"Tenant \(host\) is empty"),
        ({"host": "acme.identitynow.com"}, "The API's is 'acme.api.identitynow.com'"),
        ({"host": "http://acme.api.identitynow.com"}, "plain http"),
        ({"host": "https://acme.api.identitynow.com/beta"}, "has a path"),
        ({"host": "ac me"}, r"Tenant \(host\) 'https://ac me.api"),
        ({"login": ""}, r"Client ID \(client_id\) is empty"),
        ({"password": ""}, r"Client Secret \(client_secret\) is empty"),
        ({"extra": {"verify": "no"}}, "verify 'no' is neither true, nor false"),
        ({"schema": "https"}, "schema is not used"),
        ({"extra": {"api_verison": "v1"}}, "extra 'api_verison' is unknown"),
        ({"extra": {"api_version": "v3"}}, "api_version 'v3' is unknown. Use one of beta, v2024"),
        ({"extra": {"timeout": "soon"}}, "timeout 'soon' is not a number"),
        ({"extra": {"timeout": 0.0}}, "timeout 0.0 is out of range"),
        ({"extra": {"timeout": "nan"}}, "timeout nan is out of range"),
        ({"extra": {"requests_per_10s": 1.5}}, "requests_per_10s 1.5 is not a whole number"),
        ({"extra": {"requests_per_10s": 101}}, "requests_per_10s 101 is out of range. Give 1 to 100"),
        ({"extra": {"requests_per_10s": 0}}, "requests_per_10s 0 is out of range"),
        ({"extra": {"requests_per_10s": True}}, "requests_per_10s True is not a number"),
        ({"extra": {"poll_share": 0}}, "poll_share 0.0 is out of range. Give 0.01 to 1"),
        ({"extra": {"proxies": "http://proxy"}}, "proxies is not a JSON object"),
        ({"extra": {"proxies": ["http://proxy"]}}, "proxies is not a JSON object"),
        ({"extra": {"token_url": "http://login.example.com/token"}}, "token_url .* plain http"),
        ({"extra": {"token_url": "https://login.example.com/token"}}, "The secret is sent there"),
        ({"password": "secret\n"}, r"Client Secret \(client_secret\) .* holds a line end"),
        ({"extra": {"proxies": {"HTTPS": "http://user:secret@proxy"}}}, "Use http, https, all"),
        ({"extra": {"proxies": {"https": "http://user:sec#secret@proxy"}}}, "must be percent-encoded"),
        ({"extra": {"budget_url": "redis://:secret@cache:6379/0"}}, "Give it as budget_password"),
        ({"extra": {"budget_url": ["redis://:secret@cache"]}}, "budget_url is not a string"),
        ({"extra": {"budget_password": "secret"}}, "budget_password is given without budget_url"),
        ({"extra": {"budget_password": ["secret"]}}, "budget_password is not a string"),
        ({"extra": {"token_url": 7}}, "token_url 7 is not a string"),
        ({"extra": {"verify": 1}}, "verify 1 is not a string"),
    ],
)
def test_bad_fields_are_named(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], message: str) -> None:
    monkeypatch.setenv(ENV, connection(**fields))
    with pytest.raises(ValueError, match=message) as caught:
        _ = SailPointHook().client
    assert "Connection 'sailpoint_default': " in str(caught.value)
    assert SailPointHook().test_connection()[0] is False
    assert "secret" not in str(caught.value).replace("client_secret", "").replace("The secret is", "")


def test_sources_share_the_token_and_the_connections_of_the_client(tenant: Emulator) -> None:
    source = tenant.add_source("HR")
    hook = SailPointHook()
    assert hook.client.count_pending() == 0
    assert hook.sources.find_by_name("HR").id == source.id
    assert hook.sources is hook.sources
    assert hook.sources.transport is hook.client.transport
    assert [request.path for request in tenant.requests].count("/oauth/token") == 1


class TestTestConnection:
    """Each cause has a message of its own."""

    def test_works(self, tenant: Emulator) -> None:
        assert SailPointHook().test_connection() == (True, f"Connected to {tenant.url} (API version v1)")

    def test_wrong_secret(self, tenant: Emulator) -> None:
        tenant.rotate_secret(tenant.client_id, "another")
        self.check("The Client ID or the Client Secret is wrong")

    def test_nothing_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(ENV, connection(host="http://127.0.0.1:9"))
        self.check("No SailPoint tenant answers at http://127.0.0.1:9/oauth/token (Tenant or Token URL)")

    def test_something_else_listens(self, tenant: Emulator) -> None:
        tenant.fail(200, kind="html", path="/oauth/token")
        self.check("No SailPoint tenant answers at")

    def test_token_endpoint_is_missing(self, tenant: Emulator) -> None:
        tenant.fail(404, path="/oauth/token")
        self.check("No SailPoint tenant answers at")

    def test_missing_scope(self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        tenant.add_credential(client_id="narrow", client_secret="narrow", scopes=["idn:sources:read"])
        monkeypatch.setenv(ENV, connection(host=tenant.url, login="narrow", password="narrow"))
        self.check("The credentials may not read tasks")

    def test_missing_version(self, tenant: Emulator) -> None:
        tenant.fail(404, path="/task-status/v1")
        self.check("has no API version 'v1'")

    @pytest.mark.parametrize("path", ["/task-status/v1", "/oauth/token"])
    def test_tenant_with_an_error(self, tenant: Emulator, path: str) -> None:
        tenant.fail(503, path=path)
        self.check("has an error; try again later")

    def test_rate_limit(self, tenant: Emulator) -> None:
        tenant.fail(429, path="/task-status/v1", headers={"Retry-After": "60"})
        self.check("limits requests; try again later")
        self.check("limits requests; try again later")  # held by the client's own pace

    @pytest.mark.parametrize("extra", [{"verify": False}, {"verify": "false"}])
    def test_a_proxy_could_read_the_secret(
        self, extra: dict[str, Any], tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fields = {"host": tenant.url, "login": tenant.client_id, "password": tenant.client_secret}
        proxies = {"proxies": {"https": "http://proxy.example.com:3128"}}
        monkeypatch.setenv(ENV, connection(**fields, extra=extra | proxies))
        self.check("A test sends no secret through a proxy without verifying TLS")
        assert tenant.requests == ()
        monkeypatch.setenv(ENV, connection(**fields, extra=extra))
        assert SailPointHook().test_connection()[0]

    def test_a_page_answers_instead(self, tenant: Emulator) -> None:
        tenant.fail(403, kind="html", path="/task-status/v1")
        self.check(f"Something on the way to {tenant.url} answers instead of it")

    def test_refusal(self, tenant: Emulator) -> None:
        tenant.fail(400, path="/task-status/v1")
        self.check("refuses the request")

    @staticmethod
    def check(message: str) -> None:
        hook = SailPointHook()
        works, said = hook.test_connection()
        assert not works
        assert message in said


def test_api_version_none_and_client_is_made_once(tenant: Emulator) -> None:
    hook = SailPointHook()
    assert hook.client is hook.get_conn()
    assert tenant.requests == ()


def test_a_proxys_password_is_masked_in_each_form(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr("airflow_provider_sptasks.hooks.sailpoint.mask_secret", masked.append)
    proxies = {"https": "http://user:p%23ss@proxy:3128", "all": "user:word@proxy"}
    monkeypatch.setenv(ENV, connection(extra={"proxies": proxies}))
    _ = SailPointHook().settings
    assert {"p#ss", "p%23ss", "secret", "word"} < set(masked)
    assert b64encode(b"user:p#ss").decode() in masked
    assert b64encode(b"id:secret").decode() in masked


def test_tokens_without_end_do_not_fill_airflows_masker(
    tenant: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked: set[str] = set()
    owner = tenant.state.tenant.credentials.owner

    def mask(secret: str) -> None:
        if owner(secret) is not None:
            masked.add(secret)

    monkeypatch.setattr("airflow_provider_sptasks.hooks.sailpoint._tokens", itertools.count(1))
    monkeypatch.setattr("airflow_provider_sptasks.hooks.sailpoint.mask_secret", mask)
    client = SailPointHook().client
    for _ in range(20):
        tenant.revoke_tokens()
        client.count()
    assert sum(request.path == "/oauth/token" for request in tenant.requests) == 20
    assert len(masked) == 10


def test_unverified_tls_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ENV, connection(extra={"verify": False}))
    _ = SailPointHook().client
    assert "does not verify TLS certificates" in capsys.readouterr().out


def test_old_airflow_gets_the_same_form() -> None:
    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    widgets = SailPointHook.get_connection_form_widgets()
    assert widgets.keys() == fields.keys()
    hidden = {name for name, widget in widgets.items() if widget.field_class is PasswordField}
    assert hidden == {"access_token", "budget_password"}
    assert hidden == {name for name, field in fields.items() if field["schema"].get("format") == "password"}
    assert SailPointHook.get_ui_field_behaviour()["hidden_fields"] == ["schema", "extra"]
