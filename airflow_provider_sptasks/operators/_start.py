"""Starts an aggregation, once, and waits for it."""

from __future__ import annotations

import contextvars
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, conf
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider_sptasks.arguments import (
    NOT_GIVEN,
    NotGiven,
    check_api_version,
    check_choice,
    check_flag,
    check_literals,
    check_text,
    duration,
)
from airflow_provider_sptasks.client.clearing import StoppedError
from airflow_provider_sptasks.client.errors import (
    AggregationRunningError,
    AmbiguousError,
    NotFoundError,
    SailPointError,
    SourceNotFoundError,
    SourceNotUniqueError,
    UnauthorizedError,
    UploadError,
)
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import STARTABLE_KINDS, TaskKind, TaskStatus
from airflow_provider_sptasks.client.starting import How, IfRunning, Intent, Outcome, Starting, clear_record
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointSourceNotFoundError,
    SailPointStartError,
    SailPointTaskFailedError,
    SailPointTaskNotFoundError,
)
from airflow_provider_sptasks.from_trigger import airflow_can, why_not_end
from airflow_provider_sptasks.links import SailPointAggregationLink
from airflow_provider_sptasks.operators._clear import LAST_ANSWERS
from airflow_provider_sptasks.waiting import (
    Narrator,
    completion_statuses,
    failure,
    judge,
    task_not_found,
)

try:
    from airflow.sdk.exceptions import TaskDeferralTimeout
except ImportError:  # Airflow 3.0 and 3.1
    from airflow.exceptions import TaskDeferralTimeout  # type: ignore[no-redef]

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
    from airflow_provider_sptasks.triggers.sailpoint import SailPointTaskTrigger

T = TypeVar("T")

KINDS = tuple(kind.value for kind in STARTABLE_KINDS)
# For how long the tenant may not know an aggregation that was just started, in seconds.
NOT_FOUND_GRACE = 60.0
# A look that fails is tried again for so long, and so often, before the next one is due.
LONGEST_LOOK, ATTEMPTS = 60.0, 4
# Airflow kills a task for good 5 seconds after it asked it to end.
CLEARS_WITHIN = 2.0
# Between Airflow's clock and the tenant's.
CLOCKS_DIFFER = timedelta(minutes=1)
# Where Airflow keeps what a retry has to know, and for how long: SailPoint keeps tasks no longer either.
MEMORY, KEPT = "sailpoint_aggregation", timedelta(days=90)
TOLD = {
    How.STARTED: "Started %s aggregation %s",
    How.FOUND: "The %s aggregation was started before: it is %s",
    How.ATTACHED: "Attached to the %s aggregation %s, which somebody else started",
}


class SailPointStartAggregationOperator(BaseOperator):
    """
    Starts an aggregation of a source, waits until it has ended, and never starts it twice.

    Succeeds when it ended with an accepted status, and returns the task status as
    :meth:`~airflow_provider_sptasks.client.models.TaskStatus.to_json` gives it. Fails at once, and without
    retry, when it ended otherwise, when the tenant refuses (400, 401, 403, 404), and at ``timeout``. Whatever
    may pass (no connection, 429, 5xx) is waited out until then.

    **Never twice.** When the answer to a start is lost, the aggregation is looked for among what the source
    launched since, for 15 seconds, before it is sent again. A retry of the Airflow task, as after a worker
    that died, goes on with the aggregation that an earlier try started:

    * Airflow 3.3 keeps what the retry has to know in the task's state store: before the start, which
      aggregations there were, and after it, the id. The retry attaches to that id, or to the first
      aggregation of the source and kind that was not there before. When nobody else starts aggregations of
      the same source and kind at that moment, that is always its own.
    * Airflow 3.0 to 3.2 keeps nothing. There a retry attaches to the newest aggregation of the source and
      kind that was launched since the DAG run started, and starts one where there is none. So it never starts
      a second one, but one that SailPoint's schedule or somebody else launched meanwhile counts as its own.

    A task that a user clears starts a new aggregation when it runs again; while the one before still runs,
    ``if_running`` says what to do. In Airflow 3.0, one that is cleared while it runs on a worker counts as
    a retry.

    The credentials need the scope ``idn:sources:manage`` for accounts, ``idn:entitlement:manage`` and a
    personal access token for entitlements, and ``idn:task-management:read``. See
    https://developer.sailpoint.com/docs/api/v2026/import-accounts.

    :param source_id: SailPoint's id of the source (templated)
    :param source_name: its name instead, whatever the case (templated); needs the scope ``idn:sources:read``
    :param kind: ``accounts``, ``entitlements`` or ``uncorrelated_accounts``
    :param file: path of a CSV file of any size on the worker, for delimited-file sources and uncorrelated
        accounts (templated)
    :param disable_optimization: process accounts that have not changed as well; for ``accounts``
    :param if_running: what to do while another aggregation of the source runs, of whichever kind: ``wait``
        until it has ended, however, and start then, and so on until ``timeout``; ``attach`` to it and take it
        as one's own if it is of the same kind (another kind is waited for); ``fail``; or ``skip``
    :param wait_for_completion: ``False`` to return SailPoint's id of the task at once, for a
        ``SailPointTaskSensor`` further down
    :param accepted_statuses: the completion statuses to succeed with, of ``SUCCESS WARNING ERROR TERMINATED
        TEMPERROR``; ``None`` for whatever status is set
    :param deferrable: wait in the triggerer, as the sensor does; starting is done on a worker
    :param end_from_trigger: when waiting in the triggerer, end a success there too, as the sensor does
    :param poke_interval: the longest that a look may take to come, in seconds or as a ``timedelta``
    :param timeout: how long all of it may take, for each try, in seconds or as a ``timedelta``
    :param clear_on_kill: when a user marks or clears the waiting task, clear the *record* of the aggregation
        that it started: SailPoint shows it as ended with ``Error``, and other gates see it so. That does
        **not** stop the aggregation. Needs ``idn:task-management:write`` and a personal access token. On a
        worker, Airflow doesn't tell that from ``execution_timeout`` or a worker that is shut down; for a
        deferred task it takes Airflow 3.3
    :param sailpoint_conn_id: the Airflow connection (templated)
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``; ``None`` for the connection's
        (templated)
    :raises ValueError: a literal argument can't be right, when the DAG is parsed
    :raises SailPointStartError: another aggregation runs, with ``if_running="fail"``; the file can't be read;
        or the task was stopped
    :raises SailPointTaskFailedError: the aggregation ended with a status that isn't accepted
    :raises SailPointTaskNotFoundError: the tenant doesn't know the aggregation any more
    :raises SailPointSourceNotFoundError: the tenant has no source of that name, or several
    :raises SailPointRequestError: the tenant refuses, or a rendered argument can't be right
    :raises AirflowSkipException: another aggregation runs, with ``if_running="skip"``
    :raises AirflowSensorTimeout: the timeout has passed
    """

    template_fields: Sequence[str] = (
        "source_id",
        "source_name",
        "file",
        "sailpoint_conn_id",
        "api_version",
    )
    ui_color = "#d5f0d0"
    operator_extra_links = (SailPointAggregationLink(),)

    def __init__(
        self,
        *,
        source_id: str | XComArg | NotGiven = NOT_GIVEN,
        source_name: str | XComArg | NotGiven = NOT_GIVEN,
        kind: str = "accounts",
        file: str | os.PathLike[str] | XComArg | None = None,
        disable_optimization: bool = False,
        if_running: str = "wait",
        wait_for_completion: bool = True,
        accepted_statuses: str | Iterable[str] | None = ("SUCCESS", "WARNING"),
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        end_from_trigger: bool = True,
        poke_interval: float | timedelta = 60.0,
        timeout: float | timedelta = timedelta(days=7),
        clear_on_kill: bool = False,
        sailpoint_conn_id: str = "sailpoint_default",
        api_version: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._by_name = source_id is NOT_GIVEN
        if self._by_name is (source_name is NOT_GIVEN):
            raise ValueError("Give either source_id or source_name.")
        self.source_id = None if source_id is NOT_GIVEN else source_id
        self.source_name = None if source_name is NOT_GIVEN else source_name
        self.kind = check_choice(kind, "kind", KINDS)
        self.file = os.fspath(file) if isinstance(file, os.PathLike) else file
        self.disable_optimization = check_flag(disable_optimization, "disable_optimization")
        self.if_running = check_choice(if_running, "if_running", [each.value for each in IfRunning])
        self.wait_for_completion = check_flag(wait_for_completion, "wait_for_completion")
        self.accepted_statuses = accepted_statuses
        self.deferrable = deferrable
        # Not by its own name: where a plugin listens to anything, Airflow refuses DAGs with that attribute.
        self._end_from_trigger = check_flag(end_from_trigger, "end_from_trigger")
        self.poke_interval = poke_interval
        self.timeout = timeout
        self.clear_on_kill = check_flag(clear_on_kill, "clear_on_kill")
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self._with_file = file is not None
        self._interval = duration(poke_interval, "poke_interval").total_seconds()
        self._timeout = duration(timeout, "timeout")
        self._accepted = completion_statuses(accepted_statuses)
        self._running: _Running | None = None
        self._linked_source: str | None = None
        self._check_literals()

    def _check_literals(self) -> None:
        if self._by_name:
            check_literals(self.source_name, "source_name", check_text)
        else:
            check_literals(self.source_id, "source_id", check_id)
        if self._with_file:
            check_literals(self.file, "file", check_text)
        if self.disable_optimization and self.kind != TaskKind.ACCOUNTS:
            raise ValueError(f"disable_optimization is for accounts, not for {self.kind}.")
        if not self._with_file and self.kind == TaskKind.UNCORRELATED_ACCOUNTS:
            raise ValueError(f"file is missing: {self.kind} come from a CSV file.")
        check_api_version(self.api_version)

    @cached_property
    def hook(self) -> SailPointHook:
        """The hook, made when it is first used."""
        from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

        return SailPointHook(self.sailpoint_conn_id, self.api_version)

    @property
    def source_page(self) -> str | None:
        """The URL of the source's page in SailPoint's UI, once the source is known."""
        return None if self._linked_source is None else self.hook.sources.page(self._linked_source)

    def execute(self, context: Context) -> Any:
        """Start the aggregation, and wait for it."""
        ends_at = datetime.now(UTC) + self._timeout
        return self._interruptible(lambda running: self._start(running, context, ends_at))

    def start_after(
        self,
        context: Context,
        event: dict[str, Any],
        source_id: str | None = None,
        ends_at: str | None = None,
    ) -> Any:
        """Start the aggregation after another one has ended, however; it may also have been forgotten."""
        if "refused" in event:
            raise SailPointRequestError(event["refused"])
        # dag.test() hands on the event only.
        until = datetime.fromisoformat(ends_at) if ends_at else datetime.now(UTC) + self._timeout
        return self._interruptible(
            lambda running: self._start(running, context, until, source_id, resumed=True)
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:  # noqa: ARG002 - Airflow's
        """Judge what the trigger saw."""
        if "not_found" in event:
            raise SailPointTaskNotFoundError(event["not_found"])
        if "refused" in event:
            raise SailPointRequestError(event["refused"])
        (status,) = map(TaskStatus.from_json, event["statuses"])
        return self._judge(status)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Let the end of the timeout fail as on a worker: without retry."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout as error:
            raise self._too_late("waiting in the triggerer") from error

    def on_kill(self) -> None:
        """Stop waiting, and clear the record of what was started if that is wanted."""
        running = self._running
        if running is None:
            return
        running.stop.set()
        if self.clear_on_kill and running.ours is not None:
            self._clear(running.ours, running.memory)
        running.woken.put(None)

    def _interruptible(self, work: Callable[[_Running], T]) -> T:
        """Work in a thread, so that a kill need not wait for the tenant."""
        running = self._running = _Running()
        pool = ThreadPoolExecutor(1, thread_name_prefix="sailpoint-operator")
        future = pool.submit(contextvars.copy_context().run, work, running)
        future.add_done_callback(running.woken.put)
        try:
            running.woken.get()
            if running.stop.is_set():
                wait([future], LAST_ANSWERS)
                goes_on = f" Aggregation {running.ours} goes on in SailPoint." if running.ours else ""
                raise SailPointStartError(f"The task was stopped.{goes_on}")
            return future.result()
        finally:
            running.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _start(
        self,
        running: _Running,
        context: Context,
        ends_at: datetime,
        source_id: str | None = None,
        *,
        resumed: bool = False,
    ) -> Any:
        try:
            source_id = self._linked_source = source_id or self._source(running, ends_at)
            memory = running.memory = _Memory(context, source_id, TaskKind(self.kind))
            if not (resumed or memory.lasts):
                memory.intent = self._guess(context, source_id)
            while (outcome := self._attempt(running, source_id, memory, ends_at)).how is How.BLOCKED:
                self._wait_for_another(running, outcome.task_status_id, source_id, ends_at)
            self.log.info(TOLD[outcome.how], self.kind, outcome.task_status_id)
            running.ours = outcome.task_status_id if outcome.how is not How.ATTACHED else None
            if not self.wait_for_completion:
                return outcome.task_status_id
            return self._judge(self._wait(running, outcome.task_status_id, ends_at))
        except TimeoutError as error:
            raise self._too_late(str(error)) from error
        except AggregationRunningError as error:
            if self.if_running == IfRunning.SKIP:
                raise AirflowSkipException(str(error)) from error
            raise SailPointStartError(str(error)) from error
        except (SourceNotFoundError, SourceNotUniqueError) as error:
            raise SailPointSourceNotFoundError(str(error)) from error
        except UploadError as error:
            raise SailPointStartError(f"No aggregation was started. {error}") from error
        except SailPointError as error:
            if error.retryable or isinstance(error, AmbiguousError):
                raise self._too_late(str(error)) from error
            raise SailPointRequestError(str(error)) from error
        except ValueError as error:
            raise SailPointRequestError(str(error)) from error

    def _too_late(self, what: str) -> AirflowSensorTimeout:
        return AirflowSensorTimeout(f"The timeout of {self._timeout} has passed: {what}")

    def _source(self, running: _Running, ends_at: datetime) -> str:
        if not self._by_name:
            return check_id(self.source_id, "source_id")
        from airflow_provider_sptasks.client.retry import RetryPolicy

        name = check_text(self.source_name, "source_name")
        retry = RetryPolicy(deadline=_left(ends_at), sleep=running.sleep)
        source = self._signed_in(lambda: self.hook.sources.with_retry(retry).find_by_name(name))
        self.log.info("The source is %s", source)
        return source.id

    def _guess(self, context: Context, source_id: str) -> Intent | None:
        """Where nothing is kept between tries: say what an earlier one, if any, may have started."""
        ti, started = context["ti"], context["dag_run"].start_date
        if started is None or ti.try_number <= (ti.max_tries or 0) - (self.retries or 0) + 1:
            return None
        since = started - CLOCKS_DIFFER
        self.log.info("An earlier try may have started an aggregation: looking for one since %s", since)
        return Intent(source_id, TaskKind(self.kind), since, exact=False)

    def _attempt(self, running: _Running, source_id: str, memory: _Memory, ends_at: datetime) -> Outcome:
        file = check_text(self.file, "file") if self._with_file else None

        def attempt() -> Outcome:
            starting = Starting(
                self.hook.client,
                self.hook.sources,
                source_id=source_id,
                kind=TaskKind(self.kind),
                file=file,
                disable_optimization=self.disable_optimization,
                if_running=IfRunning(self.if_running),
                deadline=time.monotonic() + _left(ends_at),
                stop=running.stop,
                note=memory.note,
            )
            return starting.run(memory.intent)

        return self._signed_in(attempt)

    def _wait_for_another(
        self, running: _Running, task_status_id: str, source_id: str, ends_at: datetime
    ) -> None:
        """Wait until what is in the way has ended, however, or is gone."""

        def defer() -> NoReturn:
            trigger = self._trigger(task_status_id, None, end_from_trigger=False)
            kwargs = {"source_id": source_id, "ends_at": ends_at.isoformat()}
            self.defer(trigger=trigger, method_name="start_after", kwargs=kwargs, timeout=_rest(ends_at))

        with suppress(SailPointTaskNotFoundError):
            self._poll(running, task_status_id, ends_at, defer)

    def _wait(self, running: _Running, task_status_id: str, ends_at: datetime) -> TaskStatus:
        def defer() -> NoReturn:
            ends = self._end_from_trigger and airflow_can() and why_not_end(self) is None
            clears = self.clear_on_kill and running.ours is not None
            trigger = self._trigger(task_status_id, self._accepted, end_from_trigger=ends, clears=clears)
            self.defer(trigger=trigger, method_name="execute_complete", timeout=_rest(ends_at))

        progress = _Progress(self.hook, self.log) if self.kind == TaskKind.ACCOUNTS else None
        return self._poll(running, task_status_id, ends_at, defer, progress)

    def _trigger(
        self,
        task_status_id: str,
        accepted: Iterable[str] | None,
        *,
        end_from_trigger: bool,
        clears: bool = False,
    ) -> SailPointTaskTrigger:
        from airflow_provider_sptasks.triggers.sailpoint import (
            SailPointStartedTaskTrigger,
            SailPointTaskTrigger,
        )

        return (SailPointStartedTaskTrigger if clears else SailPointTaskTrigger)(
            task_status_id=task_status_id,
            accepted_statuses=None if accepted is None else sorted(accepted),
            sailpoint_conn_id=self.sailpoint_conn_id,
            api_version=self.api_version,
            poke_interval=self._interval,
            not_found_grace=NOT_FOUND_GRACE,
            end_from_trigger=end_from_trigger,
            do_xcom_push=self.do_xcom_push,
        )

    def _poll(
        self,
        running: _Running,
        task_status_id: str,
        ends_at: datetime,
        defer: Callable[[], NoReturn],
        progress: _Progress | None = None,
    ) -> TaskStatus:
        """Look until a task has ended, here or, after the first look, in the triggerer."""
        from airflow_provider_sptasks.client.retry import RetryPolicy

        narrator = Narrator(self.log)
        narrator.begin([task_status_id])
        not_found_until = time.monotonic() + NOT_FOUND_GRACE
        longest = min(self._interval, LONGEST_LOOK)
        retry = RetryPolicy(deadline=longest, max_attempts=ATTEMPTS, sleep=running.sleep)
        while True:
            try:
                status = self._signed_in(lambda: self.hook.client.with_retry(retry).get(task_status_id))
            except NotFoundError as error:
                if time.monotonic() >= not_found_until:
                    raise task_not_found(task_status_id, self.sailpoint_conn_id, error) from error
            except SailPointError as error:
                if not error.retryable:
                    raise
                narrator.trouble(error)
            else:
                narrator.look([status])
                if status.is_complete:
                    return status
                if progress is not None and not self.deferrable:
                    progress.tell(task_status_id)
            if _left(ends_at) <= 0:
                raise TimeoutError(f"{task_status_id} has not ended")
            if self.deferrable:
                defer()
            running.sleep(min(self._interval, _left(ends_at)))

    def _judge(self, status: TaskStatus) -> Any:
        self._linked_source = status.source_id or self._linked_source
        verdict = judge([status.id], {status.id: status}, self._accepted)
        if verdict.refused:
            raise SailPointTaskFailedError(failure(verdict.refused))
        if not verdict.is_done:
            raise SailPointRequestError(f"The trigger came back before {status} had ended")
        return verdict.result(single=True)

    def _clear(self, task_status_id: str, memory: _Memory | None) -> None:
        from airflow_provider_sptasks.client.retry import RetryPolicy

        client = self.hook.client.with_retry(RetryPolicy(deadline=CLEARS_WITHIN))
        try:
            status = clear_record(client, task_status_id)
        except SailPointError as error:
            self.log.warning("The record of %s could not be cleared: %s", task_status_id, error)
            return
        if status is not None:
            if memory is not None:
                # What was given up must not be what the next run attaches to. A task that was cleared has
                # another id by now, and nothing to forget.
                with suppress(AirflowRuntimeError):
                    memory.note(None)
            self.log.info("Cleared the record of %s. The aggregation itself is not stopped by that", status)

    def _signed_in(self, call: Callable[[], T]) -> T:
        """Call, and once more with the connection read again: credentials may have been rotated."""
        try:
            return call()
        except UnauthorizedError:
            self.__dict__.pop("hook").client.close()
            return call()


class _Running:
    """What an operator that works, and a signal that ends it, tell each other."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.woken: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.memory: _Memory | None = None
        self.ours: str | None = None

    def sleep(self, seconds: float) -> None:
        """Wait, unless or until it is to stop: then it raises."""
        if self.stop.wait(seconds):
            raise StoppedError


class _Memory:
    """
    What a retry has to know of the aggregation that an earlier try may have started.

    Airflow 3.3 keeps it in the task's state store, which outlives tries and clears alike. ``max_tries`` tells
    them apart: Airflow raises it when a task that ran is cleared, and not for a retry.

    :param context: what Airflow gives a task
    :param source_id: SailPoint's id of the source
    :param kind: what is started
    """

    def __init__(self, context: Context, source_id: str, kind: TaskKind) -> None:
        self._store = context.get("task_state_store")
        self._max_tries = context["ti"].max_tries
        self.intent: Intent | None = None
        kept = self._store.get(MEMORY) if self._store is not None else None
        if isinstance(kept, dict) and kept.get("max_tries") == self._max_tries:
            intent = Intent.from_json(kept)
            self.intent = intent if (intent.source_id, intent.kind) == (source_id, kind) else None

    @property
    def lasts(self) -> bool:
        """Whether it outlives the try."""
        return self._store is not None

    def note(self, intent: Intent | None) -> None:
        """Keep what a retry has to know; ``None`` for nothing."""
        self.intent = intent
        if self._store is None:
            return
        if intent is None:
            self._store.delete(MEMORY)
        else:
            self._store.set(MEMORY, {"max_tries": self._max_tries, **intent.to_json()}, retention=KEPT)


class _Progress:
    """
    Tells in the log how an account aggregation goes on, where the tenant says so.

    :param hook: the hook
    :param log: the log to tell it in
    """

    def __init__(self, hook: SailPointHook, log: Any) -> None:
        self._hook = hook
        self._log = log
        self._told = ""
        self._refused = False

    def tell(self, task_status_id: str) -> None:
        """Ask once, and tell what is new; a failure is nobody's business."""
        from airflow_provider_sptasks.client.retry import RetryPolicy

        if self._refused:
            return
        try:
            sources = self._hook.sources.with_retry(RetryPolicy(max_attempts=1))
            progress = sources.aggregation_status(task_status_id)
        except SailPointError as error:
            self._refused = not error.retryable
            return
        if progress is not None and str(progress) != self._told:
            self._told = str(progress)
            self._log.info("Account aggregation %s: %s", task_status_id, progress)


def _left(ends_at: datetime) -> float:
    return max(0.0, (ends_at - datetime.now(UTC)).total_seconds())


def _rest(ends_at: datetime) -> timedelta:
    return timedelta(seconds=_left(ends_at))
