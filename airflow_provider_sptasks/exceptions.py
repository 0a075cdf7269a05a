"""
What the tasks of this provider raise.

.. code-block:: text

    AirflowFailException: fails at once, whatever ``retries`` says, since trying again can't change it
      SailPointTaskFailedError: a task of SailPoint ended, and not as the sensor accepts
      SailPointTaskNotFoundError: the tenant doesn't know the task
      SailPointSourceNotFoundError: the tenant doesn't know the source, or knows several of its name
      SailPointRequestError: the tenant refuses the request, or an argument is invalid
    AirflowException
      SailPointClearError: not all of the selected tasks could be cleared, or too many were selected
      SailPointStartError: an aggregation was not started, or the task that waits for it was stopped
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_sptasks.waiting.errors import UnknownTaskError, WaitError


class SailPointTaskFailedError(AirflowFailException):
    """A task of SailPoint ended with a completion status that the sensor doesn't accept."""


class SailPointTaskNotFoundError(AirflowFailException):
    """The tenant knows no task with the given id, or dropped it after 90 days."""


class SailPointSourceNotFoundError(AirflowFailException):
    """The tenant has no source with the given id or name, or several with that name."""


class SailPointRequestError(AirflowFailException):
    """The tenant refuses the request for good, or an argument turned out to be wrong when it was rendered."""


class SailPointClearError(AirflowException):
    """Tasks could not be cleared; what was done is in the log and in the XCom."""


class SailPointStartError(AirflowException):
    """No aggregation was started: another one runs, or the file can't be read; or the task was stopped."""


def failed_by(error: Exception) -> AirflowFailException:
    """
    Make of what waiting can't help what an Airflow task raises.

    :param error: of the wait, of the client, or a ``ValueError``
    :return: the exception, with the same message
    """
    if isinstance(error, UnknownTaskError):
        return SailPointTaskNotFoundError(str(error))
    kind = SailPointSourceNotFoundError if isinstance(error, WaitError) else SailPointRequestError
    return kind(str(error))
