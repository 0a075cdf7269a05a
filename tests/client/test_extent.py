"""Parts of lists, and counts without the lists."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_sptasks.client import SourcesClient
from airflow_provider_sptasks.client.errors import NotFoundError
from airflow_provider_sptasks.client.extent import Extent
from airflow_provider_sptasks.client.http import Response
from airflow_provider_sptasks.emulator import Emulator
from tests.client.conftest import Connect, api_requests

VERSIONS = ["beta", "v2024", "v2025", "v2026", "v1"]
LISTS_PENDING = VERSIONS[2:]
PARTS: list[dict[str, Any]] = [
    {},
    {"limit": 0},
    {"limit": 1},
    {"limit": 3},
    {"limit": 99},
    {"offset": 2},
    {"offset": 2, "limit": 2},
    {"offset": 5, "limit": 4},
    {"offset": 99},
]


def part(records: list[str], limit: int | None = None, offset: int = 0) -> list[str]:
    return records[offset:][:limit]


@pytest.fixture
def ended(emulator: Emulator) -> list[str]:
    return [emulator.add_task(launched=-100 + n, duration=1, source="HR").id for n in range(7)]


@pytest.fixture
def pending(emulator: Emulator) -> list[str]:
    emulator.add_task(launched=-200, duration=None, source="AD")
    return [emulator.add_task(launched=-90 + n, duration=None, source="HR").id for n in range(7)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wanted", PARTS, ids=str)
@pytest.mark.parametrize("page_size", [3, 250])
def test_part_of_a_list(
    version: str, wanted: dict[str, Any], page_size: int, connect: Connect, ended: list[str]
) -> None:
    found = connect(version).list(sorters="created", page_size=page_size, **wanted)
    assert [task.id for task in found] == part(ended, **wanted)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wanted", PARTS, ids=str)
@pytest.mark.parametrize("others", [0, 200])
def test_part_of_the_pending_list_of_a_source(
    version: str,
    wanted: dict[str, Any],
    others: int,
    connect: Connect,
    emulator: Emulator,
    pending: list[str],
) -> None:
    """With many sources the tenant can't filter by them."""
    sources = [emulator.add_source("HR").id, *(f"{n:032x}" for n in range(others))]
    found = connect(version).pending(sources, **wanted)
    assert [task.id for task in found] == part(pending, **wanted)


def test_a_part_takes_no_more_than_it_needs(connect: Connect, emulator: Emulator, ended: list[str]) -> None:
    list(connect().list(limit=3, offset=2, sorters="created"))
    list(connect().list(limit=0))
    (request,) = api_requests(emulator)
    assert (request.query["limit"], request.query["offset"]) == ("3", "2")


@pytest.mark.parametrize("wanted", [{"limit": -1}, {"offset": -1}, {"page_size": 0}, {"page_size": 251}])
def test_out_of_range(wanted: dict[str, Any], connect: Connect) -> None:
    (name,) = wanted
    with pytest.raises(ValueError, match=f"{name} .* out of range"):
        connect().list(**wanted)
    with pytest.raises(ValueError, match=f"{name} .* out of range"):
        Extent(**wanted)


@pytest.mark.parametrize("version", VERSIONS)
def test_count(version: str, connect: Connect, emulator: Emulator, ended: list[str]) -> None:
    emulator.add_task(launched=-100, duration=1, outcome="ERROR", source="AD")
    client = connect(version)
    hr = emulator.add_source("HR").id
    assert client.count() == 8
    assert client.count(source_ids=[hr]) == 7
    assert client.count(completion_statuses=["ERROR"], filters='type eq "CLOUD_ACCOUNT_AGGREGATION"') == 1
    assert client.count(task_status_ids=[]) == 0
    assert {request.query["limit"] for request in api_requests(emulator)} == {"1"}


@pytest.mark.parametrize("version", VERSIONS)
def test_count_of_pending_ones(
    version: str, connect: Connect, emulator: Emulator, pending: list[str]
) -> None:
    client = connect(version)
    assert client.count_pending() == 8
    if version in LISTS_PENDING:
        assert client.count(pending=True, source_ids=[emulator.add_source("HR").id]) == 7
        assert not any("pending-tasks" in request.path for request in api_requests(emulator))


def test_answers_are_handed_over(connect: Connect, emulator: Emulator, ended: list[str]) -> None:
    answers: list[Response] = []
    client = connect().with_answers(answers.append)
    client.count()
    emulator.fail(503, times=1)
    client.get(ended[0])
    with pytest.raises(NotFoundError):
        client.get("f" * 32)
    SourcesClient(client.transport).unknown(["f" * 32])
    assert [answer.status for answer in answers] == [200, 503, 200, 404, 200]
    assert answers[0].headers["x-total-count"] == "7"
    assert answers[0].headers["content-type"] == "application/json"
    connect().count()
    assert len(answers) == 5
