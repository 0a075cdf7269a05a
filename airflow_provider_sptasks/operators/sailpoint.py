"""Operators that change tasks of a SailPoint tenant."""

from airflow_provider_sptasks.operators._clear import SailPointClearPendingTasksOperator
from airflow_provider_sptasks.operators._start import SailPointStartAggregationOperator

__all__ = ["SailPointClearPendingTasksOperator", "SailPointStartAggregationOperator"]
