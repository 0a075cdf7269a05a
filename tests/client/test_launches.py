"""Which aggregation of a source decides, and that it is the same one however much else was read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sptasks.client import CompletionStatus, TaskKind, TaskStatus
from airflow_provider_sptasks.client.launches import (
    MAX_OTHER_NAMES,
    QUEUED,
    AggregationQuery,
    NewestAggregation,
    NewestSearch,
    launched_since,
    newest_of,
)

SOURCE = "a" * 32
AFTER = datetime(2026, 3, 1, 12, tzinfo=UTC)
MS = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)


def task(
    task_id: str,
    created: float | None,
    launched: float | None = None,
    status: CompletionStatus | None = CompletionStatus.SUCCESS,
    kind: TaskKind = TaskKind.ACCOUNTS,
    source: str = SOURCE,
) -> TaskStatus:
    """A task whose times are minutes after ``AFTER``."""

    def moment(minutes: float | None) -> datetime | None:
        return None if minutes is None else AFTER + timedelta(minutes=minutes)

    return TaskStatus(
        task_id,
        unique_name=f"Name of {task_id}",
        target_id=source,
        created=moment(created),
        launched=moment(launched),
        completion_status=status,
        kind=kind,
    )


def ended(task_id: str, created: float, launched: float | None = None) -> TaskStatus:
    return task(task_id, created, created if launched is None else launched)


def running(task_id: str, created: float, launched: float | None = None) -> TaskStatus:
    return task(task_id, created, created if launched is None else launched, None)


def queued(task_id: str, created: float) -> TaskStatus:
    return task(task_id, created, None, None)


def query(kind: TaskKind | None = TaskKind.ACCOUNTS, after: datetime = AFTER) -> AggregationQuery:
    return AggregationQuery(SOURCE, kind, after)


@pytest.mark.parametrize(
    ("tasks", "newest", "last_complete"),
    [
        pytest.param([], None, None, id="none"),
        pytest.param([ended("a", 0)], "a", None, id="launched at the very time"),
        pytest.param([ended("a", -1)], None, None, id="launched before"),
        pytest.param([ended("a", 1), ended("b", 2)], "b", None, id="the later one"),
        pytest.param([ended("a", 1), running("b", 2)], "b", "a", id="one runs"),
        pytest.param([running("a", 1), running("b", 2)], "b", None, id="two run"),
        pytest.param([running("a", 1), ended("b", 2)], "b", None, id="an older one runs"),
        pytest.param(
            [ended("a", 1), ended("b", 2), running("c", 3), running("d", 4)], "d", "b", id="the last before"
        ),
        pytest.param([ended("a", -4, 1)], "a", None, id="created before, launched after"),
        pytest.param([ended("a", -6, 1)], None, None, id="queued for longer than can be"),
        pytest.param([ended("a", 3, 5), ended("b", 4, 4.5)], "a", None, id="launched later, created earlier"),
        pytest.param([queued("a", -4)], "a", None, id="still to be launched"),
        pytest.param([queued("a", -6)], None, None, id="never to be launched"),
        pytest.param(
            [queued("a", 1), ended("b", 200)], "b", None, id="W7: never launched, then one succeeded"
        ),
        pytest.param([ended("a", 1), queued("b", 2)], "b", "a", id="queued behind"),
        pytest.param([task("a", 1, None), ended("b", 0.5)], "a", None, id="ended without a launch"),
        pytest.param([task("a", None, 1)], None, None, id="has no place in the list"),
        pytest.param([task("a", None)], None, None, id="no time"),
        pytest.param(
            [ended("a", 1, 1 - 1 / 60_000)], "a", None, id="W1: launched 1 ms before it was created"
        ),
        pytest.param([ended("a", 1), ended("b", 1)], "b", None, id="a tie"),
        pytest.param([ended("a", 38_000_000), ended("b", 1)], "a", None, id="P2: created in 2098"),
        pytest.param([task("a", 1, 1, source="b" * 32)], None, None, id="of another source"),
        pytest.param(
            [task("a", 1, 1, source=SOURCE.upper())], "a", None, id="of the same source in capitals"
        ),
        pytest.param([task("a", 1, 1, source="")], None, None, id="of no source"),
    ],
)
def test_newest(tasks: Sequence[TaskStatus], newest: str | None, last_complete: str | None) -> None:
    for order in (tasks, tasks[::-1]):
        found = newest_of(query(), order)
        assert (
            found.newest and found.newest.id,
            found.last_complete and found.last_complete.id,
        ) == (newest, last_complete)


def test_what_was_created_too_early_is_ignored_even_where_it_is_known() -> None:
    """It would not have been read for this source alone."""
    late = ended("late", -4, 60)  # was queued for over an hour
    assert newest_of(query(), [ended("a", 1), late]).newest == late
    assert newest_of(query(), [ended("a", 10), late]).newest == ended("a", 10)
    assert newest_of(query(), [running("a", 10), late]) == NewestAggregation(running("a", 10), None)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (TaskKind.ACCOUNTS, ("Name of c", "Name of b")),
        (None, ("Name of c",)),
        (TaskKind.ENTITLEMENTS, ()),
    ],
)
def test_kinds(kind: TaskKind | None, names: tuple[str, ...]) -> None:
    tasks = [
        task("a", -1, -1, kind=TaskKind.OTHER),
        task("b", 1, 1, kind=TaskKind.ENTITLEMENTS),
        task("c", 2, 2, kind=TaskKind.OTHER),
    ]
    found = newest_of(query(kind), tasks)
    assert (found.newest and found.newest.id) == (None if kind is TaskKind.ACCOUNTS else "b")
    assert found.other_names == (names if kind is TaskKind.ACCOUNTS else ())


def test_names_of_others_are_few_and_distinct() -> None:
    """W9."""
    others = [task(f"{n:03}", n, n, kind=TaskKind.OTHER) for n in range(50)]
    named = newest_of(query(), [*others, *others]).other_names
    assert named == tuple(f"Name of {n:03}" for n in range(49, 49 - MAX_OTHER_NAMES, -1))
    assert newest_of(query(None), [TaskStatus("x", target_id=SOURCE, created=AFTER)]).other_names == ("x",)


def test_the_last_state_counts() -> None:
    assert newest_of(query(), [queued("a", 1), ended("a", 1)]).newest == ended("a", 1)
    assert newest_of(query(), [ended("a", 1), ended("a", 1, -1)]).newest is None


class TestQuery:
    def test_ids_compare_without_case(self) -> None:
        one, other = query(), AggregationQuery(f" {SOURCE.upper()} ", TaskKind.ACCOUNTS, AFTER)
        assert one == other
        assert hash(one) == hash(other)
        assert other.source_id == f" {SOURCE.upper()} "
        assert len({one, other, query(None), query(after=AFTER + MINUTE)}) == 3

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            (AFTER + timedelta(microseconds=1_999), AFTER + MS),
            (AFTER.astimezone(timezone(timedelta(hours=5))), AFTER),
            (datetime.min.replace(tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
            (datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), datetime(1970, 1, 1, tzinfo=UTC)),
            (datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))), datetime(2200, 1, 1, tzinfo=UTC)),
        ],
    )
    def test_times(self, given: datetime, kept: datetime) -> None:
        assert query(after=given).launched_after == kept
        assert query(after=given).launched_after.tzinfo is UTC

    def test_refuses_a_time_without_zone(self) -> None:
        with pytest.raises(
            ValueError, match=f"launched_after 2026-03-01T12:00:00 of source {SOURCE} has no time"
        ):
            query(after=AFTER.replace(tzinfo=None))


@pytest.mark.parametrize("since", [datetime.min.replace(tzinfo=UTC), AFTER, datetime.max.replace(tzinfo=UTC)])
def test_launched_since_never_overflows(since: datetime) -> None:
    for each in (queued("a", 0), ended("b", 0), task("c", None)):
        assert launched_since(each, since) == (since <= AFTER and each.created is not None)


MINUTES = st.integers(-20, 40).map(lambda halves: halves / 2)
TASKS = st.lists(
    st.builds(
        lambda created, delay, status, kind: (
            created,
            None if delay is None else created + delay,
            status,
            kind,
        ),
        MINUTES,
        st.none() | st.sampled_from([-1 / 60_000, 0, 0, 0, 1, 4.5, 5, 6, 30]),
        st.sampled_from([None, CompletionStatus.SUCCESS, CompletionStatus.ERROR]),
        st.sampled_from([TaskKind.ACCOUNTS, TaskKind.ACCOUNTS, TaskKind.ENTITLEMENTS, TaskKind.OTHER]),
    ),
    max_size=14,
).map(lambda rows: [task(f"{number:02}", *row) for number, row in enumerate(rows)])
KINDS = st.sampled_from([TaskKind.ACCOUNTS, None])


@given(TASKS, KINDS, st.integers(1, 5), st.sets(st.integers(0, 13)), st.randoms(use_true_random=False))
def test_the_result_does_not_depend_on_how_much_was_read(
    tasks: list[TaskStatus], kind: TaskKind | None, page_size: int, also_known: set[int], random: object
) -> None:
    """Read in pages until it is decided, with some known from elsewhere, or all at once in any order."""
    everything = newest_of(query(kind), tasks)
    search = NewestSearch(query(kind))
    search.add(each for number, each in enumerate(tasks) if number in also_known)
    newest_first = sorted(tasks, key=lambda each: each.created or AFTER, reverse=True)
    for start in range(0, len(newest_first), page_size):
        page = newest_first[start : start + page_size]
        search.add(page)
        assert page[-1].created is not None
        if not search.needs(page[-1].created):
            break
    assert search.result() == everything
    random.shuffle(tasks)  # type: ignore[attr-defined]
    assert newest_of(query(kind), tasks) == everything


@given(TASKS, KINDS)
def test_what_is_found_was_asked_for(tasks: list[TaskStatus], kind: TaskKind | None) -> None:
    found = newest_of(query(kind), tasks)
    for each in (found.newest, found.last_complete):
        if each is not None:
            assert each.kind is kind or (kind is None and each.kind is not TaskKind.OTHER)
            assert launched_since(each, AFTER)
            assert each.created is not None
            assert each.created >= AFTER - QUEUED
    if found.last_complete is not None:
        assert found.newest is not None
        assert not found.newest.is_complete
        assert found.last_complete.is_complete
    assert not (found.newest and found.other_names)


def test_reads_on_while_an_older_one_may_have_been_launched_later() -> None:
    search = NewestSearch(query())
    search.add([ended("a", 10)])
    assert search.needs(AFTER + 5 * MINUTE)
    assert not search.needs(AFTER + 5 * MINUTE - MS)
    search.add([running("b", 20)])
    assert search.needs(AFTER + 5 * MINUTE), "for the last that has ended"
    search.add([ended("c", 19)])
    assert not search.needs(AFTER + 14 * MINUTE - MS)
