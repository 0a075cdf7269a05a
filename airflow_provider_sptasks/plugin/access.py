"""Who may do what on the page. Each of its routes has one of these guards: Airflow itself adds none."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, ConnectionDetails
from airflow.api_fastapi.core_api.security import get_user, requires_access_connection
from airflow.configuration import conf
from airflow.models.connection import Connection
from fastapi import Depends, HTTPException, Request, status

# What only the page's own script sends: a form or a link of another site can't.
PAGE_HEADER = "x-sailpoint-page"

User = Annotated[BaseUser, Depends(get_user)]


def viewers_may_read() -> bool:
    """Whether all who may see the cluster's activity may read too: ``[sailpoint] page_readers``."""
    readers = conf.get("sailpoint", "page_readers", fallback="connection")
    if readers not in ("connection", "view"):
        raise ValueError(f"[sailpoint] page_readers is {readers!r}. Give connection or view.")
    return bool(readers == "view")


def requires_reading() -> Any:
    """Return the dependency of what reads a connection's tenant; the connection is ``connection_id``."""
    return Depends(requires_view_or_connection if viewers_may_read() else requires_access_connection("GET"))


def requires_view_or_connection(connection_id: str, user: User) -> None:
    """
    Let those read who may see the cluster's activity, and those who may see the connection.

    In FAB's custom roles neither right includes the other.

    :param connection_id: the Airflow connection's id
    :param user: the user
    :raises HTTPException: 403 for a user who may neither
    """
    if not may(user, connection_id):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Forbidden")


def requires_changing() -> list[Any]:
    """Return the dependencies of what changes a tenant: the right to edit the connection, and the page."""
    return [Depends(requires_access_connection("PUT")), Depends(requires_page)]


def requires_page(request: Request) -> None:
    """
    Let only the page itself change anything: the browser sends the user's cookie for other sites too.

    :param request: the request
    :raises HTTPException: 403 for a request without the page's header, or of another origin
    """
    if PAGE_HEADER not in request.headers:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Only the SailPoint page may send this")
    site = request.headers.get("sec-fetch-site")
    if site is None:  # an older browser, or plain HTTP
        same = urlsplit(request.headers.get("origin", "")).netloc in _own_hosts(request)
    else:
        same = site == "same-origin"
    if not same:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Another site may not send this")


def _own_hosts(request: Request) -> set[str]:
    """Where the page is: as the browser asked for it, and as Airflow is configured behind a proxy."""
    configured = urlsplit(conf.get("api", "base_url", fallback="")).netloc
    return {request.headers.get("host", ""), configured} - {""}


def may(user: BaseUser, connection_id: str, *, change: bool = False) -> bool:
    """
    Whether a user may read, or change, the tenant of a connection.

    :param user: the user
    :param connection_id: the Airflow connection's id
    :param change: whether to change it
    """
    manager = get_auth_manager()
    activity = AccessView.CLUSTER_ACTIVITY
    if not change and viewers_may_read() and manager.is_authorized_view(access_view=activity, user=user):
        return True
    details = ConnectionDetails(conn_id=connection_id)
    if conf.getboolean("core", "multi_team", fallback=False):
        details = ConnectionDetails(conn_id=connection_id, team_name=Connection.get_team_name(connection_id))
    return bool(
        manager.is_authorized_connection(method="PUT" if change else "GET", details=details, user=user)
    )


def dags_of(user: BaseUser) -> set[str]:
    """
    Return the ids of the DAGs that a user may see.

    :param user: the user
    """
    return set(get_auth_manager().get_authorized_dag_ids(user=user))
