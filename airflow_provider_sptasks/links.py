"""Links from Airflow's UI to SailPoint's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

# Where Airflow keeps the link of a task: workers set it at every end of a task, and so does a trigger.
LINK_KEY = "_link_SailPointAggregationLink"


class SailPointAggregationLink(BaseOperatorLink):
    """
    Leads to the page of the source in SailPoint's administration UI, where its aggregations are shown.

    With several sources, that is the one whose aggregation did not end as it should, or else the first one.
    """

    name = "Source in SailPoint"
    xcom_key = LINK_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's
        """Return the URL that the operator has found out; empty where it has none."""
        return getattr(operator, "source_page", None) or ""
