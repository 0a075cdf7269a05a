"""The operator that starts an aggregation, once, and waits for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf
from airflow.sdk import BaseOperator

from airflow_provider_sptasks.arguments import (
    NOT_GIVEN,
    NotGiven,
    check_api_version,
    check_choice,
    check_flag,
    check_literals,
    check_name,
    check_text,
    completion_statuses,
    texts,
)
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import STARTABLE_KINDS, TaskKind
from airflow_provider_sptasks.client.start_options import StartOptions, check_start
from airflow_provider_sptasks.links import SailPointAggregationLink
from airflow_provider_sptasks.times import duration

try:
    from airflow.sdk.exceptions import TaskDeferralTimeout
except ImportError:  # Airflow 3.1
    from airflow.exceptions import TaskDeferralTimeout  # type: ignore[no-redef]

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
    from airflow_provider_sptasks.operators._start_run import StartRun

KINDS = tuple(kind.value for kind in STARTABLE_KINDS)
IF_RUNNING = ("wait", "attach", "fail", "skip")


class SailPointStartAggregationOperator(BaseOperator):
    """
    Starts an aggregation of a source, waits until it has ended, and never starts it twice.

    Succeeds when it ended with an accepted status, and returns the task status as
    :class:`~airflow_provider_sptasks.client.TaskStatusDict`. Fails at once, and without
    retry, when it ended otherwise, when the tenant refuses (400, 401, 403, 404), and at ``timeout``.
    Transient errors (no connection, 429, 5xx) are waited out until then. Nothing is started after it.

    **Never twice.** When the answer to a start is lost, the aggregation is looked for among what the source
    launched since, for 2 minutes, before the request is sent again; what runs then is taken for it unless it
    ran before. A retry of the Airflow task, as after a worker that died, goes on with the aggregation that an
    earlier try started:

    * Airflow 3.3 keeps what the retry has to know in the task's state store: before the start, which
      aggregations there were, and after it, the id. The retry attaches to that id, or to the first
      aggregation of the source and kind that was not there before. When no other client starts aggregations
      of the same source and kind at that moment, that is always its own.
    * Airflow 3.1 and 3.2 keep nothing. There a retry attaches to the newest aggregation of the source and
      kind that was launched since the DAG run started, and starts one if there is none. So it never starts
      a second one, but takes one that SailPoint's schedule or others launched meanwhile for its own.

    A task that a user clears starts a new aggregation when it runs again; while the one before still runs,
    ``if_running`` says what to do.

    The credentials need the scope ``idn:sources:manage`` for accounts, ``idn:entitlement:manage`` and a
    personal access token for entitlements, and ``idn:task-management:read``. See
    https://developer.sailpoint.com/docs/api/v2026/import-accounts.

    :param source_id: SailPoint's id of the source (templated)
    :param source_name: its name instead, case-insensitive (templated); needs the scope ``idn:sources:read``
    :param kind: ``accounts``, ``entitlements``, ``uncorrelated_accounts``, ``ai_agents`` (from ``v2025`` on)
        or ``datasets`` (on ``v1``)
    :param file: path of a CSV file of any size on the worker, for delimited-file sources and uncorrelated
        accounts (templated)
    :param object_type: the entitlement schema that a file of entitlements is for, such as ``group``
        (templated)
    :param dataset_ids: the datasets that AI agents are read from, or the one to aggregate (templated)
    :param disable_optimization: process what has not changed as well; for ``accounts`` and ``ai_agents``
    :param if_running: what to do while another aggregation of the source runs, of whichever kind: ``wait``
        until it has ended, in whichever way, and start then, and so on until ``timeout``; ``attach`` to it
        if it is of the same kind (another kind is waited for); ``fail``; or ``skip``
    :param wait_for_completion: ``False`` to return SailPoint's id of the task at once, for a
        ``SailPointTaskSensor`` further down
    :param accepted_statuses: the completion statuses to succeed with, of ``SUCCESS WARNING ERROR TERMINATED
        TEMPERROR``; ``None`` for any status
    :param deferrable: wait in the triggerer, as the sensor does; starting is done on a worker
    :param end_from_trigger: when waiting in the triggerer, end a success there too, as the sensor does
    :param poke_interval: maximum time between two polls, in seconds or as a ``timedelta``
    :param timeout: how long all of it may take, for each try, in seconds or as a ``timedelta``
    :param clear_on_kill: when a user marks or clears the waiting task, clear the *record* of the aggregation
        if it is known to have been started by this task: SailPoint shows it as ended with ``Error``, and so
        do other sensors see it. That does **not** stop the aggregation. Needs ``idn:task-management:write``
        and a personal access token. On a worker, Airflow doesn't tell that from ``execution_timeout`` or a
        worker that is shut down; for a deferred task it takes Airflow 3.3
    :param sailpoint_conn_id: the Airflow connection (templated)
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``; ``None`` for the connection's
        (templated)
    :raises ValueError: a literal argument is invalid, when the DAG is parsed
    :raises SailPointStartError: another aggregation runs, with ``if_running="fail"``; the file can't be read;
        or the task was stopped. This is retried
    :raises SailPointTaskFailedError: the aggregation ended with a status that isn't accepted
    :raises SailPointTaskNotFoundError: the tenant doesn't know the aggregation any more
    :raises SailPointSourceNotFoundError: the tenant has no source of that name, or several
    :raises SailPointRequestError: the tenant refuses, or a rendered argument is invalid
    :raises AirflowSkipException: another aggregation runs, with ``if_running="skip"``
    :raises AirflowNotFoundException: Airflow has had no such connection for 15 seconds. This is retried
    :raises AirflowSensorTimeout: the timeout has passed
    """

    template_fields: Sequence[str] = (
        "source_id",
        "source_name",
        "file",
        "object_type",
        "dataset_ids",
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
        object_type: str | XComArg | None = None,
        dataset_ids: str | Sequence[str] | XComArg | None = None,
        disable_optimization: bool = False,
        if_running: str = "wait",
        wait_for_completion: bool = True,
        accepted_statuses: str | Iterable[str] | None = ("SUCCESS", "WARNING"),
        deferrable: bool = conf.getboolean("operators", "default_deferrable"),
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
        self.object_type = object_type
        self.dataset_ids = dataset_ids
        self.disable_optimization = check_flag(disable_optimization, "disable_optimization")
        self.if_running = check_choice(if_running, "if_running", IF_RUNNING)
        self.wait_for_completion = check_flag(wait_for_completion, "wait_for_completion")
        self.accepted_statuses = accepted_statuses
        self.deferrable = deferrable
        # Not by its own name: where a plugin listens to anything, Airflow refuses DAGs with that attribute.
        self.ends_from_trigger = check_flag(end_from_trigger, "end_from_trigger")
        self.poke_interval = poke_interval
        self.timeout = timeout
        self.clear_on_kill = check_flag(clear_on_kill, "clear_on_kill")
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self.with_file = file is not None
        self.with_object_type = object_type is not None
        self.with_datasets = dataset_ids is not None
        self.accepted = completion_statuses(accepted_statuses)
        self._run: StartRun | None = None
        self._check_literals()

    def _check_literals(self) -> None:
        if self._by_name:
            check_literals(self.source_name, "source_name", check_name)
        else:
            check_literals(self.source_id, "source_id", check_id)
        if self.with_file:
            check_literals(self.file, "file", check_text)
        if self.with_object_type:
            check_literals(self.object_type, "object_type", check_text)
        if self.with_datasets:
            check_literals(self.dataset_ids, "dataset_ids", check_id)
        check_start(
            TaskKind(self.kind),
            file=self.with_file,
            disable_optimization=self.disable_optimization,
            object_type=self.with_object_type,
            dataset_ids=self.with_datasets,
        )
        check_api_version(self.api_version)
        duration(self.poke_interval, "poke_interval")
        duration(self.timeout, "timeout")

    def options(self) -> StartOptions:
        """
        Return the rendered options.

        :raises ValueError: one is invalid
        """
        return StartOptions(
            check_text(self.file, "file") if self.with_file else None,
            self.disable_optimization,
            check_text(self.object_type, "object_type") if self.with_object_type else None,
            tuple(texts(self.dataset_ids, "dataset_ids", check_id)) if self.with_datasets else (),
        )

    @cached_property
    def hook(self) -> SailPointHook:
        """The hook, made when it is first used."""
        from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

        return SailPointHook(self.sailpoint_conn_id, self.api_version)

    @property
    def source_page(self) -> str | None:
        """The URL of the source's page in SailPoint's UI, once the source is known."""
        source_id = None if self._run is None else self._run.source_id
        return None if source_id is None else self.hook.sources.page(source_id)

    def execute(self, context: Context) -> Any:
        """
        Start the aggregation, and wait for it.

        :param context: what Airflow gives a task
        :return: the XCom: the task status as :class:`~airflow_provider_sptasks.client.TaskStatusDict`, or the
            task's id with ``wait_for_completion=False``
        """
        return self._new_run(None).start(context)

    def start_after(
        self,
        context: Context,
        event: dict[str, Any],
        source_id: str | None = None,
        ends_at: str | None = None,
    ) -> Any:
        """
        Start the aggregation after another one has ended, in whichever way; it may also be gone.

        :param context: what Airflow gives a task
        :param event: what the trigger yielded
        :param source_id: SailPoint's id of the source; ``None`` where Airflow doesn't hand it on
        :param ends_at: when the timeout has passed, ISO 8601; ``None`` as above
        :return: the XCom, as :meth:`execute` does
        """
        return self._new_run(ends_at).start_after(context, event, source_id)

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any],
        wait: Mapping[str, Any] | None = None,
        own: bool = False,
        ends_at: str | None = None,
    ) -> Any:
        """
        Judge what the trigger saw, by the wait that it carries; nothing is rendered again for that.

        :param context: what Airflow gives a task
        :param event: what the trigger yielded
        :param wait: what was waited for, should the worker have to poll again; ``None`` where Airflow doesn't
            hand it on
        :param own: whether the aggregation is known to have been started here
        :param ends_at: when the timeout has passed, ISO 8601; ``None`` as above
        :return: the XCom, as :meth:`execute` does
        """
        return self._new_run(ends_at).complete(context, event, wait, own)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Let the end of the timeout fail as on a worker: without retry."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            from airflow_provider_sptasks.operators._start_messages import too_late

            error = too_late(duration(self.timeout, "timeout"), "waiting in the triggerer")
        self.log.error("%s", error)
        raise error from None

    def on_kill(self) -> None:
        """Send nothing more, and clear the record of what was started here if that is wanted."""
        if self._run is not None:
            self._run.stop()

    def _new_run(self, ends_at: str | None) -> StartRun:
        from airflow_provider_sptasks.operators._start_run import StartRun

        self._run = StartRun(self, ends_at)
        return self._run
