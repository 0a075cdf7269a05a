"""Triggers that wait for tasks of a SailPoint tenant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_sptasks.arguments import check_text, instant, texts
from airflow_provider_sptasks.client.errors import NotFoundError, SailPointError
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.starting import clear_record
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.triggers._gate import GateTrigger
from airflow_provider_sptasks.triggers._poller import Look, Poller, Waiter, backoff, poller
from airflow_provider_sptasks.waiting import (
    Aggregations,
    Narrator,
    Verdict,
    completion_statuses,
    judge,
    kind_of,
    source_not_found,
    task_not_found,
)

# Airflow gives what a trigger does about a kill 30 seconds.
CLEARS_WITHIN = 20.0


class SailPointTaskTrigger(GateTrigger):
    """
    Waits until tasks of SailPoint have ended, or one of them ended with a status that isn't accepted.

    What it yields: see :class:`~airflow_provider_sptasks.triggers._gate.GateTrigger`, which has the other
    arguments too.

    :param task_status_id: SailPoint's id of the task, or several of them (templated, where a task starts in
        the triggerer)
    :param not_found_grace: for how long from the first look on the tenant may not know a task, in seconds
    """

    own_arguments = ("task_status_id", "not_found_grace")

    def __init__(self, task_status_id: str | Sequence[str], not_found_grace: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.task_status_id = task_status_id
        self.not_found_grace = not_found_grace

    @property
    def _single(self) -> bool:
        return isinstance(self.task_status_id, str)

    async def _wait(self, seen: dict[str, TaskStatus], event: dict[str, Any]) -> Verdict:  # noqa: ARG002
        ids = texts(self.task_status_id, "task_status_id", check_id)
        accepted = completion_statuses(self.accepted_statuses)
        narrator = self._narrator()
        narrator.begin(ids)
        not_found_until: float | None = None
        # Both in one breath: a poller lives only while somebody waits.
        source = poller(self.sailpoint_conn_id, self.api_version)
        waiter = source.join(ids, self.poke_interval)
        try:
            while not (verdict := judge(ids, seen, accepted)).is_final:
                look = await waiter.look()
                if look.trouble is not None:
                    narrator.trouble(look.trouble)
                if look.missing and not_found_until is None:
                    not_found_until = time.monotonic() + self.not_found_grace
                if not_found_until is not None and time.monotonic() >= not_found_until:
                    await self._confirm(source, look)
                seen.update(look.found)
                if look.found or look.missing:
                    narrator.look(look.found.values())
                source_ids = (status.source_id for status in seen.values() if status.source_id)
                await self._link(source, next(source_ids, None))
                del look  # or it would be kept until the next one comes
        finally:
            waiter.leave()
        return verdict

    async def _confirm(self, source: Poller, look: Look) -> None:
        """Ask for each task that wasn't seen by itself: only that tells whether the tenant knows it."""
        for task_status_id in look.missing - look.found.keys():
            try:
                look.found[task_status_id] = await source.confirm(task_status_id)
            except NotFoundError as error:
                raise task_not_found(task_status_id, self.sailpoint_conn_id, error) from error
            except SailPointError as error:
                if not error.retryable:
                    raise


class SailPointAggregationTrigger(GateTrigger):
    """
    Waits until sources have been aggregated, or one of their aggregations ended as it should not.

    What it yields: see :class:`~airflow_provider_sptasks.triggers._gate.GateTrigger`, which has the other
    arguments too; also ``source_ids``, in the order of what is waited for. The templated arguments are
    rendered where a task starts in the triggerer.

    :param source_id: SailPoint's id of the source, or several of them (templated)
    :param source_name: instead of that, the name of the source, or several (templated)
    :param kind: ``accounts``, ``entitlements``, ``uncorrelated_accounts`` or ``any``
    :param launched_after: when an aggregation that counts was launched at the earliest, ISO 8601 with a time
        zone (templated)
    :param if_failed: what to do when one ended otherwise: ``fail`` or ``wait_for_next``
    :param retry_grace: for how long after a ``TEMPERROR`` its retry is waited for, in seconds
    """

    own_arguments = ("source_id", "source_name", "kind", "launched_after", "if_failed", "retry_grace")

    def __init__(
        self,
        source_id: str | Sequence[str] | None,
        source_name: str | Sequence[str] | None,
        kind: str,
        launched_after: str,
        if_failed: str,
        retry_grace: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_id = source_id
        self.source_name = source_name
        self.kind = kind
        self.launched_after = launched_after
        self.if_failed = if_failed
        self.retry_grace = retry_grace

    @property
    def _single(self) -> bool:
        return isinstance(self.source_id if self.source_name is None else self.source_name, str)

    async def _wait(self, seen: dict[str, TaskStatus], event: dict[str, Any]) -> Verdict:
        aggregations = Aggregations(
            kind=kind_of(self.kind),
            launched_after=instant(self.launched_after, "launched_after"),
            accepted=completion_statuses(self.accepted_statuses),
            wait_for_next=self.if_failed == "wait_for_next",
            retry_grace=timedelta(seconds=self.retry_grace),
        )
        named = self.source_name is not None
        ids = [] if named else texts(self.source_id, "source_id", check_id)
        names = texts(self.source_name, "source_name", check_text) if named else []
        narrator = self._narrator()
        narrator.begin([aggregations.describe(ids or names)])
        # Both in one breath: a poller lives only while somebody waits.
        source = poller(self.sailpoint_conn_id, self.api_version)
        waiter = source.join((), self.poke_interval)
        try:
            if named:
                ids = await self._source_ids(source, names, narrator)
            event["source_ids"] = ids
            source.join_sources(waiter, ids, aggregations.launched_after)
            while not (verdict := aggregations.judge(ids, seen.values(), datetime.now(UTC))).is_final:
                look = await self._look(waiter, verdict.look_again_at)
                if look is None:
                    continue
                if look.missing:
                    raise source_not_found(look.missing, self.sailpoint_conn_id)
                seen.update(
                    (status.id, status) for status in filter(aggregations.include, look.found.values())
                )
                if look.trouble is not None:
                    narrator.trouble(look.trouble)
                else:
                    narrator.look(aggregations.newest(seen.values()).values())
                    await self._link(source, ids[0])
                del look  # or it would be kept until the next one comes
        finally:
            waiter.leave()
        return verdict

    @staticmethod
    async def _source_ids(source: Poller, names: Sequence[str], narrator: Narrator) -> list[str]:
        failures = 0
        while True:
            try:
                return await source.source_ids(names)
            except SailPointError as error:
                if not error.retryable:
                    raise
                narrator.trouble(error)
                failures += 1
                await asyncio.sleep(backoff(failures) if error.retry_after is None else error.retry_after)

    @staticmethod
    async def _look(waiter: Waiter, until: datetime | None) -> Look | None:
        """Wait for news, and no longer than until the verdict may be another without any."""
        if until is None:
            return await waiter.look()
        with suppress(TimeoutError):
            async with asyncio.timeout((until - datetime.now(UTC)).total_seconds()):
                return await waiter.look()
        return None


class SailPointStartedTaskTrigger(SailPointTaskTrigger):
    """
    Waits for a task that the Airflow task started, and clears its record when a user kills that.

    The aggregation itself is not stopped by that. Airflow tells triggers of a kill from 3.3 on.
    """

    async def on_kill(self) -> None:
        """Clear the record, unless the task has ended."""
        for task_status_id in texts(self.task_status_id, "task_status_id", check_id):
            status = await asyncio.to_thread(self._clear, task_status_id)
            if status is not None:
                self.log.info(
                    "Cleared the record of %s. The aggregation itself is not stopped by that", status
                )

    def _clear(self, task_status_id: str) -> TaskStatus | None:
        retry = RetryPolicy(deadline=CLEARS_WITHIN)
        with SailPointHook(self.sailpoint_conn_id, self.api_version, retry=retry).client as client:
            return clear_record(client, task_status_id)
