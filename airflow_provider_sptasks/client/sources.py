"""SailPoint's API of sources and aggregations as data and pure functions: nothing here sends anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from airflow_provider_sptasks.client.entries import Page, read_page
from airflow_provider_sptasks.client.errors import AggregationRunningError, UnexpectedPayloadError
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE, equals, one_of
from airflow_provider_sptasks.client.http import (
    Request,
    Response,
    decode_json,
    decode_list,
    error_text,
    scope_hint,
)
from airflow_provider_sptasks.client.ids import usable_id
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus, read_messages
from airflow_provider_sptasks.client.models_sources import AggregationProgress, Source
from airflow_provider_sptasks.client.multipart import Form, Upload
from airflow_provider_sptasks.client.start_options import StartOptions
from airflow_provider_sptasks.client.versions import ApiVersion

READ_SCOPE = "idn:sources:read"
MANAGE_SCOPE = "idn:sources:manage"
AGGREGATE_SCOPE = "idn:sources:aggregate"
ENTITLEMENT_SCOPE = "idn:entitlement:manage"

_ADMINS = "ORG_ADMIN, SOURCE_ADMIN or SOURCE_SUBADMIN"
_MAY_AGGREGATE = f"Aggregating datasets needs the scope {AGGREGATE_SCOPE}, and a user to be {_ADMINS}"
# What is appended to a source's path, and what a 403 most likely means.
_LOADS: Mapping[TaskKind, tuple[str, str]] = {
    TaskKind.ACCOUNTS: (
        "load-accounts",
        f"Aggregating accounts needs the scope {MANAGE_SCOPE}, and a user to be {_ADMINS}",
    ),
    TaskKind.ENTITLEMENTS: (
        "load-entitlements",
        "Aggregating entitlements needs a personal access token of a user who is ORG_ADMIN, with the scope "
        f"{ENTITLEMENT_SCOPE}",
    ),
    TaskKind.UNCORRELATED_ACCOUNTS: (
        "load-uncorrelated-accounts",
        f"Processing uncorrelated accounts needs the scope {MANAGE_SCOPE}, and a user to be ORG_ADMIN",
    ),
}


def get_source(version: ApiVersion, source_id: str) -> Request:
    """Ask for one source."""
    path = _source_path(version, source_id)
    return Request("GET", path, if_forbidden=scope_hint(READ_SCOPE), one_record=True)


def find_sources(version: ApiVersion, name: str) -> Request:
    """Ask for the sources of a name."""
    query = (("filters", equals("name", name)),)
    return Request("GET", version.sources, query, if_forbidden=scope_hint(READ_SCOPE))


def list_sources(
    version: ApiVersion, *, filters: str = "", limit: int = MAX_PAGE_SIZE, offset: int = 0
) -> Request:
    """Ask for a page of sources, in the order of their names."""
    query = [("limit", str(limit)), ("offset", str(offset)), ("sorters", "name")]
    if filters:
        query.append(("filters", filters))
    return Request("GET", version.sources, tuple(query), if_forbidden=scope_hint(READ_SCOPE))


def sources_with_ids(version: ApiVersion, source_ids: Sequence[str]) -> Request:
    """Ask for the sources with these ids: no more than fit in a page."""
    query = (("limit", str(MAX_PAGE_SIZE)), ("filters", one_of("id", source_ids)))
    return Request("GET", version.sources, query, if_forbidden=scope_hint(READ_SCOPE))


def start_aggregation(
    version: ApiVersion, source_id: str, kind: TaskKind, options: StartOptions, file: Upload | None = None
) -> Request:
    """
    Ask to start an aggregation.

    :param kind: its kind
    :param options: what it is started with
    :param file: the opened file of the options
    :raises ValueError: there is no such start, or the version doesn't have it
    """
    options.check(kind)
    path = _source_path(version, source_id)
    if kind in _LOADS:
        return _load(path, kind, options, file)
    if not (version.starts_agents if kind is TaskKind.AI_AGENTS else version.starts_datasets):
        raise ValueError(f"API version {version.name!r} can't start kind {str(kind)!r}.")
    if kind is TaskKind.AI_AGENTS:
        agents = {"datasetIds": options.dataset_ids, "disableOptimization": options.disable_optimization}
        return _start(f"{path}/aggregate-agents", agents)
    return _start(f"{path}/datasets/{quote(options.dataset_ids[0], safe='')}/aggregate", {})


def _load(path: str, kind: TaskKind, options: StartOptions, file: Upload | None) -> Request:
    fields = {}
    if kind is TaskKind.ACCOUNTS:
        fields["disableOptimization"] = str(options.disable_optimization).lower()
    if options.object_type is not None:
        fields["objectType"] = options.object_type
    # A form without any part is refused, so there always is one.
    form = Form(fields, {} if fields and file is None else {"file": file})
    load, if_forbidden = _LOADS[kind]
    return Request(
        "POST",
        f"{path}/{load}",
        headers={"Content-Type": form.content_type},
        body=form,
        repeatable=False,
        if_forbidden=if_forbidden,
    )


def _start(path: str, body: Mapping[str, Any]) -> Request:
    return Request(
        "POST",
        path,
        headers={"Content-Type": "application/json"},
        body=json.dumps(body).encode(),
        repeatable=False,
        if_forbidden=_MAY_AGGREGATE,
    )


def get_progress(version: ApiVersion, task_status_id: str) -> Request:
    """Ask how an account aggregation goes on."""
    task = quote(task_status_id, safe="")
    return Request(
        "GET",
        f"{version.account_aggregations}/{task}/status",
        if_forbidden=f"An aggregation's progress is for personal access tokens of users who are {_ADMINS}",
        one_record=True,
    )


def decode_source(request: Request, response: Response, source_id: str) -> Source:
    """
    Read the answer to a request for one source.

    :param source_id: the source's id
    :raises UnexpectedPayloadError: it is about another source: something on the way mixes answers up
    """
    source = Source.from_json(decode_json(request, response))
    if source.id.casefold() != source_id.casefold():
        raise UnexpectedPayloadError(
            f"{request.method} {request.path} was answered with another source, {source.id}"
        )
    return source


def decode_sources(request: Request, response: Response) -> Page[Source]:
    """Read the answer to a request for sources."""
    return read_page(decode_list(request, response), Source.from_json)


def decode_progress(request: Request, response: Response) -> AggregationProgress:
    """Read the answer to a request for how an aggregation goes on."""
    return AggregationProgress.from_json(decode_json(request, response))


def decode_started(request: Request, response: Response, source_id: str, kind: TaskKind) -> TaskStatus:
    """
    Read the answer to a request to start an aggregation.

    What it leaves out is filled in: which source it is, and which kind.

    :param source_id: the source
    :param kind: what was to be started
    :raises AggregationRunningError: it names no task, which means that nothing was started
    """
    payload = decode_json(request, response)
    if not isinstance(payload, dict):
        raise UnexpectedPayloadError(
            f"{request.method} {request.path} should be answered with a JSON object, "
            f"not with {type(payload).__name__}"
        )
    wrapped = payload.get("task")
    answer: Mapping[str, Any] = wrapped if isinstance(wrapped, dict) else payload
    if not answer.get("id"):
        # The refusal is documented as messages of the task, whose localized text is a plain one.
        texts = (error_text(payload), error_text(answer), *read_messages(answer.get("messages")))
        raise AggregationRunningError(source_id, next(filter(None, texts), None))
    task = TaskStatus.from_json(answer)
    return replace(
        task,
        target_id=task.target_id or source_id,
        kind=kind if task.kind is TaskKind.OTHER else task.kind,
    )


def source_page(admin_url: str, source_id: str) -> str:
    """
    Return the URL of a source's page in the administration UI.

    :param source_id: the id, perhaps as a task's target has it
    :return: empty for what can't be the id of a source
    """
    source = usable_id(source_id)
    return f"{admin_url}/ui/a/admin/connections/sources/{quote(source, safe='')}" if source else ""


def _source_path(version: ApiVersion, source_id: str) -> str:
    return f"{version.sources}/{quote(source_id, safe='')}"
