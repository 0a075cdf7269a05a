"""How the end of tasks is put into words: what people read in a failed sensor's log."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sptasks.client.models import CompletionStatus, TaskStatus
from airflow_provider_sptasks.waiting.verdict import Verdict, failure, outcome, spelled, title

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TASK = TaskStatus(
    id="t1",
    unique_name="Cloud Account Aggregation",
    target_name="HR [source]",
    launched=NOON,
    completed=NOON + timedelta(seconds=90.4),
    completion_status=CompletionStatus.ERROR,
    completion_status_text="Error",
)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({}, "Cloud Account Aggregation of HR"),
        ({"target_name": None}, "Cloud Account Aggregation"),
        ({"unique_name": "", "description": "Aggregates"}, "Aggregates of HR"),
        ({"unique_name": "", "target_name": None}, "Task"),
    ],
)
def test_titles(task: dict[str, Any], expected: str) -> None:
    assert title(replace(TASK, **task)) == expected


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (CompletionStatus.ERROR, "Error", "ERROR"),
        (CompletionStatus.UNKNOWN, "Halted", "Halted"),
        (None, None, None),
    ],
)
def test_spellings(status: CompletionStatus | None, text: str | None, expected: str | None) -> None:
    assert spelled(replace(TASK, completion_status=status, completion_status_text=text)) == expected


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({}, "HR ended with ERROR (Cloud Account Aggregation, after 0:01:30, task t1)"),
        ({"launched": None}, "HR ended with ERROR (Cloud Account Aggregation, task t1)"),
        ({"unique_name": ""}, "HR ended with ERROR (after 0:01:30, task t1)"),
        ({"target_name": None}, "Cloud Account Aggregation ended with ERROR (after 0:01:30, task t1)"),
    ],
)
def test_failures(task: dict[str, Any], expected: str) -> None:
    assert failure([replace(TASK, **task)]) == expected


def test_several_failures_and_their_durations() -> None:
    both = failure([TASK, replace(TASK, id="t2", target_name="AD [source]")])
    assert both.startswith("HR ended with ERROR (")
    assert "); AD ended with ERROR (" in both
    assert outcome(TASK) == "Cloud Account Aggregation of HR ended with ERROR after 0:01:30"
    assert outcome(replace(TASK, completed=None)) == "Cloud Account Aggregation of HR ended with ERROR"


@pytest.mark.parametrize(
    ("verdict", "is_final"),
    [
        (Verdict(False), False),
        (Verdict(True, (TASK,)), True),
        (Verdict(False, (), (TASK,)), True),
        (Verdict(False, judge_again_at=NOON), False),
    ],
)
def test_what_is_final(verdict: Verdict, is_final: bool) -> None:
    assert verdict.is_final is is_final
