"""Clearing many tasks: what is pending, once, and nothing else."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from tenacity import wait_fixed

from airflow_provider_sptasks.client import RetryPolicy, TaskStatus, TaskStatusClient, clearing
from airflow_provider_sptasks.client.clearing import Clearing, ClearOutcome, ClearResult, StoppedError
from airflow_provider_sptasks.client.pacing import Pacer
from airflow_provider_sptasks.emulator import Emulator, LoggedRequest, RateLimit
from tests.client.conftest import Connect, OpenPacer, api_requests, settings, token_requests

HASTY = RetryPolicy(deadline=20, wait=wait_fixed(0.01))
every_version = pytest.mark.parametrize("version", ["beta", "v2024", "v2025", "v2026", "v1"])


def run(client: TaskStatusClient, ids: list[str], **kwargs: Any) -> dict[str, ClearResult]:
    stop = kwargs.pop("stop", threading.Event())
    given = {"completion_status": "Error", **kwargs}
    results: list[ClearResult] = []
    selected = [TaskStatus(id=task_id) for task_id in ids]
    with suppress(StoppedError):
        Clearing(client, stop=stop, note=results.append, **given).run(selected)
        assert len(results) == len(ids)
    assert len({result.task_status_id for result in results}) == len(results)
    return {result.task_status_id: result for result in results}


def outcomes(results: dict[str, ClearResult]) -> Counter[ClearOutcome]:
    return Counter(result.outcome for result in results.values())


def stuck(emulator: Emulator, count: int) -> list[str]:
    return [emulator.add_task(launched=-100, duration=None).id for _ in range(count)]


def patches(emulator: Emulator) -> list[LoggedRequest]:
    return [request for request in api_requests(emulator) if request.method == "PATCH"]


def effective(emulator: Emulator) -> Counter[str]:
    """How often each task was changed, by the tenant's own log."""
    return Counter(request.path.rsplit("/", 1)[1] for request in patches(emulator) if request.status == 200)


@pytest.fixture
def hasty(connect: Connect) -> TaskStatusClient:
    return connect(retry=HASTY)


class TestOutcomes:
    @every_version
    def test_clears_what_is_pending(self, version: str, connect: Connect, emulator: Emulator) -> None:
        ids = stuck(emulator, 5)
        results = run(connect(version, retry=HASTY), ids, completion_status="TERMINATED")
        assert outcomes(results) == {ClearOutcome.CLEARED: 5}
        for task_id in ids:
            shown = emulator.task(task_id)
            assert shown["completionStatus"] == "TERMINATED"
            status = results[task_id].status
            assert status is not None
            assert status.to_json()["completed"] == shown["completed"]
        assert effective(emulator) == dict.fromkeys(ids, 1)

    @every_version
    def test_leaves_alone_what_has_ended(self, version: str, connect: Connect, emulator: Emulator) -> None:
        ended = emulator.add_task(launched=-100, duration=1, outcome="WARNING")
        (pending,) = stuck(emulator, 1)
        results = run(connect(version, retry=HASTY), [ended.id, pending])
        assert {each: result.outcome for each, result in results.items()} == {
            ended.id: ClearOutcome.ALREADY_COMPLETE,
            pending: ClearOutcome.CLEARED,
        }
        status = results[ended.id].status
        assert status is not None
        assert status.completion_status == "WARNING"
        assert effective(emulator) == {pending: 1}

    @every_version
    def test_returns_what_is_unknown(self, version: str, connect: Connect, emulator: Emulator) -> None:
        results = run(connect(version, retry=HASTY), ["f" * 32])
        assert outcomes(results) == {ClearOutcome.NOT_FOUND: 1}
        assert patches(emulator) == []

    def test_what_vanishes_before_the_patch_is_unknown(
        self, hasty: TaskStatusClient, emulator: Emulator
    ) -> None:
        (task_id,) = stuck(emulator, 1)
        emulator.fail(404, method="PATCH")
        assert outcomes(run(hasty, [task_id])) == {ClearOutcome.NOT_FOUND: 1}

    @pytest.mark.parametrize(("status", "text"), [(400, "400.1 Bad Request"), (403, "personal access token")])
    def test_a_failure_concerns_its_own_task_only(
        self, status: int, text: str, hasty: TaskStatusClient, emulator: Emulator
    ) -> None:
        ids = stuck(emulator, 40)
        emulator.fail(status, method="PATCH", path=f"*/{ids[7]}")
        results = run(hasty, ids)
        assert outcomes(results) == {ClearOutcome.CLEARED: 39, ClearOutcome.FAILED: 1}
        failed = results[ids[7]]
        assert failed.outcome is ClearOutcome.FAILED
        assert text in (failed.error or "")
        assert len([each for each in patches(emulator) if each.path.endswith(ids[7])]) == 1

    @pytest.mark.parametrize("shown", [None, "SUCCESS", "Unheard_Of"])
    def test_an_answer_that_does_not_show_the_change_is_a_failure(
        self, shown: str | None, hasty: TaskStatusClient, emulator: Emulator
    ) -> None:
        (task_id,) = stuck(emulator, 1)
        answer = {**emulator.task(task_id), "completionStatus": shown}
        emulator.fail(200, method="PATCH", body=json.dumps(answer))
        result = run(hasty, [task_id])[task_id]
        assert result.outcome is ClearOutcome.FAILED
        assert result.error == f"The tenant took the PATCH, but shows completionStatus {shown!r}"
        assert len(patches(emulator)) == 1

    @pytest.mark.parametrize("shown", ["TEMPERROR", "TempError", "TEMP_ERROR"])
    def test_the_tenant_may_spell_the_status_its_own_way(
        self, shown: str, hasty: TaskStatusClient, emulator: Emulator
    ) -> None:
        (task_id,) = stuck(emulator, 1)
        answer = {**emulator.task(task_id), "completionStatus": shown}
        emulator.fail(200, method="PATCH", body=json.dumps(answer))
        results = run(hasty, [task_id], completion_status="TempError")
        assert outcomes(results) == {ClearOutcome.CLEARED: 1}

    def test_all_fail_where_the_tenant_refuses_to_be_read(
        self, hasty: TaskStatusClient, emulator: Emulator
    ) -> None:
        ids = stuck(emulator, 50)
        emulator.fail(403, method="GET")
        results = run(hasty, ids)
        assert outcomes(results) == {ClearOutcome.FAILED: 50}
        assert all("403" in (result.error or "") for result in results.values())
        assert len(api_requests(emulator)) == 1

    def test_all_fail_where_the_outage_lasts_longer_than_the_deadline(
        self, connect: Connect, emulator: Emulator
    ) -> None:
        client = connect(retry=RetryPolicy(deadline=0.3, wait=wait_fixed(0.1)))
        ids = stuck(emulator, 50)
        emulator.fail(503)
        results = run(client, ids)
        assert outcomes(results) == {ClearOutcome.FAILED: 50}
        assert all("503" in (result.error or "") for result in results.values())

    def test_patience_is_for_the_time_without_progress(self, connect: Connect, emulator: Emulator) -> None:
        """One task of each batch fails at first, which is no reason to give up the others."""
        ids = stuck(emulator, 96)
        for task_id in (ids[5], ids[40], ids[90]):
            emulator.fail(503, method="PATCH", path=f"*/{task_id}", times=1)
        client = connect(retry=RetryPolicy(max_attempts=2, wait=wait_fixed(0.01)))
        assert outcomes(run(client, ids)) == {ClearOutcome.CLEARED: 96}
        assert effective(emulator) == dict.fromkeys(ids, 1)

    def test_nothing_to_clear(self, hasty: TaskStatusClient, emulator: Emulator) -> None:
        assert run(hasty, []) == {}
        assert emulator.requests == ()


class TestWhatEndsMeanwhile:
    """A task that ends by itself keeps its own status."""

    def test_before_its_batch_is_read(self, hasty: TaskStatusClient, emulator: Emulator) -> None:
        ids = stuck(emulator, 70)

        def complete() -> None:
            if patches(emulator)[1:] == []:  # the first batch is read, the others are not
                for task_id in ids[40:60]:
                    emulator.complete(task_id)

        with on_request(emulator, "PATCH", complete):
            results = run(hasty, ids)
        assert outcomes(results) == {
            ClearOutcome.CLEARED: 50,
            ClearOutcome.ALREADY_COMPLETE: 20,
        }
        assert effective(emulator) == dict.fromkeys(ids[:40] + ids[60:], 1)
        assert all(emulator.task(each)["completionStatus"] == "SUCCESS" for each in ids[40:60])

    @pytest.mark.parametrize("fault", [{"status": 503}, {"kind": "drop"}, {"status": 200, "kind": "html"}])
    def test_after_a_failed_patch(
        self, fault: dict[str, Any], hasty: TaskStatusClient, emulator: Emulator
    ) -> None:
        """It is read again before the next attempt."""
        (task_id,) = stuck(emulator, 1)
        emulator.fail(method="PATCH", **fault)
        with on_request(emulator, "PATCH", lambda: emulator.complete(task_id, "WARNING")):
            results = run(hasty, [task_id])
        assert outcomes(results) == {ClearOutcome.ALREADY_COMPLETE: 1}
        assert [request.method for request in api_requests(emulator)] == ["GET", "PATCH", "GET"]
        assert emulator.task(task_id)["completionStatus"] == "WARNING"

    def test_a_patch_whose_answer_is_lost_is_not_sent_again(
        self, hasty: TaskStatusClient, emulator: Emulator
    ) -> None:
        (task_id,) = stuck(emulator, 1)
        emulator.fail(method="PATCH", kind="drop_after")
        assert outcomes(run(hasty, [task_id])) == {ClearOutcome.CLEARED: 1}
        assert [request.method for request in api_requests(emulator)] == ["GET", "PATCH", "GET"]

    def test_a_patch_that_is_taken_late_is_ours_too(
        self, hasty: TaskStatusClient, emulator: Emulator
    ) -> None:
        """The first of two without an answer, after the task was read as pending in between."""
        (task_id,) = stuck(emulator, 1)
        emulator.fail(method="PATCH", kind="drop", times=2)

        def a_minute_later() -> None:
            first, *more = patches(emulator)
            if not more:
                emulator.clock.advance(60)
                return
            sent = {each["path"].strip("/"): each["value"] for each in json.loads(first.body)}
            emulator.override_task(task_id, **sent)

        with on_request(emulator, "PATCH", a_minute_later):
            assert outcomes(run(hasty, [task_id])) == {ClearOutcome.CLEARED: 1}
        assert [request.method for request in api_requests(emulator)] == [
            *("GET", "PATCH", "GET", "PATCH", "GET")
        ]

    def test_what_was_read_too_long_ago_is_read_again(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At this pace four patches take 1.2 s, and 0.8 s after a read is the latest for one."""
        monkeypatch.setattr(clearing, "FRESHNESS", 0.8)
        ids = stuck(emulator, 4)
        with TaskStatusClient(settings(emulator), pacer=Pacer(100, window=30.0), retry=HASTY) as client:
            assert outcomes(run(client, ids)) == {ClearOutcome.CLEARED: 4}
        assert [request.method for request in api_requests(emulator)].count("GET") > 1
        assert effective(emulator) == dict.fromkeys(ids, 1)

    def test_who_else_clears_it_is_not_us(self, hasty: TaskStatusClient, emulator: Emulator) -> None:
        """The same status, but at another time than that of the patch whose answer was lost."""
        (task_id,) = stuck(emulator, 1)
        emulator.fail(method="PATCH", kind="drop")

        def elsewhere() -> None:
            emulator.clock.advance(60)
            emulator.complete(task_id, "Error")

        with on_request(emulator, "PATCH", elsewhere):
            assert outcomes(run(hasty, [task_id])) == {ClearOutcome.ALREADY_COMPLETE: 1}

    def test_while_its_patch_waits_for_the_pace(
        self, connect: Connect, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing was sent, so even the same status at the same time is not ours."""
        monkeypatch.setattr(clearing, "FRESHNESS", 0.5)
        (task_id,) = stuck(emulator, 1)

        class Held(OpenPacer):
            def reserve(self, max_wait: float = float("inf")) -> float:
                if len(api_requests(emulator)) != 1 or emulator.task(task_id)["completionStatus"]:
                    return 0.0
                emulator.complete(task_id, "Error")
                return 0.6

        results = run(connect(retry=HASTY, pacer=Held()), [task_id])
        assert outcomes(results) == {ClearOutcome.ALREADY_COMPLETE: 1}
        assert patches(emulator) == []


@contextmanager
def on_request(emulator: Emulator, method: str, act: Callable[[], None]) -> Iterator[None]:
    """Act as soon as the tenant has logged a request, and before the client has its answer or lack of it."""
    log = emulator._state.requests
    add = log.add

    def noting(request: LoggedRequest) -> None:
        add(request)
        if request.method == method:
            act()

    log.add = noting  # type: ignore[method-assign]
    try:
        yield
    finally:
        log.add = add  # type: ignore[method-assign]


class TestStopping:
    def test_nothing_is_sent_when_it_is_stopped_already(
        self, hasty: TaskStatusClient, emulator: Emulator
    ) -> None:
        stop = threading.Event()
        stop.set()
        assert run(hasty, stuck(emulator, 5), stop=stop) == {}
        assert emulator.requests == ()

    @pytest.mark.parametrize("when", ["GET", "PATCH"])
    def test_all_that_was_cleared_is_noted_and_nothing_more_is_sent(
        self, when: str, connect: Connect, emulator: Emulator
    ) -> None:
        stop = threading.Event()
        ids = stuck(emulator, 100)
        client = connect(retry=HASTY)
        with on_request(emulator, when, stop.set):
            results = run(client, ids, stop=stop)
        assert outcomes(results) == ({ClearOutcome.CLEARED: len(results)} if results else {})
        assert results.keys() == effective(emulator).keys()
        # One of each worker's may be under way at that moment.
        assert len(patches(emulator)) <= clearing.MIN_IN_FLIGHT

    def test_does_not_wait_for_the_tenants_pleasure(self, connect: Connect, emulator: Emulator) -> None:
        """As long a wait as a lock-out brings ends with the stop."""
        stop = threading.Event()
        emulator.fail(429, headers={"Retry-After": "3000"})
        client = connect(retry=RetryPolicy(deadline=10_000))
        with on_request(emulator, "GET", stop.set):
            assert run(client, stuck(emulator, 3), stop=stop) == {}
        assert len(api_requests(emulator)) == 1

    def test_does_not_wait_for_its_own_pace(self, connect: Connect, emulator: Emulator) -> None:
        stop = threading.Event()
        pacer = Pacer(80)
        pacer.hold(3_000)
        client = connect(retry=RetryPolicy(deadline=10_000), pacer=pacer)
        timer = threading.Timer(0.1, stop.set)
        timer.start()
        assert run(client, stuck(emulator, 3), stop=stop) == {}
        timer.join()
        assert api_requests(emulator) == []


class TestLarge:
    def test_with_the_rate_limit_on(self) -> None:
        """No 429, and hardly more requests than tasks; the limit is scaled to a tenth of its time."""
        with Emulator(rate_limit=RateLimit(100, 1.0)) as emulator:
            ids = stuck(emulator, 240)
            with TaskStatusClient(settings(emulator), pacer=Pacer(80, window=1.0)) as client:
                assert outcomes(run(client, ids)) == {ClearOutcome.CLEARED: 240}
            assert effective(emulator) == dict.fromkeys(ids, 1)
            requests = api_requests(emulator)
            assert {request.status for request in requests} == {200}
            assert len(requests) <= 1.05 * 240
            assert len(token_requests(emulator)) == 1

    def test_with_everything_going_wrong(self) -> None:
        """Every second request 503, every tenth connection dropped, tokens gone after 40 patches or 2 s."""
        with Emulator(rate_limit=None, seed=1) as emulator:
            emulator.token_lifetime = 2.0
            ids = stuck(emulator, 200)
            emulator.fail(503, path="*", probability=0.5)
            emulator.fail(kind="drop", path="*", probability=0.1)
            emulator.fail(kind="drop_after", path="*", probability=0.1)
            arrived: list[int] = []

            def revoke() -> None:
                arrived.append(1)
                if len(arrived) % 40 == 0:
                    emulator.revoke_tokens()

            client = TaskStatusClient(settings(emulator), pacer=OpenPacer(), retry=HASTY)
            with client, on_request(emulator, "PATCH", revoke):
                assert outcomes(run(client, ids)) == {ClearOutcome.CLEARED: 200}
            assert effective(emulator) == dict.fromkeys(ids, 1)
            for task_id in ids:
                assert emulator.task(task_id)["completionStatus"] == "Error"
            requests = api_requests(emulator)
            assert {503, 401, 0, 200} <= {request.status for request in requests}
            assert {"status", "drop", "drop_after"} <= {request.fault for request in requests}
            assert len([each for each in token_requests(emulator) if each.status == 200]) >= 2
