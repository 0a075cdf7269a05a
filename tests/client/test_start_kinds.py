"""Starting what has a way of its own: entitlements of a schema, AI agents, datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sptasks.client import SourcesClient, TaskKind
from airflow_provider_sptasks.client.errors import AggregationRunningError, ForbiddenError
from airflow_provider_sptasks.emulator import Emulator
from tests.client.conftest import Connect, api_requests

SOURCE = "a" * 32
AGENTS = {"v2025": "/v2025/sources", "v2026": "/v2026/sources", "v1": "/sources/v1"}


@pytest.fixture(autouse=True)
def source(emulator: Emulator) -> None:
    emulator.add_source("ServiceNow", SOURCE, duration=None)
    emulator.add_source("Groups", "b" * 32, delimited_file=True)


@pytest.mark.parametrize("version", AGENTS)
@pytest.mark.parametrize("disable", [True, False])
def test_agents(version: str, disable: bool, connect: Connect, emulator: Emulator) -> None:
    sources = SourcesClient(connect(version).transport)
    task = sources.start_aggregation(
        SOURCE, "ai_agents", dataset_ids=["s:one", "s:two"], disable_optimization=disable
    )
    (started,) = emulator.started
    assert (task.id, task.kind, task.source_id) == (started.id, TaskKind.AI_AGENTS, SOURCE)
    assert started.optimized is not disable
    (request,) = api_requests(emulator)
    assert request.path == f"{AGENTS[version]}/{SOURCE}/aggregate-agents"
    assert json.loads(request.body) == {"datasetIds": ["s:one", "s:two"], "disableOptimization": disable}
    with pytest.raises(AggregationRunningError, match="Another aggregation of this source is running"):
        sources.start_aggregation(SOURCE, "ai_agents", dataset_ids=["s:one"])


def test_a_dataset(connect: Connect, emulator: Emulator) -> None:
    sources = SourcesClient(connect("v1").transport)
    task = sources.start_aggregation(SOURCE, "datasets", dataset_ids=["cmdb-servicenow:applications"])
    (started,) = emulator.started
    assert (task.id, task.kind, task.source_id) == (started.id, TaskKind.DATASETS, SOURCE)
    (request,) = api_requests(emulator)
    assert request.path == f"/sources/v1/{SOURCE}/datasets/cmdb-servicenow:applications/aggregate"
    with pytest.raises(AggregationRunningError):
        sources.start_aggregation(SOURCE, "datasets", dataset_ids=["another"])


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("beta", "ai_agents"),
        ("v2024", "ai_agents"),
        *((version, "datasets") for version in ("beta", "v2024", "v2025", "v2026")),
    ],
)
def test_versions_without_it(version: str, kind: str, connect: Connect, emulator: Emulator) -> None:
    with pytest.raises(ValueError, match=f"API version '{version}' can't start kind '{kind}'"):
        SourcesClient(connect(version).transport).start_aggregation(SOURCE, kind, dataset_ids=["a"])
    assert emulator.requests == ()


@pytest.mark.parametrize("kind", ["ai_agents", "datasets"])
def test_rights(kind: str, connect: Connect, emulator: Emulator) -> None:
    credential = emulator.add_credential(scopes=["idn:sources:manage"])
    given: dict[str, Any] = {"client_id": credential.client_id, "client_secret": credential.client_secret}
    with pytest.raises(ForbiddenError, match="needs the scope idn:sources:aggregate"):
        SourcesClient(connect(**given).transport).start_aggregation(SOURCE, kind, dataset_ids=["a"])


def test_entitlements_of_a_schema(connect: Connect, emulator: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "groups.csv"
    file.write_text("id,name\n1,Admins\n")
    sources = SourcesClient(connect().transport)
    sources.start_aggregation("b" * 32, "entitlements", file, object_type="group")
    (request,) = api_requests(emulator)
    assert b"objectType" in request.body
    assert b"groups.csv" in request.body
    assert len(emulator.uploads) == 1
