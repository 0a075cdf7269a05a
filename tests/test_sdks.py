"""The page about SailPoint's SDKs names all methods that they have, and only what there is here."""

from __future__ import annotations

import inspect
import re
from collections import Counter

import pytest

from airflow_provider_sptasks.client import ClientSettings, SourcesClient, TaskStatusClient
from airflow_provider_sptasks.client.errors import APIError
from airflow_provider_sptasks.client.kinds import STARTABLE_KINDS
from airflow_provider_sptasks.client.versions import API_VERSIONS
from airflow_provider_sptasks.operators.sailpoint import SailPointStartAggregationOperator
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "sdks.md").read_text(encoding="utf-8")
# All methods of the SDKs' pages on Task Management.
SDKS = {
    "Python v2024": [
        "get_pending_task_headers",
        "get_pending_tasks",
        "get_task_status",
        "get_task_status_list",
        "update_task_status",
    ],
    "Go beta": [
        "GetPendingTaskHeaders",
        "GetPendingTasks",
        "GetTaskStatus",
        "GetTaskStatusList",
        "UpdateTaskStatus",
    ],
    "Go v2026": ["GetTaskStatus", "GetTaskStatusList", "UpdateTaskStatus"],
    "PowerShell v2024": [
        "Get-V2024PendingTaskHeaders",
        "Get-V2024PendingTasks",
        "Get-V2024TaskStatus",
        "Get-V2024TaskStatusList",
        "Update-V2024TaskStatus",
    ],
}


def rows(heading: str) -> list[list[str]]:
    """The rows of the table with these first cells."""
    after = PAGE.partition(f"| {heading} |")[2].splitlines()[2:]
    table = after[: next((number for number, line in enumerate(after) if line[:1] != "|"), len(after))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_every_method_of_the_sdks_is_named_once() -> None:
    named = Counter((sdk, re.findall(r"[\w-]+", method)[0]) for sdk, method, _ in rows("SDK | method | here"))
    assert named == Counter((sdk, method) for sdk, methods in SDKS.items() for method in methods)


CALLS = sorted(set(re.findall(r"\bclient\.(\w+)\(([^)`]*)\)", PAGE)))


@pytest.mark.parametrize(("name", "arguments"), CALLS)
def test_every_call_can_be_made(name: str, arguments: str) -> None:
    parameters = inspect.signature(getattr(TaskStatusClient, name)).parameters
    for each in filter(None, (part.strip() for part in arguments.split(","))):
        if each.endswith("="):
            assert each[:-1] in parameters
    positional = [each for each in arguments.split(",") if each.strip() and not each.strip().endswith("=")]
    assert len(positional) < len(parameters)


def test_all_that_reads_or_changes_tasks_is_named() -> None:
    assert {name for name, _ in CALLS} >= {
        "get",
        "list",
        "count",
        "pending",
        "count_pending",
        "update",
        "clear",
    }


def test_the_other_names() -> None:
    assert {"source_ids", "completion_statuses", "task_status_ids", "launchers", "pending"} < set(
        inspect.signature(TaskStatusClient.list).parameters
    )
    assert ClientSettings("acme", access_token="a-token").access_token == "a-token"
    error = APIError("GET", "/", 400)
    for name in ("status", "detail_code", "text", "tracking_id"):
        assert hasattr(error, name)
        assert name in PAGE


def test_kinds() -> None:
    table = rows("`kind`")
    assert [row[0].strip("`") for row in table] == list(STARTABLE_KINDS)
    operator = inspect.signature(SailPointStartAggregationOperator.__init__).parameters
    client = inspect.signature(SourcesClient.start_aggregation).parameters
    for row in table:
        for option in re.findall(r"`(\w+)`", row[2]):
            assert option in operator
            assert option in client
    for number, has in ((3, "starts_agents"), (4, "starts_datasets")):
        versions = [name for name, version in API_VERSIONS.items() if getattr(version, has)]
        assert re.findall(r"`(\w+)`", table[number][3]) == versions
