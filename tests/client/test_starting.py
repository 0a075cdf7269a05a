"""Starter an aggregation once, whatever is lost on the way."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tenacity import wait_fixed

from airflow_provider_sptasks.client import RetryPolicy, SourcesClient, TaskKind, TaskStatusClient, starting
from airflow_provider_sptasks.client.clearing import StoppedError
from airflow_provider_sptasks.client.clearing_record import clear_record
from airflow_provider_sptasks.client.errors import (
    AmbiguousError,
    APIError,
    ForbiddenError,
    ServerError,
    UploadError,
)
from airflow_provider_sptasks.client.intent import Intent, Outcome, StartResult
from airflow_provider_sptasks.client.start_options import StartOptions
from airflow_provider_sptasks.client.starting import IfRunning, Starter
from airflow_provider_sptasks.emulator import Emulator, LoggedRequest
from tests.client.conftest import Connect, api_requests

SOURCE = "a" * 32
FUTURE = {"launched": "2099-01-01T00:00:00Z"}
HASTY = RetryPolicy(deadline=20, wait=wait_fixed(0.01))
every_version = pytest.mark.parametrize("version", ["beta", "v2024", "v2025", "v2026", "v1"])

Start = Callable[..., Starter]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "SHOWS_WITHIN_SECONDS", 0.4)
    monkeypatch.setattr(starting, "FIRST_PAUSE_SECONDS", 0.05)


@pytest.fixture
def notes() -> list[Intent | None]:
    return []


@pytest.fixture
def start(connect: Connect, emulator: Emulator, notes: list[Intent | None]) -> Start:
    """Make what starts account aggregations of a source whose aggregations don't end."""
    emulator.add_source("Active Directory", SOURCE, duration=None)

    def make(version: str = "v1", client: TaskStatusClient | None = None, **kwargs: Any) -> Starter:
        client = client or connect(version, retry=HASTY)
        given: dict[str, Any] = {
            "source_id": SOURCE,
            "kind": TaskKind.ACCOUNTS,
            "options": StartOptions(),
            "if_running": IfRunning.WAIT,
            "deadline": time.monotonic() + kwargs.pop("patience", 20),
            "stop": threading.Event(),
            "note": notes.append,
        } | kwargs
        return Starter(client, SourcesClient(client.transport), **given)

    return make


def posts(emulator: Emulator) -> list[LoggedRequest]:
    return [request for request in api_requests(emulator) if request.method == "POST"]


def started(emulator: Emulator) -> list[str]:
    return [task.id for task in emulator.started]


def add(emulator: Emulator, **kwargs: Any) -> str:
    return emulator.add_task(source="Active Directory", source_id=SOURCE, **kwargs).id


@every_version
class TestOnce:
    def test_starts(self, start: Start, emulator: Emulator, notes: list[Intent | None], version: str) -> None:
        old = add(emulator, launched=-60, duration=1)
        add(emulator, launched=-50, duration=1, kind="entitlements")
        outcome = start(version).run()
        assert [outcome] == [Outcome(StartResult.STARTED, each, is_own=True) for each in started(emulator)]
        before, after = notes
        assert before is not None
        assert after is not None
        assert (before.task_status_id, after.task_status_id) == (None, outcome.task_status_id)
        assert old in before.known

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param({"kind": "drop"}, id="dropped before"),
            pytest.param({"kind": "drop_after"}, id="dropped after"),
            pytest.param({"kind": "truncate"}, id="half an answer"),
            pytest.param({"status": 500}, id="500"),
            pytest.param({"kind": "html", "status": 502}, id="a proxy's page"),
            pytest.param({"kind": "html", "status": 200}, id="a proxy's page with 200"),
        ],
    )
    def test_an_answer_that_is_lost(
        self, start: Start, emulator: Emulator, version: str, fault: dict[str, Any]
    ) -> None:
        add(emulator, launched=-60, duration=1)
        emulator.fail(method="POST", path="*/load-accounts", times=1, **fault)
        outcome = start(version).run()
        assert started(emulator) == [outcome.task_status_id]
        taken = fault.get("kind") in ("drop_after", "truncate")
        assert outcome.result is (StartResult.FOUND if taken else StartResult.STARTED)
        assert len(posts(emulator)) == (1 if taken else 2)


@pytest.mark.parametrize("name", ["AI Agent Aggregation - Bots", "Machine Identity Aggregation"])
def test_agents_whose_answer_is_lost_are_found_by_either_name(
    start: Start, emulator: Emulator, name: str
) -> None:
    emulator.fail(kind="drop_after", method="POST", times=1)
    options = StartOptions(dataset_ids=("source:one",))
    # A note is made once the answer is lost, too, before the tenant is asked what it launched.
    outcome = start(kind=TaskKind.AI_AGENTS, options=options, note=lambda _: rename(emulator, name)).run()
    assert started(emulator) == [outcome.task_status_id]
    assert (outcome.result, outcome.is_own, len(posts(emulator))) == (StartResult.FOUND, True, 1)


def rename(emulator: Emulator, name: str) -> None:
    for task in emulator.started:
        emulator.override_task(task.id, uniqueName=name, taskDefinitionSummary=None)


def test_the_note_is_made_before_anything_is_sent(start: Start, emulator: Emulator) -> None:
    seen: list[int] = []
    start(note=lambda _: seen.append(len(posts(emulator)))).run()
    assert seen == [0, 1]


def test_a_time_out_before_the_tenant_takes_it(
    start: Start, connect: Connect, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "SHOWS_WITHIN_SECONDS", 10.0)
    emulator.fail(kind="delay", delay=1.5, method="POST", times=1)
    outcome = start(client=connect(retry=HASTY, timeout=0.5)).run()
    assert outcome.result is StartResult.FOUND
    assert started(emulator) == [outcome.task_status_id]


def test_one_that_shows_only_when_it_is_in_the_way(start: Start, emulator: Emulator) -> None:
    """The polls after the lost answer come too early, so it is sent again, and refused."""
    emulator.fail(kind="drop_after", method="POST", times=1)

    def blind(intent: Intent | None) -> None:
        if intent is not None and not posts(emulator):
            emulator.fail(200, path="/task-status/v1", body=b"[]")

    def see(request_count: int) -> None:
        while len(posts(emulator)) < request_count:
            time.sleep(0.01)
        emulator.clear_faults()

    thread = threading.Thread(target=see, args=(2,))
    thread.start()
    outcome = start(note=blind).run()
    thread.join()
    assert outcome.result is StartResult.FOUND
    assert started(emulator) == [outcome.task_status_id]
    assert len(posts(emulator)) == 2


def test_what_the_schedule_launched_before_is_not_taken_for_it(start: Start, emulator: Emulator) -> None:
    for minutes in range(1, 6):
        add(emulator, launched=-60 * minutes, duration=1)
    emulator.fail(kind="drop", method="POST", times=1)
    outcome = start().run()
    assert outcome.result is StartResult.STARTED
    assert started(emulator) == [outcome.task_status_id]


def test_a_record_that_claims_to_be_of_the_future(start: Start, emulator: Emulator) -> None:
    """FAULTS P2: what is started now is newer than it all the same."""
    add(emulator, launched=-60, duration=1, fields=FUTURE)
    emulator.fail(kind="drop_after", method="POST")
    outcome = start().run()
    assert outcome.result is StartResult.FOUND
    assert started(emulator) == [outcome.task_status_id]


@pytest.mark.parametrize("seconds", [-7_200, 7_200])
def test_clocks_that_differ(start: Start, emulator: Emulator, seconds: float) -> None:
    emulator.clock.advance(seconds)
    add(emulator, launched=-60, duration=1)
    emulator.fail(kind="drop_after", method="POST", times=1)
    assert start().run() == Outcome(StartResult.FOUND, started(emulator)[0], is_own=True)


class TestWhileAnotherRuns:
    @pytest.mark.parametrize("kind", ["accounts", "entitlements"])
    def test_wait(self, start: Start, emulator: Emulator, notes: list[Intent | None], kind: str) -> None:
        running = add(emulator, launched=-60, duration=None, kind=kind)
        assert start().run() == Outcome(StartResult.BLOCKED, running)
        assert notes[-1] is None
        emulator.complete(running, "ERROR")
        outcome = start().run()
        assert outcome.result is StartResult.STARTED
        assert started(emulator) == [outcome.task_status_id]

    def test_attach(self, start: Start, emulator: Emulator, notes: list[Intent | None]) -> None:
        running = add(emulator, launched=-60, duration=None)
        outcome = Outcome(StartResult.ATTACHED, running)
        assert start(if_running=IfRunning.ATTACH).run() == outcome
        assert started(emulator) == []
        assert start(if_running=IfRunning.ATTACH).run(notes[-1]) == outcome

    def test_another_kind_is_not_attached_to(self, start: Start, emulator: Emulator) -> None:
        running = add(emulator, launched=-60, duration=None, kind="entitlements")
        assert start(if_running=IfRunning.ATTACH).run() == Outcome(StartResult.BLOCKED, running)

    @pytest.mark.parametrize("if_running", [IfRunning.FAIL, IfRunning.SKIP])
    def test_fail_and_skip(
        self, start: Start, emulator: Emulator, notes: list[Intent | None], if_running: IfRunning
    ) -> None:
        running = add(emulator, launched=-60, duration=None)
        outcome = start(if_running=if_running).run()
        assert outcome == Outcome(StartResult.BLOCKED, running)
        assert outcome.task is not None
        assert outcome.task.source_name == "Active Directory"
        assert notes[-1] is None
        assert len(posts(emulator)) == 1

    @pytest.mark.parametrize("if_running", IfRunning)
    def test_ones_own_is_not_another(self, start: Start, emulator: Emulator, if_running: IfRunning) -> None:
        emulator.fail(kind="drop_after", method="POST", times=1)
        outcome = start(if_running=if_running).run()
        assert outcome == Outcome(StartResult.FOUND, started(emulator)[0], is_own=True)

    def test_one_that_can_not_be_seen(self, start: Start, emulator: Emulator) -> None:
        running = add(emulator, launched=-60, duration=None)
        emulator.fail(200, path="/task-status/v1", body=b"[]")

        def end_it() -> None:
            while len(posts(emulator)) < 2:
                time.sleep(0.01)
            emulator.complete(running)

        thread = threading.Thread(target=end_it)
        thread.start()
        outcome = start().run()
        thread.join()
        assert outcome.result is StartResult.STARTED
        assert started(emulator) == [outcome.task_status_id]

    def test_until_the_deadline(self, start: Start, emulator: Emulator) -> None:
        add(emulator, launched=-60, duration=None)
        emulator.fail(200, path="/task-status/v1", body=b"[]")
        with pytest.raises(TimeoutError):
            start(patience=2.0).run()
        assert len(posts(emulator)) > 1
        assert started(emulator) == []


class TestAfterAnEarlierAttempt:
    def test_that_knew_the_id(self, start: Start, emulator: Emulator) -> None:
        earlier = Intent(SOURCE, TaskKind.ACCOUNTS, datetime.now(UTC), task_status_id="x")
        assert start().run(earlier) == Outcome(StartResult.FOUND, "x")
        assert api_requests(emulator) == []

    @pytest.mark.parametrize("most", [1, 2])
    def test_that_was_cut_short(self, start: Start, emulator: Emulator, most: int) -> None:
        """After the POST, before or after the id was noted."""
        kept: list[str] = []

        class Killed(BaseException):
            pass

        def note(intent: Intent | None) -> None:
            assert intent is not None
            if len(kept) < most:
                kept.append(json.dumps(intent.to_json()))
            if posts(emulator):
                raise Killed

        with pytest.raises(Killed):
            start(note=note).run()
        outcome = start().run(Intent.from_json(json.loads(kept[-1])))
        assert outcome.result is StartResult.FOUND
        assert started(emulator) == [outcome.task_status_id]

    def test_takes_the_first_that_is_new(self, start: Start, emulator: Emulator) -> None:
        known = add(emulator, launched=-500, duration=1)
        first = add(emulator, launched=-400, duration=1)
        add(emulator, launched=-300, duration=1)
        add(emulator, launched=-450, duration=1, kind="entitlements")
        since = datetime.now(UTC) - timedelta(seconds=600)
        earlier = Intent(SOURCE, TaskKind.ACCOUNTS, since, frozenset({known}))
        assert start().run(earlier) == Outcome(StartResult.FOUND, first)

    def test_takes_the_newest_where_it_can_only_guess(self, start: Start, emulator: Emulator) -> None:
        add(emulator, launched=-400, duration=1)
        newest = add(emulator, launched=-300, duration=1)
        since = datetime.now(UTC) - timedelta(seconds=600)
        earlier = Intent(SOURCE, TaskKind.ACCOUNTS, since, exact=False)
        assert start().run(earlier) == Outcome(StartResult.FOUND, newest)

    def test_does_not_guess_that_it_is_of_the_future(self, start: Start, emulator: Emulator) -> None:
        add(emulator, launched=-60, duration=1, fields=FUTURE)
        since = datetime.now(UTC) - timedelta(seconds=600)
        outcome = start().run(Intent(SOURCE, TaskKind.ACCOUNTS, since, exact=False))
        assert outcome.result is StartResult.STARTED

    @pytest.mark.parametrize("exact", [True, False])
    def test_without_time_to_look_for_it(self, start: Start, exact: bool) -> None:
        since = datetime.now(UTC) - timedelta(seconds=600)
        earlier = Intent(SOURCE, TaskKind.ACCOUNTS, since, sent=exact, exact=exact)
        with pytest.raises(AmbiguousError if exact else TimeoutError, match="no time is left to wait"):
            start(patience=0.0).run(earlier)

    @pytest.mark.parametrize("exact", [True, False])
    def test_starts_where_there_is_nothing(self, start: Start, emulator: Emulator, exact: bool) -> None:
        add(emulator, launched=-900, duration=1)
        since = datetime.now(UTC) - timedelta(seconds=600)
        outcome = start().run(Intent(SOURCE, TaskKind.ACCOUNTS, since, exact=exact))
        assert outcome.result is StartResult.STARTED
        assert started(emulator) == [outcome.task_status_id]


class TestFailures:
    def test_what_is_refused_leaves_no_note(
        self, start: Start, emulator: Emulator, notes: list[Intent | None]
    ) -> None:
        emulator.fail(403, method="POST")
        with pytest.raises(ForbiddenError):
            start().run()
        assert notes[-1] is None
        assert len(notes) == 2

    def test_what_runs_already_leaves_no_note_even_if_it_is_stopped_then(
        self, start: Start, emulator: Emulator, notes: list[Intent | None]
    ) -> None:
        add(emulator, duration=None)
        stop = threading.Event()
        emulator.on_request(lambda request: stop.set() if request.path.endswith("load-accounts") else None)
        with pytest.raises(StoppedError):
            start(stop=stop).run()
        assert posts(emulator) != []
        assert notes[-1] is None

    def test_a_file_that_is_not_there(
        self, start: Start, emulator: Emulator, notes: list[Intent | None], tmp_path: Path
    ) -> None:
        with pytest.raises(UploadError):
            start(options=StartOptions(str(tmp_path / "none.csv"))).run()
        assert notes[-1] is None
        assert posts(emulator) == []

    def test_what_is_in_doubt_at_the_deadline_keeps_its_note(
        self, start: Start, emulator: Emulator, notes: list[Intent | None]
    ) -> None:
        emulator.fail(500, method="POST")
        with pytest.raises(AmbiguousError):
            start(patience=1.0).run()
        assert notes[-1] is not None
        assert {note.known for note in notes if note} == {frozenset()}

    @pytest.mark.parametrize("error", [401, 403, 404, 500])
    def test_a_check_that_fails_hides_no_doubt(
        self, start: Start, emulator: Emulator, notes: list[Intent | None], error: int
    ) -> None:
        def refuse(request: LoggedRequest) -> None:
            if request.method == "POST":
                emulator.fail(error, method="GET")

        emulator.fail(kind="drop_after", method="POST")
        emulator.on_request(refuse)
        with pytest.raises(
            AmbiguousError, match=f"aggregation was started is ambiguous: .*{error}"
        ) as raised:
            start(patience=2.0).run()
        assert len(started(emulator)) == 1
        assert isinstance(raised.value.error, APIError)
        assert (raised.value.error.status, raised.value.error.retryable) == (error, error == 500)
        assert notes[-1] is not None
        assert notes[-1].sent

    def test_nor_does_one_after_a_second_attempt(self, start: Start, emulator: Emulator) -> None:
        """What is in the way may be what was started: it has to be seen to say."""

        def hide(request: LoggedRequest) -> None:
            if request.method == "POST":
                emulator.fail(403, method="GET")

        earlier = Intent(SOURCE, TaskKind.ACCOUNTS, datetime.now(UTC) - timedelta(minutes=5), sent=True)
        add(emulator, launched=-3_600, duration=None)
        emulator.on_request(hide)
        with pytest.raises(AmbiguousError):
            start(patience=2.0).run(earlier)

    def test_nor_does_the_deadline(self, start: Start, emulator: Emulator) -> None:
        """What can't be seen is in the way until then: it may be what was started."""
        earlier = Intent(SOURCE, TaskKind.ACCOUNTS, datetime.now(UTC) - timedelta(minutes=5), sent=True)
        add(emulator, launched=-3_600, duration=None)
        emulator.fail(200, path="/task-status/v1", body=b"[]")
        with pytest.raises(AmbiguousError, match="was started is ambiguous: "):
            start(patience=2.0).run(earlier)

    def test_a_guess_is_no_doubt(self, start: Start, emulator: Emulator) -> None:
        emulator.fail(403, method="GET")
        since = datetime.now(UTC) - timedelta(seconds=600)
        with pytest.raises(ForbiddenError):
            start().run(Intent(SOURCE, TaskKind.ACCOUNTS, since, exact=False))

    def test_what_passes_is_waited_out(self, start: Start, emulator: Emulator) -> None:
        emulator.fail(503, method="GET", times=5)
        emulator.fail(429, method="POST", times=2, headers={"Retry-After": "0"})
        outcome = start().run()
        assert started(emulator) == [outcome.task_status_id]

    def test_what_does_not_pass(self, start: Start, emulator: Emulator) -> None:
        emulator.fail(503, method="GET")
        with pytest.raises(ServerError):
            start(patience=2.0).run()
        assert posts(emulator) == []

    def test_stopped(self, start: Start, emulator: Emulator) -> None:
        stop = threading.Event()
        emulator.fail(kind="drop", method="POST")
        timer = threading.Timer(0.3, stop.set)
        timer.start()
        with pytest.raises(StoppedError):
            start(stop=stop, patience=60).run()
        timer.join()
        assert started(emulator) == []


class TestClearingTheRecord:
    def test_of_what_runs(self, connect: Connect, emulator: Emulator) -> None:
        task_id = add(emulator, duration=None)
        status = clear_record(connect(), task_id)
        assert status is not None
        assert emulator.task(task_id)["completionStatus"] == "Error"

    def test_of_what_has_ended(self, connect: Connect, emulator: Emulator) -> None:
        task_id = add(emulator, launched=-60, duration=1)
        assert clear_record(connect(), task_id) is None
        assert emulator.task(task_id)["completionStatus"] == "SUCCESS"
