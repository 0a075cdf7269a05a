"""What differs between the versions of the API, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_EQ_IN = frozenset({"eq", "in"})
_EARLY_FIELDS = {"id": _EQ_IN, "sourceId": _EQ_IN, "completionStatus": _EQ_IN, "type": _EQ_IN}
_V2025_FIELDS = {**_EARLY_FIELDS, "completionStatus": _EQ_IN | {"isnull"}}
_V2026_FIELDS = {**_V2025_FIELDS, "launcher": _EQ_IN}


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """
    One version of the API.

    :param name: what the documentation calls it; the rate limit counts for each name.
    :param prefix: the path of its list of tasks; a task is found one segment further down.
    :param sources: the path of its list of sources.
    :param aggregations: the path below which the progress of account aggregations is found.
    :param filters: the fields that the list of tasks can be filtered by, with their operators.
    :param lists_pending: the list holds tasks that have not completed.
    :param pending_endpoint: there is a (deprecated) endpoint for pending tasks.
    :param urlencoded: account aggregations may be started with a urlencoded body, for SailPoint's Workflows.
    :param clients_load: API clients without a user may start account aggregations.
    :param agents: aggregations of AI agents can be started.
    :param datasets: aggregations of datasets can be started.
    """

    name: str
    prefix: str
    sources: str
    aggregations: str
    filters: Mapping[str, frozenset[str]]
    lists_pending: bool
    pending_endpoint: bool
    urlencoded: bool
    clients_load: bool
    agents: bool = False
    datasets: bool = False


def _annual(
    name: str,
    fields: Mapping[str, frozenset[str]],
    *,
    lists_pending: bool = True,
    pending_endpoint: bool = True,
    urlencoded: bool = False,
    clients_load: bool = True,
    agents: bool = False,
) -> ApiVersion:
    return ApiVersion(
        name=name,
        prefix=f"/{name}/task-status",
        sources=f"/{name}/sources",
        aggregations=f"/{name}/account-aggregations",
        filters=fields,
        lists_pending=lists_pending,
        pending_endpoint=pending_endpoint,
        urlencoded=urlencoded,
        clients_load=clients_load,
        agents=agents,
    )


# No version needs the header X-SailPoint-Experimental any more: SailPoint dropped it from v2026, the
# last one, on 2026-04-10.
VERSIONS: tuple[ApiVersion, ...] = (
    _annual("beta", _EARLY_FIELDS, lists_pending=False, clients_load=False, urlencoded=True),
    _annual("v2024", _EARLY_FIELDS, lists_pending=False),
    _annual("v2025", _V2025_FIELDS, agents=True),
    _annual("v2026", _V2026_FIELDS, pending_endpoint=False, agents=True),
    ApiVersion(
        name="v1",
        prefix="/task-status/v1",
        sources="/sources/v1",
        aggregations="/account-aggregations/v1",
        filters=_V2026_FIELDS,
        lists_pending=True,
        pending_endpoint=False,
        urlencoded=False,
        clients_load=True,
        agents=True,
        datasets=True,
    ),
)


def version_of(path: str) -> ApiVersion | None:
    """
    Return the version that a path belongs to, ``None`` for a path outside the API.

    :param path: the path of a request.
    """
    for version in VERSIONS:
        for prefix in (version.prefix, version.sources, version.aggregations):
            if path == prefix or path.startswith(prefix + "/"):
                return version
    return None
