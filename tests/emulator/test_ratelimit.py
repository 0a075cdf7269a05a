"""The rate limit, by hand with a clock of its own, and over HTTP with scaled seconds."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest

from airflow_provider_sptasks.emulator import Emulator, RateLimit
from airflow_provider_sptasks.emulator.ratelimit import RateLimiter
from tests.emulator.conftest import ApiFactory


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """One client of a limiter, on a clock that only it moves."""

    def __init__(self, limit: RateLimit) -> None:
        self.clock = Clock()
        self.limiter = RateLimiter(limit, self.clock)

    def send(self, count: int = 1, client_id: str = "me", version: str = "v1") -> list[float]:
        return [self.limiter.delay(client_id, version) for _ in range(count)]

    def violate(self, intervals: int = 1) -> float:
        """Send one request too many in each of some intervals in a row; return the last delay."""
        for _ in range(intervals):
            delay = self.send(self.limiter.limit.requests + 1)[-1]
            self.clock.now += self.limiter.limit.seconds
        return delay


def test_hundred_in_ten_seconds() -> None:
    client = Client(RateLimit())
    assert client.send(100) == [0] * 100
    assert client.send() == [10]
    client.clock.now += 9.5
    assert client.send() == [0.5]
    client.clock.now += 0.5
    assert client.send(100) == [0] * 100


def test_the_interval_slides() -> None:
    client = Client(RateLimit(requests=10))
    client.send(5)
    client.clock.now += 8
    client.send(5)
    client.clock.now += 2
    assert client.send(6) == [0] * 5 + [8]


def test_counted_for_each_client_and_version() -> None:
    client = Client(RateLimit(requests=1))
    assert client.send(client_id="a") == client.send(client_id="b") == client.send(version="beta") == [0]
    assert client.send(client_id="a") == [10]


def test_escalation() -> None:
    client = Client(RateLimit(requests=2))
    assert client.violate(2) <= 10
    bans: list[float] = []
    for _ in range(5):
        delay = client.violate(3 if bans else 1)
        bans.append(delay)
        client.clock.now += delay - 10
        assert client.send() == [0]
        client.clock.now += 200
    assert bans == [60, 300, 600, 1200, 1200]


def test_hammering_during_a_ban_changes_nothing() -> None:
    client = Client(RateLimit(requests=1))
    client.violate(3)
    assert client.send() == [50]
    for _ in range(49):
        client.clock.now += 1
        assert client.send(10)[-1] > 0
    client.clock.now += 1
    assert client.send() == [0]


def test_violations_are_forgotten_after_120_seconds() -> None:
    client = Client(RateLimit(requests=1))
    client.violate(2)
    client.clock.now += 111
    assert client.violate(2) <= 10
    assert client.violate(1) == 60


def test_many_refusals_in_one_interval_are_one_violation() -> None:
    client = Client(RateLimit(requests=1))
    assert max(client.send(500)) == 10


def test_level_is_forgotten_an_hour_after_the_ban() -> None:
    client = Client(RateLimit(requests=1))
    assert client.violate(3) == 60
    client.clock.now += 50 + 3600
    assert client.violate(3) == 60


def test_no_escalation() -> None:
    client = Client(RateLimit(requests=1, escalate=False))
    assert all(client.violate() <= 10 for _ in range(20))


def test_scaled() -> None:
    client = Client(RateLimit(requests=1, seconds=0.1))
    assert client.violate(3) == pytest.approx(0.6)


@pytest.mark.parametrize(
    "arguments", [{"requests": 0}, {"seconds": 0}, {"seconds": -1}, {"retry_after_format": "weeks"}], ids=str
)
def test_refused_limits(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        RateLimit(**arguments)  # type: ignore[arg-type]


def test_over_http(connect: ApiFactory) -> None:
    with Emulator(rate_limit=RateLimit(requests=5, seconds=0.4)) as emulator:
        api = connect(emulator, None)
        assert [api.get("/task-status/v1").status_code for _ in range(6)] == [200] * 5 + [429]
        refused = api.get("/task-status/v1/any")
        assert (refused.status_code, refused.json()) == (429, {"message": " Rate Limit Exceeded "})
        assert refused.headers["Retry-After"] == "1"
        assert api.get("/beta/task-status").status_code == 200
        assert api.token(emulator.client_id, emulator.client_secret).status_code == 200
        assert api.get("/_emulator/").status_code == 200
        time.sleep(0.4)
        assert api.get("/task-status/v1").status_code == 200


def test_lock_out_over_http(connect: ApiFactory) -> None:
    with Emulator(rate_limit=RateLimit(requests=1, seconds=0.2)) as emulator:
        api = connect(emulator, None)
        hammered_until = time.monotonic() + 0.7
        while time.monotonic() < hammered_until:
            api.get("/task-status/v1")
        time.sleep(0.4)
        assert api.get("/task-status/v1").status_code == 429
        time.sleep(0.9)
        assert api.get("/task-status/v1").status_code == 200


def test_retry_after_as_a_date(connect: ApiFactory) -> None:
    with Emulator(rate_limit=RateLimit(requests=1, seconds=60, retry_after_format="date")) as emulator:
        api = connect(emulator, None)
        api.get("/task-status/v1")
        at = parsedate_to_datetime(api.get("/task-status/v1").headers["Retry-After"]).timestamp()
        assert 50 < at - time.time() <= 61


def test_switched_off(connect: ApiFactory) -> None:
    with Emulator(rate_limit=None) as emulator:
        api = connect(emulator, None)
        assert {api.get("/task-status/v1").status_code for _ in range(150)} == {200}
