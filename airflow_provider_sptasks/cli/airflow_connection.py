"""Connects with an Airflow connection, outside of any Airflow task."""

from __future__ import annotations

from typing import Any

from airflow.models.connection import Connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook


class _CommandLineHook(SailPointHook):
    """Reads the connection as Airflow's own commands do: a task's way leads to a supervisor."""

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """Read the connection from the secrets backends, the environment and the database."""
        return Connection.get_connection_from_secrets(conn_id)


def connect(conn_id: str, api_version: str | None, retry: RetryPolicy) -> SailPointHook:
    """
    Read a connection.

    :param conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    :param retry: how long and how often a call is tried
    :raises LookupError: there is no such connection
    :raises ValueError: it has an invalid field; the message names it
    """
    hook = _CommandLineHook(conn_id, api_version, retry=retry)
    try:
        hook.get_conn()
    except AirflowNotFoundException:
        raise LookupError(f"There is no Airflow connection {conn_id!r}.") from None
    return hook
