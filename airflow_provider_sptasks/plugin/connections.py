"""The Airflow connections that the page offers, and how the api-server reads them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from airflow.configuration import conf
from airflow.models.connection import Connection
from airflow.providers.common.compat.sdk import AirflowException
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

# Environment and secrets backends are asked for a connection that often.
CACHE_SECONDS = 60.0
RETRY = RetryPolicy(deadline=30.0)


class PageHook(SailPointHook):
    """Reads its connection as Airflow's core does: the api-server has no task that it could ask through."""

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """
        Read a connection from the environment, a secrets backend or the database.

        :param conn_id: its id
        :raises AirflowNotFoundException: there is none
        """
        return Connection.get_connection_from_secrets(conn_id)


def connect(connection_id: str) -> SailPointHook:
    """
    Read a connection.

    :param connection_id: its id
    :raises AirflowNotFoundException: there is none
    :raises ValueError: it has an invalid field
    """
    hook = PageHook(connection_id, retry=RETRY)
    hook.get_conn()
    return hook


class Connections:
    """
    The ids of the connections that the page offers.

    Airflow lists those of its database only. Of the others, in the environment or a secrets backend, the page
    offers ``[sailpoint] page_connections``, ``sailpoint_default``, and those that waiting gates name.

    :param clock: returns seconds, monotonic
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._checked: dict[str, tuple[float, bool]] = {}

    def ids(self, named_by_gates: Iterable[str]) -> list[str]:
        """
        Return the ids, sorted, the default one first.

        :param named_by_gates: the connections of gates that wait
        """
        with create_session() as session:
            query = select(Connection.conn_id).where(Connection.conn_type == SailPointHook.conn_type)
            found = set(session.scalars(query))
        default = SailPointHook.default_conn_name
        configured = conf.get("sailpoint", "page_connections", fallback="").split(",")
        others = {each.strip() for each in configured} | {default, *named_by_gates} - {""}
        found |= {each for each in others - found if each and self._is_sailpoint(each)}
        return sorted(found, key=lambda each: (each != default, each))

    def _is_sailpoint(self, connection_id: str) -> bool:
        checked_at, result = self._checked.get(connection_id, (float("-inf"), False))
        if self._clock() - checked_at < CACHE_SECONDS:
            return result
        try:
            connection = Connection.get_connection_from_secrets(connection_id)
            result = connection.conn_type == SailPointHook.conn_type
        except (AirflowException, ValueError):  # there is none, or it can't be read
            result = False
        self._checked[connection_id] = (self._clock(), result)
        return result
