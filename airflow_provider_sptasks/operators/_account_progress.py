"""How far an account aggregation is: SailPoint says more of it than of other tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
from airflow_provider_sptasks.client.models_sources import AggregationProgress
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.queries import Clients


class AccountProgressLogger(ProgressLogger):
    """
    Logs the progress of account aggregations as ``GET /account-aggregations/{id}/status`` has it.

    Where that can't be had, what the task itself says is logged.

    :param log: the log
    :param clients: what to ask with
    """

    __slots__ = ("_clients", "_is_refused")

    def __init__(self, log: Any, clients: Clients) -> None:
        super().__init__(log)
        self._clients = clients
        self._is_refused = False

    def polled(self, statuses: Iterable[TaskStatus], notes: Sequence[str] = ()) -> None:
        """Log what is new."""
        super().polled([self._detailed(each) for each in statuses], notes)

    def _detailed(self, status: TaskStatus) -> TaskStatus:
        if self._is_refused or status.is_complete or status.kind is not TaskKind.ACCOUNTS:
            return status
        try:
            progress = self._clients.sources.aggregation_status(status.id)
        except SailPointError as error:
            self._is_refused = not error.retryable
            return status
        if progress is None:
            return status
        percent = _percent(progress)
        return replace(
            status,
            progress=str(progress),
            percent_complete=status.percent_complete if percent is None else percent,
        )


def _percent(progress: AggregationProgress) -> int | None:
    done, total = progress.processed_accounts, progress.total_accounts
    return None if done is None or not total else min(100, 100 * done // total)
