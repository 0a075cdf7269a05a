"""What all sensors of this provider share: they drive a wait in the modes of a sensor."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_sptasks.arguments import check_api_version, check_flag, completion_statuses
from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.exceptions import SailPointTaskFailedError, failed_by
from airflow_provider_sptasks.from_trigger import airflow_can, too_many, why_not_end, why_not_start
from airflow_provider_sptasks.links import SailPointAggregationLink
from airflow_provider_sptasks.times import check_durations
from airflow_provider_sptasks.waiting.errors import WaitError

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
    from airflow_provider_sptasks.waiting.driver import Driver
    from airflow_provider_sptasks.waiting.events import Wait
    from airflow_provider_sptasks.waiting.progress import ProgressLogger
    from airflow_provider_sptasks.waiting.verdict import Verdict


class SailPointSensor(BaseSensorOperator):
    """
    Waits for tasks of SailPoint in one of the modes of a sensor; subclasses say for which.

    :param accepted_statuses: the completion statuses to accept
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
        check_durations(kwargs, ("poke_interval", "timeout", "max_wait"))
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
        self._driver: Driver | None = None
        self._ends_at: float | None = None
        self._why_on_a_worker: str | None = None
        self._linked_source: str | None = None

    @abstractmethod
    def _parse(self) -> Wait:
        """
        Read the rendered arguments.

        :raises ValueError: one of them is invalid
        """

    @abstractmethod
    def _read(self, arguments: Mapping[str, Any]) -> Wait:
        """Read what a wait wrote into a trigger's event."""

    @abstractmethod
    def _literals(self) -> dict[str, Any]:
        """Return the trigger's own arguments as they stand in the DAG file, as JSON."""

    @cached_property
    def _progress(self) -> ProgressLogger:
        from airflow_provider_sptasks.waiting.progress import ProgressLogger

        return ProgressLogger(self.log)

    @cached_property
    def hook(self) -> SailPointHook:
        """The hook, made when it is first used."""
        from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
        from airflow_provider_sptasks.waiting.driver import poll_retry

        retry = poll_retry(self.poke_interval, self.timeout)
        return SailPointHook(self.sailpoint_conn_id, self.api_version, retry=retry)

    @property
    def source_page(self) -> str | None:
        """The URL of the source's page in SailPoint's UI, once the source is known."""
        return None if self._linked_source is None else self.hook.sources.page(self._linked_source)

    def execute(self, context: Context) -> Any:
        """
        Wait in the sensor's mode, or poll once and then wait in the triggerer.

        :param context: what Airflow gives a task
        :return: the XCom: a :class:`~airflow_provider_sptasks.client.TaskStatusDict`, or a list of them if a
            list was waited for
        """
        if self._why_on_a_worker:
            self.log.info("Starting on a worker: %s", self._why_on_a_worker)
        self._ends_at = time.monotonic() + self.timeout
        return self._execute_deferrable(context) if self.deferrable else super().execute(context)

    def _execute_deferrable(self, context: Context) -> Any:
        try:
            # What is done already is not deferred: a trigger that fires at once may get lost.
            poll = self.poke(context)
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException("Skipping: soft_fail or never_fail is set.") from error
            raise
        except AirflowNotFoundException as error:
            if self.never_fail:
                raise AirflowSkipException("Skipping: never_fail is set.") from error
            raise
        if poll.is_done:
            return poll.xcom_value
        left = self._seconds_left()
        if left <= 0:
            message = f"The first poll took longer than the timeout of {self.timeout} s."
            raise AirflowSkipException(message) if self.soft_fail else AirflowSensorTimeout(message)
        timeout = timedelta(seconds=left)
        driver = self._driver or self._begin(context)
        return self.defer(
            trigger=self._trigger(driver.wait),
            method_name="execute_complete",
            kwargs={"ends_at": (datetime.now(UTC) + timeout).isoformat()},
            timeout=timeout,
        )

    def execute_complete(self, context: Context, event: dict[str, Any], ends_at: str | None = None) -> Any:
        """
        Judge what the trigger saw, by the wait that it carries; nothing is rendered again for that.

        :param context: what Airflow gives a task
        :param event: what the trigger yielded
        :param ends_at: when the timeout has passed, ISO 8601; ``None`` where Airflow doesn't hand it on
        :return: the XCom, as :meth:`execute` does
        """
        from airflow_provider_sptasks.waiting.events import answers_in, raise_error, why_again

        if ends_at is not None:
            left = (datetime.fromisoformat(ends_at) - datetime.now(UTC)).total_seconds()
            self.timeout = max(0.0, left)
        why = why_again(event)
        if why is None:
            try:
                raise_error(event)
            except AirflowFailException as error:
                self._fail(error)
            wait = self._read(event["wait"])
            answers = answers_in(event, wait)
            self._progress.polled(wait.statuses(answers), wait.notes(answers))
            self._linked_source = next(filter(None, event["source_ids"]), None)
            verdict = wait.judge(answers, datetime.now(UTC))
            if verdict.is_final:
                return self._conclude(wait, verdict).xcom_value
            why = "what the trigger saw is not the end"
        self.log.info("Polling again on a worker: %s", why)
        return self.execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Let a timeout fail with ``never_fail`` as it does on a worker: that is about polls that fail."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException as skip:
            if self.never_fail and isinstance(skip.__cause__, AirflowSensorTimeout):
                raise skip.__cause__ from None
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """
        Poll once, and judge the answers.

        :param context: what Airflow gives a task
        :return: whether the wait is over, and then the XCom
        :raises AirflowSkipException: Airflow has no such connection, with ``soft_fail``
        """
        try:
            driver = self._driver or self._begin(context)
            verdict = driver.poll()
        except AirflowNotFoundException as error:
            if self.soft_fail:
                raise AirflowSkipException(f"Skipping: soft_fail is set. {error}") from None
            raise
        except (WaitError, SailPointError, ValueError) as error:
            self._fail(failed_by(error))
        self._linked_source = driver.source_id or self._linked_source
        if verdict is None:
            return PokeReturnValue(is_done=False)
        return self._conclude(driver.wait, verdict)

    def _begin(self, context: Context) -> Driver:
        from airflow_provider_sptasks.waiting.driver import Driver

        first = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        wait = self._parse()
        self._progress.begin(wait.describe())
        connection = self.hook.connect()
        self._driver = Driver(
            connection,
            wait.begun(first or datetime.now(UTC)),
            self._progress,
            seconds_left=self._seconds_left,
            has_worked=first is not None,
            estimates=not self.deferrable and not self.reschedule,
            defers=self.deferrable,
        )
        return self._driver

    def _conclude(self, wait: Wait, verdict: Verdict) -> PokeReturnValue:
        if verdict.refused:
            from airflow_provider_sptasks.waiting.verdict import failure

            self._linked_source = verdict.refused[0].source_id or self._linked_source
            self._fail(SailPointTaskFailedError(failure(verdict.refused)))
        if not verdict.is_done:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=verdict.result(wait.single))

    def _fail(self, error: AirflowFailException) -> NoReturn:
        """Fail with a line of its own in the log, which no traceback pushes off the screen."""
        self.log.error("%s", error)
        raise error from None

    def _seconds_left(self) -> float:
        return self.timeout if self._ends_at is None else self._ends_at - time.monotonic()

    def _trigger(self, wait: Wait) -> BaseTrigger:
        from airflow.providers.common.compat.module_loading import import_string

        ends = self._end_from_trigger and airflow_can() and why_not_end(self) is None
        shared = self._shared_arguments(ends, starts_here=False)
        trigger: BaseTrigger = import_string(self.trigger_class)(**wait.to_json(), **shared)
        return trigger

    def _shared_arguments(self, end_from_trigger: bool, *, starts_here: bool) -> dict[str, Any]:
        from airflow_provider_sptasks.waiting.events import ARGUMENTS_VERSION

        return {
            "sailpoint_conn_id": self.sailpoint_conn_id,
            "api_version": self.api_version,
            "poke_interval": self.poke_interval,
            "end_from_trigger": end_from_trigger,
            "do_xcom_push": self.do_xcom_push,
            "starts_here": starts_here,
            "version": ARGUMENTS_VERSION,
        }

    def _prepare_start(self) -> None:
        """Have Airflow start the sensor in the triggerer if that is wanted, or remember why it can't."""
        if not self.start_from_trigger:
            return
        if not self.deferrable:
            raise ValueError("start_from_trigger is True, and deferrable is not. Set deferrable=True too.")
        self._why_on_a_worker = why_not_start(self)
        if self._why_on_a_worker:
            self.start_from_trigger = False
            return
        if warning := too_many(self):
            self.log.warning("%s", warning)
        from airflow.triggers.base import StartTriggerArgs

        # The rest of what may speak against it, the trigger sees in the serialized DAG.
        ends = self._end_from_trigger and self._post_execute_hook is None
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=self.trigger_class,
            trigger_kwargs={**self._literals(), **self._shared_arguments(ends, starts_here=True)},
            next_method="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )
