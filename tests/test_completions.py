from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus
from airflow_provider_sptasks.completions import AGGREGATIONS, KEPT, OVERLAP, Cursor, Look, Selection

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


def look(*tasks: TaskStatus, cursor: Cursor | None = None, newest: int = NOW) -> Look:
    """A look at these tasks, for somebody with this cursor."""
    return Look(
        {task.id: task for task in tasks},
        since=cursor.since if cursor else NOW - OVERLAP,
        asked=frozenset(cursor.awaited if cursor else ()),
        newest=newest,
        has_pending=cursor is None,
    )


def ids(tasks: list[TaskStatus]) -> list[str]:
    return [task.id for task in tasks]


def test_what_ended_before_the_first_look_is_no_news() -> None:
    begun = Cursor.begin(look(ended("old", NOW), aggregation("runs", NOW - 86_400)), EVERYTHING)
    cursor, news = begun.read(
        look(ended("old", NOW), ended("runs", NOW - 86_400), ended("fresh", NOW), cursor=begun), EVERYTHING
    )
    assert ids(news) == ["runs", "fresh"]
    assert cursor.read(look(ended("runs", NOW - 86_400), ended("fresh", NOW), cursor=cursor), EVERYTHING) == (
        cursor,
        [],
    )


def test_needs_what_is_pending_however_old() -> None:
    begun = Cursor.begin(look(aggregation("runs", NOW - 86_400)), EVERYTHING)
    assert begun.is_covered_by(look(cursor=begun))
    assert not begun.is_covered_by(Look({}, begun.since, frozenset(), NOW))
    assert not begun.is_covered_by(Look({}, begun.since + 1, frozenset({"runs"}), NOW))


def test_one_that_a_look_passed_over_stays_awaited() -> None:
    begun = Cursor.begin(look(aggregation("runs", NOW - 86_400)), EVERYTHING)
    cursor, news = begun.read(look(cursor=begun), EVERYTHING)
    assert (cursor.awaited, news) == ({"runs": NOW - 86_400}, [])
    assert ids(cursor.read(look(ended("runs", NOW - 86_400), cursor=cursor), EVERYTHING)[1]) == ["runs"]


@pytest.mark.parametrize("is_there", [True, False])
def test_one_that_sailpoint_no_longer_keeps_is_given_up(is_there: bool) -> None:
    stuck = aggregation("stuck", NOW - KEPT + 10)
    cursor = Cursor.begin(look(stuck), EVERYTHING)
    assert cursor.awaited
    later = look(*[stuck] * is_there, cursor=cursor, newest=NOW + 11)
    assert cursor.read(later, EVERYTHING)[0].awaited == {}


def test_forgets_what_was_created_long_ago() -> None:
    cursor = Cursor.begin(look(ended("a", NOW)), EVERYTHING)
    assert cursor.reported == {"a": NOW}
    later, _ = cursor.read(
        look(ended("a", NOW), ended("b", NOW + 700), cursor=cursor, newest=NOW + 700), EVERYTHING
    )
    assert later == Cursor(NOW + 700 - OVERLAP, {"b": NOW + 700})


def test_a_wider_look_for_somebody_else_brings_nothing_old() -> None:
    cursor = Cursor(NOW - OVERLAP)
    wide = Look(
        {"a": ended("a", NOW - 2 * OVERLAP)}, NOW - 3 * OVERLAP, frozenset({"z"}), NOW, has_pending=True
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
    cursor = Cursor(NOW - OVERLAP)
    assert bool(cursor.read(look(status, cursor=cursor), wanted)[1]) is expected


def test_any_status_includes_the_unknown() -> None:
    cursor = Cursor(NOW - OVERLAP)
    assert ids(cursor.read(look(ended("a", NOW, "UNKNOWN"), cursor=cursor), EVERYTHING)[1]) == ["a"]


def test_one_that_does_not_say_its_source_yet_is_watched() -> None:
    wanted = Selection(frozenset({"ad"}), AGGREGATIONS, None)
    cursor, _ = Cursor(NOW - OVERLAP).read(
        look(aggregation("a", NOW, target_id=None), cursor=Cursor(NOW - OVERLAP)), wanted
    )
    assert cursor.awaited == {"a": NOW}
    assert ids(cursor.read(look(ended("a", NOW), cursor=cursor), wanted)[1]) == ["a"]


def test_survives_json() -> None:
    cursor = Cursor(1, {"a": 2}, {"b": 3})
    assert Cursor.from_json(json.loads(json.dumps(cursor.to_json()))) == cursor


@pytest.mark.parametrize(
    "value", [None, 5, "x", [], {}, {"since": 1}, {"since": "x", "reported": {}, "awaited": {}}]
)
def test_refuses_other_json(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is no cursor|invalid literal"):
        Cursor.from_json(value)


@settings(max_examples=300, deadline=None)
@given(
    lives=st.lists(
        st.tuples(
            st.integers(0, 5_000),  # created
            st.integers(0, OVERLAP - 1),  # how much later lists show it
            st.one_of(st.none(), st.integers(0, 5_000)),  # how long it runs
        ),
        max_size=30,
    ),
    looks=st.lists(st.tuples(st.integers(0, 12_000), st.booleans()), min_size=1, max_size=30),
    begin=st.integers(0, 5_000),
)
def test_each_completion_is_news_once(
    lives: list[tuple[int, int, int | None]], looks: list[tuple[int, bool]], begin: int
) -> None:
    """In whatever order tasks are created, shown and ended; what is read after a look that was lost too."""

    def at(now: int, cursor: Cursor | None) -> Look:
        shown = {
            str(number): ended(str(number), NOW + created)
            if runs is not None and now >= max(created + runs, created + lag)
            else aggregation(str(number), NOW + created)
            for number, (created, lag, runs) in enumerate(lives)
            if now >= created + lag
        }
        seconds = {each: int(task.created.timestamp()) for each, task in shown.items() if task.created}
        newest = max(seconds.values(), default=0)
        since = cursor.since if cursor else max(newest - OVERLAP, 0)
        asked = frozenset(cursor.awaited if cursor else ())
        tasks = {
            each: task
            for each, task in shown.items()
            if seconds[each] >= since or each in asked or (cursor is None and not task.is_complete)
        }
        return Look(tasks, since, asked, newest, cursor is None)

    first = at(begin, None)
    before = {task.id for task in first.tasks.values() if task.is_complete} | {
        str(number)
        for number, (created, lag, runs) in enumerate(lives)
        if runs is not None and begin >= max(created + runs, created + lag)
    }
    cursor = Cursor.begin(first, EVERYTHING)
    found: list[str] = []
    for now, is_lost in [*sorted(each for each in looks if each[0] > begin), (20_000, False)]:
        after, news = cursor.read(at(now, cursor), EVERYTHING)
        if not is_lost:
            cursor = Cursor.from_json(json.loads(json.dumps(after.to_json())))
            found += ids(news)
    complete = {str(number) for number, (_, _, runs) in enumerate(lives) if runs is not None}
    assert sorted(found) == sorted(complete - before)
