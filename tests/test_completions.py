from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus
from airflow_provider_sptasks.completions import (
    AGGREGATIONS,
    OVERLAP_SECONDS,
    RETENTION_SECONDS,
    Cursor,
    Selection,
    Snapshot,
    newest_second,
)

EVERYTHING = Selection(source_ids=None, kinds=AGGREGATIONS, accepted=None)
NOW = 1_700_000_000


def aggregation(task_id: str, created: int, **fields: Any) -> TaskStatus:
    moment = datetime.fromtimestamp(created, UTC)
    return TaskStatus(id=task_id, created=moment, **{"kind": TaskKind.ACCOUNTS, "target_id": "AD"} | fields)


def ended(task_id: str, created: int, status: str = "SUCCESS", **fields: Any) -> TaskStatus:
    completed = datetime.fromtimestamp(created + 60, UTC)
    return aggregation(
        task_id, created, completion_status=CompletionStatus(status), completed=completed, **fields
    )


def snapshot(*tasks: TaskStatus, cursor: Cursor | None = None, newest: int = NOW) -> Snapshot:
    """A snapshot of these tasks, for a watcher with this cursor."""
    return Snapshot(
        {task.id: task for task in tasks},
        since=cursor.since if cursor else NOW - OVERLAP_SECONDS,
        newest=newest,
        has_pending=cursor is None,
    )


def ids(tasks: list[TaskStatus]) -> list[str]:
    return [task.id for task in tasks]


def test_what_ended_before_the_first_poll_is_left_out() -> None:
    begun = Cursor.begin(snapshot(ended("old", NOW), aggregation("runs", NOW - 86_400)), EVERYTHING)
    cursor, found = begun.read(
        snapshot(ended("old", NOW), ended("runs", NOW - 86_400), ended("fresh", NOW), cursor=begun),
        EVERYTHING,
    )
    assert ids(found) == ["runs", "fresh"]
    assert cursor.read(
        snapshot(ended("runs", NOW - 86_400), ended("fresh", NOW), cursor=cursor), EVERYTHING
    ) == (
        cursor,
        [],
    )


def test_is_covered_by_what_reaches_back_far_enough() -> None:
    cursor = Cursor(NOW, awaited={"runs": NOW - 86_400})
    assert cursor.is_covered_by(Snapshot({}, NOW))
    assert cursor.is_covered_by(Snapshot({}, NOW - 1))
    assert not cursor.is_covered_by(Snapshot({}, NOW + 1))


def test_the_cursor_never_goes_back() -> None:
    """Snapshots of two polls may come in another order than they were taken, and lack what was there."""
    begun = Cursor.begin(snapshot(aggregation("a", NOW)), EVERYTHING)
    late, found = begun.read(
        Snapshot({"a": ended("a", NOW)}, begun.since, NOW + 2 * OVERLAP_SECONDS), EVERYTHING
    )
    assert ids(found) == ["a"]
    for old in (
        Snapshot({"a": aggregation("a", NOW)}, begun.since, NOW),
        Snapshot({"a": ended("a", NOW)}, begun.since, NOW),
        Snapshot({}, begun.since, 0),
    ):
        assert late.read(old, EVERYTHING) == (late, [])


def test_begins_at_the_newest_task_less_the_overlap() -> None:
    assert Cursor.begin(snapshot(newest=NOW), EVERYTHING).since == NOW - OVERLAP_SECONDS
    assert Cursor.begin(snapshot(newest=0), EVERYTHING).since == 0


def test_completions_come_in_the_order_in_which_they_ended() -> None:
    cursor = Cursor(NOW - OVERLAP_SECONDS)
    tasks = [ended("b", NOW), ended("c", NOW - 60), ended("a", NOW)]
    assert ids(cursor.read(snapshot(*tasks, cursor=cursor), EVERYTHING)[1]) == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [([], 0), ([5, 7, 6], 7), ([5, 4_000_000_000], 5), ([4_000_000_000], 0), ([100], 100), ([101], 0)],
)
def test_a_time_of_the_future_says_nothing_about_the_others(seconds: list[int], expected: int) -> None:
    assert newest_second([aggregation(str(each), each) for each in seconds], latest=100) == expected


def test_the_creation_of_a_task_without_its_time_is_its_launch() -> None:
    moment = datetime.fromtimestamp(50, UTC)
    assert newest_second([TaskStatus(id="a", launched=moment)], 100) == 50
    assert newest_second([TaskStatus(id="a", completed=moment)], 100) == 50
    assert newest_second([TaskStatus(id="a")], 100) == 0


def test_one_that_a_snapshot_lacks_stays_awaited() -> None:
    begun = Cursor.begin(snapshot(aggregation("runs", NOW - 86_400)), EVERYTHING)
    cursor, found = begun.read(snapshot(cursor=begun), EVERYTHING)
    assert (cursor.awaited, found) == ({"runs": NOW - 86_400}, [])
    assert ids(cursor.read(snapshot(ended("runs", NOW - 86_400), cursor=cursor), EVERYTHING)[1]) == ["runs"]


@pytest.mark.parametrize("is_there", [True, False])
def test_one_that_sailpoint_no_longer_keeps_is_given_up(is_there: bool) -> None:
    stuck = aggregation("stuck", NOW - RETENTION_SECONDS + 10)
    cursor = Cursor.begin(snapshot(stuck), EVERYTHING)
    assert cursor.awaited
    later = snapshot(*[stuck] * is_there, cursor=cursor, newest=NOW + 11)
    assert cursor.read(later, EVERYTHING)[0].awaited == {}


def test_forgets_what_was_created_long_ago() -> None:
    cursor = Cursor.begin(snapshot(ended("a", NOW)), EVERYTHING)
    assert cursor.reported == {"a": NOW}
    later, _ = cursor.read(
        snapshot(ended("a", NOW), ended("b", NOW + 700), cursor=cursor, newest=NOW + 700), EVERYTHING
    )
    assert later == Cursor(NOW + 700 - OVERLAP_SECONDS, {"b": NOW + 700})


def test_a_wider_snapshot_brings_nothing_old() -> None:
    cursor = Cursor(NOW - OVERLAP_SECONDS)
    wide = Snapshot(
        {"a": ended("a", NOW - 2 * OVERLAP_SECONDS)}, NOW - 3 * OVERLAP_SECONDS, NOW, has_pending=True
    )
    assert cursor.read(wide, EVERYTHING) == (cursor, [])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (ended("a", NOW), True),
        (ended("a", NOW, target_id="ad"), True),
        (ended("a", NOW, target_id="HR"), False),
        (ended("a", NOW, target_id=None), False),
        (ended("a", NOW, kind=TaskKind.ENTITLEMENTS), False),
        (ended("a", NOW, "WARNING"), True),
        (ended("a", NOW, "ERROR"), False),
        (ended("a", NOW, "UNKNOWN"), False),
        (aggregation("a", NOW), False),
    ],
)
def test_selection(status: TaskStatus, expected: bool) -> None:
    wanted = Selection(
        frozenset({"ad"}),
        frozenset({TaskKind.ACCOUNTS}),
        frozenset({CompletionStatus.SUCCESS, CompletionStatus.WARNING}),
    )
    cursor = Cursor(NOW - OVERLAP_SECONDS)
    assert bool(cursor.read(snapshot(status, cursor=cursor), wanted)[1]) is expected


def test_any_status_includes_the_unknown() -> None:
    cursor = Cursor(NOW - OVERLAP_SECONDS)
    assert ids(cursor.read(snapshot(ended("a", NOW, "UNKNOWN"), cursor=cursor), EVERYTHING)[1]) == ["a"]


def test_one_that_does_not_say_its_source_yet_is_watched() -> None:
    wanted = Selection(frozenset({"ad"}), AGGREGATIONS, None)
    cursor, _ = Cursor(NOW - OVERLAP_SECONDS).read(
        snapshot(aggregation("a", NOW, target_id=None), cursor=Cursor(NOW - OVERLAP_SECONDS)), wanted
    )
    assert cursor.awaited == {"a": NOW}
    assert ids(cursor.read(snapshot(ended("a", NOW), cursor=cursor), wanted)[1]) == ["a"]


def test_survives_json() -> None:
    cursor = Cursor(1, {"a": 2}, {"b": 3})
    assert Cursor.from_json(json.loads(json.dumps(cursor.to_json()))) == cursor


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "x",
        [],
        {},
        {"since": 1},
        {"since": 1, "reported": [], "awaited": {}},
        {"since": "x", "reported": {}, "awaited": {}},
        {"since": None, "reported": {}, "awaited": {}},
        {"since": True, "reported": {}, "awaited": {}},
        {"since": 1.5, "reported": {}, "awaited": {}},
        {"since": -1, "reported": {}, "awaited": {}},
        {"since": 10**30, "reported": {}, "awaited": {}},
        {"since": float("inf"), "reported": {}, "awaited": {}},
    ],
)
def test_refuses_other_json(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is no cursor|a cursor can't begin at"):
        Cursor.from_json(value)


def test_refuses_a_cursor_from_the_future() -> None:
    """It would find nothing until then."""
    cursor = {"since": NOW, "reported": {}, "awaited": {}}
    assert Cursor.from_json(cursor, NOW) == Cursor(NOW)
    with pytest.raises(ValueError, match="can't begin at int 1700000000"):
        Cursor.from_json(cursor, NOW - 1)


@pytest.mark.parametrize("name", ["reported", "awaited"])
@pytest.mark.parametrize(
    ("key", "second"),
    [
        ("bad id/1", 1),
        ("_x", 1),
        ("", 1),
        ("x" * 200, 1),
        ("None", 1),
        ("b", "1"),
        ("b", None),
        ("b", True),
        ("b", -1),
        ("b", 2**70),
        ("b", float("inf")),
        ("b", float("nan")),
        ("b", {}),
    ],
)
def test_leaves_out_entries_that_can_not_be_used(name: str, key: str, second: Any) -> None:
    value = {"since": 1, "reported": {"a": 2}, "awaited": {"c": 3}}
    value[name] = {**value[name], key: second}  # type: ignore[dict-item]
    assert Cursor.from_json(value) == Cursor(1, {"a": 2}, {"c": 3})


@settings(max_examples=300, deadline=None)
@given(
    lives=st.lists(
        st.tuples(
            st.integers(0, 5_000),  # created
            st.integers(0, OVERLAP_SECONDS - 1),  # how much later lists show it
            st.one_of(st.none(), st.integers(0, 5_000)),  # how long it runs
        ),
        max_size=30,
    ),
    polls=st.lists(st.tuples(st.integers(0, 12_000), st.booleans()), min_size=1, max_size=30),
    begin=st.integers(0, 5_000),
)
def test_each_completion_is_found_once(
    lives: list[tuple[int, int, int | None]], polls: list[tuple[int, bool]], begin: int
) -> None:
    """In any order in which tasks are created, shown and ended, and after updates that were lost."""

    def at(now: int, cursor: Cursor | None) -> Snapshot:
        shown = {
            str(number): ended(str(number), NOW + created)
            if runs is not None and now >= max(created + runs, created + lag)
            else aggregation(str(number), NOW + created)
            for number, (created, lag, runs) in enumerate(lives)
            if now >= created + lag
        }
        seconds = {each: int(task.created.timestamp()) for each, task in shown.items() if task.created}
        newest = max(seconds.values(), default=0)
        since = cursor.since if cursor else max(newest - OVERLAP_SECONDS, 0)
        asked = set(cursor.awaited if cursor else ())
        tasks = {
            each: task
            for each, task in shown.items()
            if seconds[each] >= since or each in asked or (cursor is None and not task.is_complete)
        }
        return Snapshot(tasks, since, newest, cursor is None)

    first = at(begin, None)
    before = {task.id for task in first.tasks.values() if task.is_complete} | {
        str(number)
        for number, (created, lag, runs) in enumerate(lives)
        if runs is not None and begin >= max(created + runs, created + lag)
    }
    cursor = Cursor.begin(first, EVERYTHING)
    found: list[str] = []
    for now, is_lost in [*sorted(each for each in polls if each[0] > begin), (20_000, False)]:
        after, more = cursor.read(at(now, cursor), EVERYTHING)
        if not is_lost:
            cursor = Cursor.from_json(json.loads(json.dumps(after.to_json())))
            found += ids(more)
    complete = {str(number) for number, (_, _, runs) in enumerate(lives) if runs is not None}
    assert sorted(found) == sorted(complete - before)
