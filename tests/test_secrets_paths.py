"""
Every path by which a secret could leave, with secrets of every kind, and a tenant that repeats what it gets.

Something on the way repeats the whole of each request in its errors: the client's secret, the token and the
proxy's password, in every spelling. Airflow's masking of logs is off: nothing may depend on it.
"""

from __future__ import annotations

import asyncio
import html
import itertools
import json
import logging
import re
import socket
import threading
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import requests
from airflow.api_fastapi.core_api.datamodels.connections import ConnectionResponse
from airflow.models.connection import Connection
from airflow.sdk import DAG
from airflow.sdk import Connection as SdkConnection
from tenacity import wait_none

from airflow_provider_sptasks.client import ClientSettings, RetryPolicy
from airflow_provider_sptasks.client.urls import BUDGET_SCHEMES
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.hooks._fields import EXTRAS, settings_of
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.operators.sailpoint import (
    SailPointClearPendingTasksOperator,
    SailPointStartAggregationOperator,
)
from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor, SailPointTaskSensor
from airflow_provider_sptasks.triggers import _connection
from tests.compat import TaskDeferred
from tests.conftest import CONNECTION
from tests.context import TaskInstance, context
from tests.triggers.test_completions import watcher
from tests.triggers.triggerer import Database, Triggerer

TASK, SOURCE = "a" * 32, "b" * 32
SECRETS = {
    "quotes": r"""C:\new "secret" of\u0041 'the' \"client\\""",
    "percent": "100%25 %s <b>&amp;</b> /+=?#[]@: %(name)s {0} %",
    "letters": "Schlüßel 鍵 ключ 🔑 of it",
}
# A URL can carry these in a password only; a header can't.
PASSWORD_EXTRA = "\r\nline"
PATHS: dict[str, Callable[[World], None]] = {}


@dataclass
class World:
    """A tenant, an Airflow connection to it, and all that has left."""

    tenant: Emulator
    secret: str
    capture: Callable[[], str]
    tokens: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def password(self) -> str:
        return self.secret + PASSWORD_EXTRA

    def connection(self, **changes: Any) -> dict[str, Any]:
        proxy = f"http://user:{quote(self.password, safe='')}@proxy.example.com"
        fields = {"conn_type": "sailpoint", "host": self.tenant.url, "login": self.tenant.client_id}
        budget = {"budget_url": "redis://user@127.0.0.1:1/0", "budget_password": self.secret}
        extra = {"proxies": {"https": proxy}, "timeout": 5} | budget | self.extra
        return fields | {"password": self.secret, "extra": extra} | changes

    def hook(self) -> SailPointHook:
        retry = RetryPolicy(max_attempts=2, wait=wait_none(), sleep=lambda _: None)
        return SailPointHook(retry=retry)

    def sign_in(self) -> str:
        """Get the token that the process shares, so that faults can repeat it."""
        self.hook().client.get(TASK)
        return self.tokens[-1]

    def spelled(self, secrets: Iterable[str] = ()) -> set[str]:
        """All that must not be seen, as it may be spelled; not with the client's own code."""
        secrets = secrets or {self.secret, self.password, *self.tokens}
        pairs = [(self.tenant.client_id, self.secret), ("user", self.password)]
        basic = {
            b64encode(f"{user}:{password}".encode(encoding, "replace")).decode()
            for user, password in pairs
            for encoding in ("latin-1", "utf-8")
        }
        return basic.union(
            *(
                {
                    each,
                    repr(each)[1:-1],
                    ascii(each)[1:-1],
                    repr(each.encode())[2:-1],
                    json.dumps(each)[1:-1],
                    json.dumps(each, ensure_ascii=False)[1:-1],
                    quote(each),
                    quote(each, safe=""),
                    quote_plus(each),
                    re.sub("%..", lambda code: code[0].lower(), quote(each, safe="")),
                    html.escape(each),
                    b64encode(each.encode()).decode(),
                }
                for each in secrets
            )
        )

    def echo(self, path: str, status: int, kind: str = "json", **match: Any) -> None:
        """Let something on the way repeat what it got, in every spelling."""
        secrets = [self.secret, self.password, *(self.tokens[-1:] if path != "/oauth/token" else ())]
        words, sent = " ".join(sorted(self.spelled(secrets))), " ".join(secrets)
        bodies = {
            "json": json.dumps(
                {"detailCode": words, "trackingId": words, "messages": [{"text": words}], "error": words}
            ),
            "ascii": json.dumps({"error_description": words}, ensure_ascii=True),
            "utf-8": json.dumps({"error": words}, ensure_ascii=False),
            "text": words,
            "string": json.dumps(sent),
            "shape": json.dumps({"id": 1, sent: sent, "access_token": {sent: sent}}),
        }
        # What a header can carry.
        header = "".join(each for each in words if " " <= each <= "~")
        self.tenant.fail(
            status,
            path=path,
            body=bodies[kind],
            headers={"Location": f"https://x/{quote(sent)}", "X-Total-Count": header, "Retry-After": "0"},
            **match,
        )

    def shown(self, value: object) -> None:
        """Something was shown, or stored."""
        self.left += [str(value), repr(value), json.dumps(value, default=str, ensure_ascii=False)]

    @contextmanager
    def fails(self, *, before_a_call: bool = False) -> Iterator[None]:
        """Run what fails, and keep all that the failure shows, whether Python would print it or not."""
        with pytest.raises(Exception, match=r".") as caught:
            yield
        self.left.append("".join(traceback.format_exception(caught.value)))
        waiting: list[BaseException | None] = [caught.value]
        seen: set[int] = set()
        while waiting:
            error = waiting.pop()
            if error is not None and id(error) not in seen:
                seen.add(id(error))
                self.left += [str(error), repr(error), repr(error.args), repr(vars(error))]
                self.left += [] if before_a_call else _locals(error)
                waiting += [error.__cause__, error.__context__]
                waiting += [each for each in error.args if isinstance(each, BaseException)]

    def leaks(self) -> list[str]:
        everything = "\n".join([*self.left, self.capture()])
        return [
            everything[max(0, everything.find(part) - 60) :][: len(part) + 90]
            for each in self.spelled()
            for part in {each, each[:16]}
            if part in everything
        ]


def _locals(error: BaseException) -> list[str]:
    """What tools that report errors send along: what was in the frames of the client and of what it uses."""
    libraries = ("/client/", "/requests/", "/urllib3/", "/http/client.py")
    return [
        repr(frame.f_locals)
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if any(each in frame.f_code.co_filename for each in libraries)
    ]


def path(function: Callable[[World], None]) -> Callable[[World], None]:
    PATHS[function.__name__] = function
    return function


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Callable[[str], World]]:
    """Make a world for a secret."""
    caplog.set_level(logging.DEBUG)
    once = RetryPolicy(max_attempts=1, wait=wait_none())
    monkeypatch.setattr("airflow_provider_sptasks.hooks.sailpoint.RetryPolicy", lambda **_: once)
    monkeypatch.setattr(_connection, "RETRY", once)
    monkeypatch.setattr("airflow_provider_sptasks.client.pacing.WINDOW", 0.4)
    monkeypatch.setattr("airflow_provider_sptasks.client.transport.SHORTEST_HOLD", 0.0)
    monkeypatch.setattr("airflow_provider_sptasks.triggers._feed.WINDOW", 0.1)
    monkeypatch.setattr("airflow_provider_sptasks.triggers._feed.backoff", lambda *_: 0.02)
    monkeypatch.setattr(_connection, "CONNECTION_CACHE_SECONDS", 0.0)
    monkeypatch.setattr("airflow_provider_sptasks.triggers._queue.REFUSAL_SECONDS", 0.0)
    monkeypatch.setattr("airflow_provider_sptasks.waiting.driver.REFUSAL_SECONDS", 0.0)
    for name in ("SHORTEST_PAUSE_SECONDS", "GREETING_SECONDS", "REFUSAL_RETRY_SECONDS"):
        monkeypatch.setattr(f"airflow_provider_sptasks.triggers._feed.{name}", 0.02)

    def capture() -> str:
        records = [
            f"{each.getMessage()} {each.args!r} {each.exc_text} {vars(each)}" for each in caplog.records
        ]
        out, err = capfd.readouterr()
        return "\n".join([*records, caplog.text, out, err])

    def make(secret: str) -> World:
        tenant.add_credential(client_id=tenant.client_id, client_secret=secret)
        tenant.add_source("HR", SOURCE)
        tenant.add_task(TASK, duration=None, source="HR")
        made = World(tenant, secret, capture)

        def mask(value: str) -> None:
            # The hook masks each spelling; a token is what the tenant issued.
            if tenant.state.tenant.credentials.owner(value) is not None:
                made.tokens.append(value)

        monkeypatch.setattr("airflow_provider_sptasks.hooks.sailpoint.mask_secret", mask)
        monkeypatch.setattr("airflow_provider_sptasks.hooks.sailpoint._tokens", itertools.repeat(1))
        monkeypatch.setenv(CONNECTION, json.dumps(made.connection()))
        return made

    with Emulator(rate_limit=None) as tenant:
        yield make


@path
def logs_when_all_goes_well(world: World) -> None:
    hook = world.hook()
    hook.client.get(TASK)
    world.tenant.revoke_tokens()
    hook.client.find([TASK])
    hook.client.clear(TASK)
    hook.sources.start_aggregation(SOURCE)
    hook.client.close()


@path
def errors_of_the_token_endpoint(world: World) -> None:
    for status, kind in [(400, "json"), (401, "ascii"), (403, "utf-8"), (302, "json"), (500, "text")]:
        world.tenant.clear_faults()
        world.echo("/oauth/token", status, kind)
        with world.fails():
            world.hook().client.get(TASK)


@path
def tokens_that_cannot_be_read(world: World) -> None:
    for kind in ("text", "string", "shape"):
        world.tenant.clear_faults()
        world.echo("/oauth/token", 200, kind)
        with world.fails():
            world.hook().client.get(TASK)
    world.tokens.append("a-token-that-is-cut-short")
    world.tenant.clear_faults()
    world.tenant.fail(200, path="/oauth/token", body=f'{{"access_token": "{world.tokens[0]}')
    with world.fails():
        world.hook().client.get(TASK)


@path
def errors_of_the_api(world: World) -> None:
    world.sign_in()
    statuses = [(400, "json"), (403, "utf-8"), (404, "ascii"), (429, "json"), (302, "json"), (503, "text")]
    for status, kind in statuses:
        world.tenant.clear_faults()
        world.echo("/task-status/*", status, kind)
        for action in ("get", "clear"):
            with world.fails():
                getattr(world.hook().client, action)(TASK)


@path
def answers_that_cannot_be_read(world: World) -> None:
    world.sign_in()
    for kind in ("text", "string", "shape"):
        world.tenant.clear_faults()
        world.echo("/task-status/*", 200, kind)
        for ask in (
            lambda client: client.get(TASK),
            lambda client: list(client.list()),
            lambda client: client.count_pending(),
            lambda client: client.clear(TASK),
        ):
            with world.fails():
                ask(world.hook().client)


@path
def answers_that_are_no_http(world: World) -> None:
    token = world.sign_in()
    lines = [
        f"Authorization: Bearer {token} {world.secret}\r\n\r\n",
        f"HTTP/1.1 {token} {quote(world.secret)}\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nBearer {token}\r\n",
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {token}\r\nContent-Length: 0\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nContent-Length: {token}\r\n\r\n[",
    ]
    for line in lines:
        with answering(line.encode()) as url:
            client = world.hook().client
            object.__setattr__(client.settings, "base_url", url)
            with world.fails():
                client.get(TASK)


@path
def representations(world: World) -> None:
    world.sign_in()
    hook = world.hook()
    client = hook.client
    client.get(TASK)
    transport = client.transport
    world.shown(client.settings)
    auth = transport._auth
    for each in (hook, client, transport, hook.sources, auth, auth._cache):
        world.shown(each)
        world.left.append(repr(vars(each)))


@path
def sensors_on_a_worker(world: World) -> None:
    world.sign_in()
    for path in ("/task-status/*", "/oauth/token"):
        world.tenant.clear_faults()
        world.echo(path, 403)
        ti = TaskInstance()
        if path == "/oauth/token":
            world.tenant.revoke_tokens()
        with world.fails():
            gate = SailPointTaskSensor(task_id="gate", task_status_id=TASK, timeout=5)
            gate.execute(context(ti))
        world.shown(ti.xcoms)


@path
def what_a_deferral_stores(world: World) -> None:
    world.sign_in()
    since = "2020-01-01T00:00:00Z"
    own: dict[str, Any] = {"task_id": "gate", "deferrable": True, "dag": DAG("dag", schedule=None)}
    for make in (
        lambda: SailPointTaskSensor(task_status_id=TASK, **own),
        lambda: SailPointAggregationSensor(source_id=SOURCE, launched_after=since, **own),
    ):
        own["dag"] = DAG("dag", schedule=None)
        world.tenant.clear_faults()
        with pytest.raises(TaskDeferred) as deferral:
            make().execute(context())
        trigger = deferral.value.trigger
        world.shown(trigger.serialize())
        world.shown(trigger)
        world.shown(deferral.value.kwargs)
        world.echo("/task-status/*", 403)
        event = asyncio.run(anext(trigger.run()))
        world.shown(event.payload)
        with world.fails():
            make().resume_execution("execute_complete", {"event": event.payload}, context())


@path
def clearing_and_its_table(world: World) -> None:
    world.sign_in()
    world.echo("/task-status/*", 403, method="PATCH")
    ti = TaskInstance()
    with world.fails():
        SailPointClearPendingTasksOperator(task_id="clear", task_status_id=TASK).execute(context(ti))
    assert ti.xcoms["return_value"]["failed"]
    world.shown(ti.xcoms)


@path
def starting_and_what_it_notes(world: World) -> None:
    world.sign_in()
    refusal = {
        "success": True,
        "task": {"messages": [{"localizedText": f"{world.secret} {world.tokens[-1]}"}]},
    }
    for body in (json.dumps(refusal), None):
        world.tenant.clear_faults()
        if body is None:
            world.echo("/sources/*", 403)
        else:
            world.tenant.fail(202, path="/sources/*", body=body)
        ti = TaskInstance()
        with world.fails():
            SailPointStartAggregationOperator(
                task_id="start", source_id=SOURCE, if_running="fail", timeout=5
            ).execute(context(ti))
        world.shown(ti.xcoms)


@path
def watchers_their_events_and_cursors(world: World) -> None:
    world.sign_in()
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(SOURCE): ["fresh"]}) as triggerer:
            await triggerer.until(lambda: database.values)
            world.echo("/task-status/*", 403, times=2)
            await triggerer.until(lambda: not world.tenant.state.faults.active())
            world.tenant.complete(TASK)
            await triggerer.until(lambda: database.events)

    asyncio.run(main())
    world.shown([database.events, list(database.values.values())])


@path
def the_test_of_a_connection(world: World) -> None:
    world.sign_in()
    for path in ("/task-status/*", "/oauth/token"):
        for status, kind in [(401, "json"), (403, "utf-8"), (404, "json"), (500, "text"), (200, "text")]:
            world.tenant.clear_faults()
            if path == "/oauth/token":
                world.tenant.revoke_tokens()
            world.echo(path, status, kind)
            works, message = SailPointHook().test_connection()
            assert not works
            world.shown(message)


@path
def fields_of_a_connection_that_are_refused(world: World) -> None:
    percent = quote(world.secret, safe="")
    token = {"access_token": world.secret + " "}
    tenant = world.tenant.url.removeprefix("http://")
    for changes in (
        {"host": f"https://user:{percent}@acme.api.identitynow.com"},
        {"host": f"https://acme:{percent}"},
        {"schema": world.secret},
        {"password": world.secret + "\n"},
        {"password": f"\t{world.secret}"},
        {"login": f"{world.secret}\n"},
        {"extra": json.dumps(world.secret)},
        {"extra": {"client_secret": world.secret}},
        {"extra": {"token_url": f"https://user:{percent}@{tenant}/oauth/token"}},
        {"extra": {"token_url": f"https://{tenant}/oauth/token?client_secret={percent}"}},
        {"extra": {"proxies": world.secret}},
        {"extra": {"proxies": {"https": f"http://user:{world.secret}/@proxy"}}},
        {"extra": {"proxies": {"https": f"http://user:{percent}@pro xy"}}},
        {"extra": {"proxies": [world.secret]}},
        {"extra": {"ui_url": f"https://user:{percent}@acme.example.com"}},
        {"extra": {"budget_url": f"redis://user:{percent}@127.0.0.1:1/0"}},
        {"extra": {"budget_url": f"redis://:{world.secret}@127.0.0.1:1/0"}},
        {"extra": {"budget_url": f"redis://127.0.0.1:1/0?password={percent}"}},
        {"extra": {"budget_url": [world.secret]}},
        {"extra": {"budget_password": world.secret}},
        {"extra": {"budget_url": "redis://127.0.0.1:1/0", "budget_password": f"{world.secret}\n."}},
        {"extra": {"budget_url": "redis://127.0.0.1:1/0", "budget_password": [world.secret]}},
        {"extra": token},
        {"extra": {"access_token": [world.secret]}, "password": ""},
        {"extra": {"access_token": f"{world.secret}\n{world.secret}"}, "password": ""},
        {"extra": {"access_token": "abc-is-a-token", "verify": "no"}, "password": ""},
    ):
        hook = SailPointHook()
        given = world.connection(**changes)
        with pytest.MonkeyPatch.context() as patch, world.fails(before_a_call=True):
            patch.setenv(CONNECTION, json.dumps(given))
            _ = hook.settings
        with pytest.MonkeyPatch.context() as patch, suppress(Exception):
            patch.setenv(CONNECTION, json.dumps(given))
            world.shown(hook.test_connection())


@path
def the_api_of_connections(world: World) -> None:
    """As Airflow's API server answers who may read connections."""
    world.extra["access_token"] = world.secret
    shown = as_the_api_shows(world.connection())
    assert '\\"timeout\\": 5' in shown
    world.shown(shown)


def as_the_api_shows(connection: dict[str, Any]) -> str:
    given = connection | {"extra": json.dumps(connection["extra"])}
    return ConnectionResponse.model_validate(Connection(conn_id="sailpoint", **given)).model_dump_json()


@path
def the_log_of_the_emulator(world: World) -> None:
    world.hook().client.get(TASK)
    world.tenant.rotate_secret(world.tenant.client_id, "another")
    world.tenant.revoke_tokens()
    with world.fails():
        world.hook().client.get(TASK)
    world.shown(world.tenant.requests)
    world.shown([request.body for request in world.tenant.requests])
    for route in ("requests", "", "faults", "started"):
        world.left.append(requests.get(f"{world.tenant.url}/_emulator/{route}", timeout=5).text)


@path
def urls(world: World) -> None:
    """The log of a proxy shows them, and that of urllib3."""
    client = world.hook().client
    client.get(TASK)
    list(client.pending())
    client.clear(TASK)
    for request in world.tenant.requests:
        world.shown([request.path, dict(request.query)])


@contextmanager
def answering(data: bytes) -> Iterator[str]:
    """Answer each connection with the same bytes, and close it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    connection.recv(65_536)
                    connection.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("name", PATHS)
def test_no_path_leaks(name: str, secret: str, world: Callable[[str], World]) -> None:
    seen = world(SECRETS[secret])
    PATHS[name](seen)
    assert seen.leaks() == []


@pytest.mark.parametrize("secret", SECRETS)
def test_the_search_would_find_it(secret: str, world: Callable[[str], World]) -> None:
    """Or all of the above says nothing."""
    seen = world(SECRETS[secret])
    seen.sign_in()
    for each in sorted(seen.spelled()):
        seen.left = [f"before {each} after"]
        assert seen.leaks()
    seen.left = []
    logging.getLogger("urllib3").debug("Bearer %s", seen.tokens[0])
    assert seen.leaks()


HIDDEN = "s3cr3t-of-an-extra"
# Every way in which an extra could hold a secret: alone, and as the password of a URL of each kind.
HOLDING: list[Any] = [
    HIDDEN,
    *(
        form(f"{scheme}://{user}:{HIDDEN}@{host}")
        for scheme in ("https", "http", *BUDGET_SCHEMES)
        for user in ("", "user")
        for host in ("127.0.0.1", "127.0.0.1:6379/0", "acme.api.identitynow.com/oauth/token")
        for form in (str, lambda url: {"https": url})
    ),
]
# What an extra needs besides itself.
BESIDES = {"budget_password": {"budget_url": "redis://127.0.0.1:1/0"}}


def accepted(name: str) -> Iterator[tuple[dict[str, Any], ClientSettings]]:
    """Connections with something secret in an extra, as far as they are not refused."""
    for value in HOLDING:
        for password in ("of the client", ""):
            extra = {name: value} | BESIDES.get(name, {})
            given: dict[str, Any] = {"conn_type": "sailpoint", "host": "acme", "login": "id"}
            given["password"] = password
            with suppress(ValueError):
                connection = SdkConnection(conn_id="sailpoint", **given, extra=json.dumps(extra))
                yield given | {"extra": extra}, settings_of(connection, None)


def test_the_api_shows_no_extra_that_holds_a_secret() -> None:
    """Airflow leaves them out by their names: a secret needs an extra with a name that says so."""
    holding = set()
    for name in EXTRAS:
        for given, settings in accepted(name):
            masked = any(HIDDEN in secret for secret in settings.secrets)
            assert masked, f"{name} holds a secret that nothing masks"
            holding.add(name)
            shown = as_the_api_shows(given)
            assert name in shown
            assert HIDDEN not in shown, f"Airflow's API of connections shows {name}"
    assert holding == {"access_token", "budget_password", "proxies"}
    # So none was forgotten above.
    unshown = {each.name for each in fields(ClientSettings) if each.init and not each.repr}
    assert unshown == {"client_secret", *holding}


def test_a_token_url_elsewhere_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may edit a connection could else have the stored secret sent anywhere."""
    with Emulator(rate_limit=None) as tenant, Emulator(rate_limit=None) as other:
        fields = {"conn_type": "sailpoint", "host": "acme", "login": "id", "password": "of the client"}
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        for host, token_url in [
            ("acme", f"{other.url}/oauth/token"),
            (tenant.url, f"{elsewhere}/oauth/token"),
            (tenant.url, "https://acme.api.identitynow.com.example.com/oauth/token"),
        ]:
            connection = fields | {"host": host, "extra": {"token_url": token_url}}
            monkeypatch.setenv(CONNECTION, json.dumps(connection))
            works, message = SailPointHook().test_connection()
            assert not works
            assert "The secret is sent there" in message
        assert (*tenant.requests, *other.requests) == ()
