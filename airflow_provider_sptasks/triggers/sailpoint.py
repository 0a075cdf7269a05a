"""Triggers that wait for tasks of a SailPoint tenant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_sptasks.arguments import texts
from airflow_provider_sptasks.client.errors import NotFoundError, SailPointError
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.exceptions import SailPointTaskNotFoundError
from airflow_provider_sptasks.from_trigger import success_is_listened_to, why_not_end
from airflow_provider_sptasks.triggers._poller import Look, Poller, poller
from airflow_provider_sptasks.waiting import (
    Narrator,
    Verdict,
    completion_statuses,
    judge,
    result,
    task_not_found,
)


class SailPointTaskTrigger(BaseTrigger):
    """
    Waits until tasks of SailPoint have ended, together with all others who wait in the same triggerer.

    Yields one event, with what was last seen of the tasks: ``{"statuses": [...]}``, each as
    :meth:`~airflow_provider_sptasks.client.models.TaskStatus.to_json` gives it. It comes when all of them
    have ended, or one of them ended with a status that isn't accepted. What may pass is waited out; where
    the tenant doesn't know a task, ``not_found`` says so, and where it refuses for good, ``refused``.

    With ``end_from_trigger`` a success ends the Airflow task there and then: the trigger sets its XCom and
    yields a ``TaskSuccessEvent``, unless there is more to do at the end, which Airflow does on a worker only.

    :param task_status_id: SailPoint's id of the task, or several of them (templated, where a task starts in
        the triggerer)
    :param accepted_statuses: the completion statuses to wait for; another one ends the waiting at once;
        ``None`` for any
    :param sailpoint_conn_id: the Airflow connection (templated, as above)
    :param api_version: the API version; ``None`` for the connection's (templated, as above)
    :param poke_interval: the longest that a look may take to come, in seconds
    :param not_found_grace: for how long from the first look on the tenant may not know a task, in seconds
    :param end_from_trigger: whether a success may end the Airflow task in the triggerer
    :param do_xcom_push: whether the Airflow task's result is wanted as an XCom then
    """

    def __init__(
        self,
        task_status_id: str | Sequence[str],
        accepted_statuses: Sequence[str] | None,
        sailpoint_conn_id: str,
        api_version: str | None,
        poke_interval: float,
        not_found_grace: float,
        end_from_trigger: bool = False,
        do_xcom_push: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.task_status_id = task_status_id
        self.accepted_statuses = accepted_statuses
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self.poke_interval = poke_interval
        self.not_found_grace = not_found_grace
        self.end_from_trigger = end_from_trigger
        self.do_xcom_push = do_xcom_push

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments that make it anew: settings only, no secret."""
        several = not isinstance(self.task_status_id, str)
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "task_status_id": list(self.task_status_id) if several else self.task_status_id,
                "accepted_statuses": self.accepted_statuses and list(self.accepted_statuses),
                "sailpoint_conn_id": self.sailpoint_conn_id,
                "api_version": self.api_version,
                "poke_interval": self.poke_interval,
                "not_found_grace": self.not_found_grace,
                "end_from_trigger": self.end_from_trigger,
                "do_xcom_push": self.do_xcom_push,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield what was seen in the end."""
        ends_here = self._may_end_here()
        self._forget_other_tasks()
        ids: list[str] = []
        found: dict[str, TaskStatus] = {}
        verdict = Verdict(is_done=False)
        event: dict[str, Any] = {}
        try:
            ids = texts(self.task_status_id, "task_status_id", check_id)
            verdict = await self._wait(ids, found)
        except SailPointTaskNotFoundError as error:
            event["not_found"] = str(error)
        except (SailPointError, ValueError) as error:
            event["refused"] = str(error)
        if ends_here and verdict.is_done and await self._end(result(self.task_status_id, ids, found)):
            yield TaskSuccessEvent()
        else:
            event["statuses"] = [found[each].to_json() for each in ids if each in found]
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait(self, ids: Sequence[str], found: dict[str, TaskStatus]) -> Verdict:
        narrator = Narrator(self.logger())  # all triggers' own: each one's would cost a kilobyte
        narrator.begin(ids)
        accepted = completion_statuses(self.accepted_statuses)
        not_found_until = time.monotonic() + self.not_found_grace
        # Both in one breath: a poller lives only while somebody waits.
        source = poller(self.sailpoint_conn_id, self.api_version)
        waiter = source.join(ids, self.poke_interval)
        try:
            while not (verdict := judge(ids, found, accepted)).is_final:
                look = await waiter.look()
                if look.trouble is not None:
                    narrator.trouble(look.trouble)
                if look.missing and time.monotonic() >= not_found_until:
                    await self._confirm(source, look)
                found.update(look.found)
                if look.found or look.missing:
                    narrator.look(look.found)
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

    def _may_end_here(self) -> bool:
        # In dag.test() a trigger has no id, and can't end a task.
        if not self.end_from_trigger or self.trigger_id is None or self.task_instance is None:
            return False
        reason = None if self.task is None else why_not_end(self.task)
        if reason:
            self.log.info("A success will end on a worker: %s", reason)
        return reason is None

    def _forget_other_tasks(self) -> None:
        """
        Let go of the other tasks of the DAG, of which Airflow gives each trigger that starts a task a copy.

        It has served once the arguments are rendered, and would be held until the gate opens.
        """
        dag = getattr(self.task, "dag", None)
        if self.task is not None and dag is not None:
            dag.task_dict = {self.task.task_id: self.task}
            dag.task_group.children = dict(dag.task_dict)

    async def _end(self, xcom: Any) -> bool:
        """Do what a worker would do at the end; say whether that is all there is to do."""
        if await asyncio.to_thread(success_is_listened_to):
            self.log.info("The success ends on a worker: a plugin listens to it")
            return False
        try:
            await self._push("return_value", xcom)
        except AirflowRuntimeError as error:
            self.log.warning("The success ends on a worker: its XCom can't be set here: %s", error)
            return False
        return True

    async def _push(self, key: str, value: Any) -> None:
        from airflow.sdk.execution_time.xcom import XCom

        ti = self.task_instance
        if self.do_xcom_push and ti is not None:
            place = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id}
            await XCom.aset(key=key, value=value, map_index=ti.map_index, **place)
