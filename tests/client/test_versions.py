"""The table of API versions."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_sptasks.client import versions
from airflow_provider_sptasks.client.versions import API_VERSIONS
from airflow_provider_sptasks.emulator.versions import VERSIONS


def test_are_those_of_the_emulator() -> None:
    """Two tables, each written from SailPoint's documents."""
    assert [
        (each.name, each.task_status, each.lists_pending, bool(each.pending_tasks), each.filters)
        for each in API_VERSIONS.values()
    ] == [
        (each.name, each.prefix, each.lists_pending, each.pending_endpoint, frozenset(each.filters))
        for each in VERSIONS
    ]
    assert [(each.sources, each.account_aggregations) for each in API_VERSIONS.values()] == [
        (each.sources, each.aggregations) for each in VERSIONS
    ]


def test_default() -> None:
    assert versions.DEFAULT_API_VERSION == "v1"


@pytest.mark.parametrize("name", ["v3", "V1", "", "2024", None, 1, ["v1"]])
def test_unknown_ones_are_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="Use one of beta, v2024, v2025, v2026, v1") as caught:
        versions.api_version(name)
    assert repr(name) in str(caught.value)
