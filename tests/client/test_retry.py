"""When the client tries again, after how long, and what it says about that."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from tenacity import wait_exponential, wait_fixed

from airflow_provider_sptasks.client import CompletionStatus, RetryPolicy, TaskStatusClient, clearing
from airflow_provider_sptasks.client.errors import (
    APIError,
    NotSentError,
    RateLimitedError,
    SailPointError,
    ServerError,
    TransportError,
)
from airflow_provider_sptasks.emulator import Emulator, LoggedRequest
from tests.client.conftest import Connect, OpenPacer, Waits, api_requests, token_requests

ID = "a" * 32
PATH = f"/task-status/v1/{ID}"

# What may go wrong for a while, with GET, HEAD and PATCH alike.
PASSING: list[dict[str, Any]] = [
    *({"status": status} for status in (429, 500, 502, 503, 504)),
    {"status": 503, "kind": "html"},
    {"status": 502, "kind": "empty"},
    *({"status": status} for status in (302, 408, 425)),
    *({"status": status, "kind": "html"} for status in (400, 403, 404)),
    {"status": 200, "kind": "html"},
    {"status": 200, "kind": "empty"},
    {"status": 200, "body": "null"},
    {"status": 200, "body": '{"a": "page"}'},
    {"kind": "drop"},
    {"kind": "drop_after"},
    {"kind": "truncate"},
]
CLEAR = [{"op": "replace", "path": "/completionStatus", "value": "Error"}]
CALLS: dict[str, tuple[str, Callable[[TaskStatusClient], object]]] = {
    "get": ("v1", lambda client: client.get(ID)),
    "list": ("v1", lambda client: list(client.list())),
    "find": ("v1", lambda client: client.find([ID])),
    "pending": ("v1", lambda client: list(client.pending())),
    "pending, beta": ("beta", lambda client: list(client.pending())),
    "update": ("v1", lambda client: client.update(ID, CLEAR)),
}


def name_of(fault: object) -> str:
    return " ".join(map(str, fault.values())) if isinstance(fault, dict) else str(fault)


@pytest.mark.parametrize("fault", PASSING, ids=name_of)
@pytest.mark.parametrize("call", CALLS)
def test_transient_errors_are_waited_out(
    call: str, fault: dict[str, Any], connect: Connect, emulator: Emulator, waits: Waits
) -> None:
    emulator.add_task(ID, duration=None)
    version, function = CALLS[call]
    emulator.fail(**fault, times=2)
    assert function(connect(version))
    statuses = [request.status for request in api_requests(emulator)]
    assert len(statuses) == 3
    assert statuses[-1] == 200
    assert waits.seconds == [0.25, 0.25]


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"kind": "drop"}], ids=name_of)
def test_head_is_tried_again(fault: dict[str, Any], connect: Connect, emulator: Emulator) -> None:
    emulator.add_task(duration=None)
    emulator.fail(**fault, times=2)
    assert connect("beta").count_pending() == 1
    assert [request.method for request in api_requests(emulator)] == ["HEAD"] * 3


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 415, 422])
def test_what_does_not_pass_is_not_tried_again(
    call: str, status: int, connect: Connect, emulator: Emulator, waits: Waits
) -> None:
    version, function = CALLS[call]
    emulator.fail(status, headers={"Retry-After": "1"})
    with pytest.raises(APIError) as caught:
        function(connect(version))
    assert caught.value.status == status
    assert len(api_requests(emulator)) == 1
    assert waits.seconds == []


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("0", 0.25, 0.25),
        ("-5", 0.25, 0.25),
        ("0.1", 0.25, 1.25),
        ("7", 7, 8),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True), 50, 61),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.25, 0.25),
        ("soon", 0.25, 0.25),
    ],
    ids=["zero", "negative", "fraction", "seconds", "date", "past date", "nonsense"],
)
def test_waits_as_the_answer_asks_and_a_little_longer(
    header: str | Callable[[], str],
    low: float,
    high: float,
    status: int,
    client: TaskStatusClient,
    emulator: Emulator,
    waits: Waits,
) -> None:
    emulator.add_task(ID)
    text = header if isinstance(header, str) else header()
    emulator.fail(status, times=1, headers={"Retry-After": text})
    client.get(ID)
    (waited,) = waits.seconds
    assert low <= waited <= high


def test_an_answer_never_shortens_ones_own_back_off() -> None:
    """A second is asked for each time, and the pauses grow to 30 s nevertheless."""
    waits = Waits()
    wait = wait_exponential(multiplier=1, max=30)

    def attempt() -> None:
        raise RateLimitedError("GET", "/", 429, retry_after=1.0)

    with pytest.raises(RateLimitedError):
        RetryPolicy(max_attempts=9, deadline=1e6, wait=wait, sleep=waits).call(attempt, "it")
    own = [1, 2, 4, 8, 16, 30, 30, 30]
    assert all(low <= waited <= low + 1 for low, waited in zip(own, waits.seconds, strict=True))


def test_a_herd_is_spread(client: TaskStatusClient, emulator: Emulator, waits: Waits) -> None:
    emulator.fail(503, headers={"Retry-After": "7"})
    for _ in range(3):
        with pytest.raises(ServerError):
            client.get(ID)
    assert len(set(waits.seconds)) == 9


def test_waits_longer_and_longer_with_jitter_by_default() -> None:
    def wait(attempts: int) -> list[float]:
        waits = Waits()

        def attempt() -> None:
            raise TransportError("no")

        with pytest.raises(TransportError):
            RetryPolicy(max_attempts=attempts, deadline=1e6, sleep=waits).call(attempt, "it")
        return waits.seconds

    runs = [wait(12) for _ in range(20)]
    assert all(0.2 <= seconds <= 30 for run in runs for seconds in run)
    assert len({run[-1] for run in runs}) > 10
    assert max(run[0] for run in runs) <= 0.5
    assert max(run[-1] for run in runs) > 5


class TestDeadline:
    def test_does_not_wait_for_what_comes_after_it(
        self, connect: Connect, emulator: Emulator, waits: Waits
    ) -> None:
        client = connect(retry=RetryPolicy(deadline=60, sleep=waits))
        emulator.fail(429, headers={"Retry-After": "61"})
        with pytest.raises(RateLimitedError) as caught:
            client.get(ID)
        assert caught.value.retry_after == 61
        assert len(api_requests(emulator)) == 1
        assert waits.seconds == []

    def test_the_last_attempt_begins_before_it(self, connect: Connect, emulator: Emulator) -> None:
        client = connect(retry=RetryPolicy(deadline=0.5, wait=wait_fixed(0.2)))
        emulator.fail(503)
        with pytest.raises(ServerError):
            client.get(ID)
        # At 0, 0.2 and 0.4 seconds; fewer on a machine that is busy, and never more.
        assert 1 <= len(api_requests(emulator)) <= 3

    def test_begins_with_each_call(self, connect: Connect, emulator: Emulator, waits: Waits) -> None:
        client = connect(retry=RetryPolicy(deadline=60, max_attempts=4, wait=wait_fixed(1), sleep=waits))
        emulator.add_task(ID)
        for _ in range(3):
            emulator.fail(503, times=3)
            assert client.get(ID).id == ID
        assert len(api_requests(emulator)) == 12

    def test_without_patience_there_is_one_attempt(self, connect: Connect, emulator: Emulator) -> None:
        client = connect(retry=RetryPolicy(deadline=0))
        emulator.fail(503)
        with pytest.raises(ServerError):
            client.get(ID)
        assert len(api_requests(emulator)) == 1

    def test_with_retry_changes_the_patience_alone(
        self, connect: Connect, emulator: Emulator, waits: Waits
    ) -> None:
        client = connect()
        hasty = client.with_retry(RetryPolicy(max_attempts=1))
        emulator.fail(503)
        for each, tries in ((hasty, 1), (client, 4)):
            emulator.reset_requests()
            with pytest.raises(ServerError):
                each.get(ID)
            assert len(api_requests(emulator)) == tries
        emulator.clear_faults()
        emulator.reset_requests()
        emulator.add_task(ID)
        assert hasty.get(ID) == client.get(ID)
        assert token_requests(emulator) == []


class TestLog:
    def test_each_wait_is_logged(
        self, client: TaskStatusClient, emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        emulator.add_task(ID)
        emulator.fail(503, times=1, body="{}")
        emulator.fail(kind="drop", times=1)
        client.get(ID)
        assert [(record.levelno, record.name) for record in caplog.records] == [
            (logging.WARNING, "airflow_provider_sptasks.client.retry")
        ] * 2
        first, second = (record.getMessage() for record in caplog.records)
        assert first == (
            f"GET {PATH} failed (attempt 1), trying again in 0.2 s: GET {PATH} was answered with 503"
        )
        assert second.startswith(f"GET {PATH} failed (attempt 2), trying again in 0.2 s: GET {PATH} at 127.")

    def test_the_last_failure_is_raised_and_not_logged(
        self, client: TaskStatusClient, emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        emulator.fail(503)
        with pytest.raises(ServerError):
            client.get(ID)
        logged = [record.getMessage().partition("(")[2].partition(")")[0] for record in caplog.records]
        assert logged == ["attempt 1", "attempt 2", "attempt 3"]

    def test_success_is_silent(
        self, client: TaskStatusClient, emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        emulator.add_task(ID)
        client.get(ID)
        assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


class TestPatch:
    """The patch of this API is idempotent, so that it may be sent again when the answer is lost."""

    @pytest.mark.parametrize("kind", ["drop", "drop_after"])
    def test_the_answer_is_lost(self, kind: Any, client: TaskStatusClient, emulator: Emulator) -> None:
        task = emulator.add_task(duration=None)
        emulator.fail(kind=kind, method="PATCH", times=1)
        assert client.update(task.id, CLEAR).is_complete
        first, second = api_requests(emulator)
        assert (first.status, second.status) == (0 if kind == "drop" else 200, 200)
        assert first.body == second.body


class TestClear:
    """A task may end by itself between two attempts, so that it is read again before the next one."""

    @pytest.mark.parametrize("fault", [each for each in PASSING if each.get("status") != 429], ids=name_of)
    def test_is_repeated_where_the_task_still_is_pending(
        self, fault: dict[str, Any], client: TaskStatusClient, emulator: Emulator
    ) -> None:
        task = emulator.add_task(duration=None)
        emulator.fail(method="PATCH", times=1, **fault)
        assert client.clear(task.id).completion_status is CompletionStatus.ERROR
        repeated = [] if fault.get("kind") in ("drop_after", "truncate") else ["PATCH"]
        assert [request.method for request in api_requests(emulator)] == ["PATCH", "GET", *repeated]

    @pytest.mark.parametrize("fault", [{"status": 503}, {"kind": "drop"}, {"status": 403, "kind": "html"}])
    def test_leaves_alone_what_has_ended_meanwhile(
        self, fault: dict[str, Any], client: TaskStatusClient, emulator: Emulator
    ) -> None:
        task = emulator.add_task(duration=None)
        emulator.fail(method="PATCH", **fault)

        def complete(request: LoggedRequest) -> None:
            if request.method == "PATCH":
                emulator.complete(task.id)

        emulator.on_request(complete)
        assert client.clear(task.id).completion_status is CompletionStatus.SUCCESS
        assert [request.method for request in api_requests(emulator)] == ["PATCH", "GET"]
        assert emulator.task(task.id)["completionStatus"] == "SUCCESS"

    @pytest.mark.parametrize("path", ["/task-status/*", "/oauth/token"])
    def test_what_was_not_acted_upon_is_repeated_at_once(
        self, path: str, client: TaskStatusClient, emulator: Emulator
    ) -> None:
        task = emulator.add_task(duration=None)
        emulator.fail(429, path=path, times=1)
        assert client.clear(task.id).is_complete
        assert {request.method for request in api_requests(emulator)} == {"PATCH"}

    def test_the_repeat_is_sent_soon_after_the_read(
        self, connect: Connect, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the pace doesn't allow that, it is read once more."""
        monkeypatch.setattr(clearing, "FRESHNESS", 0.0)
        task = emulator.add_task(duration=None)
        emulator.fail(503, method="PATCH", times=1)
        with pytest.raises(NotSentError):
            connect().clear(task.id)
        assert [request.method for request in api_requests(emulator)] == ["PATCH", "GET", "GET", "GET"]

    def test_fails_with_the_last_error(self, client: TaskStatusClient, emulator: Emulator) -> None:
        emulator.fail(503)
        with pytest.raises(ServerError, match="GET"):
            client.clear(ID)
        assert [request.method for request in api_requests(emulator)] == ["PATCH", "GET", "GET", "GET"]

    def test_too_late(self, connect: Connect, emulator: Emulator) -> None:
        task = emulator.add_task(duration=None)
        emulator.fail(kind="delay", delay=0.5, method="PATCH", times=1)
        assert connect(timeout=0.2).clear(task.id).is_complete
        assert emulator.task(task.id)["completionStatus"] == "Error"


def test_pages_that_were_read_are_not_read_again(client: TaskStatusClient, emulator: Emulator) -> None:
    for n in range(6):
        emulator.add_task(launched=-100 + n, duration=1)
    found = client.list(page_size=2)
    seen = [next(found).id for _ in range(2)]
    emulator.fail(503, times=2)
    seen += [task.id for task in found]
    assert seen == [task["id"] for task in emulator.tasks()]

    # Pages overlap by one here; the second one was tried three times, and none before it again.
    offsets = [int(request.query["offset"]) for request in api_requests(emulator)]
    assert offsets[:5] == [0, 1, 1, 1, 2]
    assert offsets[4:] == list(range(2, 2 + len(offsets[4:])))


def test_what_is_no_error_of_the_tenant_is_not_tried_again() -> None:
    calls: list[int] = []

    def attempt() -> None:
        calls.append(1)
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        RetryPolicy().call(attempt, "it")
    assert len(calls) == 1


def test_threads_that_share_a_client_do_not_share_its_attempts(emulator: Emulator, connect: Connect) -> None:
    emulator.fail(503)
    client = connect()
    errors: list[SailPointError] = []

    def get() -> None:
        try:
            client.get(ID)
        except SailPointError as error:
            errors.append(error)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 4
    assert len(api_requests(emulator)) == 16


def test_a_429_holds_the_others_too(client: TaskStatusClient, emulator: Emulator, pacer: OpenPacer) -> None:
    emulator.add_task(ID)
    emulator.fail(429, times=1, headers={"Retry-After": "7"})
    client.get(ID)
    for header in ("0", "-7", "0.2", "soon"):
        emulator.fail(429, times=1, headers={"Retry-After": header})
        with pytest.raises(RateLimitedError):
            client.with_retry(RetryPolicy(max_attempts=1)).get(ID)
    assert pacer.holds == [7.0, 1.0, 1.0, 1.0, 1.0]
