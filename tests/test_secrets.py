"""
Neither the client secret nor a token is ever shown: not in logs, errors, representations or URLs.

Whatever goes wrong, everything that it leaves behind is searched.
"""

from __future__ import annotations

import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from tenacity import wait_none

from airflow_provider_sptasks.client import ClientSettings, RetryPolicy, TaskStatusClient
from airflow_provider_sptasks.client.clearing import Clearing, ClearResult
from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.pacing import Pacer
from airflow_provider_sptasks.emulator import Emulator

# Different when it is quoted, and when it is escaped.
SECRET = 's3cr3t /+&=%"value" of the client'
ID = "a" * 32


class Watched:
    """A tenant and a client, and the secrets that pass between them."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.tokens: list[str] = []
        self.settings = ClientSettings(
            emulator.url,
            emulator.client_id,
            SECRET,
            timeout=0.2,
            proxies={"https": f"http://user:{quote(SECRET, safe='')}@proxy.example.com"},
        )
        self.client = self.connect()

    def connect(self, **changes: Any) -> TaskStatusClient:
        settings = replace(self.settings, **changes)
        retry = RetryPolicy(max_attempts=2, wait=wait_none(), sleep=lambda _: None)
        return TaskStatusClient(settings, retry=retry, pacer=Pacer(100, 0.001), on_token=self.tokens.append)

    def secrets(self) -> set[str]:
        """All that must not be seen, and the beginnings of it."""
        spelled = {SECRET, quote(SECRET, safe=""), quote_plus(SECRET), json.dumps(SECRET)[1:-1]}
        return {text for each in {*spelled, *self.tokens} for text in (each, each[:12])}


@pytest.fixture
def watched() -> Iterator[Watched]:
    with Emulator(rate_limit=None, client_secret=SECRET) as emulator:
        emulator.add_task(ID, duration=None)
        watched = Watched(emulator)
        with watched.client:
            yield watched


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that led to it, whether it is shown or not."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            waiting += [each.__cause__, each.__context__]
            waiting += [arg for arg in each.args if isinstance(arg, BaseException)]
            yield each


def left_behind(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    shown = ["".join(traceback.format_exception(error))]
    for each in chain(error):
        shown += [str(each), repr(each), repr(each.args)]
        if isinstance(each, SailPointError):
            shown.append(repr(vars(each)))
    shown += [record.getMessage() for record in caplog.records]
    shown += [repr(record.args) for record in caplog.records]
    return "\n".join(shown)


def no_secret(text: str, watched: Watched) -> None:
    assert [each for each in watched.secrets() if each in text] == []


Action = Callable[[TaskStatusClient], object]
ACTIONS: dict[str, Action] = {
    "get": lambda client: client.get(ID),
    "find": lambda client: client.find([ID]),
    "clear": lambda client: client.clear(ID),
}
# At the token endpoint these meet the secret on its way out, or the token on its way in.
FAULTS: dict[str, dict[str, Any]] = {
    **{str(status): {"status": status} for status in (400, 401, 403, 404, 500, 503)},
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "redirect": {"status": 302, "headers": {"Location": "https://login.example.com/sso"}},
    "html": {"status": 200, "kind": "html"},
    "empty": {"status": 200, "kind": "empty"},
    "shape": {"status": 200, "body": '{"unexpected": true}'},
    "drop": {"kind": "drop"},
    "drop_after": {"kind": "drop_after"},
    "truncate": {"kind": "truncate"},
    "delay": {"kind": "delay", "delay": 0.4},
}


@pytest.mark.parametrize("path", ["/oauth/token", "/task-status/*"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("action", ACTIONS)
def test_whatever_goes_wrong(
    action: str, fault: str, path: str, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    watched.emulator.fail(path=path, **FAULTS[fault])
    with pytest.raises(SailPointError) as caught:
        ACTIONS[action](watched.client)
    assert any(record.name.startswith("urllib3") for record in caplog.records)
    assert bool(watched.tokens) == (path != "/oauth/token")
    no_secret(left_behind(caught.value, caplog), watched)


@pytest.mark.parametrize("rest", ["", "x", '", "expires_in"'])
def test_a_token_in_an_answer_that_cannot_be_read(
    rest: str, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy may cut an answer short, and say that it was whole."""
    caplog.set_level(logging.DEBUG)
    watched.tokens.append("T0ken-that-is-secret")
    body = f'{{"access_token": "{watched.tokens[0]}{rest}'
    watched.emulator.fail(200, path="/oauth/token", body=body)
    with pytest.raises(SailPointError, match="that is not JSON") as caught:
        watched.client.get(ID)
    no_secret(left_behind(caught.value, caplog), watched)


@pytest.mark.parametrize("action", ACTIONS)
def test_wrong_credentials(action: str, watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    watched.emulator.rotate_secret(watched.emulator.client_id, "another")
    with pytest.raises(SailPointError) as caught:
        ACTIONS[action](watched.client)
    no_secret(left_behind(caught.value, caplog), watched)


def test_no_server_there(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    watched.client.get(ID)
    watched.emulator.stop()
    with pytest.raises(SailPointError) as caught:
        watched.client.get(ID)
    assert watched.tokens
    no_secret(left_behind(caught.value, caplog), watched)


def test_a_proxy_that_is_not_there(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = f"http://user:{quote(SECRET, safe='')}@127.0.0.1:1"
    client = watched.connect(host="https://acme.example.com", proxies={"https": proxy})
    with client, pytest.raises(SailPointError) as caught:
        client.get(ID)
    assert "Proxy" in str(caught.value)
    no_secret(left_behind(caught.value, caplog), watched)


@pytest.mark.parametrize(
    "field",
    [
        {"host": "https://acme.api.identitynow.com/v3"},
        {"host": f"https://user:{quote(SECRET, safe='')}@acme.api.identitynow.com"},
        {"token_url": f"https://user:{quote(SECRET, safe='')}@acme.api.identitynow.com/oauth/token"},
        {"client_id": ""},
        {"api_version": "v3"},
        {"timeout": -1},
        {"requests_per_10s": 0},
    ],
    ids=lambda field: next(iter(field)),
)
def test_settings_that_are_refused(
    field: dict[str, Any], watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match=next(iter(field))) as caught:
        watched.connect(**field)
    no_secret(left_behind(caught.value, caplog), watched)


def test_all_goes_well(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = watched.client
    client.get(ID)
    list(client.list())
    client.count_pending()
    watched.emulator.revoke_tokens()
    results: list[ClearResult] = []
    clearing = Clearing(client, completion_status="Error", stop=threading.Event(), note=results.append)
    clearing.run([client.get(ID)])
    assert len(results) == 1
    assert len(watched.tokens) == 2
    shown = [repr(results), repr(client), repr(vars(client)), repr(client.settings), str(client.settings)]
    shown += [record.getMessage() for record in caplog.records]
    assert "/task-status/v1" in "\n".join(shown)
    no_secret("\n".join(shown), watched)


def test_urls(watched: Watched) -> None:
    """A proxy's log shows them."""
    watched.client.get(ID)
    list(watched.client.pending())
    watched.client.clear(ID)
    assert len(watched.emulator.requests) == 4
    for request in watched.emulator.requests:
        no_secret(f"{request.path} {dict(request.query)}", watched)
        if request.path != "/oauth/token":
            no_secret(f"{request.body!r} {dict(request.headers)}", watched)


def test_the_search_would_find_them(watched: Watched) -> None:
    """Or all of the above says nothing."""
    watched.client.get(ID)
    (token,) = watched.tokens
    for text in (f"Bearer {token}", f"client_secret={quote_plus(SECRET)}", f"{token[:20]}…", repr(SECRET)):
        with pytest.raises(AssertionError):
            no_secret(text, watched)
