"""What sources launched lately: nothing lost, nothing twice, and how few requests it takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sptasks.client import TaskKind, TaskStatus, TaskStatusClient
from airflow_provider_sptasks.client.errors import BadRequestError, UnexpectedPayloadError
from airflow_provider_sptasks.client.launches import AggregationQuery, NewestAggregation
from airflow_provider_sptasks.emulator import Emulator
from tests.client.conftest import Connect, api_requests
from tests.client.gateway import gateway
from tests.client.test_client import VERSIONS, Version, every_version, pending_page

HR, AD, SAP = "a" * 32, "b" * 32, "c" * 32

without_pending = [version for version in VERSIONS if not version.lists_pending]


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def launch(emulator: Emulator, source_id: str, launched: float, **kwargs: Any) -> str:
    """Add a task of a source that was launched some seconds ago and has ended, unless it says otherwise."""
    kwargs = {"duration": 1, **kwargs}
    return emulator.add_task(
        source=f"source {source_id}", source_id=source_id, launched=-launched, **kwargs
    ).id


def ids(found: Mapping[str, Sequence[TaskStatus]]) -> dict[str, list[str]]:
    return {source_id: [task.id for task in tasks] for source_id, tasks in found.items()}


def between(
    client: TaskStatusClient, monkeypatch: pytest.MonkeyPatch, happen: Callable[[int], object]
) -> None:
    """Let something happen after each of a client's requests; it gets how many there were."""
    call = client.transport.call
    calls = 0

    def called(*args: Any) -> Any:
        nonlocal calls
        answer = call(*args)
        calls += 1
        happen(calls)
        return answer

    monkeypatch.setattr(client.transport, "call", called)


@every_version
class TestWhatIsFound:
    def test_every_kind_since_the_instant_newest_first(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        launch(emulator, HR, 7200)
        accounts = launch(emulator, HR, 3000, kind="accounts", outcome="ERROR")
        entitlements = launch(emulator, HR, 2000, kind="entitlements")
        uncorrelated = launch(emulator, HR, 1000, kind="uncorrelated_accounts")
        running = launch(emulator, HR, 500, duration=None)
        other = launch(emulator, AD, 900)
        launch(emulator, SAP, 800)
        found = connect(version.name).aggregations({HR: ago(3600), AD: ago(3600)})
        assert ids(found) == {HR: [running, uncorrelated, entitlements, accounts], AD: [other]}
        assert [task.kind for task in found[HR]] == [
            TaskKind.ACCOUNTS,
            TaskKind.UNCORRELATED_ACCOUNTS,
            TaskKind.ENTITLEMENTS,
            TaskKind.ACCOUNTS,
        ]
        assert [task.is_complete for task in found[HR]] == [False, True, True, True]

    def test_each_source_has_its_own_instant(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        old = launch(emulator, HR, 7200)
        new = launch(emulator, HR, 60)
        launch(emulator, AD, 7100)
        found = connect(version.name).aggregations({HR: ago(9000), AD: ago(3600)})
        assert ids(found) == {HR: [new, old], AD: []}

    def test_ids_compare_without_case_and_come_back_as_given(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        old = launch(emulator, HR.upper(), 7200)
        new = launch(emulator, HR, 60, duration=None)
        found = connect(version.name).aggregations({f" {HR.title()} ": ago(3600), HR: ago(9000)})
        assert ids(found) == {f" {HR.title()} ": [new], HR: [new, old]}

    def test_what_it_sends(self, version: Version, connect: Connect, emulator: Emulator) -> None:
        launch(emulator, HR, 60)
        connect(version.name).aggregations(dict.fromkeys((HR, AD), ago(3600)))
        sent = [(request.method, request.path, dict(request.query)) for request in api_requests(emulator)]
        query = {
            "limit": "250",
            "offset": "0",
            "filters": f'sourceId in ("{HR}","{AD}")',
            "sorters": "-created",
        }
        newest = ("GET", version.path, query)
        assert sent == ([newest] if version.lists_pending else [pending_page(version), newest])

    def test_nothing_to_ask_for(self, version: Version, connect: Connect, emulator: Emulator) -> None:
        assert connect(version.name).aggregations({}) == {}
        assert api_requests(emulator) == []


class TestWhenATaskWasLaunched:
    @pytest.mark.parametrize(
        ("created", "launched", "duration", "belongs"),
        [
            pytest.param(60, 60, 1, True, id="after the instant"),
            pytest.param(160, 160, 1, False, id="before it"),
            pytest.param(120, 60, 1, True, id="created before it, launched after it"),
            pytest.param(60, None, 1, True, id="ended without having been launched, created after it"),
            pytest.param(120, None, 1, False, id="ended without having been launched, created before it"),
            pytest.param(120, None, None, True, id="still to be launched"),
            pytest.param(500, None, None, False, id="never to be launched"),
        ],
    )
    @every_version
    def test_decides(
        self,
        connect: Connect,
        emulator: Emulator,
        version: Version,
        created: float,
        launched: float | None,
        duration: float | None,
        belongs: bool,
    ) -> None:
        fields = {
            "created": iso(ago(created)),
            "launched": None if launched is None else iso(ago(launched)),
        }
        task_id = launch(emulator, HR, created, duration=duration, fields=fields)
        found = connect(version.name).aggregations({HR: ago(100)})
        assert ids(found) == {HR: [task_id] if belongs else []}

    def test_counts_to_the_millisecond(self, client: TaskStatusClient, emulator: Emulator) -> None:
        at = datetime(2100, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
        task_id = launch(emulator, HR, 1, fields={"created": iso(at), "launched": iso(at)})
        since = at.astimezone(datetime.now().astimezone().tzinfo)
        assert ids(client.aggregations({HR: since + timedelta(microseconds=999)})) == {HR: [task_id]}
        assert ids(client.aggregations({HR: since + timedelta(milliseconds=1)})) == {HR: []}

    def test_from_the_beginning_of_time(self, client: TaskStatusClient, emulator: Emulator) -> None:
        task_id = launch(emulator, HR, 86_400 * 89)
        fields = {"created": None, "launched": None}
        launch(emulator, HR, 60, fields=fields)
        assert ids(client.aggregations({HR: datetime.min.replace(tzinfo=UTC)})) == {HR: [task_id]}


class TestManySources:
    @every_version
    def test_a_thousand_with_fewer_than_a_thousand_new_tasks(
        self, connect: Connect, emulator: Emulator, version: Version
    ) -> None:
        sources = [f"{number:032x}" for number in range(1000)]
        new = {source_id: launch(emulator, source_id, 60 + at) for at, source_id in enumerate(sources[:999])}
        for at, source_id in enumerate(sources):
            launch(emulator, source_id, 86_400 + at)
            launch(emulator, source_id, 86_400 * 2 + at)
        client = connect(version.name)
        emulator.reset_requests()
        found = client.aggregations(dict.fromkeys(sources, ago(3600)))
        assert ids(found) == {each: [new[each]] if each in new else [] for each in sources}
        assert len(api_requests(emulator)) <= 10

    def test_that_were_all_launched_by_few(self, client: TaskStatusClient, emulator: Emulator) -> None:
        """Most pages are those of one request, which are read to their end."""
        sources = [f"{number:032x}" for number in range(1000)]
        new = [launch(emulator, sources[0], 60 + at) for at in range(999)]
        launch(emulator, sources[0], 86_400)
        found = client.aggregations(dict.fromkeys(sources, ago(3600)))
        assert ids(found)[sources[0]] == new
        assert len(api_requests(emulator)) == 9  # 5 chunks of ids, 4 more pages

    def test_one_old_instant_does_not_make_the_others_pages_long(
        self, client: TaskStatusClient, emulator: Emulator
    ) -> None:
        """Of 200 sources 20,000 tasks are known, and of one all are wanted."""
        sources = [f"{number:032x}" for number in range(200)]
        for hour in range(100):
            for source_id in sources:
                launch(emulator, source_id, 3600 * hour + 60)
        found = client.aggregations({**dict.fromkeys(sources, ago(3000)), sources[7]: ago(3600 * 200)})
        assert [len(found[source_id]) for source_id in sources] == [1] * 7 + [100] + [1] * 192
        assert len(api_requests(emulator)) == 2

    def test_instants_far_apart(self, client: TaskStatusClient, emulator: Emulator) -> None:
        sources = [f"{number:032x}" for number in range(64)]
        launched = {
            each: [launch(emulator, each, 3600 * hour + 60) for hour in range(64)] for each in sources
        }
        found = client.aggregations({each: ago(3600 * (at + 0.5)) for at, each in enumerate(sources)})
        assert ids(found) == {each: launched[each][: at + 1] for at, each in enumerate(sources)}
        assert len(api_requests(emulator)) < 64 * 64 / 250 + 6  # all pages, or the halving

    def test_of_which_one_is_unknown(self, client: TaskStatusClient, emulator: Emulator) -> None:
        task_id = launch(emulator, HR, 60)
        assert ids(client.aggregations({HR: ago(3600), AD: ago(3600)})) == {HR: [task_id], AD: []}

    @pytest.mark.parametrize("status", [414, 431])
    def test_a_gateway_that_refuses_long_requests_gets_shorter_ones_from_then_on(
        self, connect: Connect, emulator: Emulator, status: int
    ) -> None:
        sources = [f"{number:032x}" for number in range(200)]
        launched = {each: [launch(emulator, each, 60)] for each in sources}
        since = dict.fromkeys(sources, ago(3600))
        with (
            gateway(emulator.url, longest=4096, status=status) as between,
            connect(host=between.url) as client,
        ):
            assert ids(client.aggregations(since)) == launched
            assert len(between.refused) == 1
            assert len(between.passed) == 2
            assert ids(client.aggregations(since)) == launched
            assert len(between.refused) == 1

    def test_one_source_that_is_refused(self, client: TaskStatusClient, emulator: Emulator) -> None:
        emulator.fail(400)
        with pytest.raises(BadRequestError):
            client.aggregations({HR: ago(3600), AD: ago(3600)})
        assert len(api_requests(emulator)) == 1


class TestWhilePagesAreRead:
    """Lists are read newest first, and every new task shifts the others."""

    @pytest.mark.parametrize("arriving", [1, 40, 250, 400])
    @every_version
    def test_new_tasks_shift_the_others(
        self,
        connect: Connect,
        emulator: Emulator,
        version: Version,
        monkeypatch: pytest.MonkeyPatch,
        arriving: int,
    ) -> None:
        launched = [launch(emulator, HR, 60 + at) for at in range(700)]
        client = connect(version.name)
        pages = 1 if version.lists_pending else 2

        def happen(calls: int) -> None:
            if calls == pages:
                for _ in range(arriving):
                    launch(emulator, HR, 1)

        between(client, monkeypatch, happen)
        found = [task.id for task in client.aggregations({HR: ago(3600)})[HR]]
        assert len(found) == len(set(found))
        assert [task_id for task_id in found if task_id in set(launched)] == launched

    @pytest.mark.parametrize("version", without_pending, ids=lambda version: version.name)
    def test_a_task_that_ends_in_between(
        self, connect: Connect, emulator: Emulator, version: Version, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running = launch(emulator, HR, 60, duration=None)
        client = connect(version.name)
        between(client, monkeypatch, lambda calls: emulator.complete(running) if calls == 1 else None)
        (task,) = client.aggregations({HR: ago(3600)})[HR]
        assert (task.id, task.is_complete) == (running, True)

    def test_an_offset_that_is_not_heeded(self, client: TaskStatusClient, emulator: Emulator) -> None:
        for at in range(250):
            launch(emulator, HR, 60 + at)
        emulator.fail(200, body=json.dumps(emulator.tasks()))
        with pytest.raises(UnexpectedPayloadError, match="at every offset"):
            client.aggregations({HR: ago(3600)})
        assert len(api_requests(emulator)) == 3

    def test_an_entry_that_cannot_be_read_hides_no_other(
        self, client: TaskStatusClient, emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        launched = [launch(emulator, HR, 60 + at) for at in range(300)]
        page = [*emulator.tasks()[:249], {"id": None}]
        emulator.fail(200, body=json.dumps(page), times=1)
        found = ids(client.aggregations({HR: ago(3600)}))[HR]
        assert found == launched, "the one that could not be read is in the next page again"
        assert "passed over 1 of 250 entries" in caplog.text


@every_version
class TestNewestAggregations:
    def test_a_source_alone_and_among_two_hundred(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        """Whatever else is read beside: that is why sensors that poke and that defer agree."""
        sources = [f"{number:032x}" for number in range(200)]
        for hour in range(8):
            for at, source_id in enumerate(sources):
                kind = ("accounts", "entitlements")[(hour + at) % 5 == 0]
                duration = None if (hour, at % 3) == (0, 0) else 1
                launch(emulator, source_id, 3600 * hour + 60 + at, kind=kind, duration=duration)
        client = connect(version.name)
        queries = [AggregationQuery(each, TaskKind.ACCOUNTS, ago(20_000)) for each in sources]
        queries.append(AggregationQuery(HR, None, ago(20_000)))
        emulator.reset_requests()
        found = client.newest_aggregations(queries)
        assert len(api_requests(emulator)) <= 4
        assert found.keys() == set(queries)
        assert found[queries[-1]] == NewestAggregation()
        for query in queries[::29]:
            assert client.newest_aggregations([query]) == {query: found[query]}
        assert found[queries[3]].newest is not None
        assert found[queries[3]].last_complete is not None

    def test_no_further_back_than_needed(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        """P6: of a month of hourly aggregations the first page decides."""
        for hour in range(720):
            launch(emulator, HR, 3600 * hour + 60)
        query = AggregationQuery(HR.upper(), None, ago(30 * 86_400))
        found = connect(version.name).newest_aggregations([query])[query]
        assert found.newest is not None
        assert len(api_requests(emulator)) == (1 if version.lists_pending else 2)

    def test_one_that_is_missing_from_an_answer_is_there_in_the_next(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        """W1: nothing is remembered, so that nothing is forgotten."""
        old, new = launch(emulator, HR, 3600), launch(emulator, HR, 60, duration=None)
        client, query = connect(version.name), AggregationQuery(HR, None, ago(7200))
        seen = []
        for hidden in (True, False):
            emulator.hide_task(new, hidden=hidden)
            newest = client.newest_aggregations([query])[query].newest
            seen.append(newest and newest.id)
        emulator.remove_task(new)
        newest = client.newest_aggregations([query])[query].newest
        assert [*seen, newest and newest.id] == [old, new, old]

    def test_a_time_far_ahead_concerns_its_own_source_only(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        """P2."""
        odd, even = launch(emulator, HR, 60), launch(emulator, AD, 60)
        emulator.override_task(odd, created="2099-01-01T00:00:00.000Z", launched="9999-12-31T23:59:59.999Z")
        queries = [AggregationQuery(each, None, ago(3600)) for each in (HR, AD)]
        found = connect(version.name).newest_aggregations(queries)
        assert [each.newest and each.newest.id for each in found.values()] == [odd, even]

    def test_names_what_is_of_no_known_kind(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        """W9."""
        launch(emulator, HR, 60, fields={"uniqueName": "Cloud Uncorrelated Refresh"})
        emulator.override_task(
            str(emulator.tasks()[0]["id"]), taskDefinitionSummary=None, type="CLOUD_UNCORRELATED_REFRESH"
        )
        query = AggregationQuery(HR, None, ago(3600))
        found = connect(version.name).newest_aggregations([query])[query]
        assert found == NewestAggregation(other_names=("Cloud Uncorrelated Refresh",))

    def test_refuses_what_is_no_id(self, version: Version, connect: Connect, emulator: Emulator) -> None:
        with pytest.raises(ValueError, match="source_id 'a b' is not an id"):
            connect(version.name).newest_aggregations([AggregationQuery("a b", None, ago(60))])
        assert connect(version.name).newest_aggregations([]) == {}
        assert emulator.requests == ()


class TestArguments:
    def test_an_instant_without_a_time_zone(self, client: TaskStatusClient, emulator: Emulator) -> None:
        with pytest.raises(ValueError, match=f"since 2026-01-01T00:00:00 of source {HR} has no time zone"):
            client.aggregations({HR: datetime(2026, 1, 1)})
        assert emulator.requests == ()

    def test_what_is_no_id(self, client: TaskStatusClient, emulator: Emulator) -> None:
        with pytest.raises(ValueError, match="source_id 'a b' is not an id"):
            client.aggregations({"a b": ago(60)})
        assert emulator.requests == ()
