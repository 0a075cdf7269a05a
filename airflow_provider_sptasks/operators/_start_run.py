"""One run of the operator that starts aggregations, on a worker: it starts, waits and concludes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider_sptasks.arguments import check_name
from airflow_provider_sptasks.client.clearing_record import clear_record
from airflow_provider_sptasks.client.clock import clock_lead
from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.intent import Outcome, StartResult
from airflow_provider_sptasks.client.models import TaskKind
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.starting import IfRunning, Starter
from airflow_provider_sptasks.exceptions import (
    SailPointStartError,
    SailPointTaskFailedError,
    SailPointTaskNotFoundError,
)
from airflow_provider_sptasks.from_trigger import airflow_can, why_not_end
from airflow_provider_sptasks.operators._account_progress import AccountProgressLogger
from airflow_provider_sptasks.operators._retry_state import RetryState, best_guess, is_retry
from airflow_provider_sptasks.operators._worker_run import WorkerRun
from airflow_provider_sptasks.waiting.errors import UnknownTaskError
from airflow_provider_sptasks.waiting.events import ARGUMENTS_VERSION, answers_in, raise_error, why_again
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.starting import begun, blocked, start_in_turn
from airflow_provider_sptasks.waiting.tasks import TaskWait
from airflow_provider_sptasks.waiting.verdict import Verdict, failure

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sptasks.operators._start import SailPointStartAggregationOperator

# How long a detail for the log may wait for the pace; no verdict waits for it longer.
PROGRESS_SECONDS = 1.0
# Airflow kills a task for good 5 seconds after it asked it to end.
CLEAR_TIMEOUT_SECONDS = 2.0


class StartRun(WorkerRun):
    """
    Starts an aggregation, waits for it and concludes, until a time.

    :param operator: the operator
    :param ends_at: when the operator's timeout has passed, ISO 8601; ``None`` if it begins now
    """

    def __init__(self, operator: SailPointStartAggregationOperator, ends_at: str | None = None) -> None:
        super().__init__(operator, ends_at)
        self._kind = TaskKind(operator.kind)
        self._state: RetryState | None = None
        self._outcome: Outcome | None = None
        self._is_cleared = False

    def start(self, context: Context) -> Any:
        """Start the aggregation, and wait for it."""
        return self.run(lambda: self._start(context, is_retry(context, self.operator.retries or 0)))

    def start_after(self, context: Context, event: Mapping[str, Any], source_id: str | None) -> Any:
        """Start the aggregation after another one has ended, in whichever way; it may also be gone."""

        def start() -> Any:
            with suppress(SailPointTaskNotFoundError):
                if why_again(event) is None:
                    raise_error(event)
            return self._start(context, False, source_id)

        return self.run(start)

    def complete(
        self, context: Context, event: Mapping[str, Any], wait: Mapping[str, Any] | None, own: bool
    ) -> Any:
        """Judge what the trigger saw by the wait that it carries, or go on to wait here."""
        return self.run(lambda: self._complete(context, event, wait, own))

    def stop(self) -> None:
        """Send nothing more, and clear the record of what was started here if that is wanted."""
        self.work.stop()
        self._clear_own()
        self.work.wake()

    def stopped(self) -> str:
        """Say for a person that it was stopped, and what goes on nevertheless."""
        self._clear_own()  # its id may have come only after the stop
        started = self._outcome
        if started is None and self._state is not None and self._state.intent is not None:
            return f"{super().stopped()} An aggregation may have been started: see what the source launched."
        if started is None or started.result is StartResult.ATTACHED:
            return super().stopped()
        return f"{super().stopped()} Aggregation {started.task_status_id} goes on in SailPoint."

    def _start(self, context: Context, may_have_started: bool, source_id: str | None = None) -> Any:
        operator = self.operator
        operator.hook.connect()
        source_id = self.source_id = source_id or self._find_source()
        state = self._state = RetryState(context, source_id, self._kind)
        if may_have_started and not state.lasts:
            self._guess(context, state, source_id)
        outcome = start_in_turn(
            lambda: self._attempt(source_id, state),
            IfRunning(operator.if_running),
            has_ended_already=lambda task_status_id: self._has_ended_already(task_status_id, source_id),
            sleep=self.sleep,
            say=lambda message: operator.log.info("%s", message),
        )
        if outcome.result is StartResult.BLOCKED:
            is_skip = operator.if_running == IfRunning.SKIP
            raise (AirflowSkipException if is_skip else SailPointStartError)(blocked(outcome))
        self._outcome = outcome
        operator.log.info("%s", begun(outcome, self._kind))
        if not operator.wait_for_completion:
            return outcome.task_status_id
        wait = TaskWait.for_one(outcome.task_status_id, operator.accepted).begun(datetime.now(UTC))
        return self._finish(wait, own=outcome.is_own, has_worked=outcome.task is not None)

    def _find_source(self) -> str:
        if self.operator.source_name is None:
            return check_id(self.operator.source_id, "source_id")
        name = check_name(self.operator.source_name, "source_name")
        connection = self.connection()
        source = self.signed_in(lambda: connection.sources.find_by_name(name))
        self.operator.log.info("The source is %s", source)
        return source.id

    def _guess(self, context: Context, state: RetryState, source_id: str) -> None:
        """Guess what an earlier try may have started, where nothing is kept between tries."""
        connection = self.connection()
        lead = self.signed_in(lambda: clock_lead(connection.client))
        state.intent = best_guess(context, source_id, self._kind, lead)
        if state.intent is not None:
            since = state.intent.since.isoformat(" ", "seconds")
            self.operator.log.info("Looking for what an earlier try may have started since %s", since)

    def _attempt(self, source_id: str, state: RetryState) -> Outcome:
        operator = self.operator
        options = operator.options()

        def attempt() -> Outcome:
            return Starter(
                operator.hook.client,
                operator.hook.sources,
                source_id=source_id,
                kind=self._kind,
                options=options,
                if_running=IfRunning(operator.if_running),
                deadline=time.monotonic() + self.seconds_left,
                stop=self.work.event,
                note=state.note,
            ).run(state.intent)

        return self.signed_in(attempt)

    def _has_ended_already(self, task_status_id: str, source_id: str) -> bool:
        """
        Wait until another aggregation has ended, in whichever way, or is gone.

        :return: whether it had ended before the first poll
        """
        wait = TaskWait.for_one(task_status_id, None).begun(datetime.now(UTC))

        def defer() -> NoReturn:
            self._defer(wait, "start_after", {"source_id": source_id})

        try:
            return self.poll(wait, ProgressLogger(self.operator.log), defer, has_worked=True)[1]
        except UnknownTaskError:
            return False

    def _finish(self, wait: TaskWait, *, own: bool, has_worked: bool) -> Any:
        """Wait for what was started, and conclude."""

        def defer() -> NoReturn:
            kwargs = {"wait": wait.to_json(), "own": own}
            self._defer(
                wait,
                "execute_complete",
                kwargs,
                end_from_trigger=self.operator.ends_from_trigger
                and airflow_can()
                and why_not_end(self.operator) is None,
                clears=self.operator.clear_on_kill and own,
            )

        clients = self.connection(RetryPolicy(deadline=PROGRESS_SECONDS, max_attempts=1))
        progress: ProgressLogger = (
            ProgressLogger(self.operator.log)
            if self.operator.deferrable
            else AccountProgressLogger(self.operator.log, clients)
        )
        return self._conclude(wait, self.poll(wait, progress, defer, has_worked=has_worked)[0])

    def _complete(
        self, context: Context, event: Mapping[str, Any], given: Mapping[str, Any] | None, own: bool
    ) -> Any:
        why = why_again(event)
        if why is None:
            raise_error(event)
            wait = TaskWait.parse(**event["wait"])
            answers = answers_in(event, wait)
            self.source_id = next(iter(wait.source_ids(answers)), None)
            verdict = wait.judge(answers, datetime.now(UTC))
            if verdict.is_final:
                return self._conclude(wait, verdict)
            why = "what the trigger saw is not the end"
        self.operator.log.info("Polling again on a worker: %s", why)
        if given is None:  # it was deferred by version 0.1.0
            return self._start(context, True)
        wait = TaskWait.parse(**given)
        self._outcome = Outcome(StartResult.FOUND, wait.task_status_ids[0], is_own=own)
        self.operator.hook.connect()
        return self._finish(wait, own=own, has_worked=False)

    def _conclude(self, wait: TaskWait, verdict: Verdict) -> Any:
        if verdict.refused:
            raise SailPointTaskFailedError(failure(verdict.refused))
        return verdict.result(wait.single)

    def _defer(
        self,
        wait: TaskWait,
        method_name: str,
        kwargs: dict[str, Any],
        *,
        end_from_trigger: bool = False,
        clears: bool = False,
    ) -> NoReturn:
        from airflow_provider_sptasks.triggers.sailpoint import (
            SailPointStartedTaskTrigger,
            SailPointTaskTrigger,
        )

        trigger = (SailPointStartedTaskTrigger if clears else SailPointTaskTrigger)(
            **wait.to_json(),
            sailpoint_conn_id=self.operator.sailpoint_conn_id,
            api_version=self.operator.api_version,
            poke_interval=self._interval,
            end_from_trigger=end_from_trigger,
            do_xcom_push=self.operator.do_xcom_push,
            version=ARGUMENTS_VERSION,
        )
        self.operator.defer(
            trigger=trigger,
            method_name=method_name,
            kwargs={**kwargs, "ends_at": self.ends_at.isoformat()},
            timeout=timedelta(seconds=self.seconds_left),
        )

    def _clear_own(self) -> None:
        """Clear the record of what is known to be started here, once, if that is wanted."""
        started = self._outcome
        if not self.operator.clear_on_kill or self._is_cleared or started is None or not started.is_own:
            return
        self._is_cleared = True
        client = self.operator.hook.client.with_retry(RetryPolicy(deadline=CLEAR_TIMEOUT_SECONDS))
        try:
            status = clear_record(client, started.task_status_id)
        except SailPointError as error:
            self.operator.log.warning(
                "Aggregation %s could not be cleared: %s", started.task_status_id, error
            )
            return
        if status is None:
            return
        self.operator.log.info("Cleared the record of %s. The aggregation itself is not stopped", status)
        if self._state is not None:
            # What was given up must not be what the next run attaches to. A task that a user cleared has
            # another id by now, and nothing to forget.
            with suppress(AirflowRuntimeError):
                self._state.note(None)
