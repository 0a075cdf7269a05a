"""
Aggregations of AI agents and of datasets over HTTP.

Written from SailPoint's pages of its SDKs. They don't say what is answered while another aggregation of the
source runs: here it is what entitlements get.
"""

from __future__ import annotations

import json
from functools import partial

from starlette.responses import Response
from starlette.routing import BaseRoute

from airflow_provider_sptasks.emulator.clock import timestamp
from airflow_provider_sptasks.emulator.credentials import AGGREGATE_DATASETS
from airflow_provider_sptasks.emulator.endpoint import Call, encoded, json_answer, route
from airflow_provider_sptasks.emulator.errors import ApiError, error_body
from airflow_provider_sptasks.emulator.kinds import KINDS
from airflow_provider_sptasks.emulator.source_routes import source_of
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.tasks import Task
from airflow_provider_sptasks.emulator.tenant import AggregationRunningError
from airflow_provider_sptasks.emulator.versions import ApiVersion

_RUNNING = "Another aggregation of this source is running."


def routes(state: State, version: ApiVersion) -> list[BaseRoute]:
    """
    Return the routes of a version.

    :param state: the emulator's state.
    :param version: the API version.
    """
    add = partial(route, state, version)
    source = f"{version.sources}/{{id}}"
    found: list[BaseRoute] = []
    if version.agents:
        found.append(add(f"{source}/aggregate-agents", {"POST": (_aggregate_agents, AGGREGATE_DATASETS)}))
    if version.datasets:
        path = f"{source}/datasets/{{dataset}}/aggregate"
        found.append(add(path, {"POST": (_aggregate_dataset, AGGREGATE_DATASETS)}))
    return found


def _aggregate_agents(call: Call) -> Response:
    body = _json(call)
    datasets = body.get("datasetIds")
    if not isinstance(datasets, list) or not datasets or not all(isinstance(each, str) for each in datasets):
        raise ApiError(400, "datasetIds must be a list of ids.")
    task = _start(call, "ai_agents", optimized=body.get("disableOptimization") is not True)
    return json_answer(_refused() if task is None else encoded(task.snapshot(call.tenant.clock.now())))


def _aggregate_dataset(call: Call) -> Response:
    _json(call)
    task = _start(call, "datasets", optimized=True)
    if task is None:
        return json_answer(_refused())
    kind = KINDS[task.kind]
    launched = timestamp(task.launched)
    return json_answer(
        encoded(
            {
                "id": task.id,
                "type": "QUARTZ",
                "name": kind.unique_name,
                "description": kind.definition,
                "launcher": task.launcher(),
                "created": launched,
                "launched": launched,
                "completed": None,
                "completionStatus": None,
                "parentName": None,
                "progress": "Initializing...",
            }
        )
    )


def _start(call: Call, kind: str, *, optimized: bool) -> Task | None:
    try:
        return call.tenant.start(source_of(call), kind, optimized=optimized)
    except AggregationRunningError:
        return None


def _refused() -> bytes:
    return error_body(400, _RUNNING)


def _json(call: Call) -> dict[str, object]:
    try:
        body = json.loads(call.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "The body is not JSON.") from error
    if not isinstance(body, dict):
        raise ApiError(400, "The body is no JSON object.")
    return body
