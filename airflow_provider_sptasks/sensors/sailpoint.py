"""Sensors that wait for tasks of a SailPoint tenant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_sptasks.arguments import check_api_version, check_literals, cut_list, texts
from airflow_provider_sptasks.client.errors import NotFoundError, SailPointError, UnauthorizedError
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import MAX_TEXT, CompletionStatus, TaskStatus
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointTaskFailedError,
    SailPointTaskNotFoundError,
)

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_sptasks.client.client import TaskStatusClient
    from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

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
        self._accepted = _completion_statuses(accepted_statuses)
        self._grace = _duration(not_found_grace, "not_found_grace")
        self._first_look: datetime | None = None
        self._trouble: SailPointError | None = None
        self._told: dict[str, str] = {}

    @cached_property
    def hook(self) -> SailPointHook:
        """The hook, made when it is first used."""
        from airflow_provider_sptasks.client.retry import RetryPolicy
        from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

        deadline = min(self.poke_interval, self.timeout, LONGEST_LOOK)
        retry = RetryPolicy(deadline=deadline, max_attempts=ATTEMPTS)
        return SailPointHook(self.sailpoint_conn_id, self.api_version, retry=retry)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once at all tasks, and judge what is there."""
        ids = self._ids()
        if self._first_look is None:
            self._first_look = self._waiting_since(context)
            self.log.info("Waiting for the completion of %s", cut_list(ids))
        must_exist = datetime.now(UTC) - self._first_look >= self._grace
        try:
            found = self._look(ids, must_exist)
        except SailPointError as error:
            if not error.retryable:
                raise SailPointRequestError(str(error)) from error
            if self._trouble is None:
                self.log.warning("Can't see the tasks at the moment, waiting on: %s", error)
            self._trouble = error
            return PokeReturnValue(is_done=False)
        except ValueError as error:
            raise SailPointRequestError(str(error)) from error
        if self._trouble is not None:
            self.log.info("The tasks can be seen again")
            self._trouble = None
        return self._judge(ids, found)

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
                raise SailPointTaskNotFoundError(
                    f"task_status_id {missing!r} is unknown to the tenant, or older than the 90 days that it "
                    f"keeps. Check the id, and that connection {self.sailpoint_conn_id!r} is of the right "
                    f"tenant. {error}"
                ) from error
        return found

    def _judge(self, ids: Sequence[str], found: Mapping[str, TaskStatus]) -> PokeReturnValue:
        """Decide what the tasks' statuses mean: the one place that does, whatever the sensor's mode."""
        for status in found.values():
            self._tell(status)
        refused = [each for each in found.values() if each.is_complete and not self._accepts(each)]
        if refused:
            raise SailPointTaskFailedError(cut_list(map(_failure, refused), "; "))
        if not all(each in found and found[each].is_complete for each in ids):
            return PokeReturnValue(is_done=False)
        results = [found[each].to_json() for each in ids]
        return PokeReturnValue(
            is_done=True, xcom_value=results[0] if isinstance(self.task_status_id, str) else results
        )

    def _accepts(self, status: TaskStatus) -> bool:
        return self._accepted is None or status.completion_status in self._accepted

    def _tell(self, status: TaskStatus) -> None:
        """Log a task once for each change of its progress."""
        if status.is_complete:
            counters = ", ".join(f"{name} {value}" for name, value in status.counters.items())
            line = f"{status.outcome()}{f': {counters}' if counters else ''}"
        else:
            percent = "" if status.percent_complete is None else f" ({status.percent_complete} %)"
            line = f"{status}: {status.progress or 'pending'}{percent}"
        if self._told.get(status.id) != line:
            self._told[status.id] = line
            self.log.info("%s", line)


def _failure(status: TaskStatus) -> str:
    messages = "; ".join(message[:MAX_TEXT] for message in status.messages[:3])
    return f"{status.outcome()}{f': {messages}' if messages else ''}"


def _completion_statuses(names: str | Iterable[str] | None) -> frozenset[CompletionStatus] | None:
    if names is None:
        return None
    if not isinstance(names, Iterable):
        raise ValueError(f"accepted_statuses is {type(names).__name__}, not names. It can't come by XCom.")
    known = [status for status in CompletionStatus if status is not CompletionStatus.UNKNOWN]
    statuses = set()
    for name in [names] if isinstance(names, str) else names:
        status = CompletionStatus.parse(name) if isinstance(name, str) else CompletionStatus.UNKNOWN
        if status not in known:
            raise ValueError(
                f"accepted_statuses holds {name!r}. Use some of {', '.join(known)}, or None for any."
            )
        statuses.add(status)
    if not statuses:
        raise ValueError(f"accepted_statuses is empty. Use {', '.join(known)}, or None for any.")
    return frozenset(statuses)


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
