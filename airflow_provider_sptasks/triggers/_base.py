"""What the triggers of all sensors share: they drive a wait with the poller, and report how it ended."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar

from airflow.sdk.bases.xcom import BaseXCom
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.client.sources import source_page
from airflow_provider_sptasks.from_trigger import airflow_can, success_is_listened_to, why_not_end
from airflow_provider_sptasks.links import LINK_KEY
from airflow_provider_sptasks.triggers._poller import subscribe
from airflow_provider_sptasks.triggers._subscription import ConnectionChangedError, Subscription
from airflow_provider_sptasks.waiting.errors import UnknownSourceError, UnknownTaskError
from airflow_provider_sptasks.waiting.events import (
    ARGUMENTS_VERSION,
    Wait,
    error_event,
    poll_again,
    seen_event,
)
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.queries import Answers
from airflow_provider_sptasks.waiting.verdict import Verdict


class SensorTrigger(BaseTrigger):
    """
    Waits together with all sensors in the same triggerer; subclasses say for what.

    Yields one event; see :mod:`airflow_provider_sptasks.waiting.events`. Transient errors are waited out.
    With ``end_from_trigger`` a success ends the Airflow task at once: the trigger sets its XCom and yields a
    ``TaskSuccessEvent``, unless there is more to do at the end, which Airflow does on a worker only.

    Arguments of another version than this one's, as after an upgrade while sensors wait, hand the sensor back
    to a worker, which polls again.

    :param sailpoint_conn_id: the Airflow connection (templated, where a task starts in the triggerer)
    :param api_version: the API version; ``None`` for the connection's (templated, as above)
    :param poke_interval: maximum seconds between two polls
    :param end_from_trigger: whether a success may end the Airflow task in the triggerer
    :param do_xcom_push: whether the Airflow task's result is wanted as an XCom then
    :param starts_here: whether the Airflow task starts in the triggerer, so that no worker has decided yet
        whether it may end there
    :param version: which form the arguments have
    :param unknown: arguments of another version
    """

    own_arguments: ClassVar[tuple[str, ...]]
    _unknown: Mapping[str, Any] = MappingProxyType({})
    _arguments: ClassVar[tuple[str, ...]] = (
        "sailpoint_conn_id",
        "api_version",
        "poke_interval",
        "end_from_trigger",
        "do_xcom_push",
        "starts_here",
        "version",
    )

    def __init__(
        self,
        *,
        sailpoint_conn_id: str,
        api_version: str | None,
        poke_interval: float,
        end_from_trigger: bool,
        do_xcom_push: bool,
        starts_here: bool,
        version: int,
        unknown: Mapping[str, Any],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self.poke_interval = poke_interval
        self.end_from_trigger = end_from_trigger
        self.do_xcom_push = do_xcom_push
        self.starts_here = starts_here
        self.version = version
        if unknown:
            self._unknown = dict(unknown)
        self._linked = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments that make it again: settings only, no secret."""
        arguments = {name: getattr(self, name) for name in (*self.own_arguments, *self._arguments)}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**arguments, **self._unknown}

    @abstractmethod
    def _wait(self) -> Wait:
        """
        Return what is waited for.

        :raises ValueError: an argument is invalid
        """

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield what was seen in the end, after waiting for that."""
        if self.version != ARGUMENTS_VERSION or self._unknown:
            yield TriggerEvent(poll_again("its arguments are of another version"))  # type: ignore[no-untyped-call]
            return
        try:
            ends_here = await self._may_end_here()
            self._forget_other_tasks()
            progress = ProgressLogger(self.logger())  # all triggers' own: each one's would cost a kilobyte
            while (ended := await self._poll(self._wait(), progress)) is None:
                pass  # with the tenant that the connection leads to now
            wait, verdict, answers = ended
        except UnknownTaskError as error:
            event = error_event("not_found", error)
        except UnknownSourceError as error:
            event = error_event("source_not_found", error)
        except (SailPointError, ValueError) as error:
            event = error_event("refused", error)
        else:
            if ends_here and verdict.is_done and await self._end(verdict.result(wait.single)):
                yield TaskSuccessEvent()
                return
            event = seen_event(wait, answers)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _poll(self, wait: Wait, progress: ProgressLogger) -> tuple[Wait, Verdict, Answers] | None:
        """Wait until the verdict is final; ``None`` if the connection leads to another tenant now."""
        progress.begin(wait.describe())
        try:
            with await subscribe(self.sailpoint_conn_id, self.api_version, self.poke_interval) as updates:
                wait = wait.begun(datetime.now(UTC))
                answers: Answers = {}
                while True:
                    answers, verdict, is_over = self._judge(wait, answers, updates)
                    if is_over:
                        return wait, verdict, answers
                    seconds = _seconds_until(verdict.judge_again_at)
                    # A trigger that waits holds what its local variables are.
                    del verdict
                    update = await updates.update(seconds)
                    if update is None:
                        # What may mean something else now is asked again, as a poke would.
                        answers = {query: answer for query, answer in answers.items() if query.lasts(answer)}
                        updates.watch(())
                        continue
                    answers |= update.answers
                    if update.error is not None:
                        progress.outage(update.error)
                    if update.answers:
                        if not updates.fails:
                            progress.works()
                        progress.answered(wait.statuses(answers), wait.notes(answers))
                        await self._link(wait, answers, updates)
                    del update
        except ConnectionChangedError:
            progress.log.info("Connection %r leads to another tenant now", self.sailpoint_conn_id)
            return None

    @staticmethod
    def _judge(wait: Wait, answers: Answers, updates: Subscription) -> tuple[Answers, Verdict, bool]:
        """Return the answers that still count, the verdict, and whether the wait is over by it."""
        now = datetime.now(UTC)
        queries = wait.queries(answers, now)
        answers = {query: answers[query] for query in queries if query in answers}
        updates.watch(query for query in queries if not query.lasts(answers.get(query)))
        verdict = wait.judge(answers, now)
        # As a poke's, a verdict needs all answers.
        return answers, verdict, verdict.is_final and all(query in answers for query in queries)

    async def _may_end_here(self) -> bool:
        # In dag.test() a trigger has no id, and can't end a task.
        can = self.end_from_trigger and airflow_can()
        if not can or self.trigger_id is None or self._ti() is None:
            return False
        operator = self._operator() if self.starts_here else None
        reason = None if operator is None else why_not_end(operator)
        # The first time, Airflow loads its plugins for that, which takes seconds.
        if reason is None and await sync_to_async(success_is_listened_to, thread_sensitive=False)():
            reason = "a plugin listens to it"
        if reason is not None:
            self.log.info("A success will end on a worker: %s", reason)
        return reason is None

    def _ti(self) -> Any:
        return getattr(self, "task_instance", None)

    def _operator(self) -> Any:
        """What the triggerer has of the operator, from Airflow 3.3 on."""
        return getattr(self._ti(), "task", None)

    def _forget_other_tasks(self) -> None:
        """
        Let go of the other tasks of the DAG, of which Airflow gives each trigger that starts a task a copy.

        It has served once the arguments are rendered, and would be held until the trigger ends.
        """
        operator = self._operator()
        dag = getattr(operator, "dag", None)
        if dag is not None:
            dag.task_dict = {operator.task_id: operator}
            dag.task_group.children = dict(dag.task_dict)

    async def _end(self, result: Any) -> bool:
        """Do what a worker would do at the end; say whether that is all there is to do."""
        try:
            if self.do_xcom_push:
                from airflow.sdk.execution_time.xcom import XCom

                await self._push("return_value", result, XCom)
        except Exception as error:  # noqa: BLE001 - a custom backend may raise anything, and a worker can do it
            self.log.warning("The success ends on a worker: its XCom can't be set here: %s", error)
            return False
        return True

    async def _push(self, key: str, value: Any, backend: type[BaseXCom]) -> None:
        ti = self._ti()
        # Not in the event loop, which a custom backend would keep from every other trigger.
        await sync_to_async(backend.set, thread_sensitive=False)(
            key=key,
            value=value,
            dag_id=ti.dag_id,
            task_id=ti.task_id,
            run_id=ti.run_id,
            map_index=ti.map_index,
        )

    async def _link(self, wait: Wait, answers: Answers, updates: Subscription) -> None:
        """Set the link to SailPoint once, as a worker does at every end of a task, where none has done it."""
        if self._linked or self.trigger_id is None or self._operator() is None:
            return
        url = _page(updates.settings, next(filter(None, wait.source_ids(answers)), None))
        if url is not None:
            self._linked = True
            with suppress(Exception):  # it is only a link
                await self._push(LINK_KEY, url, BaseXCom)


def _page(settings: ClientSettings, source_id: str | None) -> str | None:
    return None if source_id is None else source_page(settings.admin_url, source_id)


def _seconds_until(moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, (moment - datetime.now(UTC)).total_seconds())
