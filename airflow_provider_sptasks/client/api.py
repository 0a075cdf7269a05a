"""
SailPoint's task-status API as data and pure functions: nothing here sends anything.

The only place that knows a version's name, the path of a collection, or how a filter is spelled; what is
asked of sources is in :mod:`~airflow_provider_sptasks.client.api_sources`. Taken from SailPoint's OpenAPI
documents and SDK pages for Task Management, and its page on standard collection parameters.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_sptasks.client.errors import (
    APIError,
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    UnauthorizedError,
    UnexpectedPayloadError,
)
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.multipart import Form

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PAGE_SIZE = 250
# Common gateways refuse a request line over 8 KB; the rest is for the method and the protocol.
MAX_TARGET_LENGTH = 8000

LONGEST_BAN = 1_200.0

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
READ_SCOPE = "idn:task-management:read"
WRITE_SCOPE = "idn:task-management:write"

# What the decoder raises: the second where arrays are nested too deeply for it.
_NOT_JSON = (ValueError, RecursionError)


@dataclass(frozen=True)
class ApiVersion:
    """
    What differs between the versions of the API.

    :param name: as it is selected in a connection
    :param task_status: path of the list; a task's own path continues it
    :param sources: path of the list of sources; a source's own path continues it
    :param account_aggregations: path that a task's id continues to how its account aggregation goes on
    :param pending_tasks: path of the list of pending tasks, where the version has one
    :param lists_pending: whether the list holds pending tasks too, so that ``completionStatus isnull``
        selects them; otherwise it holds completed tasks only
    :param filters: the fields that a list can be filtered by
    """

    name: str
    task_status: str
    sources: str
    account_aggregations: str
    pending_tasks: str | None
    lists_pending: bool
    filters: frozenset[str]


_FILTERS = frozenset({"id", "sourceId", "completionStatus", "type"})


def _annual(name: str, *, lists_pending: bool, has_pending_tasks: bool, launcher: bool = False) -> ApiVersion:
    path = f"/{name}/task-status"
    return ApiVersion(
        name=name,
        task_status=path,
        sources=f"/{name}/sources",
        account_aggregations=f"/{name}/account-aggregations",
        pending_tasks=f"{path}/pending-tasks" if has_pending_tasks else None,
        lists_pending=lists_pending,
        filters=_FILTERS | {"launcher"} if launcher else _FILTERS,
    )


API_VERSIONS: Mapping[str, ApiVersion] = {
    version.name: version
    for version in (
        _annual("beta", lists_pending=False, has_pending_tasks=True),
        _annual("v2024", lists_pending=False, has_pending_tasks=True),
        _annual("v2025", lists_pending=True, has_pending_tasks=True),
        _annual("v2026", lists_pending=True, has_pending_tasks=False, launcher=True),
        ApiVersion(
            name="v1",
            task_status="/task-status/v1",
            sources="/sources/v1",
            account_aggregations="/account-aggregations/v1",
            pending_tasks=None,
            lists_pending=True,
            filters=_FILTERS | {"launcher"},
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


def scope_hint(scope: str) -> str:
    """Say what to do about a 403 where a scope is all that it takes."""
    return f"Check that the credentials have the scope {scope}"


@dataclass(frozen=True)
class Request:
    """
    A request, ready to be sent.

    :param method: HTTP method
    :param path: percent-encoded path below the tenant's base URL
    :param query: names and values, not encoded
    :param headers: headers beside those that every request carries
    :param body: what is sent
    :param repeatable: whether it may be sent again while nobody knows whether the tenant acted on it
    :param if_forbidden: what the reader can do about a 403
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: bytes | Form | None = field(default=None, repr=False)
    repeatable: bool = True
    if_forbidden: str = scope_hint(READ_SCOPE)

    @property
    def target(self) -> str:
        """Path and query as they stand in the request line."""
        if not self.query:
            return self.path
        return f"{self.path}?{urlencode(self.query, quote_via=quote, safe='(),')}"


# Filters


def equals(name: str, value: str) -> str:
    """Make the filter that a field has a value."""
    return f"{name} eq {_quoted(value)}"


def one_of(name: str, values: Iterable[str]) -> str:
    """Make the filter that a field has one of some values."""
    return f"{name} in ({','.join(map(_quoted, values))})"


def is_null(name: str) -> str:
    """Make the filter that a field is not set."""
    return f"{name} isnull"


def all_of(*expressions: str) -> str:
    """Make the filter that all of some filters hold; empty ones are passed over."""
    given = [expression for expression in expressions if expression]
    if len(given) < 2:
        return "".join(given)
    return " and ".join(f"({expression})" for expression in given)


def task_filters(
    version: ApiVersion,
    *,
    task_status_ids: Sequence[str] | None = None,
    source_ids: Sequence[str] | None = None,
    completion_statuses: Sequence[str] | None = None,
    launchers: Sequence[str] | None = None,
    pending: bool = False,
) -> str | None:
    """
    Make the filter that all of the given criteria hold.

    :return: the filter, empty where no criterion is given; ``None`` where one of them allows no value, so
        that nothing can match
    :raises ValueError: the version doesn't have a criterion
    """
    given = {
        "id": task_status_ids,
        "sourceId": source_ids,
        "completionStatus": completion_statuses,
        "launcher": launchers,
    }
    criteria = {name: values for name, values in given.items() if values is not None}
    for name in criteria.keys() - version.filters:
        raise ValueError(f"A list can't be filtered by {name} in API version {version.name!r}.")
    if pending and not version.lists_pending:
        raise ValueError(f"The list of API version {version.name!r} has no pending tasks. Use pending().")
    if not all(criteria.values()):
        return None
    return all_of(
        *(one_of(name, values) for name, values in criteria.items()),
        is_null("completionStatus") if pending else "",
    )


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# Requests


def get_task(version: ApiVersion, task_status_id: str) -> Request:
    """Ask for one task."""
    return Request("GET", _task_path(version, task_status_id))


def list_tasks(
    version: ApiVersion, *, filters: str = "", sorters: str = "", limit: int = MAX_PAGE_SIZE, offset: int = 0
) -> Request:
    """Ask for a page of tasks."""
    query = [("limit", str(limit)), ("offset", str(offset))]
    if filters:
        query.append(("filters", filters))
    if sorters:
        query.append(("sorters", sorters))
    return Request("GET", version.task_status, tuple(query))


def find_tasks(version: ApiVersion, task_status_ids: Sequence[str]) -> Request:
    """Ask for the tasks with these ids: no more than fit in a page, see :func:`first_chunk`."""
    return list_tasks(version, filters=one_of("id", task_status_ids))


def newest_tasks(version: ApiVersion, source_ids: Sequence[str], *, offset: int = 0) -> Request:
    """Ask for a page of the tasks of these sources, newest first: no more than :func:`first_chunk` takes."""
    return list_tasks(version, filters=one_of("sourceId", source_ids), sorters="-created", offset=offset)


def pending_tasks(version: ApiVersion, *, limit: int = MAX_PAGE_SIZE, offset: int = 0) -> Request:
    """
    Ask for a page of the pending tasks.

    The list of pending tasks is deprecated where the list of all tasks holds them too.
    """
    if version.lists_pending or version.pending_tasks is None:
        filters = is_null("completionStatus")
        return list_tasks(version, filters=filters, sorters="created", limit=limit, offset=offset)
    return Request("GET", version.pending_tasks, (("limit", str(limit)), ("offset", str(offset))))


def count_pending_tasks(version: ApiVersion) -> Request:
    """Ask how many tasks are pending; the answer's ``X-Total-Count`` says it."""
    if version.pending_tasks is not None:
        return Request("HEAD", version.pending_tasks, (("limit", "1"), ("count", "true")))
    filters = is_null("completionStatus")
    return Request("GET", version.task_status, (("limit", "1"), ("count", "true"), ("filters", filters)))


def update_task(version: ApiVersion, task_status_id: str, operations: Sequence[Mapping[str, Any]]) -> Request:
    """Ask to change a task with JSON Patch (RFC 6902)."""
    return Request(
        "PATCH",
        _task_path(version, task_status_id),
        headers={"Content-Type": "application/json-patch+json"},
        body=json.dumps([dict(operation) for operation in operations]).encode(),
        if_forbidden=f"Changing a task needs a personal access token of a user with the scope {WRITE_SCOPE}",
    )


def clear_operations(completion_status: str, completed: datetime) -> list[dict[str, str]]:
    """
    Make the JSON Patch that clears a pending task.

    :param completion_status: the status to set; the documented one is ``Error``
    :param completed: when the task shall be said to have ended
    :raises ValueError: ``completed`` has no time zone
    """
    if completed.tzinfo is None:
        raise ValueError(f"completed {completed.isoformat()} has no time zone. Give an aware datetime.")
    moment = completed.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [
        {"op": "replace", "path": "/completionStatus", "value": completion_status},
        {"op": "replace", "path": "/completed", "value": moment},
    ]


def source_page(admin_url: str, source_id: str) -> str:
    """Return the URL of a source's page in the administration UI."""
    return f"{admin_url}/ui/a/admin/connections/sources/{quote(check_id(source_id, 'source_id'), safe='')}"


def get_token(path: str, client_id: str, client_secret: str) -> Request:
    """Ask for an access token with the client's own credentials (OAuth 2, client credentials)."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    return Request(
        "POST",
        path,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(form).encode(),
    )


def first_chunk(
    request: Callable[[ApiVersion, Sequence[str]], Request],
    version: ApiVersion,
    ids: Sequence[str],
    most: int,
) -> Sequence[str]:
    """
    Take as many ids from the front as fit in one request, and at least one.

    :param request: makes the request, as :func:`find_tasks` and :func:`newest_tasks` do
    :param ids: any number of ids
    :param most: how many to take at the most; a page and the request line bound it as well
    """
    length = len(request(version, []).target)
    for taken, each in enumerate(ids[: min(most, MAX_PAGE_SIZE)]):
        length += len(quote(_quoted(each), safe="")) + 1
        if taken and length > MAX_TARGET_LENGTH:
            return ids[:taken]
    return ids[: min(most, MAX_PAGE_SIZE)]


def _task_path(version: ApiVersion, task_status_id: str) -> str:
    return f"{version.task_status}/{quote(check_id(task_status_id, 'task_status_id'), safe='')}"


# Answers


@dataclass(frozen=True)
class Response:
    """
    An answer as it arrived.

    :param status: HTTP status
    :param headers: headers, with lower-case names
    :param body: the whole body
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def decode_task(request: Request, response: Response) -> TaskStatus:
    """Read the answer to a request for one task."""
    return TaskStatus.from_json(decode_json(request, response))


def decode_tasks(request: Request, response: Response) -> list[TaskStatus]:
    """Read the answer to a request for a list; 204 is an empty one."""
    return decode_page(request, response)[0]


def decode_page(request: Request, response: Response) -> tuple[list[TaskStatus], int]:
    """Read the answer to a request for a list, and count its entries, with those that can't be read."""
    entries = decode_list(request, response)
    return decode_entries(request, entries, TaskStatus.from_json), len(entries)


def decode_entries(request: Request, entries: Sequence[Any], decode: Callable[[object], T]) -> list[T]:
    """Read what can be read of the entries of a list."""
    found = []
    for entry in entries:
        try:
            found.append(decode(entry))
        except UnexpectedPayloadError as error:  # it must not keep the others from being seen
            log.warning("%s %s: passed over an entry. %s", request.method, request.path, error)
    return found


def decode_list(request: Request, response: Response) -> list[Any]:
    """Read a JSON array; 204 is an empty one."""
    if response.status == 204:
        return []
    payload = decode_json(request, response)
    if not isinstance(payload, list):
        raise UnexpectedPayloadError(
            f"{request.method} {request.path} should be answered with a JSON array, "
            f"not with {type(payload).__name__}"
        )
    return payload


def decode_count(request: Request, response: Response) -> int:
    """Read ``X-Total-Count``; 204 without it is none."""
    text = response.headers.get("x-total-count", "0" if response.status == 204 else "")
    if not text.isdecimal():
        raise UnexpectedPayloadError(
            f"{request.method} {request.path} was answered without a usable X-Total-Count: {text!r:.80}"
        )
    return int(text)


def decode_json(request: Request, response: Response, *, secret: bool = False) -> Any:
    """
    Read a JSON body.

    :param secret: the body may hold what no error may show
    :raises UnexpectedPayloadError: it is something else; retryable, since the tenant answers with JSON and
        so the body comes from something on the way
    """
    try:
        return json.loads(response.body)
    except _NOT_JSON:
        what = f"{request.method} {request.path} was answered with {response.status} and"
        if not response.body.strip():
            problem = "an empty body"
        elif response.body.lstrip()[:1] == b"<":
            problem = "an HTML page: is a proxy or a login page on the way?"
        else:
            problem = f"a body of {len(response.body)} bytes that is not JSON"
            problem += "" if secret else f", beginning {response.body[:40]!r}"
        raise UnexpectedPayloadError(f"{what} {problem}", retryable=True) from None


_ERRORS: Mapping[int, type[APIError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    429: RateLimitedError,
}


def decode_error(request: Request, response: Response) -> APIError:
    """
    Turn an answer with an error status, or with a redirect, into its exception.

    Every detail is optional: 403 and 404 may have no body, and a proxy's answer may be HTML.
    """
    status = response.status
    details: dict[str, Any] = {}
    try:
        payload = json.loads(response.body)
    except _NOT_JSON:
        payload = None
    if isinstance(payload, dict):
        details["detail_code"] = _string(payload.get("detailCode"))
        details["tracking_id"] = _string(payload.get("trackingId"))
        details["text"] = error_text(payload)
    elif response.body.lstrip()[:1] == b"<":
        details["text"] = "an HTML page, which a proxy on the way may have sent"
    kind = _ERRORS.get(status, ServerError if status >= 500 else BadRequestError)
    return kind(
        request.method,
        request.path,
        status,
        retry_after=parse_retry_after(response.headers.get("retry-after")),
        hint=_hint(request, response),
        **details,
    )


def parse_retry_after(text: str | None) -> float | None:
    """
    Read ``Retry-After``, which holds seconds or a date.

    :return: seconds from now, at most those of SailPoint's longest ban, never negative; ``None`` where there
        is none or it can't be read
    """
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_BAN) if seconds == seconds else None


def _hint(request: Request, response: Response) -> str | None:
    if 300 <= response.status < 400:
        target = response.headers.get("location", "").split("?")[0]
        return f"Redirects are not followed (to {target!r:.120}): check the connection's host"
    return request.if_forbidden if response.status == 403 else None


def error_text(payload: Mapping[str, Any]) -> str | None:
    """Find SailPoint's words in a body that says what is wrong, in English where it can be had."""
    messages = payload.get("messages")
    texts = [item for item in messages if isinstance(item, dict)] if isinstance(messages, list) else []
    english = [item for item in texts if str(item.get("locale", "en")).lower().startswith("en")]
    for item in english or texts:
        if text := _string(item.get("text")):
            return text
    for name in ("message", "error_description", "error"):
        if text := _string(payload.get(name)):
            return text
    return None


def _string(value: object) -> str | None:
    return value.strip()[:500] or None if isinstance(value, str) else None
