"""How far an account aggregation is, where SailPoint says it and where it doesn't."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_sptasks.client.errors import ForbiddenError, SailPointError, ServerError
from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus
from airflow_provider_sptasks.client.models_sources import AggregationProgress
from airflow_provider_sptasks.operators._account_progress import AccountProgressLogger
from airflow_provider_sptasks.waiting.queries import Clients
from tests.waiting.test_progress import Log

RUNS = TaskStatus(
    id="t1", unique_name="Accounts", kind=TaskKind.ACCOUNTS, progress="Runs", percent_complete=7
)


class Sources:
    """Answers with the progress that it was given, or fails with it."""

    def __init__(self, *answers: AggregationProgress | SailPointError | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def aggregation_status(self, task_status_id: str) -> AggregationProgress | None:
        self.asked.append(task_status_id)
        answer = self.answers.pop(0)
        if isinstance(answer, SailPointError):
            raise answer
        return answer


def logged(sources: Sources, *statuses: TaskStatus) -> list[str]:
    log = Log()
    progress = AccountProgressLogger(log, cast(Clients, SimpleNamespace(sources=sources)))
    for status in statuses:
        progress.polled([status], ["a note"])
    assert log.lines.pop(1) == "a note"
    return log.lines


@pytest.mark.parametrize(
    ("counts", "percent"),
    [
        ({}, 7),
        ({"processed_accounts": 5}, 7),
        ({"processed_accounts": 5, "total_accounts": 0}, 7),
        ({"processed_accounts": 0, "total_accounts": 10}, 0),
        ({"processed_accounts": 5, "total_accounts": 10}, 50),
        ({"processed_accounts": 2, "total_accounts": 3}, 66),
        ({"processed_accounts": 15, "total_accounts": 10}, 100),
    ],
)
def test_the_percentage(counts: dict[str, Any], percent: int) -> None:
    progress = AggregationProgress("STARTED", **counts)
    sources = Sources(progress)
    assert logged(sources, RUNS) == [f"Accounts: {progress} ({percent} %) (task t1)"]
    assert sources.asked == ["t1"]


PLAIN = "Accounts: Runs (7 %) (task t1)"
DETAILED = "Accounts: STARTED: 9 of 10 accounts processed (90 %) (task t1)"
NINE_OF_TEN = AggregationProgress("STARTED", total_accounts=10, processed_accounts=9)


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (None, [PLAIN, DETAILED]),
        (ServerError("GET", "/account-aggregations", 503), [PLAIN, DETAILED]),
        (ForbiddenError("GET", "/account-aggregations", 403), [PLAIN]),
    ],
)
def test_a_refusal_is_heeded_and_an_outage_is_not(answer: Any, lines: list[str]) -> None:
    sources = Sources(answer, NINE_OF_TEN)
    assert logged(sources, RUNS, RUNS) == lines
    assert len(sources.asked) == len(lines)


@pytest.mark.parametrize(
    "status",
    [
        TaskStatus(id="t1", kind=TaskKind.ENTITLEMENTS),
        TaskStatus(id="t1", kind=TaskKind.ACCOUNTS, completion_status=CompletionStatus.SUCCESS),
    ],
)
def test_it_is_asked_for_accounts_that_are_aggregated_only(status: TaskStatus) -> None:
    sources = Sources()
    assert len(logged(sources, status)) == 1
    assert sources.asked == []
