"""What a retry knows of earlier tries, as tables: no tenant, and no Airflow that runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.sdk import Context

from airflow_provider_sptasks.client.intent import Intent
from airflow_provider_sptasks.client.models import TaskKind
from airflow_provider_sptasks.operators._retry_state import KEY, RetryState, best_guess, is_retry

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNTS, ENTITLEMENTS = TaskKind.ACCOUNTS, TaskKind.ENTITLEMENTS
INTENT = Intent("ad", ACCOUNTS, NOON, frozenset({"older"}), task_status_id="own", own=True, sent=True)


class Store:
    """Keeps values, and for how long each is kept."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.retentions: list[timedelta] = []

    def get(self, key: str) -> Any:
        return self.kept.get(key)

    def set(self, key: str, value: Any, *, retention: timedelta) -> None:
        self.kept[key] = value
        self.retentions.append(retention)

    def delete(self, key: str) -> None:
        del self.kept[key]


def context(
    store: Store | None = None, max_tries: int | None = 2, try_number: int = 1, **more: Any
) -> Context:
    found = {"ti": SimpleNamespace(max_tries=max_tries, try_number=try_number), **more}
    return cast(Context, found | ({} if store is None else {"task_state_store": store}))


@pytest.mark.parametrize(
    ("max_tries", "source_id", "kind", "is_known"),
    [
        (2, "ad", ACCOUNTS, True),
        (5, "ad", ACCOUNTS, False),  # a user has cleared the task
        (2, "hr", ACCOUNTS, False),
        (2, "ad", ENTITLEMENTS, False),
    ],
)
def test_a_retry_of_the_same_finds_what_was_kept(
    max_tries: int, source_id: str, kind: TaskKind, is_known: bool
) -> None:
    store = Store()
    state = RetryState(context(store), "ad", ACCOUNTS)
    assert (state.intent, state.lasts) == (None, True)
    state.note(INTENT)
    assert state.intent is INTENT
    assert store.retentions == [timedelta(days=90)]
    found = RetryState(context(store, max_tries), source_id, kind).intent
    assert found == (INTENT if is_known else None)


@pytest.mark.parametrize("task_status_id", ["a b", "", 7])
def test_an_id_that_was_kept_is_checked(task_status_id: object) -> None:
    """Nothing else between the store and the request does."""
    store = Store()
    RetryState(context(store), "ad", ACCOUNTS).note(INTENT)
    store.kept[KEY]["task_status_id"] = task_status_id
    with pytest.raises(ValueError, match="task_status_id"):
        RetryState(context(store), "ad", ACCOUNTS)


def test_nothing_is_kept_of_what_was_withdrawn() -> None:
    store = Store()
    state = RetryState(context(store), "ad", ACCOUNTS)
    state.note(INTENT)
    state.note(None)
    assert (state.intent, store.kept) == (None, {})


@pytest.mark.parametrize("kept", [None, "", [], {}, {"max_tries": 1}])
def test_what_others_keep_under_that_key_is_nothing(kept: object) -> None:
    store = Store()
    store.kept[KEY] = kept
    assert RetryState(context(store), "ad", ACCOUNTS).intent is None


def test_without_a_store_it_lasts_as_long_as_the_try() -> None:
    state = RetryState(context(), "ad", ACCOUNTS)
    state.note(INTENT)
    assert (state.intent, state.lasts) == (INTENT, False)
    state.note(None)
    assert state.intent is None


@pytest.mark.parametrize(
    ("try_number", "max_tries", "retries", "expected"),
    [
        (1, 2, 2, False),
        (2, 2, 2, True),
        (3, 2, 2, True),
        (1, 0, 0, False),
        (1, None, 0, False),
        (2, None, 0, True),
        # Cleared after the second try: Airflow grants as many retries again.
        (3, 4, 2, False),
        (4, 4, 2, True),
    ],
)
def test_which_tries_are_retries(
    try_number: int, max_tries: int | None, retries: int, expected: bool
) -> None:
    assert is_retry(context(max_tries=max_tries, try_number=try_number), retries) is expected


@pytest.mark.parametrize(
    ("started", "since"),
    [(NOON, NOON + timedelta(seconds=7) - timedelta(minutes=1)), (None, None)],
)
def test_the_best_guess_is_what_came_since_the_run_started(
    started: datetime | None, since: datetime | None
) -> None:
    run = context(dag_run=SimpleNamespace(start_date=started))
    guess = best_guess(run, "ad", ENTITLEMENTS, timedelta(seconds=7))
    assert guess == (since and Intent("ad", ENTITLEMENTS, since, exact=False))
