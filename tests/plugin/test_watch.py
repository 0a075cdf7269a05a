"""What watching costs a tenant, and what is shown while it is down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from airflow_provider_sptasks.client import budget, pacing
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.plugin.connections import connect
from airflow_provider_sptasks.plugin.snapshot import Snapshot
from airflow_provider_sptasks.plugin.watch import Watch, Watches
from tests.conftest import CONNECTION


class Time:
    """A clock that a test moves, and a watch that goes by it."""

    def __init__(self, share_of_limit: float = 1.0) -> None:
        self.now = 1000.0
        self.watch = Watch(lambda: connect("sailpoint_default"), lambda: self.now, share_of_limit)

    def after(self, seconds: float) -> Snapshot:
        """What the page gets after some time, when all that is due has been read."""
        self.now += seconds
        return asyncio.run(self._settled())

    async def _settled(self) -> Snapshot:
        await self.watch.watch()
        while (work := self.watch._work) is not None and not work.done():
            await asyncio.sleep(0.005)
        return self.watch.snapshot


@pytest.fixture
def time(tenant: Emulator) -> Iterator[Time]:
    time = Time()
    yield time
    time.watch.close()


def api_requests(tenant: Emulator) -> int:
    return sum("oauth" not in each.path for each in tenant.requests)


def minute(tenant: Emulator, viewers: int) -> int:
    """The requests of a minute in which each viewer's page asks every 5 seconds."""
    time = Time()
    time.after(0)
    before = api_requests(tenant)
    for step in range(12):
        for viewer in range(viewers):
            time.after(5 / viewers)
            if step == 3 and viewer == 0:
                tenant.add_task(source="Workday", duration=0.0)
    time.watch.close()
    return api_requests(tenant) - before


def test_ten_viewers_cost_what_one_costs(tenant: Emulator) -> None:
    tenant.add_task(duration=None)
    one = minute(tenant, 1)
    assert one == 12 + 1, "the pending tasks every 5 s, the others once a minute"
    assert minute(tenant, 10) <= 1.2 * one


def test_nothing_is_read_unless_it_is_watched(tenant: Emulator, time: Time) -> None:
    time.after(0)
    before = api_requests(tenant)
    time.now += 3600
    assert api_requests(tenant) == before
    time.after(0)
    assert api_requests(tenant) == before + 2


def test_reading_stops_when_the_page_is_closed(tenant: Emulator, time: Time) -> None:
    """The first reading of a large tenant takes a while."""
    for number in range(600):
        tenant.add_task(source=f"Source {number % 7}", launched=-60.0 * number - 60, duration=30)

    def close(_: object) -> None:
        time.now += 100

    tenant.on_request(close)
    time.after(0)
    tenant.on_request(None)
    assert time.watch.snapshot.is_reading
    assert not time.after(0).is_reading
    assert len(time.watch.snapshot.ended) == 600


def test_what_runs_is_shown_before_the_rest_is_read(tenant: Emulator) -> None:
    """At a twentieth of the limit, thousands of tasks take most of a minute."""
    tenant.add_task(duration=None)
    for number in range(2_000):
        tenant.add_task(source=f"Source {number % 7}", launched=-60.0 * number - 60, duration=30)
    watch = Watch(lambda: connect("sailpoint_default"))
    snapshot = asyncio.run(watch.watch())
    watch.close()
    assert len(snapshot.pending) == 1
    assert snapshot.is_reading


def test_what_has_ended_is_read_once(tenant: Emulator, time: Time) -> None:
    task = tenant.add_task(source="Workday", duration=None)
    assert [each.id for each in time.after(0).pending] == [task.id]
    tenant.complete(task.id, "ERROR")
    before = api_requests(tenant)
    snapshot = time.after(5)
    assert (snapshot.pending, [each.id for each in snapshot.ended]) == ((), [task.id])
    assert (snapshot.failing, api_requests(tenant)) == (["Workday"], before + 2)
    version = snapshot.version
    assert time.after(5).version == version
    assert api_requests(tenant) == before + 3


def test_what_began_and_ended_between_two_polls_is_seen(tenant: Emulator, time: Time) -> None:
    time.after(0)
    task = tenant.add_task(source="Workday", duration=0.0)
    time.after(30)
    assert time.watch.snapshot.ended == ()
    assert [each.id for each in time.after(30).ended] == [task.id]


def test_a_record_that_claims_to_be_of_the_future_hides_no_other(tenant: Emulator, time: Time) -> None:
    """FAULTS P2: between two polls, more end than a page of the list holds."""
    future = "2099-01-01T00:00:00Z"
    tenant.add_task(launched=-60, duration=1.0, fields={"created": future, "launched": future})
    time.after(0)
    tasks = {tenant.add_task(launched=-60, duration=1.0).id for _ in range(MAX_PAGE_SIZE + 50)}
    time.after(60)
    assert tasks <= {each.id for each in time.after(60).ended}


@pytest.mark.parametrize("version", ["beta", "v2024", "v2026", "v1"])
def test_every_version_shows_the_same(
    tenant: Emulator, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONNECTION, f"{tenant.connection_uri}?api_version={version}")
    running = tenant.add_task(source="Workday", duration=None)
    ended = tenant.add_task(source="SAP", launched=-900, duration=60, outcome="ERROR", messages=["why"])
    time = Time()
    snapshot = time.after(0)
    time.watch.close()
    assert [each.id for each in snapshot.pending] == [running.id]
    assert [(each.id, each.messages) for each in snapshot.ended] == [(ended.id, ("why",))]


def test_an_outage_leaves_what_was_known_with_its_age(tenant: Emulator, time: Time) -> None:
    tenant.add_task(duration=None)
    before = time.after(0)
    tenant.fail(status=503)
    during = time.after(5)
    assert during.outage is not None
    assert "has an error; try again later" in during.outage.message
    assert not during.outage.is_refusal
    assert (during.pending, during.read_at) == (before.pending, before.read_at)
    requests = api_requests(tenant)
    for _ in range(60):
        time.after(1)
    assert api_requests(tenant) - requests <= 4, "no storm: the pauses grow"
    tenant.clear_faults()
    after = time.after(60)
    assert after.outage is None
    assert after.read_at is not None
    assert during.read_at is not None
    assert after.read_at > during.read_at


def test_a_limit_is_kept_to(tenant: Emulator, time: Time) -> None:
    time.after(0)
    tenant.fail(status=429, headers={"Retry-After": "50"})
    time.after(5)
    tenant.clear_faults()
    requests = api_requests(tenant)
    time.after(49)
    assert api_requests(tenant) == requests


def test_a_refusal_is_explained(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION, tenant.connection_uri.replace(tenant.client_secret, "wrong"))
    time = Time()
    snapshot = time.after(0)
    assert snapshot.outage is not None
    assert snapshot.outage.is_refusal
    assert "The Client ID or the Client Secret is wrong" in snapshot.outage.message
    monkeypatch.setenv(CONNECTION, tenant.connection_uri)
    snapshot = time.after(60)
    time.watch.close()
    assert (snapshot.outage, snapshot.read_at is not None) == (None, True), "the connection was corrected"


def test_a_connection_that_cannot_be_used_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION, "sailpoint://:secret@acme")
    time = Time()
    snapshot = time.after(0)
    time.watch.close()
    assert snapshot.outage is not None
    assert "Client ID (client_id) is empty" in snapshot.outage.message
    assert "secret" not in snapshot.outage.message


def test_another_tenant_is_not_mixed_with_the_one_before(
    tenant: Emulator, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant.add_task(source="Workday", launched=-900, duration=60)
    assert len(time.after(0).ended) == 1
    with Emulator() as other:
        monkeypatch.setenv(CONNECTION, other.connection_uri)
        snapshot = time.after(61)
        assert (snapshot.ended, snapshot.outage) == ((), None)


def test_watching_takes_a_twentieth_of_the_limit_at_most(tenant: Emulator) -> None:
    watch = Watch(lambda: connect("sailpoint_default"))
    pacer = watch.reader().transport.pacer
    watch.close()
    assert isinstance(pacer, pacing.Lane)
    assert pacer.requests <= 0.05 * budget.TENANT_LIMIT
    own = connect("sailpoint_default").client.transport.pacer
    assert pacer.budget is own.budget, "and it keeps to the connection's own budget"


def test_each_connection_has_one_watch(tenant: Emulator) -> None:
    def hook(connection_id: str) -> SailPointHook:
        raise ValueError(connection_id)

    watches = Watches(hook)
    first = watches.of("one")
    assert watches.of("one") is first
    assert watches.of("two") is not first
    first.watched_at -= 3600
    watches.of("two")
    assert watches.of("one") is not first, "one that was not watched for long is forgotten"
