"""Triggers that wait for tasks of a SailPoint tenant."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_sptasks.client.errors import NotFoundError, SailPointError
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.exceptions import SailPointTaskNotFoundError
from airflow_provider_sptasks.triggers._poller import Look, Poller, poller
from airflow_provider_sptasks.waiting import Narrator, completion_statuses, judge, task_not_found


class SailPointTaskTrigger(BaseTrigger):
    """
    Waits until tasks of SailPoint have ended, together with all others who wait in the same triggerer.

    Yields one event, with what was last seen of the tasks: ``{"statuses": [...]}``, each as
    :meth:`~airflow_provider_sptasks.client.models.TaskStatus.to_json` gives it. It comes when all of them
    have ended, or one of them ended with a status that isn't accepted. What may pass is waited out; where
    the tenant doesn't know a task, ``not_found`` says so, and where it refuses for good, ``refused``.

    :param task_status_ids: SailPoint's ids of the tasks
    :param accepted_statuses: the completion statuses to wait for; another one ends the waiting at once;
        ``None`` for any
    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    :param poke_interval: the longest that a look may take to come, in seconds
    :param not_found_until: until when the tenant may not know a task, in seconds since the epoch
    """

    def __init__(
        self,
        task_status_ids: Sequence[str],
        accepted_statuses: Sequence[str] | None,
        sailpoint_conn_id: str,
        api_version: str | None,
        poke_interval: float,
        not_found_until: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.task_status_ids = task_status_ids
        self.accepted_statuses = accepted_statuses
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self.poke_interval = poke_interval
        self.not_found_until = not_found_until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments that make it anew: settings only, no secret."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "task_status_ids": list(self.task_status_ids),
                "accepted_statuses": self.accepted_statuses and list(self.accepted_statuses),
                "sailpoint_conn_id": self.sailpoint_conn_id,
                "api_version": self.api_version,
                "poke_interval": self.poke_interval,
                "not_found_until": self.not_found_until,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield what was seen in the end."""
        found: dict[str, TaskStatus] = {}
        event: dict[str, Any] = {}
        try:
            await self._wait(found)
        except SailPointTaskNotFoundError as error:
            event["not_found"] = str(error)
        except SailPointError as error:
            event["refused"] = str(error)
        event["statuses"] = [found[each].to_json() for each in self.task_status_ids if each in found]
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait(self, found: dict[str, TaskStatus]) -> None:
        narrator = Narrator(self.logger())  # all triggers' own: each one's would cost a kilobyte
        narrator.begin(self.task_status_ids)
        accepted = completion_statuses(self.accepted_statuses)
        # Both in one breath: a poller lives only while somebody waits.
        source = poller(self.sailpoint_conn_id, self.api_version)
        waiter = source.join(self.task_status_ids, self.poke_interval)
        try:
            while not judge(self.task_status_ids, found, accepted).is_final:
                look = await waiter.look()
                if look.trouble is not None:
                    narrator.trouble(look.trouble)
                if look.missing and time.time() >= self.not_found_until:
                    await self._confirm(source, look)
                found.update(look.found)
                if look.found or look.missing:
                    narrator.look(look.found)
                del look  # or it would be kept until the next one comes
        finally:
            waiter.leave()

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
