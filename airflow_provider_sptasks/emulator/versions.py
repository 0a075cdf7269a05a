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
    One version of the task-status API.

    :param name: what the documentation calls it; the rate limit counts for each name.
    :param prefix: the path of its list; a task is found one segment further down.
    :param filters: the fields that a list can be filtered by, with their operators.
    :param lists_pending: the list holds tasks that have not completed.
    :param pending_endpoint: there is a (deprecated) endpoint for pending tasks.
    :param experimental: requests need the header ``X-SailPoint-Experimental: true``.
    """

    name: str
    prefix: str
    filters: Mapping[str, frozenset[str]]
    lists_pending: bool
    pending_endpoint: bool
    experimental: bool


# The SDK pages of v2024 and v2026 require the experimental header, and the OpenAPI files no longer do. It is
# required here where SailPoint's own SDK sends it: release 1.4.2 does so for v2026 only.
VERSIONS: tuple[ApiVersion, ...] = (
    ApiVersion("beta", "/beta/task-status", _EARLY_FIELDS, False, True, False),
    ApiVersion("v2024", "/v2024/task-status", _EARLY_FIELDS, False, True, False),
    ApiVersion("v2025", "/v2025/task-status", _V2025_FIELDS, True, True, False),
    ApiVersion("v2026", "/v2026/task-status", _V2026_FIELDS, True, False, True),
    ApiVersion("v1", "/task-status/v1", _V2026_FIELDS, True, False, False),
)


def version_of(path: str) -> ApiVersion | None:
    """
    Return the version that a path belongs to, ``None`` for a path outside the task-status API.

    :param path: the path of a request.
    """
    for version in VERSIONS:
        if path == version.prefix or path.startswith(version.prefix + "/"):
            return version
    return None
