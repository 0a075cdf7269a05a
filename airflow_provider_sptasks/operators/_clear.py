"""Gives pending tasks that are stuck a completion status."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow.sdk import BaseOperator

from airflow_provider_sptasks.arguments import (
    NOT_GIVEN,
    Check,
    NotGiven,
    check_api_version,
    check_clearing_status,
    check_flag,
    check_literals,
    check_text,
    texts,
)
from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.exceptions import SailPointClearError, SailPointRequestError
from airflow_provider_sptasks.times import check_factor, duration, show

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_sptasks.client.clearing import ClearResult
    from airflow_provider_sptasks.client.client import TaskStatusClient
    from airflow_provider_sptasks.client.selecting import Age, Selectors
    from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

    Note: TypeAlias = Callable[[ClearResult], object]

SELECTORS = ("task_status_id", "source_id", "unique_name", "older_than", "stuck_factor")
# Seconds that a killed task waits for what the tenant has to answer yet.
LAST_ANSWERS = 0.5
CHECKS: Mapping[str, Check] = {"task_status_id": check_id, "source_id": check_id, "unique_name": check_text}


class SailPointClearPendingTasksOperator(BaseOperator):
    """
    Clears pending tasks: gives those that are stuck a completion status, so that what waits for them ends.

    This corrects the tenant's record and does not stop the work. It clears exactly the pending tasks that
    match all of the given selectors, and refuses to run without one: pending tasks are not only aggregations.
    Each is read again at most 5 seconds before it is cleared, and one that has ended by itself is left alone.

    The credentials must be a personal access token of a user with the scope
    ``idn:task-management:write``, see https://developer.sailpoint.com/docs/api/v2026/update-task-status.

    Returns, and logs, a table: ``{"dry_run": bool, "cleared": [...], "already_complete": [...],
    "not_found": [...], "failed": [...], "would_clear": [...]}``, each a list of
    ``{"id", "uniqueName", "source", "launched", "completionStatus"}``, and ``error`` where it failed. The
    table is there too when the task fails because some could not be cleared.

    :param task_status_id: SailPoint's id of a task, or several of them (templated)
    :param source_id: only tasks of this source, or of these (templated)
    :param unique_name: only tasks of this name, or these, such as ``Cloud Account Aggregation``,
        case-insensitive (templated)
    :param older_than: only tasks that were launched, or if not yet, created longer ago than that, by the
        tenant's clock
    :param stuck_factor: only aggregations that have run that many times longer than usual, such as 3; a
        source's aggregation without a usual duration, the median of its last 10 successful ones and of 3 at
        least, is left alone. The table's rows have ``running`` and ``usual`` then, in seconds
    :param completion_status: the status to set; ``Error`` is the documented one (templated)
    :param allow_success: allow ``SUCCESS`` and ``WARNING``, with which all sensors on the task succeed
    :param dry_run: only report what would be cleared
    :param max_tasks: with more matches than that nothing is cleared, and the task fails
    :param sailpoint_conn_id: the Airflow connection (templated)
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``; ``None`` for the connection's
        (templated)
    :raises ValueError: no selector is given, or a literal argument is invalid, when the DAG is parsed
    :raises SailPointRequestError: the tenant refuses a request, or a rendered argument is invalid
    :raises SailPointClearError: more tasks match than ``max_tasks``; or some could not be cleared, after all
        of them were tried; or transient errors lasted for 5 minutes; or the task was stopped
    :raises AirflowNotFoundException: Airflow has had no such connection for 15 seconds. This is retried
    """

    template_fields: Sequence[str] = (
        "task_status_id",
        "source_id",
        "unique_name",
        "completion_status",
        "sailpoint_conn_id",
        "api_version",
    )
    ui_color = "#fde2cf"

    def __init__(
        self,
        *,
        task_status_id: str | Sequence[str] | XComArg | NotGiven = NOT_GIVEN,
        source_id: str | Sequence[str] | XComArg | NotGiven = NOT_GIVEN,
        unique_name: str | Sequence[str] | XComArg | NotGiven = NOT_GIVEN,
        older_than: timedelta | NotGiven = NOT_GIVEN,
        stuck_factor: float | NotGiven = NOT_GIVEN,
        completion_status: str = "Error",
        allow_success: bool = False,
        dry_run: bool = False,
        max_tasks: int = 100,
        sailpoint_conn_id: str = "sailpoint_default",
        api_version: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        selectors = {
            "task_status_id": task_status_id,
            "source_id": source_id,
            "unique_name": unique_name,
            "older_than": older_than,
            "stuck_factor": stuck_factor,
        }
        self._given = [name for name, value in selectors.items() if value is not NOT_GIVEN]
        self.task_status_id = None if task_status_id is NOT_GIVEN else task_status_id
        self.source_id = None if source_id is NOT_GIVEN else source_id
        self.unique_name = None if unique_name is NOT_GIVEN else unique_name
        self.older_than = None if older_than is NOT_GIVEN else older_than
        self.stuck_factor = None if stuck_factor is NOT_GIVEN else stuck_factor
        self.completion_status = completion_status
        self.allow_success = allow_success
        self._dry_run = dry_run  # the name without underscore is a method of BaseOperator
        self.max_tasks = max_tasks
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self._stop: threading.Event | None = None
        self._ages: Mapping[str, Age] = {}
        self._check_literals()

    def _check_literals(self) -> None:
        if not self._given:
            raise ValueError(
                "No selector is given, so every pending task would be cleared. "
                f"Give one of {', '.join(SELECTORS)}."
            )
        for name in self._given:
            if getattr(self, name) is None:
                raise ValueError(f"{name} is None, so nothing is selected. Leave it out if that is meant.")
            if name in CHECKS:
                check_literals(getattr(self, name), name, CHECKS[name])
        check_flag(self._dry_run, "dry_run")
        check_flag(self.allow_success, "allow_success")
        check_api_version(self.api_version)
        check_literals(self.completion_status, "completion_status", self._check_completion_status)
        if self.older_than is not None:
            if not isinstance(self.older_than, timedelta) or self.older_than <= timedelta(0):
                raise ValueError(f"older_than {show(self.older_than)} is not a timedelta above 0.")
            duration(self.older_than, "older_than")
        if self.stuck_factor is not None:
            check_factor(self.stuck_factor, "stuck_factor")
        if isinstance(self.max_tasks, bool) or not isinstance(self.max_tasks, int) or self.max_tasks < 1:
            raise ValueError(f"max_tasks {self.max_tasks!r} is not a whole number above 0.")

    def _check_completion_status(self, value: object, name: str) -> str:
        return check_clearing_status(value, name, self.allow_success, "set allow_success=True")

    @cached_property
    def hook(self) -> SailPointHook:
        """The hook, made when it is first used."""
        from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

        return SailPointHook(self.sailpoint_conn_id, self.api_version)

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Select, clear, and report what became of each task.

        :param context: what Airflow gives a task
        :return: the XCom: the table that the class describes
        :raises SailPointRequestError: the tenant refuses a request, or a rendered argument is invalid
        :raises SailPointClearError: more tasks match than ``max_tasks``, or some could not be cleared
        """
        stop = self._stop = threading.Event()
        try:
            selectors = self._selectors()
            completion_status = self._check_completion_status(self.completion_status, "completion_status")
            client = self.hook.connect().client
        except ValueError as error:
            raise SailPointRequestError(str(error)) from error
        results = self._results(
            lambda note: self._clear(client, selectors, completion_status, stop, note), stop
        )
        from airflow_provider_sptasks.operators._clear_table import counts, table_of

        table = table_of(results, dry_run=self._dry_run, ages=self._ages)
        self.log.info("Result: %s", counts(table))
        if failed := table["failed"]:
            context["ti"].xcom_push(key="return_value", value=table)
            raise SailPointClearError(
                f"{len(failed)} of {len(results)} tasks could not be cleared. The first: {failed[0]['error']}"
            )
        return table

    def on_kill(self) -> None:
        """Send nothing more."""
        if self._stop is not None:
            self._stop.set()

    def _results(self, work: Callable[[Note], None], stop: threading.Event) -> list[ClearResult]:
        """Do the work in a thread, so that a kill need not wait for the tenant; log what it reports."""
        reported: queue.SimpleQueue[ClearResult] = queue.SimpleQueue()
        results: list[ClearResult] = []
        pool = ThreadPoolExecutor(thread_name_prefix="sailpoint-operator")
        future = pool.submit(work, reported.put)
        last_answers_until: float | None = None
        try:
            while not (future.done() and reported.empty()):
                with suppress(queue.Empty):
                    results.append(reported.get(timeout=0.1))
                    self._log_result(results[-1])
                if stop.is_set():
                    last_answers_until = last_answers_until or time.monotonic() + LAST_ANSWERS
                    if time.monotonic() > last_answers_until:
                        break
            if stop.is_set():
                raise SailPointClearError(
                    f"Stopped after {len(results)} tasks, which are listed above. A few more may have been "
                    "sent to the tenant without an answer yet: check them there"
                )
            future.result()
        except SailPointError as error:
            kind = SailPointClearError if error.retryable else SailPointRequestError
            raise kind(f"No task was cleared. {error}") from error
        finally:
            stop.set()
            pool.shutdown(wait=False)
        return results

    def _log_result(self, result: ClearResult) -> None:
        error = f": {result.error}" if result.error else ""
        self.log.info("%-16s %s%s", result.outcome, result.status or result.task_status_id, error)

    def _selectors(self) -> Selectors:
        """Read the rendered selectors: one that was given may turn out empty, but never vanish."""
        from airflow_provider_sptasks.client.selecting import Selectors

        rendered = {}
        for name in self._given:
            if getattr(self, name) is None:
                raise ValueError(
                    f"{name} was rendered to None. Check the template, or what it is pulled from."
                )
            if name in CHECKS:
                rendered[name] = texts(getattr(self, name), name, CHECKS[name])
        return Selectors(
            task_status_ids=rendered.get("task_status_id"),
            source_ids=rendered.get("source_id"),
            unique_names=rendered.get("unique_name"),
            older_than=self.older_than,
            stuck_factor=self.stuck_factor,
        )

    def _clear(
        self,
        client: TaskStatusClient,
        selectors: Selectors,
        completion_status: str,
        stop: threading.Event,
        note: Note,
    ) -> None:
        from airflow_provider_sptasks.client.clearing import Clearing, ClearOutcome, ClearResult
        from airflow_provider_sptasks.client.selecting import select

        selected = select(client.with_stop(stop), selectors)
        self._ages = selected.ages
        if selectors.by_age and (difference := client.transport.clock.difference):
            self.log.warning(
                "Ages are by the tenant's clock, which differs from this machine's: %s", difference
            )
        for result in selected.settled:
            note(result)
        for status, why in selected.passed_over:
            if selectors.task_status_ids is not None or status.id in selected.ages:
                self.log.info("%-16s %s: %s", "not selected", status, why)
        tasks = selected.tasks
        if len(tasks) > self.max_tasks:
            raise SailPointClearError(
                f"{len(tasks)} pending tasks match, which is more than max_tasks={self.max_tasks}, so none "
                f"was cleared. Select fewer, or raise max_tasks. The first: {', '.join(map(str, tasks[:3]))}"
            )
        self.log.info("Pending tasks that match: %d", len(tasks))
        if self._dry_run:
            for status in tasks:
                note(ClearResult(status.id, ClearOutcome.WOULD_CLEAR, status))
        else:
            Clearing(client, completion_status=completion_status, stop=stop, note=note).run(tasks)
