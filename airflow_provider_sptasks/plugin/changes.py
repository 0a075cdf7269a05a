"""What users change by the page: they clear tasks and start aggregations. The audit log has each change."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow.models.log import Log
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.utils.session import create_session

from airflow_provider_sptasks.client.clearing import Clearing, ClearOutcome, ClearResult
from airflow_provider_sptasks.client.errors import AmbiguousError, NotFoundError, SailPointError
from airflow_provider_sptasks.client.intent import StartResult
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.start_options import StartOptions
from airflow_provider_sptasks.client.starting import IfRunning, Starter
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.waiting.starting import blocked
from airflow_provider_sptasks.waiting.verdict import outcome, title

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

log = logging.getLogger(__name__)

# The documented status: it opens no sensor.
COMPLETION_STATUS = "Error"
PREVIEW = (
    f"The task gets the completion status {COMPLETION_STATUS}, so that SailPoint can launch the next one. "
    "What waits for it in Airflow fails. Work that goes on in SailPoint is not stopped."
)
# A user waits for the answer.
TIMEOUT_SECONDS = 25.0


class Result(StrEnum):
    """What became of a change."""

    DONE = "done"
    WOULD_BE_DONE = "would_be_done"
    CONFLICT = "conflict"
    NOT_FOUND = "not_found"
    FAILED = "failed"


@dataclass(frozen=True)
class Change:
    """
    What became of what a user wanted to change.

    :param result: what became of it
    :param message: the same for a person
    :param task: the task that it is about, as it was read last
    """

    result: Result
    message: str
    task: TaskStatus | None = None


def clear(hook: SailPointHook, task_status_id: str, *, dry_run: bool) -> Change:
    """
    Give a pending task the completion status ``Error``, as the operator does.

    It is read again shortly before, and left alone if it has ended.

    :param hook: the connection
    :param task_status_id: SailPoint's id of the task, checked
    :param dry_run: whether to say only what would be done
    :raises NotFoundError: the tenant doesn't know it
    :raises SailPointError: the tenant can't be read
    """
    client = hook.client.with_retry(RetryPolicy(deadline=TIMEOUT_SECONDS / 2))
    task = client.get(task_status_id)
    if task.is_complete:
        return Change(Result.CONFLICT, f"It has ended already: {outcome(task)}", task)
    if dry_run:
        return Change(Result.WOULD_BE_DONE, PREVIEW, task)
    results: list[ClearResult] = []
    Clearing(client, completion_status=COMPLETION_STATUS, stop=threading.Event(), note=results.append).run(
        [task]
    )
    return _cleared(results[-1], task)


def _cleared(result: ClearResult, before: TaskStatus) -> Change:
    after = result.status or before
    if result.outcome is ClearOutcome.CLEARED:
        return Change(Result.DONE, f"{title(after)} was cleared. Its work in SailPoint is not stopped", after)
    if result.outcome is ClearOutcome.ALREADY_COMPLETE:
        return Change(Result.CONFLICT, f"It has ended already: {outcome(after)}", after)
    if result.outcome is ClearOutcome.NOT_FOUND:
        return Change(Result.NOT_FOUND, "SailPoint knows no such task any more")
    return Change(Result.FAILED, f"{title(after)} was not cleared: {result.error}", after)


def aggregate(hook: SailPointHook, source_id: str, kind: str) -> Change:
    """
    Start an aggregation, unless one of the source runs: the operator's ``if_running="fail"``.

    :param hook: the connection
    :param source_id: SailPoint's id of the source, checked
    :param kind: ``accounts`` or ``entitlements``
    :raises SailPointError: the tenant refuses, or can't be reached
    """
    client = hook.client.with_retry(RetryPolicy(deadline=TIMEOUT_SECONDS))
    starter = Starter(
        client,
        hook.sources.with_retry(client.retry),
        source_id=source_id,
        kind=TaskKind(kind),
        options=StartOptions(),
        if_running=IfRunning.FAIL,
        deadline=time.monotonic() + TIMEOUT_SECONDS,
        stop=threading.Event(),
        note=lambda _: None,
    )
    try:
        result = starter.run()
    except AmbiguousError as error:
        return Change(Result.FAILED, f"It may have been started: check before you try again. {error}")
    except TimeoutError as error:
        return Change(Result.FAILED, f"Nothing was started: {error}")
    except NotFoundError:
        return Change(Result.NOT_FOUND, "SailPoint knows no such source")
    if result.result is StartResult.BLOCKED:
        return Change(Result.CONFLICT, blocked(result), result.task)
    name = title(result.task) if result.task else "The aggregation"
    return Change(Result.DONE, f"{name} was started (task {result.task_status_id})", result.task)


@contextmanager
def audited(
    event: str, user: BaseUser, connection_id: str, about: str
) -> Iterator[Callable[[Change], Change]]:
    """
    Note in Airflow's audit log, and in the api-server's log, what a user changes, or can't.

    :param event: ``sailpoint_clear`` or ``sailpoint_aggregate``
    :param user: who wants it
    :param connection_id: the Airflow connection's id
    :param about: SailPoint's id of the task or of the source
    :return: notes what became of it, and returns that
    """

    def note(change: Change) -> Change:
        _write(event, user, {**what, "result": change.result, "message": change.message})
        return change

    what = {"connection_id": connection_id, "id": about}
    try:
        yield note
    except (SailPointError, ValueError, AirflowNotFoundException) as error:
        _write(event, user, {**what, "result": Result.FAILED, "message": str(error)})
        raise


def _write(event: str, user: BaseUser, what: Mapping[str, str]) -> None:
    name = user.get_name()
    extra = json.dumps(what)
    log.info("%s by %s: %s", event, name, extra)
    with create_session() as session:
        session.add(Log(event=event, owner=name, owner_display_name=name, extra=extra))
