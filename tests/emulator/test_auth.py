"""Tokens, and what each caller may do."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator, credentials
from airflow_provider_sptasks.emulator.credentials import InvalidClientError
from tests.emulator.conftest import Api, ApiFactory

CLEAR = [{"op": "replace", "path": "/completionStatus", "value": "Error"}]


def ask(emulator: Emulator, **form: str) -> requests.Response:
    return requests.post(f"{emulator.url}/oauth/token", data=form, timeout=5)


def test_token(emulator: Emulator) -> None:
    answer = ask(
        emulator,
        grant_type="client_credentials",
        client_id=emulator.client_id,
        client_secret=emulator.client_secret,
    ).json()
    assert answer["token_type"] == "bearer"
    assert answer["expires_in"] == 43_200
    assert answer["access_token"]


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": "wröng"}, 401, "invalid_client"),
        ({"client_id": "wrong"}, 401, "invalid_client"),
        ({"client_id": ""}, 400, "invalid_request"),
        ({"client_secret": ""}, 400, "invalid_request"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_refused_token(emulator: Emulator, change: dict[str, str], status: int, error: str) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
    }
    answer = ask(emulator, **(form | change))
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_token_request_must_be_a_form(emulator: Emulator) -> None:
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
    answer = requests.post(f"{emulator.url}/oauth/token", json=form, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_token_as_each_client_asks_for_it(emulator: Emulator) -> None:
    grant = {
        "grant_type": "client_credentials",
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
    }
    ways: list[dict[str, Any]] = [
        {"data": grant},
        {"files": {name: (None, value) for name, value in grant.items()}},
        {"params": grant},
        {"params": {**grant, "client_secret": "wrong"}, "data": {"client_secret": grant["client_secret"]}},
    ]
    for way in ways:
        assert requests.post(f"{emulator.url}/oauth/token", **way, timeout=5).status_code == 200
    assert (
        requests.post(f"{emulator.url}/oauth/token", params={"client_id": "c"}, timeout=5).status_code == 400
    )
    assert [request.client_id for request in emulator.requests[:4]] == [emulator.client_id] * 4


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(101))),
        (f"multipart/form-data; boundary={'b' * 300}", b"--" + b"b" * 300 + b"--\r\n"),
        ("multipart/form-data; boundary=b", b"--b"),
    ],
)
def test_malformed_token_requests(emulator: Emulator, content_type: str, body: bytes) -> None:
    answer = requests.post(
        f"{emulator.url}/oauth/token", data=body, headers={"Content-Type": content_type}, timeout=5
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert emulator.requests[-1].client_id is None


def test_tokens_are_bounded(emulator: Emulator, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MAX_TOKENS", 2)
    for _ in range(2):
        assert api.get("/task-status/v1").status_code == 200
        assert api.token(emulator.client_id, emulator.client_secret).status_code == 200
    assert api.get("/task-status/v1").status_code == 401


def test_info(emulator: Emulator) -> None:
    answer = requests.get(f"{emulator.url}/oauth/info", timeout=5).json()
    assert answer["tokenEndpoint"] == f"{emulator.url}/oauth/token"
    assert answer["tenantName"]


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic abc", "Bearer"])
def test_no_valid_token(emulator: Emulator, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = requests.get(f"{emulator.url}/task-status/v1", headers=headers, timeout=5)
    assert answer.status_code == 401
    assert list(answer.json()) == ["error"]


def test_expiry_on_the_tenants_clock(emulator: Emulator, connect: ApiFactory) -> None:
    emulator.token_lifetime = 60
    assert emulator.token_lifetime == 60
    api = connect(emulator, None)
    assert api.token(emulator.client_id, emulator.client_secret).json()["expires_in"] == 60
    emulator.clock.advance(59)
    assert api.get("/task-status/v1").status_code == 200
    emulator.clock.advance(1.1)
    answer = api.get("/task-status/v1")
    assert (answer.status_code, answer.json()) == (401, {"error": "JWT validation failed: JWT is expired"})


def test_credential_with_its_own_lifetime(emulator: Emulator, connect: ApiFactory) -> None:
    credential = emulator.add_credential(client_id="c", client_secret="s", expires_in=749)
    assert connect(emulator, credential).token("c", "s").json()["expires_in"] == 749


def test_revocation(emulator: Emulator, connect: ApiFactory) -> None:
    other = emulator.add_credential()
    first, second = connect(emulator, None), connect(emulator, other)
    emulator.revoke_tokens(other.client_id)
    assert [api.get("/task-status/v1").status_code for api in (first, second)] == [200, 401]
    emulator.revoke_tokens()
    assert first.get("/task-status/v1").status_code == 401


def test_rotation(emulator: Emulator, api: Api) -> None:
    old = emulator.client_secret
    emulator.rotate_secret(emulator.client_id, "new/secret")
    assert emulator.client_secret == "new/secret"
    assert "new%2Fsecret" in emulator.connection_uri
    assert api.token(emulator.client_id, old).status_code == 401
    assert api.token(emulator.client_id, "new/secret").status_code == 200
    assert api.get("/task-status/v1").status_code == 200
    with pytest.raises(InvalidClientError, match="nowhere"):
        emulator.rotate_secret("nowhere", "x")


@pytest.mark.parametrize(
    ("credential", "read", "write"),
    [
        ({}, 200, 200),
        ({"level": "SOURCE_ADMIN"}, 200, 200),
        ({"level": "HELPDESK"}, 200, 403),
        ({"level": "USER"}, 403, 403),
        ({"user": False}, 200, 403),
        ({"user": False, "level": "USER"}, 200, 403),
        ({"scopes": ["idn:task-management:write"]}, 200, 200),
        ({"scopes": ["idn:task-management:read"]}, 200, 403),
        ({"scopes": ["idn:sources:read"]}, 403, 403),
        ({"scopes": []}, 403, 403),
    ],
    ids=str,
)
def test_rights(
    emulator: Emulator, connect: ApiFactory, credential: dict[str, object], read: int, write: int
) -> None:
    emulator.add_task("stuck", duration=None)
    api = connect(emulator, emulator.add_credential(**credential))  # type: ignore[arg-type]
    for path in ("/beta/task-status/pending-tasks", "/task-status/v1", "/task-status/v1/stuck"):
        assert api.get(path).status_code == read
    answer = api.patch("/task-status/v1/stuck", CLEAR)
    assert answer.status_code == write
    if write == 403:
        assert answer.json()["detailCode"] == "403 Forbidden"
        assert emulator.task("stuck")["completionStatus"] is None


def test_token_that_is_stale_at_once_is_issued_all_the_same(api: Api, emulator: Emulator) -> None:
    emulator.token_lifetime = 0.001
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
    }
    assert requests.post(f"{api.url}/oauth/token", data=form, timeout=5).status_code == 200
