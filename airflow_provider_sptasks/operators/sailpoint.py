"""
Operators that change tasks of a SailPoint tenant.

Each is imported when it is first used, so that a DAG file pays for those that it has.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_sptasks.operators._clear import SailPointClearPendingTasksOperator
    from airflow_provider_sptasks.operators._start import SailPointStartAggregationOperator

_HOMES = {
    "SailPointClearPendingTasksOperator": "_clear",
    "SailPointStartAggregationOperator": "_start",
}

__all__ = ["SailPointClearPendingTasksOperator", "SailPointStartAggregationOperator"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__package__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
