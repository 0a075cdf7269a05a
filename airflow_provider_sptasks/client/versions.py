"""The versions of SailPoint's API, and what differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path


@dataclass(frozen=True)
class ApiVersion:
    """
    What differs between the versions of the API.

    :param name: as it is selected in a connection
    :param task_status: path of the list; a task's own path continues it
    :param sources: path of the list of sources; a source's own path continues it
    :param account_aggregations: path that a task's id continues to how its account aggregation goes on
    :param pending_tasks: path of the list of pending tasks; empty where the version has none
    :param lists_pending: whether the list holds pending tasks too, so that ``completionStatus isnull``
        selects them; otherwise it holds completed tasks only
    :param filters: the fields that a list can be filtered by
    :param starts_agents: whether aggregations of AI agents can be started
    :param starts_datasets: whether aggregations of datasets can be started
    """

    name: str
    task_status: str
    sources: str
    account_aggregations: str
    pending_tasks: str
    lists_pending: bool
    filters: frozenset[str]
    starts_agents: bool = False
    starts_datasets: bool = False


_FILTERS = frozenset({"id", "sourceId", "completionStatus", "type"})


def _annual(
    name: str,
    *,
    lists_pending: bool,
    has_pending_tasks: bool,
    launcher: bool = False,
    starts_agents: bool = False,
) -> ApiVersion:
    path = f"/{name}/task-status"
    return ApiVersion(
        name=name,
        task_status=path,
        sources=f"/{name}/sources",
        account_aggregations=f"/{name}/account-aggregations",
        pending_tasks=f"{path}/pending-tasks" if has_pending_tasks else "",
        lists_pending=lists_pending,
        filters=_FILTERS | {"launcher"} if launcher else _FILTERS,
        starts_agents=starts_agents,
    )


API_VERSIONS: Mapping[str, ApiVersion] = {
    version.name: version
    for version in (
        _annual("beta", lists_pending=False, has_pending_tasks=True),
        _annual("v2024", lists_pending=False, has_pending_tasks=True),
        _annual("v2025", lists_pending=True, has_pending_tasks=True, starts_agents=True),
        _annual("v2026", lists_pending=True, has_pending_tasks=False, launcher=True, starts_agents=True),
        ApiVersion(
            name="v1",
            task_status="/task-status/v1",
            sources="/sources/v1",
            account_aggregations="/account-aggregations/v1",
            pending_tasks="",
            lists_pending=True,
            filters=_FILTERS | {"launcher"},
            starts_agents=True,
            starts_datasets=True,
        ),
    )
}
DEFAULT_API_VERSION = "v1"


def api_version(name: object) -> ApiVersion:
    """
    Look a version up.

    :param name: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``
    :raises ValueError: it is another
    """
    try:
        return API_VERSIONS[name]  # type: ignore[index]
    except (KeyError, TypeError):
        raise ValueError(f"api_version {name!r} is unknown. Use one of {', '.join(API_VERSIONS)}.") from None
