from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_sptasks.assets import aggregation_completed
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.triggers import _connection, _feed, completions
from airflow_provider_sptasks.triggers.completions import (
    ARGUMENTS_VERSION,
    SailPointAggregationCompletedTrigger,
)
from tests.conftest import CONNECTION
from tests.triggers.triggerer import Database, Triggerer

LOGGERS = [f"airflow_provider_sptasks.triggers.{name}" for name in ("_feed", "_watcher")]
HOUR = 3_600.0
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_feed, "SHORTEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(_feed, "GREETING_SECONDS", 0.02)
    monkeypatch.setattr(_feed, "WINDOW", 0.1)
    monkeypatch.setattr(_feed, "REFUSAL_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(_feed, "backoff", lambda *_: 0.02)
    monkeypatch.setattr(_connection, "RETRY", RetryPolicy(deadline=5.0, max_attempts=1))
    monkeypatch.setattr(_connection, "CONNECTION_CACHE_SECONDS", 0.0)
    monkeypatch.setattr("airflow_provider_sptasks.client.pacing.WINDOW", 0.4)


@pytest.fixture
def tenant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(rate_limit=None) as emulator:
        monkeypatch.setenv(CONNECTION, emulator.connection_uri)
        yield emulator


def watcher(source_id: Any = "*", **settings: Any) -> SailPointAggregationCompletedTrigger:
    if "source_name" in settings:
        source_id = None
    trigger = aggregation_completed(source_id, **{"kind": "any"} | settings).trigger
    assert isinstance(trigger, SailPointAggregationCompletedTrigger)
    trigger.poke_interval = 0.05
    return trigger


def lists(tenant: Emulator) -> int:
    return sum(1 for request in tenant.requests if request.path.endswith(("/task-status", "/task-status/v1")))


def _keeps_up(tenant: Emulator) -> bool:
    """Whether the last polls were of what is new, and none for watchers that begin."""
    polls = [request for request in tenant.requests if request.path == "/task-status/v1"][-3:]
    return len(polls) == 3 and not any("filters" in request.query for request in polls)


def stored(database: Database, asset: str = "fresh") -> list[dict[str, Any]]:
    return [json.loads(value) for (name, _), value in database.values.items() if name == asset]


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(_checked(main))


async def _checked(main: Callable[[], Awaitable[None]]) -> None:
    await main()
    async with asyncio.timeout(20):
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.01)


async def _begin(triggerer: Triggerer, watchers: int = 1) -> None:
    """Wait until all have begun, and their cursors are stored."""
    await triggerer.until(lambda: len(triggerer.database.values) >= watchers)


async def _found(triggerer: Triggerer, task_status_id: str, asset: str = "fresh") -> None:
    await triggerer.until(lambda: task_status_id in triggerer.database.found(asset))


def test_serialises_to_plain_settings(tenant: Emulator) -> None:
    trigger = watcher(["b", "a"], api_version="beta", accepted_statuses=None)
    path, kwargs = trigger.serialize()
    assert path == "airflow_provider_sptasks.triggers.completions.SailPointAggregationCompletedTrigger"
    again = SailPointAggregationCompletedTrigger(**json.loads(json.dumps(kwargs)))
    assert again.serialize() == (path, kwargs)
    assert tenant.client_secret not in json.dumps(kwargs)
    assert BaseEventTrigger.hash(path, kwargs) == BaseEventTrigger.hash(*again.serialize())


def test_shares_the_polls_of_a_connection() -> None:
    keys = [
        watcher().shared_stream_key(),
        watcher("a", kind="accounts", accepted_statuses=None).shared_stream_key(),
        watcher(api_version="beta").shared_stream_key(),
        watcher(sailpoint_conn_id="other").shared_stream_key(),
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_arguments_of_the_first_release() -> None:
    _, kwargs = watcher().serialize()
    assert kwargs.pop("version") == ARGUMENTS_VERSION
    old = SailPointAggregationCompletedTrigger(**kwargs)
    assert old._watcher().selection == watcher()._watcher().selection
    assert old._store_key() == watcher()._store_key()


def test_arguments_of_a_later_release(caplog: pytest.LogCaptureFixture) -> None:
    _, kwargs = watcher().serialize()
    kwargs |= {"version": 99, "mood": "good"}
    later = SailPointAggregationCompletedTrigger(**kwargs)
    assert later.serialize()[1] == kwargs
    assert later._usable_watcher() is not None
    assert caplog.messages == [
        "The arguments of a watcher of sailpoint_default have version 99, later than 2: ignored mood."
    ]


@pytest.mark.parametrize("missing", ["kind", "accepted_statuses", "api_version", "poke_interval"])
def test_arguments_that_are_missing(missing: str) -> None:
    _, kwargs = aggregation_completed("*").trigger.serialize()
    expected = kwargs.pop(missing)
    made = SailPointAggregationCompletedTrigger(**kwargs)
    assert made.serialize()[1][missing] == expected


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "neither source_id nor source_name is among its arguments"),
        ({"source_id": []}, "neither source_id nor source_name is among its arguments"),
        ({"source_id": "*", "kind": "of tomorrow"}, "'of tomorrow' is not a valid TaskKind"),
        ({"source_id": "*", "accepted_statuses": ["FINE"]}, "FINE"),
        *(
            ({"source_id": "*", "poke_interval": seconds}, f"positive number of seconds, got {seconds!r}")
            for seconds in (0, -0.5, float("inf"), float("nan"))
        ),
    ],
)
def test_arguments_that_make_no_sense_are_logged_and_end_nothing(
    arguments: dict[str, Any], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If it ended, Airflow would start it again every two seconds."""
    made = SailPointAggregationCompletedTrigger(version=ARGUMENTS_VERSION, **arguments)
    assert made._usable_watcher() is None
    (message,) = caplog.messages
    assert message.startswith("A watcher of sailpoint_default finds nothing: ")
    assert problem in message


def test_an_interval_of_less_than_a_second_makes_sense() -> None:
    made = SailPointAggregationCompletedTrigger("*", poke_interval=0.5, version=ARGUMENTS_VERSION)
    assert made._watcher().poke_interval == 0.5


def test_every_argument_survives_serialisation() -> None:
    """None of them is what it is by itself; tuples become lists."""
    given: dict[str, Any] = {
        "source_id": ["a", "b"],
        "source_name": ("HR", "AD"),
        "kind": "entitlements",
        "accepted_statuses": ("ERROR",),
        "sailpoint_conn_id": "sailpoint_other",
        "api_version": "beta",
        "poke_interval": 7.0,
        "version": ARGUMENTS_VERSION,
    }
    kwargs = SailPointAggregationCompletedTrigger(**given).serialize()[1]
    assert kwargs == {**given, "source_name": ["HR", "AD"], "accepted_statuses": ["ERROR"]}
    assert SailPointAggregationCompletedTrigger(**json.loads(json.dumps(kwargs))).serialize()[1] == kwargs


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"source_id": ["b", "a"]}, True),
        ({"poke_interval": 7.0}, True),
        ({"api_version": "beta"}, True),
        ({"source_id": ["a", "c"]}, False),
        ({"source_name": "HR"}, False),
        ({"kind": "entitlements"}, False),
        ({"accepted_statuses": ["SUCCESS"]}, False),
        ({"accepted_statuses": None}, False),
        ({"sailpoint_conn_id": "sailpoint_other"}, False),
    ],
)
def test_a_cursor_is_found_again_by_what_is_wanted(changed: dict[str, Any], same: bool) -> None:
    """How it is asked for, and how often, doesn't matter."""
    one, other = (
        SailPointAggregationCompletedTrigger(**{"source_id": ["a", "b"]} | each) for each in ({}, changed)
    )
    assert (one._store_key() == other._store_key()) is same


def test_is_made_as_every_watcher_of_airflow() -> None:
    class Plain(BaseEventTrigger):
        def serialize(self) -> tuple[str, dict[str, Any]]:
            raise NotImplementedError

        async def run(self) -> Any:
            raise NotImplementedError
            yield

    assert vars(Plain()).items() <= vars(watcher()).items()  # type: ignore[no-untyped-call]


def test_one_that_leaves_before_its_sources_are_found_asks_no_more(tenant: Emulator) -> None:
    async def main() -> None:
        one = watcher(source_name="Nowhere")
        feed = _feed.Feed(one.sailpoint_conn_id, one.api_version)
        updates = feed.updates()
        events = one.filter_shared_stream(updates)
        first = asyncio.ensure_future(anext(events))
        async with asyncio.timeout(20):
            while not any(request.path == "/sources/v1" for request in tenant.requests):
                await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.wait([first])
        await updates.aclose()  # type: ignore[attr-defined]
        others = {asyncio.current_task(), *feed._polls}
        async with asyncio.timeout(5):
            while asyncio.all_tasks() - others:
                await asyncio.sleep(0.01)
        feed.close()

    run(main)


@pytest.mark.parametrize("version", ["v1", "v2026", "v2025", "v2024", "beta"])
def test_fires_for_what_completes_from_the_first_poll_on(tenant: Emulator, version: str) -> None:
    tenant.add_task(launched=-120, duration=60)
    running = [tenant.add_task(launched=-offset, duration=None).id for offset in (5, 5 * DAY)]
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(api_version=version): ["fresh"]}) as triggerer:
            await _begin(triggerer)
            assert database.found("fresh") == []
            running.append(tenant.add_task(duration=None, kind="entitlements").id)
            tenant.add_task(duration=0, kind="account_deletion")
            tenant.add_task(duration=0, kind="role_refresh")
            for each in running:
                tenant.complete(each)
            await triggerer.until(lambda: len(database.found("fresh")) == 3)
            before = lists(tenant)
            await triggerer.until(lambda: lists(tenant) > before + 3)

    run(main)
    assert sorted(database.found("fresh")) == sorted(running)
    (event, *_) = database.events["fresh"]
    assert event.keys() == {"aggregations"}
    (first, *_) = event["aggregations"]
    assert first["completionStatus"] == "SUCCESS"
    assert first["target"]["name"] == "Active Directory [source]"
    assert first["completed"]
    assert isinstance(first["attributes"]["total"], int)


def test_a_burst_is_one_event(tenant: Emulator) -> None:
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await _begin(triggerer)
            tenant.fail(503, path="/task-status/v1")
            for _ in range(20):
                tenant.add_task(launched=-30, duration=20)
            tenant.clear_faults()
            await triggerer.until(lambda: len(database.found("fresh")) == 20)

    run(main)
    assert len(database.events["fresh"]) == 1
    times = [each["completed"] for each in database.events["fresh"][0]["aggregations"]]
    assert times == sorted(times)


def test_events_have_a_size_that_airflow_can_carry(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "MAX_IN_AN_EVENT", 100)
    trigger, database = watcher(), Database()

    async def main() -> None:
        async with Triggerer(database, {trigger: ["fresh"]}) as triggerer:
            await _begin(triggerer)
        for number in range(250):
            tenant.add_task(launched=-number, duration=0)
        async with Triggerer(database, {trigger: ["fresh"]}) as triggerer:
            await triggerer.until(lambda: len(database.found("fresh")) == 250)
            await triggerer.until(lambda: not database.at_risk["fresh"])

    run(main)
    assert [len(event["aggregations"]) for event in database.events["fresh"]] == [100, 100, 50]


def test_each_watcher_gets_its_own_from_one_poll(tenant: Emulator) -> None:
    hr = tenant.add_source("HR")
    tenant.add_source("AD")
    database = Database()
    watchers: dict[BaseEventTrigger, list[str]] = {
        watcher(): ["everything"],
        watcher(hr.id.upper()): ["hr"],
        watcher(source_name=["ad", "hr"], kind="accounts"): ["accounts"],
        watcher(accepted_statuses="ERROR"): ["failed"],
    }

    async def main() -> None:
        async with Triggerer(database, watchers) as triggerer:
            await _begin(triggerer, 4)
            before = lists(tenant)
            await triggerer.until(lambda: lists(tenant) > before + 4)
            assert all(request.query.get("sorters") == "-created" for request in tenant.requests[-3:])
            tasks = {
                "hr": tenant.add_task(source="HR", duration=0).id,
                "ad": tenant.add_task(source="AD", duration=0).id,
                "ad entitlements": tenant.add_task(source="AD", kind="entitlements", duration=0).id,
                "other": tenant.add_task(source="Other", duration=0).id,
                "failed": tenant.add_task(source="HR", duration=0, outcome="Error").id,
            }
            names = {task_id: name for name, task_id in tasks.items()}
            await triggerer.until(lambda: sum(map(len, map(database.found, database.events))) >= 8)
            assert {asset: {names[each] for each in database.found(asset)} for asset in database.events} == {
                "everything": {"hr", "ad", "ad entitlements", "other"},
                "hr": {"hr"},
                "accounts": {"hr", "ad"},
                "failed": {"failed"},
            }
            assert triggerer.starts == 4

    run(main)


def test_many_watchers_cost_one_request_a_poll(tenant: Emulator) -> None:
    watchers: dict[BaseEventTrigger, list[str]] = {watcher(f"source-{n}"): [f"asset-{n}"] for n in range(50)}
    database = Database()

    async def main() -> None:
        async with Triggerer(database, watchers) as triggerer:
            await _begin(triggerer, 50)
            # A poll for those that begin may have been under way while the last of them stored its cursor.
            await triggerer.until(lambda: _keeps_up(tenant))
            tenant.reset_requests()
            task = tenant.add_task(source="Seven", source_id="source-7", duration=0)
            await triggerer.until(lambda: database.found("asset-7") == [task.id])
            await triggerer.until(lambda: lists(tenant) > 5)

    run(main)
    polls = [request for request in tenant.requests if request.path == "/task-status/v1"]
    assert {tuple(sorted(request.query)) for request in polls} == {("limit", "offset", "sorters")}
    assert sum(map(len, map(database.found, database.events))) == 1


def test_long_pending_ones_are_asked_for_by_id(tenant: Emulator) -> None:
    slow = [tenant.add_task(launched=-DAY, duration=None).id for _ in range(250)]
    tenant.add_task(launched=-5, duration=1)
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await _begin(triggerer)
            tenant.reset_requests()
            await triggerer.until(lambda: lists(tenant) >= 9)

    run(main)
    kinds = Counter("filters" in request.query for request in tenant.requests)
    assert 1.5 <= kinds[True] / kinds[False] <= 2.5, "one list of what is new, and two of those 250"
    assert set(stored(database)[0]["awaited"]) == set(slow)


def test_two_equal_watchers_of_two_assets(tenant: Emulator) -> None:
    """Airflow makes one trigger of them, and both assets get the event."""
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["one", "two"]}) as triggerer:
            await _begin(triggerer, 2)
            task = tenant.add_task(duration=0)
            await triggerer.until(lambda: database.found("one") == database.found("two") == [task.id])

    run(main)
    assert stored(database, "one") == stored(database, "two") != []


def test_finds_what_completed_while_the_triggerer_was_down(tenant: Emulator) -> None:
    running = tenant.add_task(launched=-60, duration=None)
    trigger = watcher()
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {trigger: ["fresh"]}) as triggerer:
            await _begin(triggerer)
        tenant.clock.advance(6 * HOUR)
        tenant.complete(running.id)
        in_between = [tenant.add_task(launched=-n * 60, duration=20).id for n in range(1, 301)]
        async with Triggerer(database, {trigger: ["fresh"]}) as triggerer:
            await triggerer.until(lambda: len(database.found("fresh")) >= 301)
        assert sorted(database.found("fresh")) == sorted([running.id, *in_between])

    run(main)
    assert len(database.events["fresh"]) == 1


def test_a_watcher_that_joins_later_gets_its_own_past(tenant: Emulator) -> None:
    """Its cursor is older than what the others need."""
    early, late = watcher(kind="accounts"), watcher(kind="entitlements")
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {early: ["early"], late: ["late"]}) as triggerer:
            await _begin(triggerer, 2)
        tenant.clock.advance(2 * HOUR)
        missed = tenant.add_task(launched=-HOUR, duration=1, kind="entitlements")
        async with Triggerer(database, {early: ["early"]}) as triggerer:
            tenant.add_task(duration=0)
            await triggerer.until(lambda: database.found("early"))
            await triggerer.until(lambda: not database.at_risk["early"])
        async with Triggerer(database, {early: ["early"], late: ["late"]}) as triggerer:
            await triggerer.until(lambda: database.found("late") == [missed.id])
            before = lists(tenant)
            await triggerer.until(lambda: lists(tenant) > before + 3)

    run(main)
    assert len(database.found("early")) == 1


def test_nothing_is_lost_when_airflow_can_not_store_an_event(tenant: Emulator) -> None:
    """Airflow drops the watcher that had the event, whose cursor must not have moved."""
    one, two = watcher(kind="accounts"), watcher(kind="entitlements")
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {one: ["one"], two: ["two"]}, ack_timeout=2.0) as triggerer:
            await _begin(triggerer, 2)
            triggerer.lost = {one}
            task = tenant.add_task(duration=0)
            await triggerer.until(lambda: triggerer.starts > 2)
            assert database.found("one") == []
            triggerer.lost = set()
            await _found(triggerer, task.id, "one")
            other = tenant.add_task(duration=0, kind="entitlements")
            await _found(triggerer, other.id, "two")
            assert set(database.found("one")) == {task.id}

    run(main)


def test_a_sibling_that_airflow_drops_costs_nothing_but_repetition(tenant: Emulator) -> None:
    """Even when no cursor was ever stored: the other one reads again from where it began."""
    one, two = watcher(kind="accounts"), watcher(kind="entitlements")
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {one: ["one"], two: ["two"]}, ack_timeout=2.0) as triggerer:
            triggerer.write_error = ConnectionError("no api-server")
            await triggerer.until(lambda: lists(tenant) > 12)
            triggerer.lost = {one}
            tenant.add_task(duration=0)
            task = tenant.add_task(duration=0, kind="entitlements")
            await triggerer.until(lambda: triggerer.starts > 2)
            await _found(triggerer, task.id, "two")
            triggerer.lost = set()
            triggerer.write_error = None
            await triggerer.until(lambda: not database.at_risk["two"])
            other = tenant.add_task(duration=0, kind="entitlements")
            await _found(triggerer, other.id, "two")

    run(main)


def test_a_state_store_that_fails_stops_nothing(tenant: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await _begin(triggerer)
            triggerer.write_error = ConnectionError("no api-server")
            for _ in range(3):
                task = tenant.add_task(duration=0)
                await _found(triggerer, task.id)
            triggerer.write_error = None
            await triggerer.until(lambda: not database.at_risk["fresh"])
            assert triggerer.starts == 1
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            triggerer.read_error = ConnectionError("no api-server")
            tenant.add_task(duration=0)
            await asyncio.sleep(0.2)
            triggerer.read_error = None
            await triggerer.until(lambda: len(database.found("fresh")) == 4)

    with caplog.at_level(logging.INFO, logger="airflow_provider_sptasks.triggers"):
        run(main)
    assert len(set(database.found("fresh"))) == 4
    logged = [record.message for record in caplog.records if record.name in LOGGERS]
    assert [line for line in logged if "no api-server" in line] == [
        "Storing how far completions were read fails, will be tried again: no api-server",
        "Loading how far completions were read fails, will be tried again: no api-server",
    ]


def test_invalid_state_is_logged_and_begins_again(tenant: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await _begin(triggerer)
        (place,) = database.values
        database.values[place] = '"2024-05-17"'
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await triggerer.until(lambda: isinstance(stored(database)[0], dict))

    run(main)
    assert "the asset's state is invalid: str '2024-05-17' is no cursor" in caplog.text


@pytest.mark.parametrize("kind", ["status", "drop", "html", "truncate"])
def test_a_transient_error_makes_no_event_and_is_logged_once(
    tenant: Emulator, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await _begin(triggerer)
            tenant.fail(kind=kind, path="/task-status/v1")
            task = tenant.add_task(duration=0)
            tenant.reset_requests()
            await triggerer.until(lambda: lists(tenant) >= 3)
            assert database.found("fresh") == []
            tenant.clear_faults()
            await triggerer.until(lambda: database.found("fresh") == [task.id])
            assert triggerer.starts == 1

    with caplog.at_level(logging.INFO, logger="airflow_provider_sptasks.triggers"):
        run(main)
    logged = [record.message for record in caplog.records if record.name in LOGGERS]
    assert len(logged) == 2
    assert logged[0].startswith("Polling completions of sailpoint_default fails, will be tried again: GET ")
    assert logged[1] == "Polling completions of sailpoint_default works again"


def test_a_repeated_refusal_is_logged_and_waited_out(
    tenant: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await _begin(triggerer)
            tenant.fail(403, path="/task-status/v1")
            task = tenant.add_task(duration=0)
            await triggerer.until(lambda: "is refused, will be tried again" in caplog.text)
            tenant.clear_faults()
            await triggerer.until(lambda: database.found("fresh") == [task.id])
            assert triggerer.starts == 1

    run(main)
    expected = "Polling completions of sailpoint_default is refused, will be tried again in 0 s: GET "
    assert expected in caplog.text


def test_rotated_credentials_heal(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await _begin(triggerer)
            tenant.rotate_secret(tenant.client_id, "rotated")
            monkeypatch.setenv(CONNECTION, tenant.connection_uri)
            tenant.revoke_tokens()
            task = tenant.add_task(duration=0)
            await triggerer.until(lambda: database.found("fresh") == [task.id])

    run(main)


def test_a_connection_that_can_not_be_read_again_still_holds(
    tenant: Emulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_feed, "SETTINGS_REFRESH_SECONDS", 0.1)
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await _begin(triggerer)
            monkeypatch.delenv(CONNECTION)
            await triggerer.until(
                lambda: "Connection 'sailpoint_default' can't be read again: " in caplog.text
            )
            task = tenant.add_task(duration=0)
            await triggerer.until(lambda: database.found("fresh") == [task.id])

    run(main)


def test_an_edited_connection_counts_within_minutes(
    tenant: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_feed, "SETTINGS_REFRESH_SECONDS", 0.1)
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await _begin(triggerer)
            with Emulator(rate_limit=None) as other:
                monkeypatch.setenv(CONNECTION, other.connection_uri)
                await triggerer.until(lambda: lists(other))
                task = other.add_task(duration=0)
                await _found(triggerer, task.id)

    run(main)


def test_an_invalid_connection_is_logged_and_read_again(
    tenant: Emulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tenant.connection_uri
    monkeypatch.setenv(CONNECTION, "sailpoint://client:hidden@acme/?api_version=v3")
    database = Database()

    async def main() -> None:
        async with Triggerer(database, {watcher(): ["fresh"]}) as triggerer:
            await triggerer.until(lambda: "api_version 'v3' is unknown" in caplog.text)
            monkeypatch.delenv(CONNECTION)
            await triggerer.until(lambda: "isn't defined" in caplog.text)
            monkeypatch.setenv(CONNECTION, good)
            await _begin(triggerer)
            assert triggerer.starts == 1

    run(main)
    assert "hidden" not in caplog.text


def test_unknown_names_are_logged_and_looked_up_again(
    tenant: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        tenant.add_source("Twin", id=None if not tenant.sources else "other")
    database = Database()
    watchers: dict[BaseEventTrigger, list[str]] = {
        watcher(source_name="Nowhere"): ["nowhere"],
        watcher(source_name="Twin"): ["twin"],
        watcher(): ["fresh"],
    }

    async def main() -> None:
        async with Triggerer(database, watchers) as triggerer:
            await triggerer.until(lambda: "no source named 'Nowhere'" in caplog.text)
            await triggerer.until(lambda: "2 sources are named 'Twin'" in caplog.text)
            await _begin(triggerer)
            task = tenant.add_task(duration=0, source="Late")
            await triggerer.until(lambda: task.id in database.found("fresh"))
            tenant.add_source("Nowhere")
            await _begin(triggerer, 2)
            mine = tenant.add_task(duration=0, source="Nowhere")
            await triggerer.until(lambda: database.found("nowhere") == [mine.id])

    run(main)
    assert database.found("twin") == []


def test_alone_where_airflow_shares_no_streams(tenant: Emulator) -> None:
    """Before Airflow 3.3: begins again with each start, and keeps nothing."""
    tenant.add_task(launched=-60, duration=1)
    found: list[str] = []

    async def main() -> None:
        trigger = watcher()
        events = trigger.run()
        first = asyncio.ensure_future(anext(events))
        async with asyncio.timeout(60):
            while lists(tenant) < 6:  # the first poll takes three
                await asyncio.sleep(0.01)
            task = tenant.add_task(duration=0)
            found.extend(each["id"] for each in (await first).payload["aggregations"])
            assert found == [task.id]
            await events.aclose()  # type: ignore[attr-defined]

    run(main)


@pytest.mark.parametrize("seed", range(6))
def test_every_completion_arrives_whatever_crashes_when(tenant: Emulator, seed: int) -> None:
    """
    Aggregations are launched and end in any order, and the triggerer is killed at any moment.

    Each completion is in an event, and again only where the triggerer died before it could store how far it
    had read.
    """
    chance = random.Random(seed)
    version = chance.choice(["v1", "beta"])
    watchers: dict[BaseEventTrigger, list[str]] = {
        watcher(api_version=version): ["everything"],
        watcher(kind="accounts", api_version=version): ["accounts"],
    }
    database = Database()
    running: list[str] = []
    expected: dict[str, list[str]] = {"everything": [], "accounts": []}
    twice: dict[str, Counter[str]] = {"everything": Counter(), "accounts": Counter()}

    def launch() -> None:
        kind = chance.choice(["accounts", "entitlements", "identity_refresh"])
        task = tenant.add_task(kind=kind, launched=-chance.choice([0, 60]), duration=None)
        running.append(task.id)
        if kind != "identity_refresh":
            expected["everything"].append(task.id)
        if kind == "accounts":
            expected["accounts"].append(task.id)

    async def main() -> None:
        async with Triggerer(database, watchers) as triggerer:
            await _begin(triggerer, 2)
        for _ in range(8):
            async with Triggerer(database, watchers, sync=chance.uniform(0.001, 0.2)) as triggerer:
                for _ in range(chance.randrange(12)):
                    for _ in range(chance.randrange(6)):
                        launch()
                    for _ in range(chance.randrange(len(running) + 1)):
                        tenant.complete(running.pop(chance.randrange(len(running))))
                    await asyncio.sleep(chance.uniform(0, 0.1))
                    if chance.random() < 0.1:
                        tenant.clock.advance(chance.uniform(60, 900))
            for asset, ids in database.at_risk.items():
                twice[asset].update(list(ids))
        async with Triggerer(database, watchers) as triggerer:
            for each in running:
                tenant.complete(each)
            await triggerer.until(
                lambda: all(set(database.found(each)) >= set(expected[each]) for each in expected)
            )
            before = lists(tenant)
            await triggerer.until(lambda: lists(tenant) > before + 3)

    run(main)
    for asset, ids in expected.items():
        found = Counter(database.found(asset))
        assert set(found) == set(ids)
        assert {each for each, times in found.items() if times > 1} <= set(twice[asset])
        assert all(times <= 1 + twice[asset][each] for each, times in found.items())
