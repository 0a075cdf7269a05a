"""The back door over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator
from tests.emulator.conftest import Api

JSON = {"Content-Type": "application/json"}


def send(emulator: Emulator, method: str, path: str, body: Any = None) -> Any:
    answer = requests.request(method, f"{emulator.url}/_emulator{path}", json=body, headers=JSON, timeout=5)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_tasks(emulator: Emulator) -> None:
    (added,) = send(
        emulator, "POST", "/tasks", {"id": "x", "source": "SAP", "launched": "-1m", "duration": None}
    )
    assert added["id"] == "x"
    assert send(emulator, "GET", "/tasks") == emulator.tasks()
    done = send(emulator, "POST", "/tasks/x/complete", {"outcome": "ERROR"})
    assert done["completionStatus"] == emulator.task("x")["completionStatus"] == "ERROR"
    several = send(emulator, "POST", "/tasks", {"source": "App {n}", "count": 3})
    assert len({task["id"] for task in several}) == 3
    assert send(emulator, "POST", f"/tasks/{several[0]['id']}/complete")["completionStatus"] == "SUCCESS"


def test_sources_and_schedules(emulator: Emulator, api: Api) -> None:
    (added,) = send(emulator, "POST", "/sources", {"name": "HR", "delimited_file": True, "duration": "1m"})
    assert added["type"] == "DelimitedFile"
    several = send(
        emulator,
        "POST",
        "/schedules",
        {"source": "App {n}", "every": "1h", "count": 2, "outcome": ["ERROR", "SUCCESS"]},
    )
    assert [each["source"] for each in several] == ["App 1", "App 2"]
    assert send(emulator, "GET", "/schedules") == several
    assert [each["name"] for each in send(emulator, "GET", "/sources")] == ["HR", "App 1", "App 2"]
    assert len(emulator.tasks()) == 2
    load = f"{emulator.url}/sources/v1/{added['id']}/load-accounts"
    assert api.session.post(load, files={"file": ("hr.csv", b"id\n1\n2\n")}, timeout=5).status_code == 202
    (started,) = send(emulator, "GET", "/started")
    assert started["id"] == emulator.started[0].id
    (upload,) = send(emulator, "GET", "/uploads")
    assert (upload["task_id"], upload["filename"], upload["rows"]) == (started["id"], "hr.csv", 2)
    overview = send(emulator, "GET", "/")
    assert (overview["sources"], overview["schedules"], overview["started"]) == (3, 2, 1)
    assert send(emulator, "DELETE", "/schedules") == []
    send(emulator, "POST", "/clock", {"advance": "3h"})
    assert len(emulator.tasks()) == 3
    send(emulator, "POST", "/reset")
    for path in ("/sources", "/schedules", "/started", "/uploads"):
        assert send(emulator, "GET", path) == []


def test_clock(emulator: Emulator) -> None:
    emulator.add_task("x", duration=3600)
    send(emulator, "POST", "/clock", {"advance": "1h"})
    assert emulator.task("x")["completionStatus"] == "SUCCESS"


def test_faults(emulator: Emulator, api: Api) -> None:
    fault = {"status": 502, "kind": "html", "method": "GET", "path": "/beta/*", "times": 9, "probability": 1}
    added = send(
        emulator, "POST", "/faults", {**fault, "delay": "0.01s", "headers": {"A": "b"}, "body": "oh"}
    )
    assert added.items() >= fault.items()
    answer = api.get("/beta/task-status")
    assert (answer.status_code, answer.text, answer.headers["A"]) == (502, "oh", "b")
    assert [active["id"] for active in send(emulator, "GET", "/faults")] == [added["id"]]
    assert send(emulator, "DELETE", "/faults") == []
    assert api.get("/beta/task-status").status_code == 200


def test_requests(emulator: Emulator, api: Api) -> None:
    api.get("/task-status/v1", limit=3)
    logged = send(emulator, "GET", "/requests")
    assert [entry["path"] for entry in logged] == ["/oauth/token", "/task-status/v1"]
    assert logged[1]["query"] == {"limit": "3"}
    assert send(emulator, "DELETE", "/requests") == []
    assert emulator.requests == ()


def test_revoke(emulator: Emulator, api: Api) -> None:
    send(emulator, "POST", "/revoke", {"client_id": "another client"})
    assert api.get("/task-status/v1").status_code == 200
    send(emulator, "POST", "/revoke")
    assert api.get("/task-status/v1").status_code == 401


def test_reset_and_overview(api: Api) -> None:
    with Emulator("demo") as emulator:
        emulator.fail(500)
        requests.get(f"{emulator.url}/task-status/v1", timeout=5)
        overview = send(emulator, "GET", "/")
        assert (overview["tasks"], overview["faults"], overview["requests"]) == (8, 1, 1)
        assert overview["rateLimit"]["requests"] == 100
        send(emulator, "POST", "/reset")
        overview = send(emulator, "GET", "/")
        assert (overview["tasks"], overview["faults"], overview["requests"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("path", "body", "status", "problem"),
    [
        ("/tasks", b"{", 400, "not JSON"),
        ("/tasks", b"[]", 400, "not a JSON object"),
        ("/tasks", b'{"count": 10000000}', 400, "count = 10000000 is more than 10000"),
        ("/tasks", b'{"id": "' + b"x" * 2**20 + b'"}', 413, "too long"),
        ("/schedules", b'{"source": "x", "every": 0.001, "offset": "-1d"}', 400, "more than 100000"),
        ("/tasks", b'{"sorce": "x"}', 400, "unknown key 'sorce'"),
        ("/tasks", b'{"duration": "soon"}', 400, "duration = 'soon' is not a duration"),
        ("/tasks", b'{"id": "taken"}', 400, "already a task 'taken'"),
        ("/tasks/nix/complete", b"", 404, "no task 'nix'"),
        ("/tasks/taken/complete", b'{"outcome": 5}', 400, "outcome = 5 must be a text"),
        ("/sources", b'{"id": "x"}', 400, "source: name is missing"),
        ("/sources", b'{"name": "x", "id": "TAKEN"}', 400, "already a source 'taken'"),
        ("/schedules", b'{"source": "x"}', 400, "schedule: every is missing"),
        ("/schedules", b'{"source": "x", "every": "soon"}', 400, "every = 'soon' is not a duration"),
        ("/clock", b"", 400, "advance is missing"),
        ("/clock", b'{"advance": "soon"}', 400, "advance = 'soon' is not a duration"),
        ("/clock", b'{"advance": Infinity}', 400, "advance = inf is longer"),
        ("/clock", b'{"back": 1}', 400, "unknown key 'back'"),
        ("/faults", b'{"status": "x"}', 400, "status = 'x' is not of the type int"),
        ("/faults", b'{"times": true}', 400, "times = True"),
        ("/faults", b'{"status": 42}', 400, "status: 42"),
        ("/faults", b'{"kind": "x"}', 400, "kind: 'x'"),
        ("/faults", b'{"delay": "x"}', 400, "delay = 'x' is not a duration"),
        ("/faults", b'{"headers": {"a": 1}}', 400, "must have texts as values"),
        ("/faults", b'{"nix": 1}', 400, "unknown key 'nix'"),
        ("/revoke", b'{"client_id": 5}', 400, "client_id = 5 must be a text"),
    ],
)
def test_refusals(emulator: Emulator, path: str, body: bytes, status: int, problem: str) -> None:
    emulator.add_task("taken")
    emulator.add_source("Mine", "taken")
    answer = requests.post(f"{emulator.url}/_emulator{path}", data=body, headers=JSON, timeout=5)
    assert answer.status_code == status
    assert problem in answer.json()["error"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "www.localhost"])
def test_foreign_host(emulator: Emulator, host: str) -> None:
    answer = requests.post(
        f"{emulator.url}/_emulator/reset", headers={"Host": host}, timeout=5, allow_redirects=False
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:1234"])
def test_own_host(emulator: Emulator, host: str) -> None:
    assert requests.get(f"{emulator.url}/_emulator/", headers={"Host": host}, timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "OWN"}, 200),
    ],
    ids=str,
)
def test_web_pages_of_other_origins(emulator: Emulator, headers: dict[str, str], status: int) -> None:
    emulator.add_task("x")
    headers = JSON | {name: emulator.url if value == "OWN" else value for name, value in headers.items()}
    answer = requests.post(f"{emulator.url}/_emulator/reset", data=b"{}", headers=headers, timeout=5)
    assert answer.status_code == status
    assert bool(emulator.tasks()) == (status != 200)


def test_too_many_launches_at_once(emulator: Emulator) -> None:
    emulator.schedule("A", every=0.01, offset=3600)
    answer = requests.post(f"{emulator.url}/_emulator/clock", json={"advance": "1d"}, timeout=5)
    assert (answer.status_code, "more than 100000 aggregations" in answer.text) == (400, True)
    send(emulator, "POST", "/clock", {"advance": "1h"})


def test_not_logged_nor_faulted(emulator: Emulator) -> None:
    emulator.fail(500, path="*")
    send(emulator, "GET", "/tasks")
    assert emulator.requests == ()
    assert requests.head(f"{emulator.url}/_emulator/", timeout=5).status_code == 200
