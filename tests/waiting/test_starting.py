"""Starting when no other aggregation runs any more, and what is said about it: no tenant, no clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sptasks.client.intent import Outcome, StartResult
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
from airflow_provider_sptasks.client.starting import IfRunning
from airflow_provider_sptasks.waiting.starting import begun, blocked, start_in_turn

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TASK = TaskStatus(
    id="other", unique_name="Cloud Account Aggregation", target_name="HR [source]", launched=NOON
)
STARTED = Outcome(StartResult.STARTED, "own")
BLOCKED = Outcome(StartResult.BLOCKED, "other", task=TASK, seen_at=NOON + timedelta(minutes=7))


class Turn:
    """Starts when others have ended: notes what it was waited for, how long, and what was said."""

    def __init__(self, outcomes: list[Outcome], ended: list[bool]) -> None:
        self.outcomes, self.ended = outcomes, ended
        self.awaited: list[str] = []
        self.pauses: list[tuple[float, str]] = []
        self.said: list[str] = []

    def start(self, if_running: IfRunning) -> Outcome:
        return start_in_turn(
            lambda: self.outcomes.pop(0),
            if_running,
            has_ended_already=self._has_ended_already,
            sleep=lambda *pause: self.pauses.append(pause),
            say=self.said.append,
        )

    def _has_ended_already(self, task_status_id: str) -> bool:
        self.awaited.append(task_status_id)
        return self.ended.pop(0)


def test_what_is_in_the_way_is_waited_for_each_time() -> None:
    others = [replace(BLOCKED, task_status_id=each) for each in "abc"]
    turn = Turn([*others, STARTED], [False] * 3)
    assert turn.start(IfRunning.WAIT) is STARTED
    assert (turn.awaited, turn.pauses) == (["a", "b", "c"], [])
    assert turn.said == [blocked(BLOCKED)] * 3


def test_pauses_grow_while_the_tenant_refuses_though_nothing_runs() -> None:
    turn = Turn([BLOCKED] * 5 + [STARTED], [True, True, False, True, True])
    turn.start(IfRunning.ATTACH)
    assert [seconds for seconds, _ in turn.pauses] == [1.0, 2.0, 1.0, 2.0]
    assert {why for _, why in turn.pauses} == {blocked(BLOCKED)}


@pytest.mark.parametrize("if_running", [IfRunning.FAIL, IfRunning.SKIP])
def test_it_is_not_waited_for_unless_that_is_wanted(if_running: IfRunning) -> None:
    turn = Turn([BLOCKED], [])
    assert turn.start(if_running) is BLOCKED
    assert (turn.awaited, turn.said) == ([], [])


@pytest.mark.parametrize(
    ("result", "how"),
    [
        (StartResult.STARTED, "was started"),
        (StartResult.FOUND, "was started before: going on with it"),
        (StartResult.ATTACHED, "was started by others: attached to it"),
    ],
)
def test_what_came_of_it(result: StartResult, how: str) -> None:
    known = Outcome(result, "other", task=TASK)
    assert begun(known, TaskKind.ACCOUNTS) == f"Cloud Account Aggregation of HR {how} (task other)"
    unread = Outcome(result, "other")
    assert begun(unread, TaskKind.ACCOUNTS) == f"The aggregation (accounts) {how} (task other)"


@pytest.mark.parametrize(
    ("task", "seen_after", "middle"),
    [
        ({}, 7.0, ", since 2026-03-01 12:00:00 UTC, for 0:07:00"),
        ({}, 7.01, ", since 2026-03-01 12:00:00 UTC, for 0:07:01"),
        ({}, 0.0, ", since 2026-03-01 12:00:00 UTC"),
        ({}, None, ", since 2026-03-01 12:00:00 UTC"),
        ({"launched": None, "created": NOON}, None, ", since 2026-03-01 12:00:00 UTC"),
        ({"created": NOON - timedelta(hours=1)}, None, ", since 2026-03-01 12:00:00 UTC"),
        ({"launched": None, "percent_complete": 0}, 7.0, ", pending (0 %)"),
        ({"launched": None, "progress": "Aggregating"}, 7.0, ", Aggregating"),
        ({"launched": None, "progress": "Aggregating", "percent_complete": 5}, 7.0, ", Aggregating (5 %)"),
        ({"launched": None}, 7.0, ""),
    ],
)
def test_what_is_in_the_way(task: dict[str, Any], seen_after: float | None, middle: str) -> None:
    seen_at = None if seen_after is None else NOON + timedelta(minutes=seen_after)
    parts = replace(TASK, **task)
    said = blocked(replace(BLOCKED, task=parts, seen_at=seen_at))
    runs = "Cloud Account Aggregation of HR runs"
    assert said == f"Nothing was started: {runs}{middle} (task other)"


@pytest.mark.parametrize("reason", [None, "400 busy"])
def test_the_tenant_s_own_words_come_last(reason: str | None) -> None:
    said = f". SailPoint says: {reason}" if reason else ""
    assert blocked(replace(BLOCKED, reason=reason)).endswith(f"(task other){said}")
    unseen = replace(BLOCKED, task=None, task_status_id="", reason=reason)
    runs = "another aggregation runs, which the list of tasks doesn't show"
    assert blocked(unseen) == f"Nothing was started: {runs}{said}"
