"""The server's life, its log, and its scenarios as Python sees them."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import requests

from airflow_provider_sptasks import emulator as package
from airflow_provider_sptasks.emulator import Emulator, ScenarioError, requestlog
from tests.emulator.conftest import Api, ApiFactory


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "sailpoint-emulator"]


def test_start_and_stop() -> None:
    before = len(threads())
    with Emulator() as emulator:
        assert len(threads()) == before + 1
        assert emulator.url.startswith("http://127.0.0.1:")
        port = int(emulator.url.rpartition(":")[2])
        held = socket.create_connection(("127.0.0.1", port), timeout=5)
        held.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held.recv(65_536).startswith(b"HTTP/1.1 404")
    assert len(threads()) == before
    with held:
        assert held.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_stops_while_connections_are_being_accepted() -> None:
    for _ in range(20):
        with Emulator() as emulator:
            port = int(emulator.url.rpartition(":")[2])
            held = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(5)]
        for connection in held:
            with connection, suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_stops_when_the_body_raises() -> None:
    before = len(threads())
    with pytest.raises(ZeroDivisionError), Emulator():
        raise ZeroDivisionError
    assert len(threads()) == before


def test_start_twice(emulator: Emulator) -> None:
    with pytest.raises(RuntimeError, match="already running"):
        emulator.start()


def test_stop_twice_and_start_again() -> None:
    emulator = Emulator("demo")
    with pytest.raises(RuntimeError, match="no URL"):
        emulator.url  # noqa: B018 - the access raises
    emulator.start()
    url = emulator.url
    emulator.complete("00000000000000000000000000000002", "ERROR")
    emulator.stop()
    emulator.stop()
    with emulator:
        assert emulator.url == url
        assert emulator.task("00000000000000000000000000000002")["completionStatus"] == "ERROR"


def test_taken_port(emulator: Emulator) -> None:
    port = int(emulator.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        Emulator(port=port).start()


def test_connection_uri() -> None:
    with Emulator(client_id="a/b", client_secret="c:d@e") as emulator:
        kind, _, tenant = emulator.connection_uri.partition("://")
        parts = urlsplit(tenant)
        assert (kind, f"{parts.scheme}://{parts.hostname}:{parts.port}") == ("sailpoint", emulator.url)
        assert (unquote(parts.username or ""), unquote(parts.password or "")) == ("a/b", "c:d@e")


def test_credentials_are_random() -> None:
    assert Emulator().client_secret != Emulator().client_secret


def test_log(emulator: Emulator, api: Api) -> None:
    emulator.add_task("one")
    before = time.time()
    api.get("/task-status/v1", filters='id eq "a&b"', limit=5)
    api.patch("/v2024/task-status/one", [])
    api.get("/_emulator/requests")
    token, listed, patched = emulator.requests
    assert (token.method, token.path, token.status, token.api_version) == ("POST", "/oauth/token", 200, None)
    assert listed.query == {"filters": 'id eq "a&b"', "limit": "5"}
    assert (listed.path, listed.status, listed.api_version, listed.body) == (
        "/task-status/v1",
        200,
        "v1",
        b"",
    )
    assert before - 1 < listed.at < time.time() + 1
    assert listed.headers["x-sailpoint-experimental"] == "true"
    assert (patched.method, patched.api_version, patched.body) == ("PATCH", "v2024", b"[]")
    for request in emulator.requests:
        assert request.client_id == emulator.client_id
        assert "authorization" not in request.headers
        assert request.fault is None
    emulator.reset_requests()
    assert emulator.requests == ()


def test_log_names_no_client_without_a_token(emulator: Emulator) -> None:
    requests.get(f"{emulator.url}/task-status/v1", timeout=5)
    assert (emulator.requests[0].status, emulator.requests[0].client_id) == (401, None)


def test_log_keeps_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requestlog, "CAPACITY", 3)
    with Emulator() as emulator:
        for number in range(5):
            requests.get(f"{emulator.url}/oauth/info", params={"n": number}, timeout=5)
        assert [request.query["n"] for request in emulator.requests] == ["2", "3", "4"]


def test_log_shares_equal_headers_only(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requestlog, "_SHARED_HEADERS", 2)
    for value in "aabcd":
        requests.get(f"{emulator.url}/oauth/info", headers={"X-N": value}, timeout=5)
    assert [request.headers["x-n"] for request in emulator.requests] == list("aabcd")
    assert emulator.requests[0].headers is emulator.requests[1].headers


def test_many_threads(emulator: Emulator, connect: ApiFactory) -> None:
    apis = [connect(emulator, None) for _ in range(8)]
    added: list[str] = []

    def work(api: Api) -> None:
        for _ in range(10):
            task = emulator.add_task(duration=None)
            emulator.complete(task.id)
            assert api.get(f"/task-status/v1/{task.id}").json()["completionStatus"] == "SUCCESS"
            added.append(task.id)

    workers = [threading.Thread(target=work, args=(api,)) for api in apis]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(added) == 80
    assert len([r for r in emulator.requests if r.method == "GET"]) == 80


@pytest.mark.parametrize(("name", "least"), [("demo", 6), ("empty", 0), ("statuses", 10), ("busy", 300)])
def test_builtin_scenarios(name: str, least: int) -> None:
    with Emulator(name) as emulator:
        tasks = emulator.tasks()
        assert len(tasks) >= least
        statuses = {task["completionStatus"] for task in tasks}
        if name == "empty":
            assert tasks == []
        else:
            assert {None, "SUCCESS"} < statuses
        if name == "statuses":
            assert {"WARNING", "ERROR", "TERMINATED", "TEMPERROR", "Success", "Error", "TempError"} < statuses
            assert [t["id"] for t in tasks if t["completed"] and not t["completionStatus"]] == [
                "completed-without-status"
            ]


def test_scenario_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[task]]\nid = "mine"\n')
    with Emulator(file) as emulator:
        assert [task["id"] for task in emulator.tasks()] == ["mine"]


def test_unknown_scenario() -> None:
    with pytest.raises(ScenarioError, match="busy, demo, empty, scheduled, statuses"):
        Emulator("nix")


def test_exported_names() -> None:
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="nix"):
        package.nix  # noqa: B018 - the access raises
