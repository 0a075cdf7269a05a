"""Sensors that wait for tasks of a SailPoint tenant."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    conf,
)
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_sptasks.arguments import check_api_version, check_flag, check_literals, texts
from airflow_provider_sptasks.client.errors import NotFoundError, SailPointError, UnauthorizedError
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointTaskFailedError,
    SailPointTaskNotFoundError,
)
from airflow_provider_sptasks.from_trigger import airflow_can, too_many, why_not_end, why_not_start
from airflow_provider_sptasks.waiting import (
    Narrator,
    completion_statuses,
    failure,
    judge,
    result,
    task_not_found,
)

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_sptasks.client.client import TaskStatusClient
    from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
    from airflow_provider_sptasks.triggers.sailpoint import SailPointTaskTrigger

# A look that fails is tried again for at most this long before the sensor goes on with its own rhythm.
LONGEST_LOOK = 60.0
# The sensor comes back by itself, so a look need not be tried more often.
ATTEMPTS = 4
EMPTY = "task_status_id is an empty list. Give one id at least."


class SailPointTaskSensor(BaseSensorOperator):
    """
    Waits until tasks of SailPoint have ended: until their ``completionStatus`` is set.

    Succeeds when all of them ended with an accepted status, and returns the task status as
    :meth:`~airflow_provider_sptasks.client.models.TaskStatus.to_json` gives it, or a list of them, each
    once and in the order of the ids, where a list of ids was given. All of them are asked for in one request.

    Fails at once, and without retry, when one of them ended otherwise, since an ended task never changes;
    when the tenant doesn't know one of them; and when it refuses the request (400, 401, 403). Whatever
    may pass (no connection, 429, 5xx) is waited out until ``timeout``. ``soft_fail`` makes each of these
    a skip.

    The status is read with ``GET /task-status``, see
    https://developer.sailpoint.com/docs/api/v2026/get-task-status-list.

    :param task_status_id: SailPoint's id of the task, or several of them (templated)
    :param accepted_statuses: the completion statuses that open the gate, of ``SUCCESS WARNING ERROR
        TERMINATED TEMPERROR``; ``None`` for whatever status is set, even one that nobody knows
    :param sailpoint_conn_id: the Airflow connection (templated)
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``; ``None`` for the connection's
        (templated)
    :param not_found_grace: for how long after the first look, in seconds or as a ``timedelta``, a task may
        be unknown to the tenant, which needs a moment to show one that was just started
    :param deferrable: wait in the triggerer, where all gates of a connection share their requests and none
        holds a worker slot; ``poke_interval`` is then the longest that a look may take to come
    :param start_from_trigger: start in the triggerer too, without a process on a worker (Airflow 3.3). Needs
        ``deferrable``. Arguments may be literals and templates of what is known when the DAG run starts, such
        as ``{{ params.x }}``, ``{{ dag_run.conf['x'] }}``, ``{{ var.value.x }}``, or
        ``{{ ti.xcom_pull(task_ids='x', map_indexes=-1) }}``. Where Airflow can't do it (other templates,
        results of other tasks as ``XComArg``, ``pre_execute``, ``on_execute_callback``, mapped tasks, Airflow
        before 3.3) the gate starts on a worker, and the log says why
    :param end_from_trigger: when waiting in the triggerer, end a success there too (Airflow 3.3): the result
        is set as the same XCom, and no process is started for that. Any other outcome ends on a worker, and
        so does a success when the task has ``outlets``, ``on_success_callback``, ``on_skipped_callback``,
        ``multiple_outputs``, ``map_index_template`` or ``post_execute``, when a task is mapped over its
        result, and when a plugin listens to tasks that succeed
    :raises ValueError: a literal argument can't be right, when the DAG is parsed
    :raises SailPointTaskFailedError: a task ended with a status that isn't accepted
    :raises SailPointTaskNotFoundError: the tenant doesn't know a task
    :raises SailPointRequestError: the tenant refuses the request, or a rendered argument can't be right
    """

    template_fields: Sequence[str] = ("task_status_id", "sailpoint_conn_id", "api_version")
    ui_color = "#cfe8fc"

    def __init__(
        self,
        *,
        task_status_id: str | Sequence[str] | XComArg,
        accepted_statuses: str | Iterable[str] | None = ("SUCCESS", "WARNING"),
        sailpoint_conn_id: str = "sailpoint_default",
        api_version: str | None = None,
        not_found_grace: float | timedelta = 60.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        end_from_trigger: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task_status_id = task_status_id
        self.accepted_statuses = accepted_statuses
        self.sailpoint_conn_id = sailpoint_conn_id
        self.api_version = api_version
        self.not_found_grace = not_found_grace
        if isinstance(task_status_id, (list, tuple)) and not task_status_id:
            raise ValueError(EMPTY)
        check_literals(task_status_id, "task_status_id", check_id)
        check_api_version(api_version)
        self.deferrable = deferrable
        self.end_from_trigger = check_flag(end_from_trigger, "end_from_trigger")
        self._accepted = completion_statuses(accepted_statuses)
        self._grace = _duration(not_found_grace, "not_found_grace")
        self._first_look: datetime | None = None
        self._why_on_a_worker: str | None = None
        self.start_from_trigger = check_flag(start_from_trigger, "start_from_trigger")
        if start_from_trigger:
            self._start_from_trigger()

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
        if "not_found" in event:
            raise SailPointTaskNotFoundError(event["not_found"])
        if "refused" in event:
            raise SailPointRequestError(event["refused"])
        found = {status.id: status for status in map(TaskStatus.from_json, event["statuses"])}
        look = self._judge(self._ids(), found)
        if not look.is_done:
            raise SailPointRequestError(f"The trigger came back before all tasks had ended: {event}")
        return look.xcom_value

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once at all tasks, and judge what is there."""
        ids = self._ids()
        if self._first_look is None:
            self._first_look = self._waiting_since(context)
            self._narrator.begin(ids)
        must_exist = datetime.now(UTC) - self._first_look >= self._grace
        try:
            found = self._look(ids, must_exist)
        except SailPointError as error:
            if not error.retryable:
                raise SailPointRequestError(str(error)) from error
            self._narrator.trouble(error)
            return PokeReturnValue(is_done=False)
        except ValueError as error:
            raise SailPointRequestError(str(error)) from error
        return self._judge(ids, found)

    def _start_from_trigger(self) -> None:
        """Have Airflow start the gate in the triggerer, or remember why it can't."""
        if not self.deferrable:
            raise ValueError("start_from_trigger is True, and deferrable is not. Set deferrable=True too.")
        self._why_on_a_worker = why_not_start(
            self, {each: getattr(self, each) for each in self.template_fields}
        )
        if self._why_on_a_worker:
            self.start_from_trigger = False
            self.log.info("%s starts on a worker: %s", self.task_id, self._why_on_a_worker)
            return
        if warning := too_many(self):
            self.log.warning("%s", warning)
        from airflow.triggers.base import StartTriggerArgs

        # The rest of what may speak against it, the trigger sees in the serialized DAG.
        ends = self.end_from_trigger and self._post_execute_hook is None
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="airflow_provider_sptasks.triggers.sailpoint.SailPointTaskTrigger",
            trigger_kwargs=self._trigger_arguments(self.task_status_id, self._grace, ends),
            next_method="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def _trigger(self) -> SailPointTaskTrigger:
        from airflow_provider_sptasks.triggers.sailpoint import SailPointTaskTrigger

        first_look = self._first_look or datetime.now(UTC)
        grace = max(timedelta(0), first_look + self._grace - datetime.now(UTC))
        ends = self.end_from_trigger and airflow_can() and why_not_end(self) is None
        task_status_id = self.task_status_id if isinstance(self.task_status_id, str) else self._ids()
        return SailPointTaskTrigger(**self._trigger_arguments(task_status_id, grace, ends))

    def _trigger_arguments(
        self, task_status_id: object, grace: timedelta, end_from_trigger: bool
    ) -> dict[str, Any]:
        return {
            "task_status_id": task_status_id,
            "accepted_statuses": None if self._accepted is None else sorted(self._accepted),
            "sailpoint_conn_id": self.sailpoint_conn_id,
            "api_version": self.api_version,
            "poke_interval": self.poke_interval,
            "not_found_grace": grace.total_seconds(),
            "end_from_trigger": end_from_trigger,
            "do_xcom_push": self.do_xcom_push,
        }

    def _ids(self) -> list[str]:
        try:
            ids = texts(self.task_status_id, "task_status_id", check_id)
        except ValueError as error:
            raise SailPointRequestError(str(error)) from error
        if not ids:
            raise SailPointRequestError(EMPTY)
        return ids

    def _waiting_since(self, context: Context) -> datetime:
        first = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        return first or datetime.now(UTC)

    def _look(self, ids: Sequence[str], must_exist: bool) -> dict[str, TaskStatus]:
        try:
            return self._find(self.hook.client, ids, must_exist)
        except UnauthorizedError:
            # The credentials may have been rotated while the sensor waited: read the connection again.
            self.__dict__.pop("hook").client.close()
            return self._find(self.hook.client, ids, must_exist)

    def _find(self, client: TaskStatusClient, ids: Sequence[str], must_exist: bool) -> dict[str, TaskStatus]:
        found = client.find(ids)
        for missing in [each for each in ids if each not in found] if must_exist else []:
            try:
                found[missing] = client.get(missing)
            except NotFoundError as error:
                raise task_not_found(missing, self.sailpoint_conn_id, error) from error
        return found

    def _judge(self, ids: Sequence[str], found: Mapping[str, TaskStatus]) -> PokeReturnValue:
        self._narrator.look(found)
        verdict = judge(ids, found, self._accepted)
        if verdict.refused:
            raise SailPointTaskFailedError(failure(verdict.refused))
        if not verdict.is_done:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=result(self.task_status_id, ids, found))


def _duration(value: float | timedelta, name: str) -> timedelta:
    if isinstance(value, timedelta):
        duration = value
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        duration = timedelta(seconds=value)
    else:
        raise ValueError(f"{name} {value!r} is neither seconds nor a timedelta.")
    if duration < timedelta(0):
        raise ValueError(f"{name} {value!r} is negative. Give seconds, or a timedelta, from 0 on.")
    return duration
