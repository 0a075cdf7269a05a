"""Aggregations that the tenant launches by itself."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_sptasks.emulator import Emulator
from tests.emulator.conftest import Api

START = 1_700_000_000.0


@pytest.fixture
def emulator(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A tenant whose time stands still but for what a test adds to it."""
    now = [START]
    monkeypatch.setattr(emulator.clock, "now", lambda: now[0])
    monkeypatch.setattr(emulator.clock, "advance", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return emulator


def launches(emulator: Emulator, kind: str = "Cloud Account Aggregation") -> list[int]:
    """When each task was launched, in seconds from the start."""
    return [
        round(datetime.fromisoformat(str(task["launched"])).timestamp() - START)
        for task in emulator.tasks()
        if task["uniqueName"] == kind
    ]


def statuses(emulator: Emulator) -> list[object]:
    return [task["completionStatus"] for task in emulator.tasks()]


def test_launches(emulator: Emulator) -> None:
    schedule = emulator.schedule("AD", every=60, duration=20)
    assert launches(emulator) == [0]
    emulator.clock.advance(59)
    assert launches(emulator) == [0]
    emulator.clock.advance(1)
    assert launches(emulator) == [0, 60]
    emulator.clock.advance(190)
    assert launches(emulator) == [0, 60, 120, 180, 240]
    assert statuses(emulator) == ["SUCCESS"] * 4 + [None]
    assert {task["target"]["id"] for task in emulator.tasks()} == {schedule.source_id}  # type: ignore[index]


def test_outcomes_in_turn(emulator: Emulator) -> None:
    emulator.schedule("AD", every=60, duration=10, outcome=["SUCCESS", "ERROR", "WARNING"])
    emulator.clock.advance(239)
    assert statuses(emulator) == ["SUCCESS", "ERROR", "WARNING", "SUCCESS"]


@pytest.mark.parametrize(("offset", "expected"), [(30, [30, 90]), (-90, [-90, -30, 30, 90])])
def test_offset(emulator: Emulator, offset: float, expected: list[int]) -> None:
    emulator.schedule("AD", every=60, offset=offset)
    emulator.clock.advance(100)
    assert launches(emulator) == expected


def test_several_in_the_order_of_their_times(emulator: Emulator) -> None:
    emulator.schedule("AD", every=60, offset=20)
    emulator.schedule("SAP", every=40, offset=10)
    emulator.clock.advance(100)
    assert launches(emulator) == [10, 20, 50, 80, 90]


def test_none_while_one_of_its_kind_runs(emulator: Emulator, api: Api) -> None:
    emulator.schedule("AD", every=60, duration=70)
    emulator.schedule("AD", every=60, kind="entitlements")
    emulator.clock.advance(240)
    assert launches(emulator) == [0, 120, 240]
    assert launches(emulator, "Cloud Group Aggregation") == [0, 60, 120, 180, 240]


def test_none_while_a_stuck_one_runs(emulator: Emulator, api: Api) -> None:
    emulator.schedule("AD", every=60, duration=None)
    emulator.clock.advance(150)
    assert launches(emulator) == [0]
    clear = [{"op": "replace", "path": "/completionStatus", "value": "Error"}]
    assert api.patch(f"/task-status/v1/{emulator.tasks()[0]['id']}", clear).status_code == 200
    emulator.clock.advance(60)
    assert launches(emulator) == [0, 180]


def test_none_while_one_runs_that_a_client_started(emulator: Emulator, api: Api) -> None:
    source = emulator.add_source("AD", duration=100)
    emulator.schedule("AD", every=60, offset=60)
    emulator.clock.advance(30)
    api.session.post(f"{api.url}/sources/v1/{source.id}/load-accounts", timeout=5)
    emulator.clock.advance(150)
    assert launches(emulator) == [30, 180]
    assert len(emulator.started) == 1


def test_a_client_starts_none_while_a_scheduled_one_runs(emulator: Emulator, api: Api) -> None:
    schedule = emulator.schedule("AD", every=3600, offset=60, duration=60)
    emulator.clock.advance(61)
    answer = api.session.post(f"{api.url}/sources/v1/{schedule.source_id}/load-accounts", timeout=5)
    assert answer.json()["success"] is False
    assert emulator.started == ()


def test_ended_early(emulator: Emulator) -> None:
    emulator.schedule("AD", every=60, duration=100)
    emulator.clock.advance(30)
    emulator.complete(str(emulator.tasks()[0]["id"]))
    emulator.clock.advance(30)
    assert launches(emulator) == [0, 60]


def test_retries(emulator: Emulator) -> None:
    emulator.schedule("AD", every=600, duration=10, outcome=["TEMPERROR", "SUCCESS"], retry_after=5)
    emulator.clock.advance(14)
    assert launches(emulator) == [0]
    emulator.clock.advance(700)
    assert launches(emulator) == [0, 15, 600, 615]
    assert statuses(emulator) == ["TEMPERROR", "SUCCESS"] * 2


def test_three_tries_in_all(emulator: Emulator) -> None:
    emulator.schedule("AD", every=600, duration=10, outcome="TEMP_ERROR", retry_after=5)
    emulator.clock.advance(599)
    assert launches(emulator) == [0, 15, 30]


def test_no_retry_of_what_a_user_ended_otherwise(emulator: Emulator) -> None:
    emulator.schedule("AD", every=600, duration=10, outcome="TEMPERROR", retry_after=5)
    emulator.complete(str(emulator.tasks()[0]["id"]), "ERROR")
    emulator.clock.advance(100)
    assert launches(emulator) == [0]


def test_retry_of_a_start(emulator: Emulator, api: Api) -> None:
    source = emulator.add_source("AD", duration=10, outcome=["TEMPERROR", "SUCCESS"], retry_after=5)
    api.session.post(f"{api.url}/sources/v1/{source.id}/load-accounts", timeout=5)
    emulator.clock.advance(20)
    assert launches(emulator) == [0, 15]
    assert len(emulator.started) == 1


def test_clear(emulator: Emulator) -> None:
    emulator.schedule("AD", every=60)
    emulator.clock.advance(60)
    emulator.clear_schedules()
    emulator.clock.advance(600)
    assert launches(emulator) == [0, 60]


def test_seen_by_clients(emulator: Emulator, api: Api) -> None:
    schedule = emulator.schedule("AD", every=60, duration=10)
    emulator.clock.advance(130)
    quoted = f'sourceId eq "{schedule.source_id.upper()}"'
    answer = api.get("/task-status/v1", filters=quoted, sorters="-created").json()
    assert [task["launched"][11:19] for task in answer] == ["22:15:20", "22:14:20", "22:13:20"]
    assert api.get(f"/task-status/v1/{answer[0]['id']}").status_code == 200
    assert api.get("/sources/v1").json()[0]["name"] == "AD"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"every": 0}, "every: 0 is not above 0"),
        ({"every": 60, "kind": "role_refresh"}, "kind: 'role_refresh'"),
        ({"every": 60, "duration": -1}, "duration: -1 is negative"),
        ({"every": 60, "outcome": ["SUCCESS", ""]}, "outcome: is empty"),
    ],
)
def test_refused(emulator: Emulator, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        emulator.schedule("AD", **arguments)


def test_thousands(emulator: Emulator, api: Api) -> None:
    """1,000 sources with ten aggregations each, a hundred of them asked for as a gate would."""
    ids = [
        emulator.schedule(f"App {number}", every=60, offset=number / 100, duration=20).source_id
        for number in range(1_000)
    ]
    emulator.clock.advance(590)
    assert api.get("/task-status/v1", count="true", limit=0).headers["X-Total-Count"] == "10000"
    quoted = ",".join(f'"{source_id.upper()}"' for source_id in ids[::10])
    seen: list[dict[str, Any]] = []
    for offset in range(0, 1_000, 250):
        answer = api.get(
            "/task-status/v1", filters=f"sourceId in ({quoted})", sorters="-created", limit=250, offset=offset
        )
        seen += answer.json()
    assert len({task["id"] for task in seen}) == 1_000
    assert {task["target"]["id"] for task in seen} == set(ids[::10])
    created = [task["created"] for task in seen]
    assert created == sorted(created, reverse=True)


def test_a_thousand_ids(emulator: Emulator, api: Api) -> None:
    for number in range(1_000):
        emulator.schedule(f"App {number}", every=60, duration=20)
    ids = [str(task["id"]) for task in emulator.tasks()]
    seen: list[str] = []
    for first in range(0, 1_000, 180):
        quoted = ",".join(f'"{task_id.upper()}"' for task_id in ids[first : first + 180])
        seen += api.ids("/task-status/v1", filters=f"id in ({quoted})", sorters="-created")
    assert seen == ids
