"""What the page makes of tasks: pure functions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sptasks.client.durations import usual_durations
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.plugin.history import KEPT, MAX_KEPT, TaskHistory
from airflow_provider_sptasks.plugin.overview import (
    failing_sources,
    history_json,
    pending_json,
    state_of,
    summary,
    task_json,
)

NOW = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ACCOUNTS = "Cloud Account Aggregation"


def task(
    number: int,
    ago: float,
    took: float | None = None,
    status: str | None = "SUCCESS",
    source: str = "Workday",
    name: str = ACCOUNTS,
    **fields: Any,
) -> TaskStatus:
    """A task that was launched some hours ago, and ended after some hours where it did."""
    launched = NOW - ago * HOUR
    ended: dict[str, Any] = {}
    if took is not None:
        ended = {"completed": (launched + took * HOUR).isoformat(), "completionStatus": status}
    return TaskStatus.from_json(
        {
            "id": f"task{number}",
            "uniqueName": name,
            "target": {"id": f"id-of-{source}", "name": f"{source} [source]"},
            "created": launched.isoformat(),
            "launched": launched.isoformat(),
            **ended,
            **fields,
        }
    )


def described(tasks: list[TaskStatus], hours: float = 24) -> dict[str, Any]:
    return history_json(tasks, NOW - hours * HOUR, usual_durations(tasks))


@pytest.mark.parametrize(
    ("ago", "usual", "expected"),
    [
        (0.5, None, "running"),
        (20, None, "running"),
        (24, None, "stuck"),
        (30, 100, "stuck"),
        (0.9, 0.1, "running"),  # three times longer, but not long
        (1.1, 0.1, "late"),
        (1.1, 0.4, "running"),
        (12.1, 4, "late"),
    ],
)
def test_what_runs_is_late_or_stuck(ago: float, usual: float | None, expected: str) -> None:
    assert state_of(task(1, ago), NOW, None if usual is None else usual * HOUR) == expected


def test_what_was_not_launched_is_queued() -> None:
    assert state_of(task(1, 1, launched=None), NOW, None) == "queued"
    assert state_of(task(1, 25, launched=None), NOW, None) == "stuck"
    assert state_of(task(1, 1, launched=None, created=None), NOW, None) == "queued"


def test_usual_is_of_the_source_and_kind() -> None:
    ended = [task(number, number + 2, 1) for number in range(3)]
    usual = usual_durations(ended)
    same, other = pending_json([task(7, 0.5), task(8, 0.5, source="SAP")], NOW, usual)
    assert (same["usual"], other["usual"]) == (3600.0, None)
    assert (same["name"], same["source_id"], same["kind"]) == ("Workday", "id-of-Workday", "accounts")


def test_a_window_has_what_ended_in_it() -> None:
    history = described([task(1, 30, 1), task(2, 30, 8), task(3, 2, 1), task(4, 1, 0.5, "ERROR")])
    assert [each["id"] for each in history["tasks"]] == ["task4", "task3", "task2"]
    (source,) = history["sources"]
    assert source["rate"] == "67% (2 of 3)"
    assert source["last_success"] == round((NOW - HOUR).timestamp() * 1000)
    assert described([task(1, 30, 1)])["sources"][0]["rate"] == "no runs"


@pytest.mark.parametrize(
    ("ends", "is_failing", "status"),
    [
        ([("SUCCESS", ACCOUNTS)], False, None),
        ([("ERROR", ACCOUNTS), ("SUCCESS", ACCOUNTS)], False, "ERROR"),
        ([("WARNING", ACCOUNTS)], False, None),
        (
            [("SUCCESS", ACCOUNTS), ("TERMINATED", ACCOUNTS)],
            True,
            "TERMINATED",
        ),
        ([("ERROR", ACCOUNTS), ("SUCCESS", "Cloud Group Aggregation")], True, "ERROR"),
        ([("Odd", ACCOUNTS)], True, "Odd"),
    ],
)
def test_a_source_fails_if_the_last_run_of_a_kind_did(
    ends: list[tuple[str, str]], is_failing: bool, status: str | None
) -> None:
    tasks = [
        task(number, 10 - number, 0.5, outcome, name=name) for number, (outcome, name) in enumerate(ends)
    ]
    (source,) = described(tasks)["sources"]
    assert source["is_failing"] is is_failing
    assert (source["failure"] or {}).get("status") == status
    assert failing_sources(tasks) == (["Workday"] if is_failing else [])


def test_runs_that_overlap_are_in_two_lanes() -> None:
    history = described([task(1, 5, 3), task(2, 4, 0.5), task(3, 1.5, 1)])
    assert {each["id"]: each.get("lane", 0) for each in history["tasks"]} == {
        "task1": 0,
        "task2": 1,
        "task3": 0,
    }


def test_odd_tasks_are_no_reason_to_show_nothing() -> None:
    odd = TaskStatus.from_json({"id": "odd", "completionStatus": "SUCCESS"})
    nameless = TaskStatus.from_json({"id": "nameless"})
    history = described([odd, task(1, 1, 0.5)])
    assert {each["id"] for each in history["tasks"]} == {"odd", "task1"}
    assert pending_json([nameless], NOW, {})[0]["name"] == "Task"
    assert json.dumps([history, task_json(odd, None), task_json(nameless, "https://acme.example.com")])


def test_hostile_names_are_data() -> None:
    name = '</script><img src=x onerror=alert(1)>"&\u202e'
    (row,) = pending_json([task(1, 1, source=name)], NOW, {})
    assert row["name"] == name.replace("\u202e", " ")


@pytest.mark.parametrize(
    ("states", "failing", "gates", "expected"),
    [
        ([], [], 0, "Nothing runs · nothing waits in Airflow"),
        (["queued"], ["A"], 2, "1 pending · the last run failed of A · 2 waiting in Airflow"),
        (
            ["running", "late", "stuck"],
            [],
            0,
            "3 pending · 1 stuck for more than a day · 1 longer than usual",
        ),
        ([], ["A", "B", "C", "D", "E"], 0, "Nothing runs · the last run failed of A, B, C and 2 more"),
    ],
)
def test_the_summary(states: list[str], failing: list[str], gates: int, expected: str) -> None:
    said = summary([{"state": state} for state in states], failing, gates)
    assert said.removesuffix(" · nothing waits in Airflow") == expected.removesuffix(
        " · nothing waits in Airflow"
    )


def ids(tasks: list[TaskStatus]) -> list[str]:
    return sorted(each.id for each in tasks)


def test_what_is_pending_no_more_is_asked_for_until_it_is_known() -> None:
    history = TaskHistory()
    history.set_pending([task(1, 1), task(2, 1)])
    assert (ids(history.pending), history.gone) == (["task1", "task2"], [])
    history.set_pending([task(2, 1)])
    assert history.gone == ["task1"]
    history.set_pending([task(2, 1)])
    assert history.gone == ["task1"], "the request may have failed"
    history.resolve(["task1"], [task(1, 1)])
    assert history.gone == ["task1"], "the lists don't agree yet"
    version = history.version
    history.resolve(["task1"], [task(1, 1, 0.5)])
    assert (history.gone, ids(history.ended)) == ([], ["task1"])
    assert history.version != version
    history.set_pending([])
    history.resolve(["task2"], [])
    assert history.gone == [], "the tenant doesn't know it any more"
    history.set_pending([task(1, 1)])
    assert history.pending == [], "an older list doesn't bring back what has ended"


def test_the_history_is_read_from_where_it_is_known() -> None:
    history = TaskHistory()
    assert history.since(NOW) == NOW - KEPT
    history.add([task(1, 5, 1), task(2, 50, 1)])
    assert history.since(NOW) == NOW - KEPT, "a first reading that broke off begins again"
    history.read_back_to(NOW - KEPT)
    assert history.since(NOW) == NOW - 5 * HOUR - timedelta(minutes=5)
    assert (history.reaches_back_to, history.is_cut) == (NOW - KEPT, False)


def test_the_history_is_bounded() -> None:
    history = TaskHistory()
    history.read_back_to(NOW - KEPT)
    history.add(
        [task(0, 200, 1), *(task(number, number / 100, 0.001) for number in range(1, MAX_KEPT + 100))]
    )
    history.prune(NOW)
    assert len(history.ended) == MAX_KEPT
    assert "task0" not in ids(history.ended)
    assert history.is_cut
    assert history.reaches_back_to is not None
    assert history.reaches_back_to > NOW - KEPT


def test_only_what_is_shown_is_kept() -> None:
    history = TaskHistory()
    history.add([task(1, 1, 0.5, "ERROR", attributes={"total": 1}, messages=["a", "b", "c", "d"])])
    history.add([task(2, 1, 0.5, messages=["a"])])
    first, second = sorted(history.ended, key=lambda each: each.id)
    assert (first.attributes, first.raw, first.messages) == ({}, {}, ("a", "b", "c"))
    assert second.messages == ()
