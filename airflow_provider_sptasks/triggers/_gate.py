"""What the triggers of all gates share: how they end."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_sptasks.client.errors import SailPointError, SourceNotFoundError, SourceNotUniqueError
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.exceptions import SailPointSourceNotFoundError, SailPointTaskNotFoundError
from airflow_provider_sptasks.from_trigger import success_is_listened_to, why_not_end
from airflow_provider_sptasks.links import LINK_KEY
from airflow_provider_sptasks.triggers._poller import Poller
from airflow_provider_sptasks.waiting import Narrator, Verdict


class GateTrigger(BaseTrigger):
    """
    Waits together with all others who wait in the same triggerer; subclasses say for what.

    Yields one event, with what was last seen of the tasks: ``{"statuses": [...]}``, each as
    :meth:`~airflow_provider_sptasks.client.models.TaskStatus.to_json` gives it. What may pass is waited out;
    where the tenant doesn't know a task, ``not_found`` says so, ``source_not_found`` where it doesn't know a
    source, and ``refused`` where it refuses for good.

    With ``end_from_trigger`` a success ends the Airflow task there and then: the trigger sets its XCom and
    yields a ``TaskSuccessEvent``, unless there is more to do at the end, which Airflow does on a worker only.

    :param accepted_statuses: the completion statuses to wait for; ``None`` for any
    :param sailpoint_conn_id: the Airflow connection (templated, where a task starts in the triggerer)
    :param api_version: the API version; ``None`` for the connection's (templated, as above)
    :param poke_interval: the longest that a look may take to come, in seconds
    :param end_from_trigger: whether a success may end the Airflow task in the triggerer
    :param do_xcom_push: whether the Airflow task's result is wanted as an XCom then
    """

    own_arguments: ClassVar[Sequence[str]]

    def __init__(
        self,
        *,
        accepted_statuses: Sequence[str] | None,
        sailpoint_conn_id: str,
        api_version: str | None,
        poke_interval: float,
        end_from_trigger: bool = False,
        do_xcom_push: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.accepted_statuses = accepted_statuses
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self.poke_interval = poke_interval
        self.end_from_trigger = end_from_trigger
        self.do_xcom_push = do_xcom_push
        self._linked = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments that make it anew: settings only, no secret."""
        shared = (
            "accepted_statuses",
            "sailpoint_conn_id",
            "api_version",
            "poke_interval",
            "end_from_trigger",
            "do_xcom_push",
        )
        arguments = {name: getattr(self, name) for name in (*self.own_arguments, *shared)}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    @property
    @abstractmethod
    def _single(self) -> bool:
        """Whether one thing is waited for by itself, and not a list."""

    @abstractmethod
    async def _wait(self, seen: dict[str, TaskStatus], event: dict[str, Any]) -> Verdict:
        """
        Wait until the verdict is final.

        :param seen: where to put the tasks that were seen, by id
        :param event: what else the worker needs to know
        """

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield what was seen in the end."""
        ends_here = self._may_end_here()
        self._forget_other_tasks()
        # Before it waits: the first time, Airflow loads its plugins for that, which takes seconds.
        if ends_here and await asyncio.to_thread(success_is_listened_to):
            self.log.info("A success will end on a worker: a plugin listens to it")
            ends_here = False
        seen: dict[str, TaskStatus] = {}
        event: dict[str, Any] = {}
        verdict = Verdict(is_done=False)
        try:
            verdict = await self._wait(seen, event)
        except SailPointTaskNotFoundError as error:
            event["not_found"] = str(error)
        except (SourceNotFoundError, SourceNotUniqueError, SailPointSourceNotFoundError) as error:
            event["source_not_found"] = str(error)
        except (SailPointError, ValueError) as error:
            event["refused"] = str(error)
        if ends_here and verdict.is_done and await self._end(verdict.result(self._single)):
            yield TaskSuccessEvent()
        else:
            event["statuses"] = [status.to_json() for status in seen.values()]
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    def _narrator(self) -> Narrator:
        return Narrator(self.logger())  # all triggers' own: each one's would cost a kilobyte

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
        try:
            if self.do_xcom_push:
                from airflow.sdk.execution_time.xcom import XCom

                await self._push("return_value", xcom, XCom)
        except AirflowRuntimeError as error:
            self.log.warning("The success ends on a worker: its XCom can't be set here: %s", error)
            return False
        return True

    async def _push(self, key: str, value: Any, backend: type[BaseXCom]) -> None:
        ti = self.task_instance
        if ti is not None:
            await backend.aset(
                key=key,
                value=value,
                dag_id=ti.dag_id,
                task_id=ti.task_id,
                run_id=ti.run_id,
                map_index=ti.map_index,
            )

    async def _link(self, source: Poller, source_id: str | None) -> None:
        """Set the link to SailPoint once, as a worker does at every end of a task, where none has done it."""
        if self._linked or source_id is None or self.task is None or self.trigger_id is None:
            return
        self._linked = True
        with suppress(AirflowRuntimeError):  # it is only a link
            await self._push(LINK_KEY, source.source_page(source_id), BaseXCom)
