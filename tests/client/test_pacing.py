"""The client's own pace: a tenant without other clients never answers 429."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace

import pytest

from airflow_provider_sptasks.client import RetryPolicy, TaskStatusClient, budget, pacing, transport
from airflow_provider_sptasks.client.budget import OwnBudget
from airflow_provider_sptasks.client.errors import NotSentError
from airflow_provider_sptasks.client.pacing import HORIZON_SECONDS, Pacer, shared_pacer
from airflow_provider_sptasks.emulator import Emulator, RateLimit
from tests.client.conftest import Connect, Waits, api_requests, settings, token_requests


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def reservations(pacer: Pacer, count: int) -> list[float]:
    return [pacer.reserve() for _ in range(count)]


class TestPacer:
    @pytest.mark.parametrize("requests", [5, 50, 80, 90, 95, 100])
    def test_no_window_holds_more_than_the_tenant_allows(self, requests: int, clock: Clock) -> None:
        """Whenever they are sent: at once, after a pause, or now and then."""
        pacer = Pacer(requests)
        sent: list[float] = []
        for pause in (0.0, 3.0, 0.01, 25.0, 0.5, 10.0):
            sent += [clock.now + wait for wait in reservations(pacer, 150)]
            clock.now = sent[-1] + pause
        held = [sum(1 for each in sent if start <= each < start + 9.999_999) for start in sent]
        assert requests <= max(held) <= min(requests + 10, 100)
        assert sent == sorted(sent)

    def test_begins_with_a_small_burst_and_goes_on_evenly(self, clock: Clock) -> None:
        waits = reservations(Pacer(80), 30)
        assert waits[:10] == [0.0] * 10
        assert [later - earlier for earlier, later in pairwise(waits[9:])] == pytest.approx([0.125] * 20)

    def test_a_pause_is_not_saved_up(self, clock: Clock) -> None:
        pacer = Pacer(80)
        reservations(pacer, 30)
        clock.now += 3_600
        assert reservations(pacer, 11) == pytest.approx([0.0] * 10 + [0.125])

    def test_who_cannot_wait_takes_no_place(self, clock: Clock) -> None:
        pacer = Pacer(100)
        assert pacer.reserve() == 0.0
        assert pacer.reserve(max_wait=0.05) == pytest.approx(0.1)
        assert pacer.reserve(max_wait=0.05) == pytest.approx(0.1)
        assert reservations(pacer, 2) == pytest.approx([0.1, 0.2])

    def test_hold(self, clock: Clock) -> None:
        pacer = Pacer(80)
        pacer.hold(7)
        assert pacer.held() == 7
        assert reservations(pacer, 2) == pytest.approx([7, 7.125])
        clock.now += 6
        assert pacer.held() == 1
        pacer.hold(0.5)  # shorter than what is left
        assert pacer.held() == 1
        clock.now += 2
        assert pacer.held() == 0

    def test_a_new_pace_counts_at_once(self, clock: Clock) -> None:
        pacer = Pacer(100)
        pacer.reserve()
        pacer.requests = 50
        waits = reservations(pacer, 20)
        assert waits[-1] - waits[-2] == pytest.approx(0.2)


class TestLane:
    @pytest.mark.parametrize(
        ("share", "burst", "interval"), [(0.1, 2, 1.0), (0.01, 2, 10.0), (0.5, 2, 0.2), (1.0, 1, 1 / 6)]
    )
    def test_spreads_its_own_requests(self, share: float, burst: int, interval: float, clock: Clock) -> None:
        waits = reservations(Pacer(80).lane(share), 10)
        assert waits[:burst] == [0.0] * burst
        steps = [later - earlier for earlier, later in pairwise(waits[burst - 1 :])]
        assert steps == pytest.approx([interval] * (10 - burst))

    def test_one_for_each_share_of_a_pacer(self) -> None:
        pacer = Pacer(80)
        assert pacer.lane(0.1) is pacer.lane(0.1) is pacer.lane(0.5).lane(0.1)
        assert pacer.lane(0.1) is not pacer.lane(0.2)
        assert pacer.lane(0.1) is not Pacer(80).lane(0.1)

    def test_its_requests_take_places_of_the_whole(self, clock: Clock) -> None:
        pacer = Pacer(80)
        lane = pacer.lane(0.1)
        reservations(pacer, 9)
        lane.wait_for_turn("GET /x", time.monotonic() + 5, time.sleep)
        assert pacer.reserve() == pytest.approx(0.125)
        assert reservations(lane, 2) == pytest.approx([0.0, 1.0])

    def test_its_window_is_that_of_the_whole(self, clock: Clock) -> None:
        assert reservations(Pacer(80, window=1.0).lane(0.1), 3) == pytest.approx([0.0, 0.0, 0.1])

    def test_a_backlog_of_one_does_not_hold_up_the_other(self, clock: Clock) -> None:
        pacer = Pacer(80)
        lane = pacer.lane(0.1)
        reservations(lane, 100)
        assert pacer.reserve() == 0.0
        other = Pacer(80)
        reservations(other, 100)
        assert other.lane(0.1).reserve() == 0.0

    @pytest.mark.parametrize("held_by", ["lane", "whole", "other lane"])
    def test_a_hold_is_for_all(self, held_by: str, clock: Clock) -> None:
        pacer = Pacer(80)
        lane, other = pacer.lane(0.1), pacer.lane(0.5)
        {"lane": lane, "whole": pacer, "other lane": other}[held_by].hold(7)
        assert (lane.held(), pacer.held(), other.held()) == (7, 7, 7)
        assert reservations(lane, 3) == pytest.approx([7, 8, 9])
        assert reservations(pacer, 2) == pytest.approx([7, 7.125])

    def test_who_cannot_wait_takes_no_place(self, clock: Clock) -> None:
        lane = Pacer(80).lane(0.1)
        reservations(lane, 2)
        assert lane.reserve(max_wait=0.5) == pytest.approx(1.0)
        assert lane.reserve() == pytest.approx(1.0)


class TestPolling:
    def test_polls_keep_to_their_share(self, connect: Connect, emulator: Emulator, clock: Clock) -> None:
        """Two pollers of a tenant have one share together, and what else is sent doesn't wait for it."""
        emulator.add_task("1", duration=None)
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            clock.now += seconds

        pacer = Pacer(80)
        retry = RetryPolicy(sleep=sleep)
        clients = [connect(pacer=pacer, retry=retry, poll_share=0.1) for _ in range(2)]
        for n in range(6):
            clients[n % 2].polling().get("1")
        assert slept == pytest.approx([1.0] * 4)
        clients[0].get("1")
        clients[0].transport.polling().polling()
        assert len(slept) == 4
        assert len(token_requests(emulator)) == 1

    def test_a_poll_waits_for_the_whole_too(self, connect: Connect, emulator: Emulator) -> None:
        pacer = Pacer(80)
        reservations(pacer, 100)
        with pytest.raises(NotSentError, match="the client's own pace allows it in"):
            connect(pacer=pacer, retry=RetryPolicy(deadline=1)).polling().get("1")
        assert api_requests(emulator) == []

    def test_with_another_pacer(self, connect: Connect, emulator: Emulator) -> None:
        emulator.add_task("1", duration=None)
        client = connect(retry=RetryPolicy(deadline=1))
        other = Pacer(80)
        other.hold(60)
        with pytest.raises(NotSentError):
            client.with_pacer(other).get("1")
        assert client.get("1").id == "1"


class TestSharedPacer:
    KEY: tuple[str, str, str] = ("https://pacer.example.com", "id", "v1")

    def test_one_for_what_the_tenant_counts_together(self) -> None:
        assert shared_pacer(*self.KEY, 80) is shared_pacer(*self.KEY, 80)

    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_another_for_another_tenant_client_or_version(self, part: int) -> None:
        other = list(self.KEY)
        other[part] += "2"
        assert shared_pacer(*self.KEY, 80) is not shared_pacer(other[0], other[1], other[2], 80)

    def test_the_last_ones_pace_applies(self) -> None:
        first = shared_pacer(*self.KEY, 80)
        shared_pacer(*self.KEY, 20)
        assert first.requests == 20

    def test_clients_use_it(self, emulator: Emulator) -> None:
        emulator.add_task("1", duration=None)
        given = settings(emulator)
        pacer = shared_pacer(given.base_url, given.client_id, given.api_version, given.requests_per_10s)
        pacer.hold(1_200)
        hasty = RetryPolicy(deadline=1)
        with TaskStatusClient(given, retry=hasty) as held, pytest.raises(NotSentError):
            held.get("1")
        with TaskStatusClient(settings(emulator, api_version="v2026"), retry=hasty) as free:
            assert free.get("1").id == "1"


@pytest.fixture
def limited() -> Iterator[Emulator]:
    """A tenant whose limit is a tenth of SailPoint's in time: 100 requests a second."""
    with Emulator(rate_limit=RateLimit(100, 1.0)) as emulator:
        yield emulator


def crowd(emulator: Emulator, pacer: Pacer, threads: int, calls: int) -> list[str]:
    """Call from several threads, each with its own client, as fast as the pace allows."""

    def work(_: int) -> list[str]:
        retry = RetryPolicy(deadline=30)
        with TaskStatusClient(settings(emulator), pacer=pacer, retry=retry) as client:
            return [client.get("1").id for _ in range(calls)]

    with ThreadPoolExecutor(threads) as pool:
        return [each for found in pool.map(work, range(threads)) for each in found]


class TestAgainstALimit:
    def test_a_crowd_earns_no_429(self, limited: Emulator) -> None:
        limited.add_task("1", duration=None)
        assert crowd(limited, Pacer(80, window=1.0), threads=8, calls=25) == ["1"] * 200
        assert {request.status for request in api_requests(limited)} == {200}
        assert len(api_requests(limited)) == 200

    def test_the_limit_is_really_on(self, limited: Emulator) -> None:
        """Who is twice as fast is refused, waits as the answers say, and gets everything nevertheless."""
        limited.add_task("1", duration=None)
        assert crowd(limited, Pacer(100, window=0.25), threads=8, calls=25) == ["1"] * 200
        statuses = [request.status for request in api_requests(limited)]
        assert statuses.count(200) == 200
        assert 429 in statuses

    def test_a_429_that_another_client_earned_holds_all(self, limited: Emulator) -> None:
        limited.add_task("1", duration=None)
        pacer = Pacer(80, window=1.0)
        with TaskStatusClient(settings(limited), pacer=pacer) as client:
            client.get("1")
        limited.fail(429, times=1, headers={"Retry-After": "1"})
        crowd(limited, pacer, threads=8, calls=5)
        requests = api_requests(limited)[1:]
        (refusal,) = [n for n, request in enumerate(requests) if request.status == 429]
        # Those under way at that moment arrive, then none for a second; else nearly all would have.
        later = [request.at - requests[refusal].at for request in requests[refusal + 1 :]]
        assert sum(1 for delay in later if delay < 0.9) <= 20
        assert len(requests) == 41


class TestWaiting:
    def test_no_call_waits_beyond_the_deadline(
        self, connect: Connect, waits: Waits, emulator: Emulator
    ) -> None:
        pacer = Pacer(80)
        pacer.hold(100)
        client = connect(pacer=pacer, retry=RetryPolicy(deadline=50, sleep=waits))
        with pytest.raises(NotSentError, match=r"POST /oauth/token was not sent: .* allows it in \d+\.\d s"):
            client.get("1")
        assert api_requests(emulator) == []
        assert waits.seconds == []

    def test_who_comes_after_the_deadline_takes_no_place(self, clock: Clock) -> None:
        pacer = Pacer(10)
        reservations(pacer, 2)
        clock.now += 0.1
        waits = Waits()
        with pytest.raises(NotSentError, match=r"POST /x was not sent: .* allows it in 0\.9 s"):
            pacer.wait_for_turn("POST /x", time.monotonic() - 5, waits)
        assert waits.seconds == []
        assert pacer.reserve() == pytest.approx(0.9)

    def test_the_time_that_a_place_took_to_get_counts(
        self, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another process may hold the budget for a while."""
        monkeypatch.setattr(pacing, "time", SimpleNamespace(monotonic=clock.monotonic))
        pacer = Pacer(10)
        reservations(pacer, 2)
        reserve = pacer.reserve

        def slow(max_wait: float) -> float:
            wait = reserve(max_wait)
            clock.now += 1
            return wait

        pacer.reserve = slow  # type: ignore[method-assign, assignment]
        waits = Waits()
        with pytest.raises(NotSentError, match=r"allows it in 1\.0 s, which is after the call's deadline"):
            pacer.wait_for_turn("GET /x", clock.now + 1.5, waits)
        assert waits.seconds == []

    def test_a_hold_in_the_meantime_counts_too(self, connect: Connect, emulator: Emulator) -> None:
        """Who has taken his place may be held beyond his deadline: then he doesn't send either."""
        pacer = Pacer(100, window=10.0)
        pacer.reserve()
        client = connect(pacer=pacer, retry=RetryPolicy(deadline=50, sleep=lambda _: pacer.hold(100)))
        with pytest.raises(NotSentError, match="which is after the call's deadline"):
            client.get("1")
        assert api_requests(emulator) == []

    def test_nothing_is_sent_after_the_deadline(
        self, connect: Connect, emulator: Emulator, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A busy machine may wake a thread late."""
        for module in (transport, pacing):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
        pacer = Pacer(100, window=1_000.0)
        pacer.reserve()

        def oversleep(_: float) -> None:
            clock.now += 21

        retry = RetryPolicy(deadline=20, strict=True, max_attempts=1, sleep=oversleep)
        with pytest.raises(NotSentError, match="the call's deadline has passed"):
            connect(pacer=pacer, retry=retry).get("1")
        assert api_requests(emulator) == []

    def test_a_replay_takes_a_place_of_its_own(self, connect: Connect, emulator: Emulator) -> None:
        emulator.add_task("1", duration=None)
        client = connect(pacer=Pacer(98, window=1e6), retry=RetryPolicy(deadline=1))
        emulator.fail(401, times=1)
        with pytest.raises(NotSentError):
            client.get("1")
        assert [request.status for request in api_requests(emulator)] == [401]

    def test_a_pace_error_is_waited_out(self, emulator: Emulator, connect: Connect) -> None:
        emulator.add_task("1", duration=None)
        pacer = Pacer(100, window=1.0)
        started = time.monotonic()
        pacer.hold(0.2)
        assert connect(pacer=pacer, retry=RetryPolicy(deadline=10)).get("1").id == "1"
        assert time.monotonic() - started >= 0.2

    def test_who_took_his_place_before_a_hold_waits_too(self, emulator: Emulator, connect: Connect) -> None:
        emulator.add_task("1", duration=None)
        pacer = Pacer(100, window=10.0)
        pacer.reserve()
        held = threading.Event()

        def sleep(seconds: float) -> None:
            if not held.is_set():
                held.set()
                pacer.hold(0.3)
            time.sleep(seconds)

        connect(pacer=pacer, retry=RetryPolicy(sleep=sleep)).get("1")
        assert held.is_set()
        assert pacer.held() == 0

    def test_a_token_takes_a_place_too(self, emulator: Emulator, connect: Connect) -> None:
        emulator.add_task("1", duration=None)
        one_place = Pacer(100, window=1e6)
        with pytest.raises(NotSentError):
            connect(pacer=one_place, retry=RetryPolicy(deadline=1)).get("1")
        assert len(token_requests(emulator)) == 1
        assert api_requests(emulator) == []

    def test_a_token_does_not_wait_in_the_lane(self, emulator: Emulator, connect: Connect) -> None:
        emulator.add_task("1", duration=None)
        pacer = Pacer(80)
        reservations(pacer.lane(0.1), 100)
        with pytest.raises(NotSentError, match="GET /task-status"):
            connect(pacer=pacer, retry=RetryPolicy(deadline=1)).polling().get("1")
        assert len(token_requests(emulator)) == 1

    def test_who_does_not_poll_takes_no_place_far_ahead(self, emulator: Emulator, connect: Connect) -> None:
        """So a poll has to wait for the horizon at most, whatever is to be cleared in other processes."""
        emulator.add_task("1", duration=None)
        pacer = Pacer(80)
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            pacer.budget = OwnBudget()

        reservations(pacer, 90)
        assert connect(pacer=pacer, retry=RetryPolicy(sleep=sleep)).get("1").id == "1"
        assert slept[0] == pytest.approx(10 - HORIZON_SECONDS, abs=1.5)
        slept.clear()
        reservations(pacer, 90)
        assert pacer.lane(0.1).reserve() == 0.0
        connect(pacer=pacer, retry=RetryPolicy(sleep=sleep)).polling().get("1")
        assert slept[0] == pytest.approx(10, abs=1.5)
