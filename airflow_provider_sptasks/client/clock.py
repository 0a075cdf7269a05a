"""The tenant's clock, by which all its times are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from airflow_provider_sptasks.client import tasks as api
from airflow_provider_sptasks.client.http import Request, Response

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient

# Answers have the time in whole seconds, and are under way for a while.
PRECISION = timedelta(seconds=5)


def clock_lead(client: TaskStatusClient) -> timedelta:
    """
    Say how far the tenant's clock is ahead of this machine's, by the ``Date`` of one small answer.

    :param client: talks to the tenant
    :return: negative where it is behind; 0 where they agree within 5 seconds, or the answer has no ``Date``
    :raises SailPointError: the tenant refuses, or no answer came
    """
    return client.transport.call(api.count_pending_tasks(client.transport.version), _lead)


def _lead(_: Request, response: Response) -> timedelta:
    try:
        date = parsedate_to_datetime(response.headers.get("date", ""))
    except ValueError:
        return timedelta(0)
    lead = date.replace(tzinfo=date.tzinfo or UTC) - _now()
    return timedelta(0) if abs(lead) <= PRECISION else lead


def _now() -> datetime:
    return datetime.now(UTC)
