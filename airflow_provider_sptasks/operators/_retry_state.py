"""What a retry of an Airflow task has to know of the aggregation that an earlier try may have started."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_sptasks.client.intent import Intent
from airflow_provider_sptasks.client.models import TaskKind

if TYPE_CHECKING:
    from airflow.sdk import Context

# SailPoint keeps tasks no longer either.
KEY, RETENTION = "sailpoint_aggregation", timedelta(days=90)
# Between Airflow's clock and the worker's.
CLOCKS_DIFFER = timedelta(minutes=1)


class RetryState:
    """
    What is kept between the tries of an Airflow task.

    Airflow 3.3 keeps it in the task's state store, which outlives tries and clears alike. ``max_tries`` says
    them apart: Airflow raises it when a task that ran is cleared, and not for a retry.

    :param context: what Airflow gives a task
    :param source_id: SailPoint's id of the source
    :param kind: what is started
    """

    def __init__(self, context: Context, source_id: str, kind: TaskKind) -> None:
        self._store: Any = context.get("task_state_store")
        self._max_tries = context["ti"].max_tries
        self.intent: Intent | None = None
        kept = self._store.get(KEY) if self._store is not None else None
        if isinstance(kept, dict) and kept.get("max_tries") == self._max_tries:
            intent = Intent.from_json(kept)
            self.intent = intent if (intent.source_id, intent.kind) == (source_id, kind) else None

    @property
    def lasts(self) -> bool:
        """Whether it outlives the try."""
        return self._store is not None

    def note(self, intent: Intent | None) -> None:
        """
        Keep what a retry has to know.

        :param intent: ``None`` for nothing
        """
        self.intent = intent
        if self._store is None:
            return
        if intent is None:
            self._store.delete(KEY)
        else:
            self._store.set(KEY, {"max_tries": self._max_tries, **intent.to_json()}, retention=RETENTION)


def is_retry(context: Context, retries: int) -> bool:
    """
    Whether an earlier try may have started something: not after a user has cleared the task.

    :param context: what Airflow gives a task
    :param retries: the task's ``retries``
    """
    ti = context["ti"]
    return bool(ti.try_number > (ti.max_tries or 0) - retries + 1)


def best_guess(context: Context, source_id: str, kind: TaskKind, clock_lead: timedelta) -> Intent | None:
    """
    Say what may have been started, for an Airflow that keeps nothing between tries.

    :param context: what Airflow gives a task
    :param source_id: SailPoint's id of the source
    :param kind: what is started
    :param clock_lead: how far the tenant's clock is ahead of the worker's
    :return: ``None`` where Airflow doesn't say when the DAG run started
    """
    started = context["dag_run"].start_date
    if started is None:
        return None
    return Intent(source_id, kind, started + clock_lead - CLOCKS_DIFFER, exact=False)
