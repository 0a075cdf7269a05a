"""Aggregations over HTTP: starting them, and the progress of account aggregations."""

from __future__ import annotations

import uuid
from dataclasses import replace
from functools import partial
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.routing import BaseRoute

from airflow_provider_sptasks.emulator.clock import milliseconds, timestamp
from airflow_provider_sptasks.emulator.credentials import (
    LOAD_ACCOUNTS,
    LOAD_ENTITLEMENTS,
    LOAD_UNCORRELATED_ACCOUNTS,
    READ_AGGREGATIONS,
    Right,
)
from airflow_provider_sptasks.emulator.endpoint import Call, encoded, json_answer, route
from airflow_provider_sptasks.emulator.errors import ApiError
from airflow_provider_sptasks.emulator.kinds import KINDS
from airflow_provider_sptasks.emulator.redaction import MAX_FIELDS, URLENCODED
from airflow_provider_sptasks.emulator.source_routes import source_of
from airflow_provider_sptasks.emulator.sources import Source
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.tasks import Task
from airflow_provider_sptasks.emulator.taskstore import UnknownTaskError
from airflow_provider_sptasks.emulator.tenant import AggregationRunningError
from airflow_provider_sptasks.emulator.uploads import MULTIPART, Form, Part, Upload
from airflow_provider_sptasks.emulator.versions import ApiVersion

STATUS_RETENTION = 3_600.0
"""How long the progress of an account aggregation is known after its end, in seconds."""

_COLLECTED_AT = 20
_ENDS = {"terminated": "TERMINATED", "temperror": "RETRIED", "cancelled": "CANCELLED"}
# The specification has these words, and where they stand in the answer, for accounts and uncorrelated
# accounts. For entitlements it has neither.
_RUNNING = {
    "accounts": (
        "This aggregation failed because the currently running aggregation must complete "
        "before the next one can start."
    ),
    "uncorrelated_accounts": (
        "This correlation failed because the currently running correlation must complete "
        "before the next one can start."
    ),
}
_RETURNS = {
    "accounts": ("ACCOUNT_AGGREGATION", ("applications", "total", "created", "updated", "deleted")),
    "entitlements": (
        "ACCOUNT_GROUP_AGGREGATION",
        ("applications", "total", "groupsCreated", "groupsUpdated", "groupsDeleted"),
    ),
    "uncorrelated_accounts": ("ACCOUNT_CORRELATION", ("applications", "total", "correlationFailures")),
}


def routes(state: State, version: ApiVersion) -> list[BaseRoute]:
    """
    Return the routes of a version.

    :param state: the emulator's state.
    :param version: the API version.
    """
    add = partial(route, state, version)

    def load(name: str, kind: str, right: Right) -> BaseRoute:
        asked = right if version.clients_load else replace(right, user_required=True)
        path = f"{version.sources}/{{id}}/{name}"
        return add(path, {"POST": (partial(_load, kind=kind), asked)})

    return [
        load("load-accounts", "accounts", LOAD_ACCOUNTS),
        load("load-entitlements", "entitlements", LOAD_ENTITLEMENTS),
        load("load-uncorrelated-accounts", "uncorrelated_accounts", LOAD_UNCORRELATED_ACCOUNTS),
        add(f"{version.aggregations}/{{id}}/status", {"GET": (_status, READ_AGGREGATIONS)}),
    ]


def _load(call: Call, kind: str) -> Response:
    source = source_of(call)
    form = _form(call, urlencoded=kind == "accounts" and call.version.urlencoded)
    if kind == "entitlements" and not form.parts:
        raise ApiError(500)
    file = _file(source, kind, form)
    optimized = not _flag(form, "disableOptimization")
    task: Task | None
    try:
        task = call.tenant.start(source, kind, optimized=optimized)
    except AggregationRunningError:
        task = None
    if file is not None:
        call.tenant.uploads.append(
            Upload(
                source_id=source.id,
                kind=kind,
                task_id=None if task is None else task.id,
                filename=file.filename,
                content_type=file.content_type,
                size=file.size,
                sha256=file.sha256,
                rows=file.rows,
            )
        )
    return json_answer(encoded(_refused(kind) if task is None else _started(task)), status=202)


def _status(call: Call) -> Response:
    now = call.tenant.clock.now()
    try:
        task = call.tenant.task(call.id)
    except UnknownTaskError as error:
        raise ApiError(404) from error
    ended = task.ended_at(now)
    if task.kind != "accounts" or (ended is not None and now - ended > STATUS_RETENTION):
        raise ApiError(404)
    percent = 100 if ended is not None else min(task.phase(now), 99)
    if ended is not None:
        outcome = str(task.completion_status(now)).replace("_", "").casefold()
        status = _ENDS.get(outcome, "COMPLETED")
    else:
        status = "STARTED" if percent < _COLLECTED_AT else "ACCOUNTS_COLLECTED"
    document: dict[str, object] = {"start": timestamp(task.launched), "status": status}
    if status in ("ACCOUNTS_COLLECTED", "COMPLETED"):
        share = (percent - _COLLECTED_AT) / (100 - _COLLECTED_AT)
        for total, done, number in (
            ("totalAccounts", "processedAccounts", task.total // 8),
            ("totalAccountsMarkedForDeletion", "deletedAccounts", task.total // 200),
            ("totalIdentities", "processedIdentities", task.total // 10),
        ):
            document |= {total: number, done: int(number * share)}
    return json_answer(encoded(document))


def _form(call: Call, *, urlencoded: bool) -> Form:
    """Return the form of a request; a request without a body has an empty one."""
    form: Form | None = getattr(call.request.state, "form", None)
    if form is None and urlencoded and call.media_type == URLENCODED:
        form = Form()
        try:
            fields = parse_qsl(call.body.decode("latin-1"), encoding="utf-8", max_num_fields=MAX_FIELDS)
        except ValueError as error:
            raise ApiError(400, str(error), detail_code="400.0 Bad Request Syntax") from error
        for name, value in fields:
            form.add_field(name, value)
        return form
    if form is None:
        if call.body:
            raise ApiError(
                415, f"Content-Type {call.media_type or '(none)'} is not supported: it must be {MULTIPART}."
            )
        return Form()
    if form.problem is not None:
        raise ApiError(400, form.problem, detail_code="400.0 Bad Request Syntax")
    return form


def _file(source: Source, kind: str, form: Form) -> Part | None:
    """Return the file that an aggregation is to work with, ``None`` for none; an empty one is none."""
    part = form.parts.get("file")
    if kind == "uncorrelated_accounts" and part is None:
        raise ApiError(400, "Required part 'file' is not present.")
    if part is not None and part.size == 0:
        part = None
    if source.delimited_file and part is None:
        raise ApiError(400, f"The source {source.name} is a delimited file source: a CSV file is required.")
    if part is not None and not source.delimited_file and kind != "uncorrelated_accounts":
        raise ApiError(
            400, f"The source {source.name} is not a delimited file source: a file can't be uploaded."
        )
    return part


def _flag(form: Form, name: str) -> bool:
    part = form.parts.get(name)
    text = "false" if part is None else part.text.strip().lower()
    if text not in ("true", "false"):
        raise ApiError(400, f"The {name} {text} is neither true nor false.")
    return text == "true"


def _started(task: Task) -> dict[str, object]:
    """Return the answer to a client that has started a task; each kind of aggregation has its own shape."""
    kind = KINDS[task.kind]
    label, names = _RETURNS[task.kind]
    started: dict[str, object] = {
        "id": task.id,
        "type": "QUARTZ",
        "description": kind.definition,
        "launcher": task.launcher(),
        "returns": [
            {"displayLabel": f"TASK_OUT_{label}_{name.upper()}", "attributeName": name} for name in names
        ],
    }
    if task.kind == "entitlements":
        return started | {"uniqueName": kind.unique_name, "created": timestamp(task.launched)}
    launched = milliseconds(task.launched)
    if task.kind == "accounts":
        optimized = "enabled" if task.optimized else "disabled"
        attributes: dict[str, object] = {"appId": task.source_id, "optimizedAggregation": optimized}
    else:
        attributes = {"appId": task.source_id, "qpocJobId": str(uuid.UUID(task.id)), "taskStartDelay": ""}
    started |= {
        "name": kind.unique_name,
        "parentName": None,
        "created": launched,
        "launched": launched,
        "completed": None,
        "completionStatus": None,
        "messages": [],
        "progress": None,
        "attributes": attributes,
    }
    return {"success": True, "task": started}


def _refused(kind: str) -> dict[str, object]:
    """Return the answer to a client whose aggregation has to wait for another one: it has no id of a task."""
    text = _RUNNING.get(kind, _RUNNING["accounts"])
    if kind == "entitlements":
        return {"messages": [{"locale": "en-US", "localeOrigin": "DEFAULT", "text": text}]}
    # Unlike in a task, the localized text is no object here.
    message = {"type": "ERROR", "error": True, "warning": False, "key": text, "localizedText": text}
    return {"success": False, "task": {"id": None, "name": KINDS[kind].unique_name, "messages": [message]}}
