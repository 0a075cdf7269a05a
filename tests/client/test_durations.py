"""How long aggregations usually take: by which ends, and in how few requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sptasks.client import TaskKind, TaskStatus
from airflow_provider_sptasks.client.durations import Aggregated, aggregated_by, usual_durations
from airflow_provider_sptasks.client.history import read_usual_durations
from airflow_provider_sptasks.emulator import Emulator
from tests.client.conftest import Connect, api_requests
from tests.client.test_client import Version, every_version

HR, AD = "a" * 32, "b" * 32
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNTS = Aggregated(HR, TaskKind.ACCOUNTS)
ENTITLEMENTS = Aggregated(HR, TaskKind.ENTITLEMENTS)


def ended(number: int, minutes: float, status: str = "SUCCESS", **fields: Any) -> TaskStatus:
    """A task that ended some days before others of a lower number."""
    launched = NOON - timedelta(days=number)
    return TaskStatus.from_json(
        {
            "id": f"{number:032x}",
            "uniqueName": "Cloud Account Aggregation",
            "target": {"id": HR.upper()},
            "created": launched.isoformat(),
            "launched": launched.isoformat(),
            "completed": (launched + timedelta(minutes=minutes)).isoformat(),
            "completionStatus": status,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("minutes", "usually"),
    [
        ([], None),
        ([5, 7], None),
        ([5, 7, 90], 7),
        ([5, 7, 9, 90], 8),
        ([10] * 6 + [20] * 4 + [99] * 30, 10),
        ([20] * 6 + [10] * 30, 20),
    ],
)
def test_the_median_of_the_last_ten(minutes: list[float], usually: float | None) -> None:
    tasks = [ended(number, each) for number, each in enumerate(minutes)]
    expected = {} if usually is None else {ACCOUNTS: timedelta(minutes=usually)}
    assert usual_durations(tasks) == expected
    assert usual_durations(reversed(tasks)) == expected, "in any order"


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "ERROR"},
        {"status": "TERMINATED"},
        {"status": "TEMPERROR"},
        {"status": "Odd"},
        {"minutes": -1},
        {"completed": None},
        {"completionStatus": None},
        {"launched": None, "created": None},
        {"target": None},
        {"target": {"id": "not an id"}},
        {"uniqueName": "Cloud Identity Refresh"},
    ],
)
def test_what_does_not_count(fields: dict[str, Any]) -> None:
    tasks = [ended(number, **{"minutes": 5, **fields}) for number in range(3)]
    assert usual_durations(tasks) == {}


def test_kinds_sources_and_repeats_are_kept_apart() -> None:
    entitlements = {"uniqueName": "Cloud Group Aggregation"}
    tasks = [
        *(ended(number, 5) for number in range(3)),
        *(ended(number, 30, "Warning", **entitlements) for number in range(10, 13)),
        *(ended(20, 1, target={"id": AD}) for _ in range(3)),
    ]
    assert usual_durations(tasks) == {
        ACCOUNTS: timedelta(minutes=5),
        ENTITLEMENTS: timedelta(minutes=30),
    }
    assert aggregated_by(tasks[0]) == ACCOUNTS


def add_history(emulator: Emulator, source_id: str, seconds: Sequence[float], **kwargs: Any) -> None:
    for number, each in enumerate(seconds, 1):
        emulator.add_task(
            source=f"source {source_id}",
            source_id=source_id,
            launched=-1000.0 * number,
            duration=each,
            **kwargs,
        )


@every_version
class TestReading:
    def test_one_request_for_many_sources(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        add_history(emulator, HR, [60, 120, 180])
        add_history(emulator, HR, [30, 30, 30], kind="entitlements")
        add_history(emulator, AD, [600, 600])
        wanted = [Aggregated(HR.upper(), TaskKind.ACCOUNTS), ENTITLEMENTS, Aggregated(AD, TaskKind.ACCOUNTS)]
        assert read_usual_durations(connect(version.name), wanted) == {
            ACCOUNTS: timedelta(seconds=120),
            ENTITLEMENTS: timedelta(seconds=30),
        }
        assert len(api_requests(emulator)) == 1

    def test_what_is_not_wanted_is_not_returned(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        add_history(emulator, HR, [60, 60, 60])
        assert read_usual_durations(connect(version.name), [ENTITLEMENTS]) == {}

    def test_nothing_is_asked_for_nothing(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        assert read_usual_durations(connect(version.name), []) == {}
        assert not emulator.requests


def test_reading_stops_when_there_is_enough(connect: Connect, emulator: Emulator) -> None:
    add_history(emulator, HR, [60] * 300)
    assert read_usual_durations(connect("v1"), [ACCOUNTS]) == {ACCOUNTS: timedelta(seconds=60)}
    assert len(api_requests(emulator)) == 1


def test_reading_stops_at_the_limit(connect: Connect, emulator: Emulator) -> None:
    """One that is seldom aggregated is not looked for in all that others of the source did."""
    add_history(emulator, HR, [60] * 800)
    emulator.add_task(source="source", source_id=HR, launched=-1e6, duration=9, kind="entitlements")
    assert read_usual_durations(connect("v1"), [ENTITLEMENTS], max_pages=3) == {}
    assert len(api_requests(emulator)) == 3


def test_an_id_that_can_not_be_one(connect: Connect) -> None:
    with pytest.raises(ValueError, match="source_id"):
        read_usual_durations(connect("v1"), [Aggregated("", TaskKind.ACCOUNTS)])
