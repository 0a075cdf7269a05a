"""What the log of requests keeps, and what it doesn't."""

from __future__ import annotations

import tracemalloc
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator, requestlog
from airflow_provider_sptasks.emulator.redaction import MAX_LOGGED_BODY
from tests.emulator.conftest import Api

SECRET = "s3cret/that+stays hidden"
GRANT = {"grant_type": "client_credentials", "client_id": "c", "client_secret": SECRET}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def shown(emulator: Emulator) -> str:
    """All that is said of the requests, in Python and over the admin routes."""
    logged = requests.get(f"{emulator.url}/_emulator/requests", timeout=5).text
    return f"{emulator.requests!r} {logged} {[request.body for request in emulator.requests]}"


@pytest.mark.parametrize(
    "way",
    [
        {"data": GRANT},
        {"params": GRANT},
        {"files": {name: (None, value) for name, value in GRANT.items()}},
        {"json": GRANT},
        {"data": urlencode(GRANT)},
        {"data": f'{{"client_secret": "{SECRET}"}}', "headers": FORM},
        {"data": f"grant_type=client_credentials;client_secret={SECRET}", "headers": FORM},
        {"params": {"secret": SECRET}},
        {"params": {"Client_Secret": SECRET}},
        {"headers": {"Cookie": f"session={SECRET}", "Proxy-Authorization": f"Basic {SECRET}"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("known", [True, False])
def test_client_secrets(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, way: dict[str, Any], known: bool
) -> None:
    if known:
        emulator.add_credential(client_id="c", client_secret=SECRET)
    answer = requests.post(f"{emulator.url}/oauth/token", **way, timeout=5)
    seen = f"{shown(emulator)} {answer.text} {caplog.text}"
    for secret in (SECRET, quote(SECRET), quote(SECRET, safe=""), urlencode({"": SECRET})[1:]):
        assert secret not in seen


def test_what_is_kept_of_a_grant(emulator: Emulator, api: Api) -> None:
    (token,) = emulator.requests
    assert (
        token.body
        == f"grant_type=client_credentials&client_id={emulator.client_id}&client_secret=***".encode()
    )
    requests.post(f"{emulator.url}/oauth/token", params=GRANT, timeout=5)
    assert emulator.requests[-1].query == GRANT | {"client_secret": "***"}


def test_secrets_in_json_at_a_misspelt_token_endpoint(emulator: Emulator) -> None:
    assert requests.post(f"{emulator.url}/oauth/token/", json=GRANT, timeout=5).status_code == 404
    assert "s3cret" not in shown(emulator)


@pytest.mark.parametrize("path", ["/oauth/tokens", "/task-status/v1", "/sources/v1/x/load-accounts"])
def test_secrets_that_went_astray(emulator: Emulator, path: str) -> None:
    requests.post(f"{emulator.url}{path}", params=GRANT, data=GRANT, timeout=5)
    assert "s3cret" not in shown(emulator)
    assert emulator.requests[-1].query["grant_type"] == "client_credentials"


def test_repr_of_credentials(emulator: Emulator) -> None:
    assert SECRET not in repr(emulator.add_credential(client_secret=SECRET))


def test_uploaded_files(emulator: Emulator, api: Api) -> None:
    source = emulator.add_source("HR", delimited_file=True)
    for filename in ("hr.csv", None):
        answer = api.session.post(
            f"{api.url}/sources/v1/{source.id}/load-accounts",
            files={"file": (filename, b"name\nSmith, John\n")},
            timeout=5,
        )
        assert answer.status_code == 202
    assert "Smith" not in shown(emulator)
    assert "hr.csv" in shown(emulator)


def test_callbacks_see_no_secrets_either(emulator: Emulator, api: Api) -> None:
    seen: list[object] = []
    emulator.on_request(seen.append)
    api.get("/task-status/v1", client_secret=SECRET)
    assert SECRET not in repr(seen)


def test_long_bodies_are_refused(emulator: Emulator, api: Api) -> None:
    body = b"[" + b" " * 10_000_000 + b"]"
    tracemalloc.start()
    try:
        for _ in range(5):
            answer = api.session.patch(f"{api.url}/task-status/v1/x", data=body, timeout=5)
            assert answer.status_code == 413
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000
    assert [len(request.body) for request in emulator.requests[1:]] == [MAX_LOGGED_BODY] * 5


def test_log_is_bounded_in_bytes(emulator: Emulator, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requestlog, "MAX_BYTES", 250_000)
    for number in range(5):
        api.session.patch(f"{api.url}/task-status/v1/{number}", data=b" " * 100_000, timeout=5)
    assert [request.path[-1] for request in emulator.requests] == ["2", "3", "4"]
    emulator.reset_requests()
    api.get("/task-status/v1")
    assert len(emulator.requests) == 1
