"""Triggers that wait for tasks of a SailPoint tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async

from airflow_provider_sptasks.client.clearing_record import clear_record
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.triggers._base import SensorTrigger
from airflow_provider_sptasks.waiting.aggregations import AggregationWait
from airflow_provider_sptasks.waiting.tasks import TaskWait

# Airflow gives what a trigger does about a kill 30 seconds.
CLEAR_TIMEOUT_SECONDS = 20.0


class SailPointTaskTrigger(SensorTrigger):
    """
    Waits until tasks of SailPoint have ended, or one of them ended with a status that isn't accepted.

    What it yields: see :class:`~airflow_provider_sptasks.triggers._base.SensorTrigger`.

    :param task_status_id: SailPoint's id of the task, or several of them (templated, where a task starts in
        the triggerer)
    :param accepted_statuses: the completion statuses to accept; ``None`` for any
    :param not_found_grace: seconds from the first poll on for which the tenant may not know a task
    :param waiting_since: when the first poll was, ISO 8601; ``None`` for when the trigger starts
    :param sailpoint_conn_id: the Airflow connection (templated, as above)
    :param api_version: the API version; ``None`` for the connection's (templated, as above)
    :param poke_interval: maximum seconds between two polls
    :param end_from_trigger: whether a success may end the Airflow task in the triggerer
    :param do_xcom_push: whether the Airflow task's result is wanted as an XCom then
    :param starts_here: whether the Airflow task starts in the triggerer
    :param version: which form the arguments have
    :param unknown: arguments of another version, as after an upgrade: they hand the sensor back to a worker,
        where a ``TypeError`` would fail it
    """

    own_arguments = ("task_status_id", "accepted_statuses", "not_found_grace", "waiting_since")

    def __init__(
        self,
        *,
        task_status_id: str | Sequence[str] = (),
        accepted_statuses: Sequence[str] | None = None,
        not_found_grace: float = 0.0,
        waiting_since: str | datetime | None = None,
        sailpoint_conn_id: str = SailPointHook.default_conn_name,
        api_version: str | None = None,
        poke_interval: float = 60.0,
        end_from_trigger: bool = False,
        do_xcom_push: bool = True,
        starts_here: bool = False,
        version: int = 1,
        **unknown: Any,
    ) -> None:
        super().__init__(
            sailpoint_conn_id=sailpoint_conn_id,
            api_version=api_version,
            poke_interval=poke_interval,
            end_from_trigger=end_from_trigger,
            do_xcom_push=do_xcom_push,
            starts_here=starts_here,
            version=version,
            unknown=unknown,
        )
        self.task_status_id = task_status_id
        self.accepted_statuses = accepted_statuses
        self.not_found_grace = not_found_grace
        self.waiting_since = waiting_since

    def _wait(self) -> TaskWait:
        return TaskWait.parse(
            task_status_id=self.task_status_id,
            accepted_statuses=self.accepted_statuses,
            not_found_grace=self.not_found_grace,
            waiting_since=self.waiting_since,
        )


class SailPointAggregationTrigger(SensorTrigger):
    """
    Waits until sources have been aggregated, or one of their aggregations ended as it should not.

    What it yields: see :class:`~airflow_provider_sptasks.triggers._base.SensorTrigger`. The templated
    arguments are rendered where a task starts in the triggerer.

    :param source_id: SailPoint's id of the source, or several of them (templated)
    :param source_name: instead of that, the name of the source, or several (templated)
    :param kind: what is aggregated, or ``any``
    :param launched_after: when an aggregation that counts was launched at the earliest, ISO 8601 with a time
        zone (templated)
    :param accepted_statuses: the completion statuses to accept; ``None`` for any
    :param if_failed: what to do when one ended otherwise: ``fail`` or ``wait_for_next``
    :param retry_grace: seconds after a ``TEMPERROR`` for which its retry is waited for
    :param waiting_since: when the first poll was, ISO 8601; ``None`` for when the trigger starts
    :param sailpoint_conn_id: the Airflow connection (templated)
    :param api_version: the API version; ``None`` for the connection's (templated)
    :param poke_interval: maximum seconds between two polls
    :param end_from_trigger: whether a success may end the Airflow task in the triggerer
    :param do_xcom_push: whether the Airflow task's result is wanted as an XCom then
    :param starts_here: whether the Airflow task starts in the triggerer
    :param version: which form the arguments have
    :param unknown: arguments of another version, as after an upgrade: they hand the sensor back to a worker,
        where a ``TypeError`` would fail it
    """

    own_arguments = (
        "source_id",
        "source_name",
        "kind",
        "launched_after",
        "accepted_statuses",
        "if_failed",
        "retry_grace",
        "waiting_since",
    )

    def __init__(
        self,
        *,
        source_id: str | Sequence[str] | None = None,
        source_name: str | Sequence[str] | None = None,
        kind: str = "accounts",
        launched_after: str = "",
        accepted_statuses: Sequence[str] | None = None,
        if_failed: str = "fail",
        retry_grace: float = 0.0,
        waiting_since: str | None = None,
        sailpoint_conn_id: str = SailPointHook.default_conn_name,
        api_version: str | None = None,
        poke_interval: float = 60.0,
        end_from_trigger: bool = False,
        do_xcom_push: bool = True,
        starts_here: bool = False,
        version: int = 1,
        **unknown: Any,
    ) -> None:
        super().__init__(
            sailpoint_conn_id=sailpoint_conn_id,
            api_version=api_version,
            poke_interval=poke_interval,
            end_from_trigger=end_from_trigger,
            do_xcom_push=do_xcom_push,
            starts_here=starts_here,
            version=version,
            unknown=unknown,
        )
        self.source_id = source_id
        self.source_name = source_name
        self.kind = kind
        self.launched_after = launched_after
        self.accepted_statuses = accepted_statuses
        self.if_failed = if_failed
        self.retry_grace = retry_grace
        self.waiting_since = waiting_since

    def _wait(self) -> AggregationWait:
        return AggregationWait.parse(
            source_id=self.source_id,
            source_name=self.source_name,
            kind=self.kind,
            launched_after=self.launched_after,
            accepted_statuses=self.accepted_statuses,
            if_failed=self.if_failed,
            retry_grace=self.retry_grace,
            waiting_since=self.waiting_since,
        )


class SailPointStartedTaskTrigger(SailPointTaskTrigger):
    """
    Waits for a task that the Airflow task started, and clears its record when a user kills that.

    The aggregation itself is not stopped by that. Airflow notifies triggers of a kill from 3.3 on.
    """

    async def on_kill(self) -> None:
        """Clear the record, unless the task has ended."""
        for task_status_id in self._wait().task_status_ids:
            status = await sync_to_async(self._clear, thread_sensitive=False)(task_status_id)
            if status is not None:
                self.log.info(
                    "Cleared the record of %s. The aggregation itself is not stopped by that", status
                )

    def _clear(self, task_status_id: str) -> TaskStatus | None:
        retry = RetryPolicy(deadline=CLEAR_TIMEOUT_SECONDS)
        with SailPointHook(self.sailpoint_conn_id, self.api_version, retry=retry).client as client:
            return clear_record(client, task_status_id)
