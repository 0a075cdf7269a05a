"""Sensors that wait for tasks of a SailPoint tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import conf

from airflow_provider_sptasks.arguments import (
    check_choice,
    check_literals,
    check_name,
    is_rendered_later,
    status_names,
)
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.sensors._base import SailPointSensor
from airflow_provider_sptasks.times import aware_datetime, duration
from airflow_provider_sptasks.waiting.options import (
    IF_FAILED,
    KINDS,
    NO_TASK,
    NOT_FOUND_GRACE_SECONDS,
    RETRY_GRACE_SECONDS,
)

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from airflow_provider_sptasks.waiting.aggregations import AggregationWait
    from airflow_provider_sptasks.waiting.tasks import TaskWait

DEFERRABLE = conf.getboolean("operators", "default_deferrable")
# Since the start of the data interval; in the day before the run where there is none.
LAUNCHED_AFTER = (
    "{{ data_interval_start if data_interval_start is defined and data_interval_start"
    " and data_interval_start < data_interval_end else dag_run.run_after - macros.timedelta(days=1) }}"
)


class SailPointTaskSensor(SailPointSensor):
    """
    Waits until tasks of SailPoint have ended: until their ``completionStatus`` is set.

    Succeeds when all of them ended with an accepted status, and returns the task status as
    :class:`~airflow_provider_sptasks.client.TaskStatusDict`, or a list of them, each once and in the order of
    the ids, if a list of ids was given. About 200 of them are asked for in one request.

    Fails without retry when one of them ended otherwise, since an ended task never changes; when the tenant
    doesn't know one of them after ``not_found_grace``; and when it refuses the request (400, 401, 403, 404),
    if nothing has worked yet or that repeats for 2 minutes. Transient errors (no connection, 429, 5xx) are
    waited out until ``timeout``. ``soft_fail`` makes each failure a skip.

    The status is read with ``GET /task-status``, see
    https://developer.sailpoint.com/docs/api/v2026/get-task-status-list.

    :param task_status_id: SailPoint's id of the task, or several of them (templated)
    :param accepted_statuses: the completion statuses to succeed with, of ``SUCCESS WARNING ERROR
        TERMINATED TEMPERROR``; ``None`` for any status, even an unknown one
    :param sailpoint_conn_id: the Airflow connection (templated)
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``; ``None`` for the connection's
        (templated)
    :param not_found_grace: for how long after the first poll, in seconds or as a ``timedelta``, a task may
        be unknown to the tenant, which needs a moment to show one that was just started
    :param deferrable: wait in the triggerer, where all sensors of a connection share their requests and none
        holds a worker slot; ``poke_interval`` is then the maximum between two polls
    :param start_from_trigger: start in the triggerer too, without a process on a worker (Airflow 3.3). Needs
        ``deferrable``. Arguments may be literals and templates of what is known when the DAG run starts, such
        as ``{{ params.x }}``, ``{{ dag_run.conf['x'] }}``, ``{{ var.value.x }}``, or
        ``{{ ti.xcom_pull(task_ids='x', map_indexes=-1) }}``. Where Airflow can't do it (other templates,
        results of other tasks as ``XComArg``, ``pre_execute``, ``on_execute_callback``, mapped tasks, Airflow
        before 3.3) the sensor starts on a worker, and the log says why
    :param end_from_trigger: when waiting in the triggerer, end a success there too (Airflow 3.3): the result
        is set as the same XCom, and no process is started for that. Any other outcome ends on a worker, and
        so does a success when the task has ``outlets``, ``on_success_callback``, ``on_skipped_callback``,
        ``multiple_outputs``, ``map_index_template`` or ``post_execute``, when a task is mapped over its
        result, and when a plugin listens to tasks that succeed
    :raises ValueError: a literal argument is invalid, when the DAG is parsed
    :raises SailPointTaskFailedError: a task ended with a status that isn't accepted
    :raises SailPointTaskNotFoundError: the tenant doesn't know a task
    :raises SailPointRequestError: the tenant refuses the request, or a rendered argument is invalid
    :raises AirflowNotFoundException: Airflow has had no such connection for 15 seconds
    :raises AirflowSensorTimeout: the timeout has passed
    """

    template_fields: Sequence[str] = ("task_status_id", "sailpoint_conn_id", "api_version")
    trigger_class = "airflow_provider_sptasks.triggers.sailpoint.SailPointTaskTrigger"

    def __init__(
        self,
        *,
        task_status_id: str | Sequence[str] | XComArg,
        accepted_statuses: str | Iterable[str] | None = ("SUCCESS", "WARNING"),
        sailpoint_conn_id: str = "sailpoint_default",
        api_version: str | None = None,
        not_found_grace: float | timedelta = NOT_FOUND_GRACE_SECONDS,
        deferrable: bool = DEFERRABLE,
        start_from_trigger: bool = False,
        end_from_trigger: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            accepted_statuses=accepted_statuses,
            sailpoint_conn_id=sailpoint_conn_id,
            api_version=api_version,
            deferrable=deferrable,
            start_from_trigger=start_from_trigger,
            end_from_trigger=end_from_trigger,
            **kwargs,
        )
        self.task_status_id = task_status_id
        self.not_found_grace = not_found_grace
        if isinstance(task_status_id, (list, tuple)) and not task_status_id:
            raise ValueError(NO_TASK)
        check_literals(task_status_id, "task_status_id", check_id)
        duration(not_found_grace, "not_found_grace")
        self._prepare_start()

    def _parse(self) -> TaskWait:
        return self._read(
            {
                "task_status_id": self.task_status_id,
                "accepted_statuses": self._accepted,
                "not_found_grace": self.not_found_grace,
            }
        )

    def _read(self, arguments: Mapping[str, Any]) -> TaskWait:
        from airflow_provider_sptasks.waiting.tasks import TaskWait

        return TaskWait.parse(**arguments)

    def _literals(self) -> dict[str, Any]:
        return {
            "task_status_id": self.task_status_id,
            "accepted_statuses": status_names(self._accepted),
            "not_found_grace": duration(self.not_found_grace, "not_found_grace").total_seconds(),
            "waiting_since": None,
        }


class SailPointAggregationSensor(SailPointSensor):
    """
    Waits until sources have been aggregated: until the ``completionStatus`` of their aggregation is set.

    Of each source, the newest aggregation of the kind counts that was launched at ``launched_after`` or
    later. The sensor succeeds when there is one for every source and it ended with an accepted status; the
    result is its task status as :class:`~airflow_provider_sptasks.client.TaskStatusDict`, or a list of them
    in the order of the sources, if a list was given.

    One that runs when the sensor begins is waited for. One that is launched later takes nothing back if the
    one before it ended with an accepted status, or sources that are aggregated all the time would never be
    done together. One that was launched before ``launched_after`` doesn't count, whenever it ends. A queued
    record counts from its creation until it is launched; a newer one decides.

    By default that is what a daily DAG wants. With a run at 06:00 each day:

    * An aggregation that ran from 02:00 to 02:40 lets the run at 06:00 go on at once.
    * One that began at 05:50 and runs until 06:20 does so at 06:20.
    * If last night's did not run at all, the sensor waits for the next one. The one of the night before,
      from 02:00 on, doesn't count: ``launched_after`` is 06:00 of the day before.

    ``launched_after`` is the start of the data interval, where the DAG's timetable has one (a run for the
    interval from 06:00 yesterday to 06:00 today starts at 06:00 today), and otherwise a day before
    ``dag_run.run_after``: for cron schedules as Airflow 3 has them by default, for runs by hand, and for runs
    by assets. So a run that is repeated, or filled in later, uses the same boundary. A DAG that runs more
    often without data intervals gives its own, for example ``launched_after="{{ dag_run.run_after -
    macros.timedelta(hours=1) }}"``; one that must see an aggregation launched after its own start gives ``"{{
    dag_run.run_after }}"``. SailPoint keeps 90 days.

    Fails without retry when an aggregation ended otherwise, unless ``if_failed`` is ``wait_for_next``; when
    the tenant doesn't know a source; and when it refuses the request (400, 401, 403, 404), if nothing has
    worked yet or that repeats for 2 minutes. Transient errors (no connection, 429, 5xx) are waited out until
    ``timeout``. ``soft_fail`` makes each failure a skip.

    Read with ``GET /task-status``, see https://developer.sailpoint.com/docs/api/v2026/get-task-status-list,
    filtered by ``sourceId``: all sources that are due are asked for together. The kind is read from the
    tasks' names.

    :param source_id: SailPoint's id of the source, or several of them (templated)
    :param source_name: instead of that, the name of the source, or several; looked up with
        ``GET /sources``, which needs the scope ``idn:sources:read`` (templated)
    :param kind: ``accounts``, ``entitlements``, ``uncorrelated_accounts``, ``machine_identities``,
        ``ai_agents``, ``datasets``, ``application_discovery``, or ``any`` of these
    :param launched_after: when an aggregation that counts was launched at the earliest: an aware ``datetime``
        or ISO 8601 with a time zone (templated)
    :param accepted_statuses: the completion statuses to succeed with, of ``SUCCESS WARNING ERROR
        TERMINATED TEMPERROR``; ``None`` for any status, even an unknown one
    :param if_failed: what to do when an aggregation ended otherwise: ``fail``, or ``wait_for_next``
    :param retry_grace: for how long after a ``TEMPERROR``, in seconds or as a ``timedelta``, SailPoint's own
        retry is waited for to be launched
    :param sailpoint_conn_id: the Airflow connection (templated)
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``; ``None`` for the connection's
        (templated)
    :param deferrable: as in :class:`SailPointTaskSensor`
    :param start_from_trigger: as in :class:`SailPointTaskSensor`
    :param end_from_trigger: as in :class:`SailPointTaskSensor`
    :raises ValueError: a literal argument is invalid, when the DAG is parsed
    :raises SailPointTaskFailedError: an aggregation ended with a status that isn't accepted
    :raises SailPointSourceNotFoundError: the tenant doesn't know a source, or knows several of a name
    :raises SailPointRequestError: the tenant refuses the request, or a rendered argument is invalid
    :raises AirflowNotFoundException: Airflow has had no such connection for 15 seconds
    :raises AirflowSensorTimeout: the timeout has passed
    """

    template_fields: Sequence[str] = (
        "source_id",
        "source_name",
        "launched_after",
        "sailpoint_conn_id",
        "api_version",
    )
    trigger_class = "airflow_provider_sptasks.triggers.sailpoint.SailPointAggregationTrigger"

    def __init__(
        self,
        *,
        source_id: str | Sequence[str] | XComArg | None = None,
        source_name: str | Sequence[str] | XComArg | None = None,
        kind: str = "accounts",
        launched_after: str | datetime | XComArg = LAUNCHED_AFTER,
        accepted_statuses: str | Iterable[str] | None = ("SUCCESS", "WARNING"),
        if_failed: Literal["fail", "wait_for_next"] = "fail",
        retry_grace: float | timedelta = RETRY_GRACE_SECONDS,
        sailpoint_conn_id: str = "sailpoint_default",
        api_version: str | None = None,
        deferrable: bool = DEFERRABLE,
        start_from_trigger: bool = False,
        end_from_trigger: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            accepted_statuses=accepted_statuses,
            sailpoint_conn_id=sailpoint_conn_id,
            api_version=api_version,
            deferrable=deferrable,
            start_from_trigger=start_from_trigger,
            end_from_trigger=end_from_trigger,
            **kwargs,
        )
        self.source_id = source_id
        self.source_name = source_name
        self.kind = check_choice(kind, "kind", KINDS)
        self.launched_after = launched_after
        self.if_failed = check_choice(if_failed, "if_failed", IF_FAILED)
        self.retry_grace = retry_grace
        duration(retry_grace, "retry_grace")
        if (source_id is None) == (source_name is None):
            raise ValueError(
                f"source_id is {source_id!r} and source_name {source_name!r}. Give one of the two."
            )
        name, given, check = (
            ("source_id", source_id, check_id)
            if source_name is None
            else ("source_name", source_name, check_name)
        )
        if isinstance(given, (list, tuple)) and not given:
            raise ValueError(f"{name} is an empty list. Give one at least.")
        check_literals(given, name, check)
        if not is_rendered_later(launched_after):
            aware_datetime(launched_after, "launched_after")
        self._prepare_start()

    def _parse(self) -> AggregationWait:
        return self._read(
            {
                "source_id": self.source_id,
                "source_name": self.source_name,
                "kind": self.kind,
                "launched_after": self.launched_after,
                "accepted_statuses": self._accepted,
                "if_failed": self.if_failed,
                "retry_grace": self.retry_grace,
            }
        )

    def _read(self, arguments: Mapping[str, Any]) -> AggregationWait:
        from airflow_provider_sptasks.waiting.aggregations import AggregationWait

        return AggregationWait.parse(**arguments)

    def _literals(self) -> dict[str, Any]:
        launched_after = self.launched_after
        return {
            "source_id": self.source_id,
            "source_name": self.source_name,
            "kind": self.kind,
            "launched_after": launched_after.isoformat()
            if isinstance(launched_after, datetime)
            else launched_after,
            "accepted_statuses": status_names(self._accepted),
            "if_failed": self.if_failed,
            "retry_grace": duration(self.retry_grace, "retry_grace").total_seconds(),
            "waiting_since": None,
        }
