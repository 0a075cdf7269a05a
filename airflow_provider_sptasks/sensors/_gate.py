"""What all sensors of this provider share: their modes, and what failures mean."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_sptasks.arguments import check_api_version, check_flag
from airflow_provider_sptasks.client.errors import (
    SailPointError,
    SourceNotFoundError,
    SourceNotUniqueError,
    UnauthorizedError,
)
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointSourceNotFoundError,
    SailPointTaskFailedError,
    SailPointTaskNotFoundError,
)
from airflow_provider_sptasks.from_trigger import airflow_can, too_many, why_not_end, why_not_start
from airflow_provider_sptasks.links import SailPointAggregationLink
from airflow_provider_sptasks.waiting import Narrator, Verdict, completion_statuses, failure

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

# A look that fails is tried again for at most this long before the sensor goes on with its own rhythm.
LONGEST_LOOK = 60.0
# The sensor comes back by itself, so a look need not be tried more often.
ATTEMPTS = 4


class Gate(BaseSensorOperator):
    """
    Waits for tasks of SailPoint in one of the modes of a sensor; subclasses say for which.

    :param accepted_statuses: the completion statuses that open the gate
    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    :param deferrable: wait in the triggerer
    :param start_from_trigger: start there too
    :param end_from_trigger: let a success end there
    """

    ui_color = "#cfe8fc"
    operator_extra_links = (SailPointAggregationLink(),)
    trigger_class: ClassVar[str]

    def __init__(
        self,
        *,
        accepted_statuses: str | Iterable[str] | None,
        sailpoint_conn_id: str,
        api_version: str | None,
        deferrable: bool,
        start_from_trigger: bool,
        end_from_trigger: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.accepted_statuses = accepted_statuses
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self.deferrable = deferrable
        self.start_from_trigger = check_flag(start_from_trigger, "start_from_trigger")
        # Not by its own name: where a plugin listens to anything, Airflow refuses DAGs with that attribute.
        self._end_from_trigger = check_flag(end_from_trigger, "end_from_trigger")
        check_api_version(api_version)
        self._accepted = completion_statuses(accepted_statuses)
        self._first_look: datetime | None = None
        self._why_on_a_worker: str | None = None
        self._linked_source: str | None = None

    @abstractmethod
    def _see(self) -> Verdict:
        """
        Look once at what is waited for, and judge it.

        :raises SailPointError: nothing can be seen
        :raises ValueError: a rendered argument can't be right
        """

    @abstractmethod
    def _judge_event(self, event: dict[str, Any], seen: Sequence[TaskStatus]) -> Verdict:
        """Judge what a trigger saw."""

    @abstractmethod
    def _trigger_arguments(self) -> dict[str, Any]:
        """Return what is the trigger's own among its arguments, as JSON."""

    @property
    @abstractmethod
    def _single(self) -> bool:
        """Whether one thing is waited for by itself, and not a list."""

    @cached_property
    def _narrator(self) -> Narrator:
        return Narrator(self.log)

    @cached_property
    def hook(self) -> SailPointHook:
        """The hook, made when it is first used."""
        from airflow_provider_sptasks.client.retry import RetryPolicy
        from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

        deadline = min(self.poke_interval, self.timeout, LONGEST_LOOK)
        retry = RetryPolicy(deadline=deadline, max_attempts=ATTEMPTS)
        return SailPointHook(self.sailpoint_conn_id, self.api_version, retry=retry)

    @property
    def source_page(self) -> str | None:
        """The URL of the source's page in SailPoint's UI, once the source is known."""
        return None if self._linked_source is None else self.hook.sources.page(self._linked_source)

    def execute(self, context: Context) -> Any:
        """Wait in the sensor's mode, or look once and then wait in the triggerer."""
        if self._why_on_a_worker:
            self.log.info("Starting on a worker: %s", self._why_on_a_worker)
        if not self.deferrable:
            return super().execute(context)
        started = time.monotonic()
        try:
            # What is done already is not deferred: a trigger that fires at once may get lost.
            look = self.poke(context)
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException("Skipping: soft_fail or never_fail is set.") from error
            raise
        if look.is_done:
            return look.xcom_value
        left = self.timeout - (time.monotonic() - started)
        if left <= 0:
            message = f"The first look took longer than the timeout of {self.timeout} s."
            raise AirflowSkipException(message) if self.soft_fail else AirflowSensorTimeout(message)
        timeout = timedelta(seconds=left)
        return self.defer(trigger=self._trigger(), method_name="execute_complete", timeout=timeout)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:  # noqa: ARG002 - Airflow's
        """Judge what the trigger saw."""
        for name, error in {
            "not_found": SailPointTaskNotFoundError,
            "source_not_found": SailPointSourceNotFoundError,
            "refused": SailPointRequestError,
        }.items():
            if name in event:
                raise error(event[name])
        seen = [TaskStatus.from_json(each) for each in event["statuses"]]
        look = self._conclude(self._judge_event(event, seen))
        if not look.is_done:
            raise SailPointRequestError(f"The trigger came back before the gate could open: {event}")
        return look.xcom_value

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, and judge what is there."""
        if self._first_look is None:
            self._first_look = self._waiting_since(context)
        try:
            return self._conclude(self._see_signed_in())
        except (SourceNotFoundError, SourceNotUniqueError) as error:
            raise SailPointSourceNotFoundError(str(error)) from error
        except SailPointError as error:
            if not error.retryable:
                raise SailPointRequestError(str(error)) from error
            self._narrator.trouble(error)
            return PokeReturnValue(is_done=False)
        except ValueError as error:
            raise SailPointRequestError(str(error)) from error

    def _see_signed_in(self) -> Verdict:
        try:
            return self._see()
        except UnauthorizedError:
            # The credentials may have been rotated while the sensor waited: read the connection again.
            self.__dict__.pop("hook").client.close()
            return self._see()

    def _conclude(self, verdict: Verdict) -> PokeReturnValue:
        if verdict.refused:
            self._linked_source = verdict.refused[0].source_id or self._linked_source
            raise SailPointTaskFailedError(failure(verdict.refused))
        if not verdict.is_done:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=verdict.result(self._single))

    def _waiting_since(self, context: Context) -> datetime:
        first = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        return first or datetime.now(UTC)

    def _trigger(self) -> BaseTrigger:
        from airflow.providers.common.compat.module_loading import import_string

        ends = self._end_from_trigger and airflow_can() and why_not_end(self) is None
        trigger: BaseTrigger = import_string(self.trigger_class)(**self._all_trigger_arguments(ends))
        return trigger

    def _all_trigger_arguments(self, end_from_trigger: bool) -> dict[str, Any]:
        return {
            **self._trigger_arguments(),
            "accepted_statuses": None if self._accepted is None else sorted(self._accepted),
            "sailpoint_conn_id": self.sailpoint_conn_id,
            "api_version": self.api_version,
            "poke_interval": self.poke_interval,
            "end_from_trigger": end_from_trigger,
            "do_xcom_push": self.do_xcom_push,
        }

    def _prepare_start(self) -> None:
        """Have Airflow start the gate in the triggerer if that is wanted, or remember why it can't."""
        if not self.start_from_trigger:
            return
        if not self.deferrable:
            raise ValueError("start_from_trigger is True, and deferrable is not. Set deferrable=True too.")
        self._why_on_a_worker = why_not_start(self)
        if self._why_on_a_worker:
            self.start_from_trigger = False
            self.log.info("%s starts on a worker: %s", self.task_id, self._why_on_a_worker)
            return
        if warning := too_many(self):
            self.log.warning("%s", warning)
        from airflow.triggers.base import StartTriggerArgs

        # The rest of what may speak against it, the trigger sees in the serialized DAG.
        ends = self._end_from_trigger and self._post_execute_hook is None
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=self.trigger_class,
            trigger_kwargs=self._all_trigger_arguments(ends),
            next_method="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )
