"""The client of SailPoint's task-status API. Knows nothing of Airflow."""

from __future__ import annotations

import copy
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from airflow_provider_sptasks.client import api
from airflow_provider_sptasks.client.auth import ClientCredentialsAuth
from airflow_provider_sptasks.client.errors import (
    APIError,
    BadRequestError,
    NotSentError,
    RateLimitedError,
    TransportError,
    UnauthorizedError,
)
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.pacing import Pacer, shared_pacer
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

HEADERS = {"Accept": "application/json", "X-SailPoint-Experimental": "true"}
CONNECTIONS = 16
TOO_LONG = (400, 414, 431)
# With more, the request line would be too long: all are read then, and the others passed over.
MAX_FILTERED_SOURCES = 100
# A certificate that doesn't verify, or a URL that is none: requests' other ValueErrors.
HOPELESS = (requests.exceptions.SSLError, ValueError)


class TaskStatusClient:
    """
    Reads and clears the tasks of a tenant.

    Safe to share between threads. Each call is tried again after connection errors, time-outs, 429 and 5xx
    until its retry policy's deadline, and keeps to the pace that all clients of the process with the same
    tenant, client id and API version share.

    Every method raises :class:`~airflow_provider_sptasks.client.errors.SailPointError`; see that module.

    :param settings: the tenant and the credentials
    :param retry: how long and how often a call is tried
    :param pacer: the pace to keep; ``None`` for the one that the process shares
    :param on_token: told every access token before it is used, so that it can be masked in logs
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        retry: RetryPolicy | None = None,
        pacer: Pacer | None = None,
        on_token: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.retry = retry or RetryPolicy()
        self._version = settings.version
        self._pacer = pacer or shared_pacer(
            settings.base_url, settings.client_id, settings.api_version, settings.requests_per_10s
        )
        self._session = requests.Session()
        self._session.headers.update(HEADERS)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
        self._auth = ClientCredentialsAuth(
            settings.token_endpoint,
            settings.client_id,
            settings.client_secret,
            fetch=self._fetch_token,
            on_token=on_token,
        )
        self._chunk = _Chunk()
        self._deprecations: set[str] = set()

    def with_retry(self, retry: RetryPolicy) -> TaskStatusClient:
        """
        Return a client that shares everything with this one but its patience.

        :param retry: how long and how often its calls are tried
        """
        twin = copy.copy(self)
        twin.retry = retry
        return twin

    def close(self) -> None:
        """Close the connections; the client can be used again."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, task_status_id: str) -> TaskStatus:
        """
        Read one task (``GET /task-status/{id}``).

        :param task_status_id: SailPoint's id of the task
        :raises NotFoundError: the tenant knows no such task, or it is older than 90 days
        :raises ValueError: the id can't be one
        """
        return self._call(api.get_task(self._version, task_status_id), api.decode_task)

    def list(
        self,
        *,
        task_status_ids: Sequence[str] | None = None,
        source_ids: Sequence[str] | None = None,
        completion_statuses: Sequence[str] | None = None,
        pending: bool = False,
        launchers: Sequence[str] | None = None,
        filters: str = "",
        sorters: str = "",
        page_size: int = api.MAX_PAGE_SIZE,
    ) -> Iterator[TaskStatus]:
        """
        Read tasks, page by page as they are consumed (``GET /task-status``).

        The criteria must all hold. On ``beta`` and ``v2024`` the list holds completed tasks only. Tasks that
        come or go while the pages are read can shift others between pages; a task is yielded once.

        :param task_status_ids: only these tasks; for many, see :meth:`find`
        :param source_ids: only tasks of these sources
        :param completion_statuses: only tasks that ended so, as the API spells it
        :param pending: only tasks that have not ended; not on ``beta`` and ``v2024``, see :meth:`pending`
        :param launchers: only tasks of these launchers; on ``v2026`` and ``v1``
        :param filters: a filter expression of your own, as SailPoint documents them
        :param sorters: ``created`` or ``-created`` (newest first)
        :param page_size: tasks in a page, 1 to 250
        :raises ValueError: a criterion that this API version doesn't have, or a page size out of range
        """
        for name, values in {
            "task_status_ids": task_status_ids,
            "source_ids": source_ids,
            "completion_statuses": completion_statuses,
            "launchers": launchers,
        }.items():
            _refuse_single(values, name)
        if not 1 <= page_size <= api.MAX_PAGE_SIZE:
            raise ValueError(f"page_size {page_size!r} is out of range. Give 1 to {api.MAX_PAGE_SIZE}.")
        given = api.task_filters(
            self._version,
            task_status_ids=task_status_ids,
            source_ids=source_ids,
            completion_statuses=completion_statuses,
            pending=pending,
            launchers=launchers,
        )
        if given is None:
            return iter(())
        expression = api.all_of(given, filters)
        return self._pages(
            lambda offset: api.list_tasks(
                self._version, filters=expression, sorters=sorters, limit=page_size, offset=offset
            ),
            page_size,
        )

    def find(self, task_status_ids: Iterable[str]) -> dict[str, TaskStatus]:
        """
        Read any number of tasks in as few requests as possible: about 200 ids in each.

        On ``beta`` and ``v2024``, whose list holds completed tasks only, the pending ones are read first.
        A gateway that refuses long requests gets shorter ones from then on.

        :param task_status_ids: SailPoint's ids of the tasks
        :return: the tasks by id. An id that is missing is unknown, or slipped through while pages were
            read; only :meth:`get` tells for certain
        :raises ValueError: an id can't be one
        """
        _refuse_single(task_status_ids, "task_status_ids")
        wanted = dict.fromkeys(check_id(each, "task_status_id") for each in task_status_ids)
        found: dict[str, TaskStatus] = {}
        if wanted and not self._version.lists_pending:
            # In this order a task that ends in between is in both, in the other it would be in neither.
            found = {task.id: task for task in self.pending() if task.id in wanted}
        rest = [each for each in wanted if each not in found]
        most = self._chunk.most
        while rest:
            chunk = api.first_chunk(self._version, rest, most)
            try:
                tasks = self._call(api.find_tasks(self._version, chunk), api.decode_tasks)
            except BadRequestError as error:
                if error.status not in TOO_LONG or len(chunk) == 1:
                    raise
                most = len(chunk) // 2
                continue
            self._chunk.most = most
            found.update((task.id, task) for task in tasks if task.id in wanted)
            rest = rest[len(chunk) :]
        return found

    def pending(self, source_ids: Sequence[str] | None = None) -> Iterator[TaskStatus]:
        """
        Read the tasks that have not ended, page by page as they are consumed, oldest first.

        From ``v2025`` on these are the tasks without ``completionStatus``; before, ``GET
        /task-status/pending-tasks``. Not only aggregations: refreshes, deletions and others too.

        :param source_ids: only tasks of these sources
        """
        _refuse_single(source_ids, "source_ids")
        wanted = None if source_ids is None else {each.casefold() for each in source_ids}
        if self._version.lists_pending:
            narrow = source_ids if wanted is not None and len(wanted) <= MAX_FILTERED_SOURCES else None
            tasks = self.list(pending=True, source_ids=narrow, sorters="created")
        else:
            tasks = self._pages(lambda offset: api.pending_tasks(self._version, offset=offset))
        return (task for task in tasks if wanted is None or (task.source_id or "").casefold() in wanted)

    def count_pending(self) -> int:
        """
        Count the tasks that have not ended, without reading them.

        ``HEAD /task-status/pending-tasks`` where the version has it.
        """
        return self._call(api.count_pending_tasks(self._version), api.decode_count)

    def update(self, task_status_id: str, operations: Sequence[Mapping[str, Any]]) -> TaskStatus:
        """
        Change a task (``PATCH /task-status/{id}``).

        :param task_status_id: SailPoint's id of the task
        :param operations: JSON Patch operations (RFC 6902), such as
            ``{"op": "replace", "path": "/completionStatus", "value": "Error"}``. They may be sent more than
            once when an answer is lost, so they must be idempotent, as ``replace`` is
        :return: the task after the change
        :raises ForbiddenError: the credentials are no user's, or lack ``idn:task-management:write``
        """
        return self._call(api.update_task(self._version, task_status_id, operations), api.decode_task)

    def clear(
        self, task_status_id: str, completion_status: str = "Error", completed: datetime | None = None
    ) -> TaskStatus:
        """
        Give a pending task a completion status: corrects the record, and does not stop the work.

        Whoever waits for the task sees it as ended so. ``Error`` is the documented status.

        :param task_status_id: SailPoint's id of the task
        :param completion_status: the status to set
        :param completed: when the task shall be said to have ended, aware; ``None`` for now
        :return: the task after the change
        """
        return self.update(
            task_status_id, api.clear_operations(completion_status, completed or datetime.now(UTC))
        )

    def _pages(
        self, request_at: Callable[[int], api.Request], page_size: int = api.MAX_PAGE_SIZE
    ) -> Iterator[TaskStatus]:
        seen: set[str] = set()
        offset = 0
        while True:
            page = self._call(request_at(offset), api.decode_tasks)
            new = [task for task in page if task.id not in seen]
            seen.update(task.id for task in new)
            yield from new
            if len(page) < page_size or not new:  # nothing new: the offset is not heeded
                return
            offset += len(page)

    def _call(self, request: api.Request, decode: Callable[[api.Request, api.Response], T]) -> T:
        """Try until it succeeds, fails for good, or the policy's deadline is near; read the answer."""
        deadline = time.monotonic() + self.retry.deadline
        return self.retry.call(
            lambda: decode(request, self._attempt(request, deadline)), f"{request.method} {request.path}"
        )

    def _attempt(self, request: api.Request, deadline: float) -> api.Response:
        """Send once, and once more if the token was refused: it may have been revoked."""
        token = self._auth.token()
        try:
            return self._send_in_time(request, deadline)
        except UnauthorizedError:
            self._auth.token(refused=token)
            return self._send_in_time(request, deadline)

    def _send_in_time(self, request: api.Request, deadline: float) -> api.Response:
        self._keep_pace(request, deadline)
        try:
            response = self._send(request, self.settings.base_url + request.target, auth=self._auth)
        except RateLimitedError as error:
            self._pacer.hold(1.0 if error.retry_after is None else error.retry_after)
            raise
        self._note_deprecation(request, response)
        return response

    def _keep_pace(self, request: api.Request, deadline: float) -> None:
        """Wait for a place within the pace, but not beyond the deadline: then nothing is sent."""
        wait = self._pacer.reserve(max(deadline - time.monotonic(), 0.0))
        while wait > 0:
            if wait > deadline - time.monotonic():
                raise NotSentError(
                    f"{request.method} {request.path} was not sent: the client's own pace allows it in "
                    f"{wait:.1f} s, which is after the call's deadline",
                    retry_after=wait,
                )
            self.retry.sleep(wait)
            wait = self._pacer.held()
        if self.retry.strict and time.monotonic() > deadline:
            raise NotSentError(
                f"{request.method} {request.path} was not sent: the call's deadline has passed"
            )

    def _send(self, request: api.Request, url: str, auth: Callable[..., Any]) -> api.Response:
        try:
            answer = self._session.request(
                request.method,
                url,
                headers=dict(request.headers),
                data=request.body,
                auth=auth,
                timeout=self.settings.timeout,
                verify=self.settings.verify,
                proxies=dict(self.settings.proxies),
                allow_redirects=False,
            )
        except OSError as error:  # the base of requests' own, which leaves a missing CA bundle as it is
            raise TransportError(
                f"{request.method} {request.path} at {urlsplit(url).netloc} got no answer: {_reason(error)}",
                retryable=isinstance(error, requests.RequestException) and not isinstance(error, HOPELESS),
            ) from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        response = api.Response(answer.status_code, headers, answer.content)
        if 200 <= response.status < 300:
            return response
        raise api.decode_error(request, response)

    def _fetch_token(self) -> Any:
        """Ask for a token: outside of the pace, which is the API's; the call that needs it tries again."""
        url = self.settings.token_endpoint
        request = api.get_token(urlsplit(url).path, self.settings.client_id, self.settings.client_secret)
        try:
            response = self._send(request, url, auth=_unsigned)
        except BadRequestError as error:
            if error.status == 400:
                raise _refused(error) from None
            raise
        except UnauthorizedError as error:
            raise _refused(error) from None
        return api.decode_json(request, response, secret=True)

    def _note_deprecation(self, request: api.Request, response: api.Response) -> None:
        if response.headers.get("x-deprecated", "").lower() == "true":
            name = self._version.name
            if name not in self._deprecations:
                self._deprecations.add(name)
                log.warning("SailPoint marks %s %s (%s) as deprecated", request.method, request.path, name)


@dataclass
class _Chunk:
    """How many ids a request may have, learnt from what the tenant, or a gateway before it, refuses."""

    most: int = api.MAX_PAGE_SIZE


def _refuse_single(values: Iterable[str] | None, name: str) -> None:
    if isinstance(values, str):
        raise ValueError(f"{name} is one string, {values[:80]!r}. Give a list.")


def _refused(error: APIError) -> UnauthorizedError:
    return UnauthorizedError(
        error.method,
        error.path,
        401,
        text=error.text,
        tracking_id=error.tracking_id,
        hint="The token endpoint refused the client id or the client secret",
    )


def _unsigned(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep ``requests`` from adding credentials of a netrc file."""
    return request


def _reason(error: OSError) -> str:
    """Name the cause below the layers of urllib3: their texts hold URLs and object addresses."""
    cause: BaseException = error
    while isinstance(reason := getattr(cause, "reason", None) or _inner(cause), BaseException):
        cause = reason
    text = re.sub(r"^HTTPS?Connection(Pool)?\([^)]*\): ", "", str(cause))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _inner(error: BaseException) -> BaseException | None:
    return next((arg for arg in error.args if isinstance(arg, BaseException)), None)
