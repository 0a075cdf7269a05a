"""What the operator that starts aggregations says to a person."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout

from airflow_provider_sptasks.client.errors import (
    AmbiguousError,
    SailPointError,
    SourceNotFoundError,
    SourceNotUniqueError,
    UploadError,
)
from airflow_provider_sptasks.client.intent import Outcome, StartResult
from airflow_provider_sptasks.client.models import TaskKind
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointSourceNotFoundError,
    SailPointStartError,
)
from airflow_provider_sptasks.waiting.verdict import title


def begun(outcome: Outcome, kind: TaskKind) -> str:
    """
    Say which aggregation is the operator's, and how it came about.

    :param outcome: what came of starting it
    :param kind: what is aggregated
    """
    name = title(outcome.task) if outcome.task is not None else f"The aggregation ({kind})"
    how = {
        StartResult.STARTED: "was started",
        StartResult.FOUND: "was started before: going on with it",
        StartResult.ATTACHED: "was started by others: attached to it",
    }
    return f"{name} {how[outcome.result]} (task {outcome.task_status_id})"


def blocked(outcome: Outcome) -> str:
    """
    Say what runs instead: what, of which source, since when, for how long, and how far it is.

    :param outcome: what came of starting
    """
    task, said = outcome.task, f". SailPoint says: {outcome.reason}" if outcome.reason else ""
    if task is None:
        return f"Nothing was started: another aggregation runs, which the list of tasks doesn't show{said}"
    since = task.launched or task.created
    parts = [f"{title(task)} runs"]
    if since is not None:
        parts.append(f"since {since.isoformat(' ', 'seconds').replace('+00:00', ' UTC')}")
        if outcome.seen_at is not None and outcome.seen_at > since:
            parts.append(f"for {timedelta(seconds=round((outcome.seen_at - since).total_seconds()))}")
    percent = "" if task.percent_complete is None else f" ({task.percent_complete} %)"
    if task.progress or percent:
        parts.append(f"{task.progress or 'pending'}{percent}")
    return f"Nothing was started: {', '.join(parts)} (task {task.id}){said}"


def too_late(timeout: timedelta, what: str) -> AirflowSensorTimeout:
    """
    Make the error of a timeout, after which nothing is retried.

    :param timeout: the timeout
    :param what: what has not happened until then
    """
    return AirflowSensorTimeout(f"The timeout of {timeout} has passed: {what}")


def airflow_error(error: Exception, timeout: timedelta) -> AirflowException:
    """
    Make of an error what an Airflow task raises.

    :param error: the error
    :param timeout: the timeout of the task
    """
    if isinstance(error, SourceNotFoundError | SourceNotUniqueError):
        return SailPointSourceNotFoundError(str(error))
    if isinstance(error, UploadError):
        return SailPointStartError(f"Nothing was started. {error}")
    transient = isinstance(error, SailPointError) and (error.retryable or isinstance(error, AmbiguousError))
    if transient or isinstance(error, TimeoutError):
        return too_late(timeout, str(error))
    return SailPointRequestError(str(error))
