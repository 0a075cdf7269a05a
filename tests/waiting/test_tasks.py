"""What statuses of awaited tasks mean, as a table: no tenant, no Airflow, no clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus
from airflow_provider_sptasks.waiting.errors import UnknownTaskError
from airflow_provider_sptasks.waiting.events import answers_in, seen_event
from airflow_provider_sptasks.waiting.queries import Answers, TaskLookup, TaskQuery
from airflow_provider_sptasks.waiting.tasks import TaskWait

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GRACE = timedelta(minutes=1)


def wait(ids: Any = "a", accepted: Any = ("SUCCESS", "WARNING"), **arguments: Any) -> TaskWait:
    return TaskWait.parse(
        task_status_id=ids, accepted_statuses=accepted, not_found_grace=GRACE, **arguments
    ).begun(NOON)


def task(task_status_id: str, status: str | None = None) -> TaskStatus:
    parsed = CompletionStatus.parse(status) if status else None
    return TaskStatus(
        id=task_status_id,
        unique_name="Cloud Account Aggregation",
        target_id="source",
        target_name="HR [source]",
        completion_status=parsed,
        completion_status_text=status,
    )


def listed(**statuses: str | None) -> Answers:
    """Answers of the list: ``pending``, ``absent`` or a completion status."""
    return {
        TaskQuery(each): None if status == "absent" else task(each, None if status == "pending" else status)
        for each, status in statuses.items()
    }


DONE, FAILED, WAITS = "done", "failed", "waits"


@pytest.mark.parametrize(
    ("ids", "accepted", "statuses", "end"),
    [
        ("a", ["SUCCESS"], {}, WAITS),
        ("a", ["SUCCESS"], {"a": "pending"}, WAITS),
        ("a", ["SUCCESS"], {"a": "absent"}, WAITS),
        ("a", ["SUCCESS"], {"a": "SUCCESS"}, DONE),
        ("a", ["SUCCESS"], {"a": "Success"}, DONE),
        ("a", ["SUCCESS"], {"a": "WARNING"}, FAILED),
        ("a", ["SUCCESS", "WARNING"], {"a": "WARNING"}, DONE),
        ("a", ["SUCCESS"], {"a": "TEMP_ERROR"}, FAILED),
        ("a", ["TEMPERROR"], {"a": "TEMP_ERROR"}, DONE),
        ("a", ["SUCCESS"], {"a": "Cancelled"}, FAILED),
        ("a", None, {"a": "Cancelled"}, DONE),
        ("a", None, {"a": "ERROR"}, DONE),
        ("a", None, {"a": "pending"}, WAITS),
        (["a", "b"], ["SUCCESS"], {"a": "SUCCESS", "b": "pending"}, WAITS),
        (["a", "b"], ["SUCCESS"], {"a": "SUCCESS"}, WAITS),
        (["a", "b"], ["SUCCESS"], {"a": "SUCCESS", "b": "absent"}, WAITS),
        (["a", "b"], ["SUCCESS"], {"a": "SUCCESS", "b": "SUCCESS"}, DONE),
        (["a", "b"], ["SUCCESS"], {"a": "ERROR", "b": "pending"}, FAILED),
        (["a", "b"], ["SUCCESS"], {"a": "pending", "b": "TERMINATED"}, FAILED),
        (["a", "b"], ["SUCCESS"], {"a": "SUCCESS", "b": "ERROR"}, FAILED),
    ],
)
def test_verdicts(ids: Any, accepted: Any, statuses: dict[str, str], end: str) -> None:
    waiting = wait(ids, accepted)
    answers = listed(**statuses)
    verdict = waiting.judge(answers, NOON)
    assert (verdict.is_done, bool(verdict.refused)) == (end == DONE, end == FAILED)
    assert verdict.is_final is (end != WAITS)
    if verdict.is_final:
        event = json.loads(json.dumps(seen_event(waiting, answers)))
        again = TaskWait.parse(**event["wait"])
        assert again == waiting
        carried = again.judge(answers_in(event, again), NOON + timedelta(days=1))
        assert [each.id for each in carried.accepted] == [each.id for each in verdict.accepted]
        assert [each.id for each in carried.refused] == [each.id for each in verdict.refused]


def test_accepted_tasks_come_in_the_order_of_the_ids() -> None:
    verdict = wait(["b", "a", "c"]).judge(listed(a="SUCCESS", b="SUCCESS", c="WARNING"), NOON)
    assert [each.id for each in verdict.accepted] == ["b", "a", "c"]
    assert [each["id"] for each in verdict.result(single=False)] == ["b", "a", "c"]
    assert verdict.result(single=True)["id"] == "b"


def test_a_task_that_is_not_listed_is_looked_up_after_the_grace() -> None:
    """FAULTS: only a lookup by id tells an unknown task from one that a list leaves out."""
    waiting, answers = wait(["a", "b"]), listed(a="absent", b="pending")
    before, after = NOON + GRACE - timedelta(seconds=1), NOON + GRACE
    assert TaskLookup("a") not in waiting.queries(answers, before)
    assert waiting.judge(answers, before).judge_again_at == NOON + GRACE
    assert set(waiting.queries(answers, after)) == {TaskQuery("a"), TaskQuery("b"), TaskLookup("a")}
    assert not waiting.judge(answers, after).is_final, "it has not been looked up yet"
    with pytest.raises(UnknownTaskError, match="'a'"):
        waiting.judge(answers | {TaskLookup("a"): None}, after)
    found = answers | {TaskLookup("a"): task("a", "ERROR")}
    assert waiting.judge(found, after).refused == (task("a", "ERROR"),)


def test_a_refused_task_decides_before_one_that_is_not_found() -> None:
    """A poke knows both at once, and a trigger one after the other: neither may depend on that."""
    waiting, after = wait(["a", "b"]), NOON + GRACE
    unknown: Answers = {TaskQuery("a"): None, TaskLookup("a"): None}
    assert not waiting.judge(unknown, after).is_final, "the other one is not answered yet"
    for answers in (listed(b="ERROR"), listed(a="absent", b="ERROR"), unknown | listed(b="ERROR")):
        assert [each.id for each in waiting.judge(answers, after).refused] == ["b"]
    with pytest.raises(UnknownTaskError, match="'a'"):
        waiting.judge(unknown | listed(b="SUCCESS"), after)


def test_a_lookup_that_comes_before_the_list_means_nothing() -> None:
    assert not wait().judge({TaskLookup("a"): None}, NOON + GRACE).is_final


def test_what_the_list_says_counts_more_than_a_lookup() -> None:
    answers = listed(a="SUCCESS") | {TaskLookup("a"): task("a")}
    assert wait().judge(answers, NOON).is_done


def test_an_end_is_not_asked_for_again() -> None:
    assert TaskQuery("a").lasts(task("a", "ERROR"))
    assert not TaskQuery("a").lasts(task("a"))
    assert not TaskQuery("a").lasts(None)


def test_ids_compare_without_case() -> None:
    """FAULTS W5: SailPoint compares ids so."""
    waiting = wait(["ABC", "abc", "d"])
    assert waiting.task_status_ids == ("ABC", "d")
    answers: Answers = {TaskQuery("abc"): task("abc", "SUCCESS"), TaskQuery("D"): task("d", "SUCCESS")}
    assert waiting.judge(answers, NOON).is_done


@pytest.mark.parametrize("begun", [None, NOON - timedelta(hours=1)])
def test_the_grace_counts_from_the_first_poll(begun: datetime | None) -> None:
    waiting = wait(waiting_since=begun)
    assert waiting.waiting_since == (begun or NOON)
    assert (TaskLookup("a") in waiting.queries(listed(a="absent"), NOON)) is (begun is not None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": []}, "task_status_id is an empty list"),
        ({"ids": "a b"}, "task_status_id 'a b' is not an id"),
        ({"ids": 7}, "task_status_id should be"),
        ({"accepted": []}, "accepted_statuses is empty"),
        ({"accepted": ["DONE"]}, "accepted_statuses holds 'DONE'"),
        ({"waiting_since": "noon"}, "waiting_since must be"),
    ],
)
def test_invalid_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wait(**arguments)
