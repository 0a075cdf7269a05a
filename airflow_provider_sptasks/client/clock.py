"""Asks for the tenant's time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_sptasks.client import tasks as api
from airflow_provider_sptasks.client.http import Request, Response
from airflow_provider_sptasks.client.tenant_clock import lead_of

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient


def clock_lead(client: TaskStatusClient) -> timedelta:
    """
    Say how far the tenant's clock is ahead of this machine's, by the ``Date`` of one small answer.

    :param client: talks to the tenant
    :return: negative where it is behind; 0 where they agree within 5 seconds, or the answer has no ``Date``
    :raises SailPointError: the tenant refuses, or no answer came
    """
    return client.transport.call(api.count_pending_tasks(client.transport.version), _lead)


def _lead(_: Request, response: Response) -> timedelta:
    return lead_of(response.headers) or timedelta(0)
