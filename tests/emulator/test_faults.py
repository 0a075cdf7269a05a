"""What goes wrong on purpose, seen from the other end of the connection."""

from __future__ import annotations

import json
import re
import socket
import time

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.emulator.faults import BOMB_SIZE, FaultKind, bomb
from tests.emulator.conftest import Api

CLEAR = [{"op": "replace", "path": "/completionStatus", "value": "Error"}]


def exchange(api: Api, path: str, body: bytes = b"", method: str = "GET") -> bytes:
    """Send a request over a bare socket, and return all that comes until the other end closes."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: {api.session.headers['Authorization']!s}\r\n"
        f"Content-Type: application/json-patch+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
        return received


@pytest.fixture
def api(api: Api, emulator: Emulator) -> Api:
    emulator.add_task("stuck", launched=-60, duration=None)
    emulator.reset_requests()
    return api


@pytest.mark.parametrize(
    ("kind", "cleared", "logged"),
    [("drop", None, 0), ("drop_after", "Error", 200), ("truncate", "Error", 200)],
)
def test_cut_connections(
    api: Api, emulator: Emulator, kind: FaultKind, cleared: str | None, logged: int
) -> None:
    emulator.fail(kind=kind, times=1)
    body = b'[{"op": "replace", "path": "/completionStatus", "value": "Error"}]'
    received = exchange(api, "/task-status/v1/stuck", body, "PATCH")
    if kind == "truncate":
        head, _, content = received.partition(b"\r\n\r\n")
        (length,) = (line for line in head.lower().splitlines() if line.startswith(b"content-length"))
        assert head.startswith(b"HTTP/1.1 200")
        assert len(content) == int(length.partition(b":")[2]) // 2 > 100
    else:
        assert received == b""
    assert emulator.task("stuck")["completionStatus"] == cleared
    (entry,) = emulator.requests
    assert (entry.method, entry.status, entry.fault) == ("PATCH", logged, kind)


def test_request_that_its_client_cuts_short(
    api: Api, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ngrant")
    assert api.get("/task-status/v1").status_code == 200
    emulator.stop()
    assert [request.path for request in emulator.requests] == ["/task-status/v1"]
    assert caplog.records == []


@pytest.mark.parametrize("kind", ["drop", "drop_after", "truncate"])
def test_cut_connections_as_a_client_sees_them(api: Api, emulator: Emulator, kind: FaultKind) -> None:
    emulator.fail(kind=kind, times=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        api.get("/task-status/v1")
    assert api.get("/task-status/v1").status_code == 200


def test_cut_connections_leave_no_trace_in_uvicorns_log(
    api: Api, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in ("drop", "drop_after", "truncate"):
        emulator.fail(kind=kind, times=1)
        exchange(api, "/task-status/v1")
    emulator.stop()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("status", "key"),
    [(400, "detailCode"), (401, "error"), (403, "detailCode"), (429, "message"), (503, "detailCode")],
)
def test_status(api: Api, emulator: Emulator, status: int, key: str) -> None:
    emulator.fail(status, headers={"Retry-After": "7"})
    answer = api.patch("/task-status/v1/stuck", CLEAR)
    assert answer.status_code == status
    assert key in answer.json()
    assert answer.headers["Retry-After"] == "7"
    assert emulator.task("stuck")["completionStatus"] is None
    assert emulator.requests[-1].fault == "status"


def test_status_is_503_by_default(api: Api, emulator: Emulator) -> None:
    emulator.fail()
    assert api.get("/task-status/v1").status_code == 503


@pytest.mark.parametrize("body", ["own text", b"own text"])
def test_own_body(api: Api, emulator: Emulator, body: str | bytes) -> None:
    emulator.fail(500, body=body, headers={"Content-Type": "text/plain"})
    answer = api.get("/task-status/v1")
    assert (answer.text, answer.headers["Content-Type"]) == ("own text", "text/plain")


def test_html(api: Api, emulator: Emulator) -> None:
    emulator.fail(502, kind="html")
    answer = api.get("/task-status/v1")
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html")
    assert "<h1>502 Bad Gateway</h1>" in answer.text


@pytest.mark.parametrize(("status", "kind"), [(404, "empty"), (200, "empty"), (204, "status"), (304, "html")])
def test_no_body(api: Api, emulator: Emulator, status: int, kind: FaultKind) -> None:
    emulator.fail(status, kind=kind)
    answer = api.get("/task-status/v1/stuck")
    assert (answer.status_code, answer.content) == (status, b"")


def test_delay(api: Api, emulator: Emulator) -> None:
    emulator.fail(kind="delay", delay=0.2, times=1)
    assert api.get("/task-status/v1").elapsed.total_seconds() >= 0.2
    api.get("/task-status/v1")
    assert [request.fault for request in emulator.requests] == ["delay", None]


def test_delays_as_many_as_it_should(api: Api, emulator: Emulator) -> None:
    emulator.fail(kind="delay", delay=60, times=1)
    with pytest.raises(requests.Timeout):
        api.session.get(f"{api.url}/task-status/v1", timeout=0.05)
    assert api.get("/task-status/v1").status_code == 200


def test_delays_add_up_and_precede_another_fault(api: Api, emulator: Emulator) -> None:
    emulator.fail(kind="delay", delay=0.1)
    emulator.fail(500, delay=0.1)
    emulator.fail(502)
    answer = api.get("/task-status/v1")
    assert answer.status_code == 500
    assert answer.elapsed.total_seconds() >= 0.2
    assert emulator.requests[-1].fault == "status"


def test_delayed_request_takes_effect_though_the_client_gave_up(api: Api, emulator: Emulator) -> None:
    emulator.fail(kind="delay", delay=0.2)
    with pytest.raises(requests.Timeout):
        api.session.patch(
            f"{api.url}/task-status/v1/stuck",
            json=CLEAR,
            headers={"Content-Type": "application/json-patch+json"},
            timeout=0.05,
        )
    deadline = time.monotonic() + 5
    while emulator.task("stuck")["completionStatus"] is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert emulator.task("stuck")["completionStatus"] == "Error"


def test_stop_ends_delayed_requests(api: Api, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    emulator.fail(kind="delay", delay=60)
    started = time.monotonic()
    with pytest.raises(requests.Timeout):
        api.session.get(f"{api.url}/task-status/v1", timeout=0.05)
    emulator.stop()
    assert time.monotonic() - started < 60
    assert caplog.records == []


def test_trickle(api: Api, emulator: Emulator) -> None:
    whole = api.get("/task-status/v1/stuck").content
    emulator.fail(kind="trickle", times=1, headers={"X-Slow": "yes"})
    answer = api.get("/task-status/v1/stuck")
    assert (answer.status_code, answer.content, answer.headers["X-Slow"]) == (200, whole, "yes")
    emulator.fail(kind="trickle", delay=60, times=1)
    with api.session.get(f"{api.url}/task-status/v1/stuck", timeout=5, stream=True) as slow:
        assert slow.raw.read(1) == whole[:1]
    assert [request.fault for request in emulator.requests] == [None, "trickle", "trickle"]


@pytest.mark.parametrize(("delay", "body"), [(0, None), (0.001, "[1,"), (0.001, b"x")])
def test_endless(api: Api, emulator: Emulator, delay: float, body: str | bytes | None) -> None:
    emulator.fail(kind="endless", delay=delay, body=body, times=1)
    with api.session.get(f"{api.url}/task-status/v1/stuck", timeout=5, stream=True) as answer:
        assert answer.status_code == 200
        piece = b" " if body is None else body.encode() if isinstance(body, str) else body
        assert answer.raw.read(6) == (piece * 6)[:6]
    # It has ended on this side, or this would never be answered.
    assert api.get("/task-status/v1").status_code == 200


@pytest.mark.parametrize("kind", ["trickle", "endless"])
def test_stop_ends_slow_answers(
    api: Api, emulator: Emulator, caplog: pytest.LogCaptureFixture, kind: FaultKind
) -> None:
    for delay in (0, 0.001, 60):
        emulator.clear_faults()
        emulator.fail(kind=kind, delay=delay)
        for read in (1, 0):
            with api.session.get(f"{api.url}/task-status/v1/stuck", timeout=5, stream=True) as answer:
                assert len(answer.raw.read(read)) == read
    held = api.session.get(f"{api.url}/task-status/v1/stuck", timeout=5, stream=True)
    emulator.stop()
    held.close()
    assert caplog.records == []


def test_gzip(api: Api, emulator: Emulator) -> None:
    emulator.fail(kind="gzip", size=3_000_000)
    with api.session.get(f"{api.url}/task-status/v1", timeout=5, stream=True) as answer:
        packed = answer.raw.read(decode_content=False)
    assert len(packed) < 1_000
    unpacked = api.get("/task-status/v1").content
    assert (len(unpacked), unpacked.strip(b"[] "), json.loads(unpacked)) == (3_000_000, b"", [])


def test_gzip_is_some_hundreds_of_megabytes_by_default() -> None:
    assert len(bomb(BOMB_SIZE)) < 2_000
    assert BOMB_SIZE >= 200_000_000


def test_query(api: Api, emulator: Emulator) -> None:
    emulator.fail(400, query='*"bad-id"*')
    answers = [
        api.get("/task-status/v1", filters=f"id in ({ids})", limit=250).status_code
        for ids in ('"stuck", "bad-id"', '"stuck"', '"bad-id"', '"bad-id2"')
    ]
    assert answers == [400, 200, 400, 200]
    assert api.get("/task-status/v1").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "struck"),
    [
        (None, None, ["list", "get", "patch", "beta"]),
        ("GET", None, ["list", "get", "beta"]),
        ("patch", None, ["patch"]),
        (None, "/task-status*", ["list", "get", "patch"]),
        (None, "/task-status/v1/*", ["get", "patch"]),
        (None, "/beta/*", ["beta"]),
        (None, "/oauth/token", ["token"]),
        (None, "*", ["list", "get", "patch", "beta", "token"]),
    ],
)
def test_scope(api: Api, emulator: Emulator, method: str | None, path: str | None, struck: list[str]) -> None:
    emulator.fail(599, method=method, path=path)
    answers = {
        "list": api.get("/task-status/v1"),
        "get": api.get("/task-status/v1/stuck"),
        "patch": api.patch("/task-status/v1/stuck", CLEAR),
        "beta": api.get("/beta/task-status"),
        "token": api.token(emulator.client_id, emulator.client_secret),
    }
    assert [name for name, answer in answers.items() if answer.status_code == 599] == struck
    assert api.get("/_emulator/").status_code == 200


def test_times_and_order(api: Api, emulator: Emulator) -> None:
    emulator.fail(500, times=2)
    emulator.fail(502, times=1)
    assert [api.get("/task-status/v1").status_code for _ in range(5)] == [500, 500, 502, 200, 200]


def test_clear(api: Api, emulator: Emulator) -> None:
    emulator.fail(500)
    emulator.clear_faults()
    assert api.get("/task-status/v1").status_code == 200


def test_probability_is_repeatable() -> None:
    def strikes(seed: int) -> list[int]:
        with Emulator(seed=seed) as emulator:
            emulator.fail(503, probability=0.5)
            url = f"{emulator.url}/task-status/v1"
            return [requests.get(url, timeout=5).status_code for _ in range(30)]

    assert strikes(1) == strikes(1) != strikes(2)
    assert set(strikes(1)) == {503, 401}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"kind": "explode"}, "kind: 'explode'"),
        ({"status": 99}, "status: 99"),
        ({"status": 600}, "status: 600"),
        ({"times": 0}, "times: 0"),
        ({"probability": 0}, "probability: 0"),
        ({"probability": 1.1}, "probability: 1.1"),
        ({"delay": -1}, "delay: -1"),
        ({"kind": "delay"}, "delay: 0.0"),
        ({"kind": "gzip", "size": 1}, "size: 1"),
        ({"kind": "gzip", "size": 2**33}, "size: 8589934592"),
    ],
)
def test_refused_faults(emulator: Emulator, arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        emulator.fail(**arguments)  # type: ignore[arg-type]
