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
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointSourceNotFoundError,
    SailPointStartError,
)


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
    cause = error.error if isinstance(error, AmbiguousError) else error
    if isinstance(cause, TimeoutError) or (isinstance(cause, SailPointError) and cause.retryable):
        return too_late(timeout, str(error))
    return SailPointRequestError(str(error))
