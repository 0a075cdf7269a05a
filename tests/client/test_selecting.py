"""Which tasks are cleared and why others are not, as a table: the tenant is a list, and its clock stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_sptasks.client import TaskStatusClient, selecting
from airflow_provider_sptasks.client.clearing import ClearOutcome
from airflow_provider_sptasks.client.durations import Aggregated
from airflow_provider_sptasks.client.errors import NotFoundError
from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus
from airflow_provider_sptasks.client.selecting import Age, Selected, Selectors, select

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def task(name: str = "t", **fields: Any) -> TaskStatus:
    given: dict[str, Any] = {"unique_name": "Account Aggregation", "target_id": "ad", "launched": NOON - DAY}
    return TaskStatus(id=name, kind=TaskKind.ACCOUNTS, **given | fields)


class Tenant:
    """
    A tenant with tasks.

    :param listed: what its lists show
    :param hidden: what it has besides
    """

    def __init__(self, *listed: TaskStatus, hidden: Sequence[TaskStatus] = ()) -> None:
        self._listed = listed
        self._hidden = {each.id: each for each in hidden}
        self.transport = SimpleNamespace(clock=SimpleNamespace(now=lambda: NOON))
        self.asked_for: list[object] = []

    def pending(self, *, source_ids: Sequence[str] | None) -> Sequence[TaskStatus]:
        self.asked_for.append(source_ids)
        return self._listed

    def find(self, ids: Sequence[str]) -> dict[str, TaskStatus]:
        return {each.id: each for each in self._listed if each.id in ids}

    def get(self, task_status_id: str) -> TaskStatus:
        self.asked_for.append(task_status_id)
        try:
            return self._hidden[task_status_id]
        except KeyError:
            raise NotFoundError("GET", f"/task-status/v1/{task_status_id}", 404) from None


def selected(tenant: Tenant, **selectors: Any) -> Selected:
    return select(cast(TaskStatusClient, tenant), Selectors(**selectors))


@pytest.mark.parametrize(
    ("selectors", "fields", "why"),
    [
        ({"source_ids": ["AD", "hr"]}, {}, None),
        ({"source_ids": ["hr"]}, {}, "its source_id is 'ad'"),
        ({"source_ids": ["hr"]}, {"target_id": None}, "its source_id is None"),
        ({"unique_names": ["account aggregation"]}, {}, None),
        ({"unique_names": ["ACCOUNT AGGREGATION"]}, {}, None),
        ({"unique_names": ["Account"]}, {}, "its unique_name is 'Account Aggregation'"),
        ({"source_ids": ["ad"], "unique_names": ["other"]}, {}, "its unique_name is"),
        ({"source_ids": ["hr"], "older_than": timedelta(0)}, {}, "its source_id is"),
        ({"older_than": DAY - timedelta(microseconds=1)}, {}, None),
        ({"older_than": DAY}, {}, "it was launched at 2026-02-28T12:00:00"),
        ({"older_than": DAY}, {"created": NOON - 2 * DAY}, "it was launched at 2026-02-28T12:00:00"),
        ({"older_than": DAY}, {"launched": None, "created": NOON - 2 * DAY}, None),
        ({"older_than": DAY}, {"launched": None}, "it doesn't say when it was launched"),
        ({"unique_names": ["Account Aggregation"]}, {"launched": None}, None),
    ],
)
def test_what_matches(selectors: dict[str, Any], fields: dict[str, Any], why: str | None) -> None:
    status = task(**fields)
    found = selected(Tenant(status), **selectors)
    assert found.tasks == ([] if why else [status])
    assert [each for each, _ in found.passed_over] == ([status] if why else [])
    assert all(said.startswith(cast(str, why)) for _, said in found.passed_over)
    assert (found.settled, found.ages) == ([], {})


@pytest.mark.parametrize(
    ("selectors", "by_age"),
    [
        ({}, False),
        ({"source_ids": ["ad"]}, False),
        ({"older_than": DAY}, True),
        ({"stuck_factor": 3.0}, True),
    ],
)
def test_what_goes_by_age(selectors: dict[str, Any], by_age: bool) -> None:
    assert Selectors(**selectors).by_age is by_age


def test_the_tenant_lists_the_sources_that_are_wanted() -> None:
    tenant = Tenant()
    selected(tenant, source_ids=["ad"])
    selected(tenant, unique_names=["x"])
    assert tenant.asked_for == [["ad"], None]


def test_tasks_by_their_ids_are_all_accounted_for() -> None:
    ended = task("ended", completion_status=CompletionStatus.SUCCESS)
    tenant = Tenant(task("pending"), ended, hidden=[task("hidden")])
    found = selected(tenant, task_status_ids=["pending", "ended", "hidden", "unknown"], source_ids=["ad"])
    assert [each.id for each in found.tasks] == ["pending", "hidden"]
    assert [(each.task_status_id, each.outcome, each.status) for each in found.settled] == [
        ("ended", ClearOutcome.ALREADY_COMPLETE, ended),
        ("unknown", ClearOutcome.NOT_FOUND, None),
    ]
    assert tenant.asked_for == ["hidden", "unknown"], "those that are listed are not read again"


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("fields", "usual", "why"),
    [
        ({}, timedelta(hours=8) - timedelta(seconds=1), None),
        ({}, timedelta(hours=8), "it has run for 1 day, 0:00:00, which is not 3 times its usual 8:00:00"),
        ({"launched": None, "created": NOON - DAY}, HOUR, None),
        ({}, None, "its usual duration is unknown: fewer than 3 of its last ends were successful"),
        ({"target_id": None}, HOUR, "it is no aggregation of a source"),
    ],
)
def test_what_is_stuck(
    fields: dict[str, Any], usual: timedelta | None, why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[Aggregated]] = []

    def read(_: TaskStatusClient, wanted: set[Aggregated]) -> dict[Aggregated, timedelta]:
        asked.append(wanted)
        return {} if usual is None else dict.fromkeys(wanted, usual)

    monkeypatch.setattr(selecting, "read_usual_durations", read)
    status = task(**fields)
    found = selected(Tenant(status), stuck_factor=3.0)
    known = status.target_id is not None
    assert asked == ([{Aggregated("ad", TaskKind.ACCOUNTS)}] if known else [])
    assert found.tasks == ([] if why else [status])
    assert [(each, said.startswith(cast(str, why))) for each, said in found.passed_over] == (
        [(status, True)] if why else []
    )
    assert found.ages == {"t": Age(DAY, usual if known else None)}


def test_a_factor_beyond_all_use_selects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "read_usual_durations", lambda _, wanted: dict.fromkeys(wanted, HOUR))
    found = selected(Tenant(task()), stuck_factor=1e300)
    assert (found.tasks, len(found.passed_over)) == ([], 1)
