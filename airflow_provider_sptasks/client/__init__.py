"""
A client of SailPoint's tasks and sources that needs no Airflow.

The names are imported when they are first used, so that reading a task status doesn't load ``requests``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient
    from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus, TaskStatusDict
    from airflow_provider_sptasks.client.models_sources import AggregationProgress, Source
    from airflow_provider_sptasks.client.retry import RetryPolicy
    from airflow_provider_sptasks.client.settings import ClientSettings
    from airflow_provider_sptasks.client.sources_client import SourcesClient

_HOMES = {
    "AggregationProgress": "models_sources",
    "ClientSettings": "settings",
    "CompletionStatus": "models",
    "RetryPolicy": "retry",
    "Source": "models_sources",
    "SourcesClient": "sources_client",
    "TaskKind": "models",
    "TaskStatus": "models",
    "TaskStatusClient": "client",
    "TaskStatusDict": "models",
}

__all__ = [
    "AggregationProgress",
    "ClientSettings",
    "CompletionStatus",
    "RetryPolicy",
    "Source",
    "SourcesClient",
    "TaskKind",
    "TaskStatus",
    "TaskStatusClient",
    "TaskStatusDict",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
