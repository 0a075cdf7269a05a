"""What the aggregations of awaited sources mean, as tables: no tenant, no Airflow, no clock."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sptasks.client.errors import SourceNotFoundError
from airflow_provider_sptasks.client.launches import NewestAggregation, newest_of
from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus
from airflow_provider_sptasks.waiting.aggregations import AggregationWait
from airflow_provider_sptasks.waiting.errors import UnknownSourceError
from airflow_provider_sptasks.waiting.events import answers_in, seen_event
from airflow_provider_sptasks.waiting.queries import Answers, KnownSource, SourceName, SourceQuery

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
BOUNDARY = NOW - timedelta(days=1)
DONE, FAILED, WAITS = "done", "failed", "waits"


def wait(source: Any = "ad", **arguments: Any) -> AggregationWait:
    given: dict[str, Any] = {
        "source_id": source,
        "source_name": None,
        "kind": "accounts",
        "launched_after": BOUNDARY,
        "accepted_statuses": ("SUCCESS", "WARNING"),
        "if_failed": "fail",
        "retry_grace": 900,
        "waiting_since": NOW - timedelta(hours=1),
    }
    return AggregationWait.parse(**given | arguments)


def hours(number: float) -> datetime:
    return NOW + timedelta(hours=number)


_ids = itertools.count()


def task(
    created: float | None,
    status: str | None = None,
    *,
    launched: float | str | None = "created",
    source: str = "ad",
    kind: TaskKind = TaskKind.ACCOUNTS,
) -> TaskStatus:
    """A task, its times in hours from now; ``launched=None`` for one that is queued."""
    start = created if launched == "created" else launched
    assert not isinstance(start, str)
    ended = None if status is None or start is None else hours(start + 0.5)
    return TaskStatus(
        id=f"task-{next(_ids)}",
        unique_name="Cloud Account Aggregation",
        target_id=source,
        created=None if created is None else hours(created),
        launched=None if start is None else hours(start),
        completed=ended,
        completion_status=CompletionStatus.parse(status) if status else None,
        completion_status_text=status,
        kind=kind,
    )


def seen(waiting: AggregationWait, *tasks: TaskStatus) -> Answers:
    """What a complete poll of these tasks answers."""
    queries = [SourceQuery.of(each, waiting.kind, waiting.launched_after) for each in waiting.sources]
    return {query: newest_of(query.aggregations, tasks) for query in queries}


ENTITLEMENTS, OTHER = TaskKind.ENTITLEMENTS, TaskKind.OTHER


@pytest.mark.parametrize(
    ("arguments", "tasks", "end"),
    [
        pytest.param({}, [], WAITS, id="nothing at all"),
        pytest.param({}, [task(-4, "SUCCESS")], DONE, id="ended well"),
        pytest.param({}, [task(-4)], WAITS, id="runs"),
        pytest.param({}, [task(-30, "SUCCESS")], WAITS, id="before the boundary"),
        pytest.param({}, [task(-24, "SUCCESS")], DONE, id="at the boundary"),
        pytest.param({}, [task(-24.0001, "SUCCESS")], WAITS, id="a moment before the boundary"),
        pytest.param(
            {}, [task(-24.01, "SUCCESS", launched=-23.99)], DONE, id="launched after, created before"
        ),
        pytest.param(
            {}, [task(-23.99, "SUCCESS", launched=-24.001)], WAITS, id="W1: launched before, created after"
        ),
        pytest.param({}, [task(-4, "SUCCESS", launched=-4.0000003)], DONE, id="W1: launched before created"),
        pytest.param({}, [task(-4, "ERROR")], FAILED, id="ended otherwise"),
        pytest.param({}, [task(-5, "ERROR"), task(-4, "SUCCESS")], DONE, id="failed, then well"),
        pytest.param({}, [task(-5, "SUCCESS"), task(-4, "ERROR")], FAILED, id="well, then failed"),
        pytest.param({}, [task(-5, "SUCCESS"), task(-4)], WAITS, id="runs after one that ended well"),
        pytest.param({}, [task(-5, "SUCCESS"), task(-4, launched=None)], WAITS, id="queued after one"),
        pytest.param({}, [task(-5, launched=None), task(-4, "SUCCESS")], DONE, id="W7: never launched"),
        pytest.param({}, [task(-5, launched=None)], WAITS, id="queued"),
        pytest.param({}, [task(-24.05, launched=None)], WAITS, id="queued a moment before the boundary"),
        pytest.param({}, [task(None, "SUCCESS")], WAITS, id="without times"),
        pytest.param({}, [task(-4, "SUCCESS", kind=ENTITLEMENTS)], WAITS, id="another kind"),
        pytest.param(
            {}, [task(-4, "SUCCESS"), task(-3, "ERROR", kind=ENTITLEMENTS)], DONE, id="another kind failed"
        ),
        pytest.param(
            {"kind": "any"}, [task(-4, "SUCCESS"), task(-3, "ERROR", kind=ENTITLEMENTS)], FAILED, id="any"
        ),
        pytest.param(
            {"kind": "any"}, [task(-4, "SUCCESS"), task(-3, "ERROR", kind=OTHER)], DONE, id="any aggregation"
        ),
        pytest.param({}, [task(-4, "SUCCESS"), task(-3, "ERROR", source="hr")], DONE, id="another source"),
        pytest.param({}, [task(-4, "SUCCESS", source="AD")], DONE, id="its id in another case"),
        pytest.param({"accepted_statuses": None}, [task(-4, "Cancelled")], DONE, id="any status"),
        pytest.param({"accepted_statuses": "ERROR"}, [task(-4, "SUCCESS")], FAILED, id="not this status"),
        pytest.param({"if_failed": "wait_for_next"}, [task(-4, "ERROR")], WAITS, id="waits for the next"),
        pytest.param(
            {"if_failed": "wait_for_next"}, [task(-4, "ERROR"), task(-3, "SUCCESS")], DONE, id="the next"
        ),
        pytest.param({}, [task(-0.6, "TEMPERROR")], WAITS, id="SailPoint may retry it"),
        pytest.param({}, [task(-1, "TEMPERROR")], FAILED, id="SailPoint has not retried it"),
        pytest.param({}, [task(-0.6, "ERROR")], FAILED, id="SailPoint retries no error"),
        pytest.param({"retry_grace": 0}, [task(-0.6, "TEMPERROR")], FAILED, id="no grace"),
        # One that is launched while the sensor waits takes back nothing of what was done before (W7).
        pytest.param({}, [task(-2, "SUCCESS"), task(-0.5)], DONE, id="launched while it waits"),
        pytest.param({}, [task(-2, "SUCCESS"), task(-1.5)], WAITS, id="ran when it began to wait"),
        pytest.param({}, [task(-2, "ERROR"), task(-0.5)], WAITS, id="the next of one that failed"),
        pytest.param({}, [task(-2, "SUCCESS"), task(-0.7, "ERROR")], FAILED, id="failed while it waits"),
        pytest.param({}, [task(-26, "SUCCESS"), task(-0.5)], WAITS, id="the one before doesn't count"),
        pytest.param(
            {"waiting_since": None}, [task(-2, "SUCCESS"), task(-0.5)], WAITS, id="it has not begun to wait"
        ),
    ],
)
def test_verdicts(arguments: dict[str, Any], tasks: list[TaskStatus], end: str) -> None:
    waiting = wait(**arguments)
    answers = seen(waiting, *tasks)
    verdict = waiting.judge(answers, NOW)
    assert (verdict.is_done, bool(verdict.refused)) == (end == DONE, end == FAILED)
    if verdict.is_final:
        event = json.loads(json.dumps(seen_event(waiting, answers)))
        assert len(event["statuses"]) <= 2, "P6: only what decides"
        again = AggregationWait.parse(**event["wait"])
        assert again == waiting
        carried = again.judge(answers_in(event, again), NOW + timedelta(days=1))
        assert [each.id for each in carried.accepted + carried.refused] == [
            each.id for each in verdict.accepted + verdict.refused
        ]


def test_sources_that_are_aggregated_all_the_time_are_done_together_at_last() -> None:
    """FAULTS W7: two hourly sources, 40 minutes each, half an hour apart: one of them always runs."""

    def at(now: float) -> list[TaskStatus]:
        found = []
        for source, offset in (("a", 0.0), ("b", 0.5)):
            for hour in range(-3, 4):
                start = hour + offset
                if start <= now:
                    status = "SUCCESS" if start + 2 / 3 <= now else None
                    found.append(task(start, status, source=source))
        return found

    waiting = wait(["a", "b"], launched_after=hours(-0.6), waiting_since=hours(0))
    ends = [
        minutes
        for minutes in range(180)
        if waiting.judge(seen(waiting, *at(minutes / 60)), hours(minutes / 60)).is_done
    ]
    assert ends[0] == 40, "b had ended at 10, and a, which ran, did so at 40"
    assert ends == list(range(40, 180)), "and it stays so, whenever it is polled"


def test_several_sources_come_in_their_order() -> None:
    waiting = wait(["hr", "ad"])
    tasks = [task(-4, "SUCCESS"), task(-3, "WARNING", source="hr")]
    verdict = waiting.judge(seen(waiting, *tasks), NOW)
    assert [each.source_id for each in verdict.accepted] == ["hr", "ad"]
    assert not waiting.judge(seen(waiting, tasks[0]), NOW).is_final
    failed = waiting.judge(seen(waiting, task(-4, "ERROR")), NOW)
    assert [each.source_id for each in failed.refused] == ["ad"]


def test_a_retry_is_waited_for_until_its_grace_has_passed() -> None:
    waiting = wait()
    verdict = waiting.judge(seen(waiting, task(-0.6, "TEMPERROR")), NOW)
    assert verdict.judge_again_at == hours(-0.1) + timedelta(minutes=15)
    assert waiting.judge(seen(waiting, task(-0.6, "TEMPERROR")), verdict.judge_again_at).refused


class TestSources:
    def test_names_are_looked_up_once(self) -> None:
        waiting = wait(source_id=None, source_name=["HR", "AD"])
        assert waiting.queries({}, NOW) == [SourceName("HR"), SourceName("AD")]
        answers: Answers = {SourceName("HR"): "hr"}
        assert waiting.queries(answers, NOW)[2:] == [SourceQuery.of("hr", TaskKind.ACCOUNTS, BOUNDARY)]
        assert waiting.source_ids(answers) == ["hr", ""]
        assert SourceName("HR").lasts("hr")
        assert not waiting.judge(answers, NOW).is_final

    def test_a_failure_before_all_names_are_known_survives_the_event(self) -> None:
        waiting = wait(source_id=None, source_name=["HR", "AD"])
        query = SourceQuery.of("hr", waiting.kind, waiting.launched_after)
        failed = task(-3, "ERROR", source="hr")
        answers: Answers = {SourceName("HR"): "hr", query: newest_of(query.aggregations, [failed])}
        event = json.loads(json.dumps(seen_event(waiting, answers)))
        again = AggregationWait.parse(**event["wait"])
        assert [each.id for each in again.judge(answers_in(event, again), NOW).refused] == [failed.id]

    @pytest.mark.parametrize("error", [SourceNotFoundError("named 'HR'")])
    def test_an_unknown_name_fails(self, error: Exception) -> None:
        with pytest.raises(UnknownSourceError, match="named 'HR'"):
            wait(source_id=None, source_name="HR").judge({SourceName("HR"): error}, NOW)
        assert not SourceName("HR").lasts(error)

    def test_a_source_that_launched_nothing_is_asked_for(self) -> None:
        waiting = wait()
        nothing = seen(waiting)
        assert waiting.queries(nothing, NOW)[1:] == [KnownSource("ad")]
        assert not waiting.judge(nothing | {KnownSource("ad"): True}, NOW).is_final
        with pytest.raises(UnknownSourceError, match="no source with the id ad"):
            waiting.judge(nothing | {KnownSource("ad"): False}, NOW)

    def test_a_failure_decides_before_a_source_that_is_unknown(self) -> None:
        """A poke knows both at once, and a trigger one after the other: neither may depend on that."""
        waiting = wait(["ad", "hr"])
        failed = task(-3, "ERROR", source="hr")
        answers = seen(waiting, failed)
        for known in ({}, {KnownSource("ad"): False}):
            assert waiting.judge(answers | known, NOW).refused == (failed,)
        partial = {query: answer for query, answer in answers.items() if answer.newest is None}
        assert not waiting.judge(partial | {KnownSource("ad"): False}, NOW).is_final

    def test_a_source_that_launched_anything_is_not(self) -> None:
        waiting = wait()
        other = seen(waiting, task(-3, "SUCCESS", kind=OTHER))
        assert len(waiting.queries(other, NOW)) == 1


def test_tasks_of_other_kinds_are_noted() -> None:
    """FAULTS W9: or one that waits for the wrong kind would do so without a word."""
    waiting = wait()
    assert waiting.notes(seen(waiting)) == []
    assert waiting.notes(seen(waiting, task(-4))) == []
    (note,) = waiting.notes(seen(waiting, task(-3, "SUCCESS", kind=ENTITLEMENTS)))
    assert "Source ad" in note
    assert "kind 'accounts'" in note
    query = SourceQuery.of("ad", None, BOUNDARY)
    answer = NewestAggregation(other_names=("Dataset Sync",))
    assert "Dataset Sync" in wait(kind="any").notes({query: answer})[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source_id": []}, "source_id is an empty list"),
        ({"source_id": "a/b"}, "source_id 'a/b' is not an id"),
        ({"source_id": None, "source_name": " "}, "source_name"),
        ({"kind": "everything"}, "kind 'everything' is unknown"),
        ({"if_failed": "retry"}, "if_failed 'retry' is unknown"),
        ({"launched_after": "2026-03-01"}, "launched_after must be an aware datetime"),
        ({"launched_after": 7}, "launched_after must be an aware datetime"),
        ({"retry_grace": "soon"}, "retry_grace 'soon'"),
    ],
)
def test_invalid_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wait(**arguments)


def test_a_name_that_native_rendering_made_a_number_is_a_name() -> None:
    """FAULTS K6."""
    assert wait(source_id=None, source_name=365).sources == ("365",)
