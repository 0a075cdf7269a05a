"""The poller against the emulator: how many requests it sends, and what reaches whom."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from airflow_provider_sptasks.client import transport
from airflow_provider_sptasks.client.errors import BadRequestError, ForbiddenError, UnauthorizedError
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
from airflow_provider_sptasks.emulator import Emulator, RateLimit
from airflow_provider_sptasks.triggers import _connection, _poller, _queue
from airflow_provider_sptasks.triggers._poller import subscribe
from airflow_provider_sptasks.triggers._subscription import ConnectionChangedError, Subscription
from airflow_provider_sptasks.waiting.queries import (
    Answers,
    KnownSource,
    Query,
    SourceName,
    SourceQuery,
    TaskLookup,
    TaskQuery,
)
from tests.conftest import CONNECTION

CONN_ID = "sailpoint_default"
BOUNDARY = datetime.now(UTC) - timedelta(days=1)
VERSIONS = ["beta", "v2024", "v2025", "v2026", "v1"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of a twenty-fifth of their length."""
    monkeypatch.setattr(_connection, "SHORTEST_ROUND_SECONDS", 0.2)
    monkeypatch.setattr(_queue, "COALESCE_SECONDS", 0.04)
    monkeypatch.setattr(_poller, "COALESCE_SECONDS", 0.04)
    monkeypatch.setattr(_connection, "WINDOW", 0.4)
    monkeypatch.setattr("airflow_provider_sptasks.client.pacing.WINDOW", 0.4)
    monkeypatch.setattr(_queue, "LONGEST_BACKOFF_SECONDS", 0.1)


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> Any:
    with Emulator(rate_limit=RateLimit(requests=100, seconds=0.4)) as emulator:
        monkeypatch.setenv(CONNECTION, emulator.connection_uri)
        yield emulator


def gather_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all who subscribe be polled together, on a slow machine too."""
    monkeypatch.setattr(_queue, "COALESCE_SECONDS", 1.0)
    monkeypatch.setattr(_poller, "COALESCE_SECONDS", 1.0)


def lists(tenant: Emulator) -> int:
    return sum(1 for request in tenant.requests if request.path == "/task-status/v1")


def _sent(tenant: Emulator, version: str) -> int:
    return sum(request.api_version == version for request in tenant.requests)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


class Watcher:
    """A subscription and the answers that have reached it."""

    def __init__(self, subscription: Subscription, queries: Iterable[Query]) -> None:
        self.subscription = subscription
        self.answers: Answers = {}
        self.updates = 0
        self.errors: list[Exception] = []
        subscription.watch(queries)

    async def until(self, condition: Callable[[Answers], object]) -> Answers:
        async with asyncio.timeout(30):
            while not condition(self.answers):
                update = await self.subscription.update()
                assert update is not None
                self.updates += 1
                self.answers |= update.answers
                if update.error is not None:
                    self.errors.append(update.error)
        return self.answers

    async def all(self) -> Answers:
        """Wait until everything is answered."""
        return await self.until(lambda answers: set(answers) >= set(self.subscription.watched))


class Triggerer(AsyncExitStack):
    """Subscribes, and sees to it that nothing is left behind."""

    async def watch(
        self,
        *queries: Query,
        interval: float = 3600.0,
        api_version: str | None = None,
        conn_id: str = CONN_ID,
    ) -> Watcher:
        subscription = self.enter_context(await subscribe(conn_id, api_version, interval))
        return Watcher(subscription, queries)


def run(main: Callable[[Triggerer], Awaitable[None]]) -> None:
    async def checked() -> None:
        async with Triggerer() as triggerer:
            await main(triggerer)
        assert not _poller._pollers[asyncio.get_running_loop()], "the poller should be gone"
        await until(lambda: len(asyncio.all_tasks()) == 1)

    asyncio.run(checked())
    for thread in threading.enumerate():
        if thread.name.startswith("sailpoint-poller"):
            thread.join(timeout=5)
            assert not thread.is_alive()


def by_source(source_id: str, kind: TaskKind | None = TaskKind.ACCOUNTS) -> SourceQuery:
    return SourceQuery.of(source_id, kind, BOUNDARY)


def ended(query: Query, answers: Answers) -> bool:
    return is_complete(answers[query])


def is_complete(status: TaskStatus | None) -> bool:
    return status is not None and status.is_complete


class TestRequests:
    @pytest.mark.parametrize(("tasks", "requests"), [(1, 1), (200, 1), (201, 2), (1_000, 5), (10_000, 50)])
    def test_of_a_round(
        self, unlimited: Emulator, monkeypatch: pytest.MonkeyPatch, tasks: int, requests: int
    ) -> None:
        monkeypatch.setattr(_connection, "SHORTEST_ROUND_SECONDS", 60.0)
        gather_for_a_second(monkeypatch)
        queries = [TaskQuery(unlimited.add_task(duration=None).id) for _ in range(tasks)]

        async def main(triggerer: Triggerer) -> None:
            watchers = [await triggerer.watch(query) for query in queries]
            await asyncio.gather(*(watcher.all() for watcher in watchers))
            # The first comes while the connection is read, before the others.
            assert requests <= lists(unlimited) <= requests + 1

        run(main)
        assert {request.status for request in unlimited.requests} == {200}

    @pytest.mark.parametrize(("number", "requests"), [(1, 1), (200, 1), (1_000, 6)])
    def test_of_a_round_by_source(
        self, unlimited: Emulator, monkeypatch: pytest.MonkeyPatch, number: int, requests: int
    ) -> None:
        monkeypatch.setattr(_connection, "SHORTEST_ROUND_SECONDS", 60.0)
        gather_for_a_second(monkeypatch)
        ids = [unlimited.add_source(f"Source {each}").id for each in range(number)]
        for each in ids:
            unlimited.add_task(source_id=each, launched=-3600, duration=60)

        async def main(triggerer: Triggerer) -> None:
            watchers = [await triggerer.watch(by_source(each)) for each in ids]
            for watcher in watchers:
                await watcher.all()
            assert lists(unlimited) <= requests + 1

        run(main)

    def test_one_serves_all_who_watch_the_same(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_connection, "SHORTEST_ROUND_SECONDS", 60.0)
        query = TaskQuery(tenant.add_task(duration=None).id)

        async def main(triggerer: Triggerer) -> None:
            watchers = [await triggerer.watch(query) for _ in range(20)]
            for watcher in watchers:
                await watcher.all()
            assert lists(tenant) <= 2

        run(main)

    def test_many_who_come_at_once_to_what_is_watched_are_served_together(self, tenant: Emulator) -> None:
        ad = tenant.add_source("AD").id

        async def main(triggerer: Triggerer) -> None:
            await (await triggerer.watch(by_source(ad))).all()
            before = lists(tenant)
            watchers = [await triggerer.watch(by_source(ad)) for _ in range(50)]
            for watcher in watchers:
                await watcher.all()
            assert lists(tenant) <= before + 4

        run(main)

    @pytest.mark.parametrize("share", [0.03, 0.1])
    def test_keep_to_the_share_however_many_there_are(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch, share: float
    ) -> None:
        """FAULTS U7: in every version; the budget is the only brake."""
        monkeypatch.setenv(CONNECTION, f"{tenant.connection_uri}/?poll_share={share}")
        queries = [TaskQuery(tenant.add_task(duration=None).id) for _ in range(3_000)]
        versions = ("v1", "beta")

        async def main(triggerer: Triggerer) -> None:
            for version in versions:
                await triggerer.watch(*queries, interval=0.01, api_version=version)
            await until(lambda: all(_sent(tenant, version) > 3 for version in versions))
            await asyncio.sleep(1.2)

        began = time.monotonic()
        run(main)
        for version in versions:
            sent = _sent(tenant, version)
            windows = (time.monotonic() - began) / 0.4
            assert 3 < sent <= windows * 100 * share + 5, version

    def test_in_flight_are_as_many_as_the_answer_time_needs(
        self, unlimited: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """FAULTS S5: with answers that take a second, one request at a time is one chunk a second."""
        monkeypatch.setenv(CONNECTION, f"{unlimited.connection_uri}/?poll_share=0.5")
        unlimited.fail(kind="delay", path="/task-status/v1", delay=0.2)
        queries = [TaskQuery(unlimited.add_task(duration=None).id) for _ in range(4_000)]
        under_way = [0, 0]

        async def main(triggerer: Triggerer) -> None:
            watcher = await triggerer.watch(*queries, interval=0.01)
            await watcher.all()
            queue = triggerer_queue(watcher, TaskQuery)
            for _ in range(100):
                under_way[1] = max(under_way[1], queue.in_flight)
                await asyncio.sleep(0.01)

        run(main)
        assert under_way[1] >= 5

    def test_are_sent_for_what_is_watched_only(self, tenant: Emulator) -> None:
        gone, waiting = (tenant.add_task(duration=None).id for _ in range(2))

        async def main(triggerer: Triggerer) -> None:
            first = await triggerer.watch(TaskQuery(gone), interval=0.05)
            second = await triggerer.watch(TaskQuery(waiting), interval=0.05)
            await first.all()
            await second.all()
            first.subscription.close()
            before = lists(tenant)
            await until(lambda: lists(tenant) > before + 4)

        run(main)
        last = [request for request in tenant.requests if "filters" in request.query][-1]
        assert gone not in last.query["filters"]

    def test_come_as_often_as_the_most_impatient_wants(self, tenant: Emulator) -> None:
        hasty, patient = (tenant.add_task(duration=None).id for _ in range(2))

        async def main(triggerer: Triggerer) -> None:
            await triggerer.watch(TaskQuery(patient))
            await triggerer.watch(TaskQuery(hasty), interval=0.02)
            await until(lambda: lists(tenant) > 10)

        run(main)
        asked = [request.query["filters"] for request in tenant.requests if "filters" in request.query]
        assert sum(hasty in each for each in asked) > 2 * sum(patient in each for each in asked)


def triggerer_queue(watcher: Watcher, kind: type[Query]) -> Any:
    return watcher.subscription._poller._queues[kind]


class TestUpdates:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_are_of_what_has_changed(self, tenant: Emulator, version: str) -> None:
        running, ended = tenant.add_task(duration=None).id, tenant.add_task(launched=-60, duration=1).id
        ad = tenant.add_source("AD").id
        aggregation = tenant.add_task(source_id=ad, launched=-3600, duration=None).id

        async def main(triggerer: Triggerer) -> None:
            by_task = await triggerer.watch(TaskQuery(running), TaskQuery(ended), api_version=version)
            source = await triggerer.watch(by_source(ad), api_version=version)
            answers = await by_task.all()
            assert [is_complete(answers[TaskQuery(each)]) for each in (running, ended)] == [False, True]
            assert (await source.all())[by_source(ad)].newest.id == aggregation
            for each in (running, aggregation):
                tenant.complete(each)
            await by_task.until(lambda answers: is_complete(answers[TaskQuery(running)]))
            await source.until(lambda answers: answers[by_source(ad)].newest.is_complete)

        run(main)

    def test_of_one_request_come_together(self, tenant: Emulator) -> None:
        """Or a sensor of several sources would judge some of them by what was before."""
        queries = [TaskQuery(tenant.add_task(duration=None).id) for _ in range(3 * _poller.NOTIFY_BATCH)]

        async def main(triggerer: Triggerer) -> None:
            watcher = await triggerer.watch(*queries)
            await watcher.all()
            assert watcher.updates == 1

        run(main)

    def test_do_not_come_where_nothing_has_changed(self, tenant: Emulator) -> None:
        query = TaskQuery(tenant.add_task(launched=-3600, duration=None).id)

        async def main(triggerer: Triggerer) -> None:
            watcher = await triggerer.watch(query, interval=0.05)
            await watcher.all()
            update = asyncio.create_task(watcher.subscription.update())
            await until(lambda: lists(tenant) > 5)
            assert not update.done()
            tenant.complete(query.task_status_id)
            seen = await update
            assert seen is not None
            assert seen.answers[query].is_complete

        run(main)

    def test_say_once_that_something_is_not_there(self, tenant: Emulator) -> None:
        query = TaskQuery("f" * 32)

        async def main(triggerer: Triggerer) -> None:
            watcher = await triggerer.watch(query, interval=0.05)
            assert await watcher.all() == {query: None}
            update = asyncio.create_task(watcher.subscription.update())
            await until(lambda: lists(tenant) > 5)
            assert not update.done()
            update.cancel()

        run(main)

    def test_answer_every_type_of_query(self, tenant: Emulator) -> None:
        ad, task = tenant.add_source("AD").id, tenant.add_task(duration=None).id
        queries: dict[Query, Any] = {
            TaskLookup(task): task,
            TaskLookup("f" * 32): None,
            SourceName("ad"): ad,
            KnownSource(ad): True,
            KnownSource("f" * 32): False,
        }

        async def main(triggerer: Triggerer) -> None:
            answers = await (await triggerer.watch(*queries, SourceName("HR"))).all()
            assert "HR" in str(answers.pop(SourceName("HR")))
            found = {each: getattr(answer, "id", answer) for each, answer in answers.items()}
            assert found == queries

        run(main)

    @pytest.mark.parametrize("delay", [0.0, 0.3])
    def test_a_new_subscriber_gets_what_is_asked_after_it_came(self, tenant: Emulator, delay: float) -> None:
        """What was seen a moment ago may be what a task before this one has just changed."""
        ad = tenant.add_source("AD").id
        tenant.add_task(source_id=ad, launched=-3600, duration=60)

        async def main(triggerer: Triggerer) -> None:
            first = await triggerer.watch(by_source(ad))
            await first.all()
            if delay:  # one that is under way was sent too early as well
                tenant.fail(kind="delay", path="/task-status/v1", delay=delay, times=1)
                await triggerer.watch(by_source(ad))
                await until(lambda: triggerer_queue(first, SourceQuery).in_flight)
                await asyncio.sleep(delay / 3)
            launched = tenant.add_task(source_id=ad, duration=None).id
            late = await triggerer.watch(by_source(ad))
            assert (await late.all())[by_source(ad)].newest.id == launched

        run(main)

    def test_an_end_is_handed_over_at_once(self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_queue, "COALESCE_SECONDS", 60.0)
        monkeypatch.setattr(_poller, "COALESCE_SECONDS", 60.0)
        monkeypatch.setattr(_connection, "SHORTEST_ROUND_SECONDS", 60.0)
        query = TaskQuery(tenant.add_task(launched=-60, duration=1).id)

        async def main(triggerer: Triggerer) -> None:
            await (await triggerer.watch(query)).all()
            assert is_complete((await (await triggerer.watch(query)).all())[query])
            assert lists(tenant) == 1

        run(main)

    def test_keep_little_of_each_task(self, tenant: Emulator) -> None:
        queries = [TaskQuery(tenant.add_task(launched=-3600, duration=None).id) for _ in range(2)]

        async def main(triggerer: Triggerer) -> None:
            answers = await (await triggerer.watch(*queries)).all()
            one, other = (answers[query] for query in queries)
            assert one.description is other.description
            assert (one.attributes, one.raw) == ({}, {})

        run(main)


class TestFailures:
    def test_transient_ones_are_waited_out_and_logged_once(
        self, tenant: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        query = TaskQuery(tenant.add_task(duration=None).id)
        tenant.fail(503, path="/task-status/v1", times=10)

        async def main(triggerer: Triggerer) -> None:
            watcher = await triggerer.watch(query, interval=0.05)
            await watcher.all()
            assert len(watcher.errors) == 1
            assert "503" in str(watcher.errors[0])
            tenant.fail(503, path="/task-status/v1", times=4)
            await until(lambda: len(watcher.errors) == 1)
            await watcher.until(lambda _: len(watcher.errors) == 2)

        with caplog.at_level(logging.INFO, logger=_poller.__name__):
            run(main)
        lines = [record.message for record in caplog.records if record.name == _poller.__name__]
        assert lines[0].startswith("Polling tasks of http://127.0.0.1")
        assert "503" in lines[0]
        assert lines[1].endswith("works again")
        assert lines[2].startswith("Polling tasks of http://127.0.0.1"), "a second outage is logged again"

    def test_answers_may_take_the_connection_s_timeout(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transport, "DEADLINE_GRACE", 0.1)
        monkeypatch.setattr(_connection, "RETRY", replace(_connection.RETRY, deadline=0.1))
        query = TaskQuery(tenant.add_task(launched=-60, duration=1).id)
        tenant.fail(kind="delay", delay=0.7, path="/task-status/*")

        async def main(triggerer: Triggerer) -> None:
            await (await triggerer.watch(query)).all()

        run(main)

    def test_of_one_type_keep_no_other_waiting(self, tenant: Emulator) -> None:
        """FAULTS S6: sources that can't be read, while tasks can."""
        ad = tenant.add_source("AD").id
        task = tenant.add_task(source_id=ad, launched=-3600, duration=None).id
        tenant.fail(503, path="/sources/v1")

        async def main(triggerer: Triggerer) -> None:
            unanswered = await triggerer.watch(KnownSource("f" * 32), SourceName("HR"), interval=0.05)
            watcher = await triggerer.watch(by_source(ad), TaskQuery(task), interval=0.05)
            await watcher.all()
            before = lists(tenant)
            await until(lambda: lists(tenant) > before + 10)
            tenant.complete(task)
            await watcher.until(lambda answers: answers[by_source(ad)].newest.is_complete)
            assert watcher.errors == []
            assert unanswered.answers == {}
            tenant.clear_faults()
            await unanswered.all()

        run(main)

    @pytest.mark.parametrize("status", [400, 500])
    def test_a_culprit_suffers_alone(self, tenant: Emulator, status: int) -> None:
        """FAULTS S3: one id that makes the tenant refuse, or break."""
        queries = [TaskQuery(tenant.add_task(duration=None).id) for _ in range(40)]
        culprit = queries[17]

        async def main(triggerer: Triggerer) -> None:
            await (await triggerer.watch(*queries[:2], interval=0.05)).all()
            tenant.fail(status, path="/task-status/v1", query=f"*{culprit.task_status_id}*")
            watchers = {query: await triggerer.watch(query) for query in queries}
            for query, watcher in watchers.items():
                if query != culprit:
                    await watcher.all()
            assert watchers[culprit].answers == {}
            tenant.clear_faults()
            await watchers[culprit].all()

        run(main)

    def test_a_refusal_at_first_ends_all_that_it_concerns(self, tenant: Emulator) -> None:
        queries = [TaskQuery(tenant.add_task(duration=None).id) for _ in range(3)]
        tenant.fail(403, path="/task-status/v1")

        async def main(triggerer: Triggerer) -> None:
            watchers = [await triggerer.watch(query) for query in queries]
            errors = await asyncio.gather(*(each.all() for each in watchers), return_exceptions=True)
            assert [type(error) for error in errors] == [ForbiddenError] * 3

        run(main)

    def test_no_stray_answer_ends_any_of_300(self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        """FAULTS S1: after polls that worked, even a refusal in SailPoint's own words has to repeat."""
        monkeypatch.setattr(_queue, "LONGEST_BACKOFF_SECONDS", 0.05)
        queries = [TaskQuery(tenant.add_task(duration=None).id) for _ in range(300)]
        strays: list[dict[str, Any]] = [
            *({"status": status} for status in (400, 401, 403, 404, 408, 425, 429, 500, 503)),
            *({"status": status, "kind": "html"} for status in (200, 401, 403, 404)),
            {"status": 302, "kind": "empty", "headers": {"Location": "https://maintenance.example/"}},
            *({"status": 200, "body": body} for body in ("null", "{}", '{"error": "busy"}', "[", "")),
            {"kind": "drop"},
            {"kind": "truncate"},
        ]

        async def main(triggerer: Triggerer) -> None:
            watchers = [await triggerer.watch(query, interval=0.05) for query in queries]
            for watcher in watchers:
                await watcher.all()
            for stray in strays:
                tenant.reset_requests()
                tenant.fail(path="/task-status/v1", times=3, **stray)
                await until(lambda: lists(tenant) > 6)
            for query in queries:
                tenant.complete(query.task_status_id)
            for query, watcher in zip(queries, watchers, strict=True):
                await watcher.until(partial(ended, query))

        run(main)

    def test_a_refusal_that_lasts_ends_what_it_concerns(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_queue, "REFUSAL_SECONDS", 0.3)
        good, bad = (TaskQuery(tenant.add_task(duration=None).id) for _ in range(2))

        async def main(triggerer: Triggerer) -> None:
            watchers = [await triggerer.watch(query, interval=0.05) for query in (good, bad)]
            for watcher in watchers:
                await watcher.all()
            tenant.fail(400, path="/task-status/v1", query=f"*{bad.task_status_id}*")
            with pytest.raises(BadRequestError):
                await watchers[1].until(lambda _: False)
            tenant.complete(good.task_status_id)
            await watchers[0].until(lambda answers: is_complete(answers[good]))
            # Who comes after it is asked for again, also while the other has not left yet (FAULTS W7).
            tenant.clear_faults()
            await (await triggerer.watch(bad)).all()
            watchers[1].subscription.close()
            await (await triggerer.watch(bad)).all()

        run(main)

    def test_of_a_query_itself_reach_all_who_asked_it_and_no_others(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("a fault")

        monkeypatch.setattr(TaskQuery, "ask", broken)

        async def main(triggerer: Triggerer) -> None:
            watchers = [await triggerer.watch(TaskQuery(each)) for each in ("a", "b")]
            other = await triggerer.watch(TaskLookup("a"))
            for watcher in watchers:
                with pytest.raises(RuntimeError, match="a fault"):
                    await watcher.all()
            await other.all()

        run(main)

    @pytest.mark.parametrize(
        "place", [(_queue.Queue, "pop_batch"), (_poller.Poller, "_deliver"), (_poller.Poller, "_refresh")]
    )
    def test_of_the_poller_itself_reach_all_and_not_the_next_one(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch, place: tuple[type, str]
    ) -> None:
        """None may wait for ever."""
        monkeypatch.setattr(_poller, "SETTINGS_REFRESH_SECONDS", 0.1)
        query = TaskQuery(tenant.add_task(duration=None).id)

        def broken(*_: object) -> None:
            raise RuntimeError("a fault")

        async def main(triggerer: Triggerer) -> None:
            with monkeypatch.context() as patched:
                patched.setattr(*place, broken)
                watchers = [await triggerer.watch(each) for each in (query, TaskLookup("a"))]
                for watcher in watchers:
                    with pytest.raises(RuntimeError, match="a fault"):
                        await watcher.until(lambda _: False)
            await (await triggerer.watch(query)).all()

        run(main)


class TestConnection:
    @pytest.fixture(autouse=True)
    def read_each_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_connection, "CONNECTION_CACHE_SECONDS", 0.0)

    def test_rotated_credentials_heal(self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        query = TaskQuery(tenant.add_task(duration=None).id)

        async def main(triggerer: Triggerer) -> None:
            watcher = await triggerer.watch(query, interval=0.05)
            await watcher.all()
            tenant.rotate_secret(tenant.client_id, "rotated")
            monkeypatch.setenv(CONNECTION, tenant.connection_uri)
            tenant.revoke_tokens()
            tenant.complete(query.task_status_id)
            await watcher.until(lambda answers: is_complete(answers[query]))

        run(main)

    def test_wrong_credentials_are_a_refusal(self, tenant: Emulator) -> None:
        tenant.rotate_secret(tenant.client_id, "another")

        async def main(triggerer: Triggerer) -> None:
            with pytest.raises(UnauthorizedError):
                await (await triggerer.watch(TaskQuery("a" * 32))).all()

        run(main)

    def test_an_invalid_one_is_refused_when_a_trigger_subscribes(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main(triggerer: Triggerer) -> None:
            good = await triggerer.watch(TaskQuery(tenant.add_task(duration=None).id))
            monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_BAD", "sailpoint://client:secret@acme/?api_version=v3")
            with pytest.raises(ValueError, match="api_version 'v3' is unknown"):
                await triggerer.watch(TaskQuery("a"), conn_id="sailpoint_bad")
            await good.all()

        run(main)

    def test_one_tenant_has_one_poller_however_its_connection_is_spelled(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """FAULTS K5."""
        monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_OTHER", tenant.connection_uri)

        async def main(triggerer: Triggerer) -> None:
            query = TaskQuery(tenant.add_task(duration=None).id)
            for conn_id, version in ((CONN_ID, None), (CONN_ID, "v1"), ("sailpoint_other", None)):
                await triggerer.watch(query, conn_id=conn_id, api_version=version)
            assert len(_poller._pollers[asyncio.get_running_loop()]) == 1
            await triggerer.watch(query, api_version="beta")
            assert len(_poller._pollers[asyncio.get_running_loop()]) == 2

        run(main)

    def test_an_edited_one_counts_for_the_next_subscription_at_once(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """FAULTS W6: another tenant, and another share of the limit."""
        with Emulator() as other:
            query = TaskQuery(other.add_task(launched=-60, duration=1).id)

            async def main(triggerer: Triggerer) -> None:
                first = await triggerer.watch(TaskQuery("f" * 32))
                await first.all()
                monkeypatch.setenv(CONNECTION, f"{tenant.connection_uri}/?poll_share=0.7")
                await triggerer.watch(TaskQuery("e" * 32))
                assert first.subscription.settings.poll_share == 0.7
                monkeypatch.setenv(CONNECTION, other.connection_uri)
                assert is_complete((await (await triggerer.watch(query)).all())[query])

            run(main)

    def test_an_edited_one_moves_those_who_wait_within_minutes(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_poller, "SETTINGS_REFRESH_SECONDS", 0.2)
        with Emulator() as other:

            async def main(triggerer: Triggerer) -> None:
                watcher = await triggerer.watch(TaskQuery("f" * 32), interval=0.05)
                await watcher.all()
                monkeypatch.setenv(CONNECTION, other.connection_uri)
                with pytest.raises(ConnectionChangedError):
                    await watcher.until(lambda _: False)

            run(main)

    def test_one_that_can_not_be_read_again_still_holds(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(_poller, "SETTINGS_REFRESH_SECONDS", 0.2)
        query = TaskQuery(tenant.add_task(duration=None).id)

        async def main(triggerer: Triggerer) -> None:
            watcher = await triggerer.watch(query, interval=0.05)
            await watcher.all()
            monkeypatch.delenv(CONNECTION)
            await until(lambda: "Connection 'sailpoint_default' can't be read again: " in caplog.text)
            tenant.complete(query.task_status_id)
            await watcher.until(lambda answers: is_complete(answers[query]))

        run(main)

    def test_one_that_is_missing_for_a_moment_is_waited_for(
        self, tenant: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """FAULTS W8: Airflow says so while its API server restarts."""
        monkeypatch.setattr(_connection, "CONNECTION_RETRY_SECONDS", 0.05)
        uri = tenant.connection_uri
        monkeypatch.delenv(CONNECTION)

        async def main(triggerer: Triggerer) -> None:
            asyncio.get_running_loop().call_later(0.3, monkeypatch.setenv, CONNECTION, uri)
            await (await triggerer.watch(TaskQuery("f" * 32))).all()

        run(main)


def test_subscribed_and_closed_at_once(tenant: Emulator) -> None:
    async def main(triggerer: Triggerer) -> None:
        (await triggerer.watch(TaskQuery("a"))).subscription.close()

    run(main)


def test_cancelled_while_a_request_is_under_way(tenant: Emulator) -> None:
    query = TaskQuery(tenant.add_task(duration=None).id)
    tenant.fail(kind="delay", path="/task-status/v1", delay=0.3, times=1)

    async def main(triggerer: Triggerer) -> None:
        async with Triggerer() as inner:
            watcher = await inner.watch(query, interval=1)
            update = asyncio.create_task(watcher.all())
            await until(lambda: any(request.path == "/oauth/token" for request in tenant.requests))
            update.cancel()
        assert query in await (await triggerer.watch(query)).all()

    run(main)
