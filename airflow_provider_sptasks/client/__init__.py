"""
A client of SailPoint's task-status API that needs no Airflow.

The names are imported when they are first used, so that reading a task status doesn't load ``requests``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient
    from airflow_provider_sptasks.client.models import CompletionStatus, TaskKind, TaskStatus
    from airflow_provider_sptasks.client.retry import RetryPolicy
    from airflow_provider_sptasks.client.settings import ClientSettings

_HOMES = {
    "ClientSettings": "settings",
    "CompletionStatus": "models",
    "RetryPolicy": "retry",
    "TaskKind": "models",
    "TaskStatus": "models",
    "TaskStatusClient": "client",
}

__all__ = [
    "ClientSettings",
    "CompletionStatus",
    "RetryPolicy",
    "TaskKind",
    "TaskStatus",
    "TaskStatusClient",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
