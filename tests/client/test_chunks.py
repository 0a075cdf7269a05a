"""How many ids a request has: fewer for a while after longer requests were refused, and only then."""

from __future__ import annotations

import pytest

from airflow_provider_sptasks.client import TaskStatusClient
from airflow_provider_sptasks.client.chunks import REGROWTH_SECONDS, ChunkSize
from airflow_provider_sptasks.client.errors import APIError, BadRequestError
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.emulator import Emulator
from tests.client.conftest import Connect, api_requests, settings
from tests.client.gateway import gateway


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_grows_again() -> None:
    clock = Clock()
    size = ChunkSize(clock)
    assert size.value == MAX_PAGE_SIZE == 250
    size.reduce(50)
    size.reduce(60)
    assert size.value == 50
    for seconds, value in [(599, 50), (600, 100), (1199, 100), (1200, 200), (1800, 250), (10**9, 250)]:
        clock.now = 1000.0 + seconds
        assert size.value == value
    clock.now = 1000.0 + REGROWTH_SECONDS
    size.reduce(70)
    assert size.value == 70
    clock.now += REGROWTH_SECONDS
    assert size.value == 140


class TestChunks:
    @pytest.mark.parametrize("status", [414, 431])
    def test_a_gateway_that_wants_shorter_requests_gets_them_from_then_on(
        self, status: int, connect: Connect, emulator: Emulator
    ) -> None:
        wanted = [emulator.add_task(launched=-100, duration=1).id for _ in range(400)]
        with gateway(emulator.url, longest=2_200, status=status) as before:
            client = connect(host=before.url)
            assert client.find(wanted).keys() == set(wanted)
            # 203 ids, then 101, then 50, which pass: the refusals are two.
            assert (len(before.refused), len(before.passed)) == (2, 8)
            before.lines.clear()
            assert client.find(wanted).keys() == set(wanted)
            assert (len(before.refused), len(before.passed)) == (0, 8)
            # A client with other patience is the same client to the gateway, a new client is not.
            assert client.with_retry(client.retry).find(wanted[:100]).keys() == set(wanted[:100])
            assert len(before.refused) == 0
            assert connect(host=before.url).find(wanted).keys() == set(wanted)
            assert len(before.refused) == 2

    def test_what_is_refused_for_another_reason_shortens_nothing(
        self, client: TaskStatusClient, emulator: Emulator
    ) -> None:
        wanted = [emulator.add_task(launched=-100, duration=1).id for _ in range(200)]
        emulator.fail(400, method="GET")
        with pytest.raises(BadRequestError):
            client.find(wanted)
        assert len(api_requests(emulator)) == 1
        emulator.clear_faults()
        emulator.reset_requests()
        assert client.find(wanted).keys() == set(wanted)
        assert len(api_requests(emulator)) == 1

    @pytest.mark.parametrize("status", [400, 403, 404, 405, 409])
    def test_only_what_may_mean_too_long_shortens(
        self, status: int, client: TaskStatusClient, emulator: Emulator
    ) -> None:
        emulator.fail(status)
        with pytest.raises(APIError):
            client.find([f"{n:032x}" for n in range(200)])
        assert len(api_requests(emulator)) == 1

    def test_requests_grow_again(self, emulator: Emulator) -> None:
        clock = Clock()
        wanted = [emulator.add_task(launched=-100, duration=1).id for _ in range(200)]
        with (
            gateway(emulator.url, longest=4_100, status=414) as before,
            TaskStatusClient(
                settings(emulator, host=before.url), retry=RetryPolicy(max_attempts=1), clock=clock
            ) as client,
        ):
            assert (client.max_ids, client.max_sources) == (203, 203)
            assert client.find(wanted).keys() == set(wanted)
            assert (client.max_ids, client.max_sources) == (100, 203)
            before.longest = 8_191
            before.lines.clear()
            clock.now += REGROWTH_SECONDS
            assert client.max_ids == 200
            assert client.find(wanted).keys() == set(wanted)
            assert len(before.passed) == 1
