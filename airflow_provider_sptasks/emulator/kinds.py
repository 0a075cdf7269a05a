"""The kinds of tasks that the tenant has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_sptasks.emulator.ids import stable_id


@dataclass(frozen=True, slots=True)
class Kind:
    """
    A kind of task.

    :param type: the name that filters by ``type`` know it by.
    :param unique_name: the ``uniqueName`` of its tasks.
    :param description: the description of a task, with ``{source}`` where the source's name goes.
    :param definition: the description of the task definition.
    :param executor: the class behind the task definition.
    :param unit: what it counts.
    :param targeted: it works on one source.
    """

    type: str
    unique_name: str
    description: str
    definition: str
    executor: str
    unit: str
    targeted: bool = True

    def progress(self, percent: int, done: int, total: int) -> str:
        """
        Return what the ``progress`` of a task says.

        :param percent: how far it is.
        :param done: how many it has gone through.
        :param total: how many it goes through in all.
        """
        if percent == 0:
            return "Initializing..."
        if percent == 100:
            return "Completed"
        return f"Processed {done} of {total} {self.unit}"

    def summary(self) -> dict[str, object]:
        """Return the JSON of the task definition."""
        return {
            "id": stable_id(self.type),
            "uniqueName": self.unique_name,
            "description": self.definition,
            "parentName": self.unique_name,
            "executor": "sailpoint.task.ServiceTaskExecutor",
            "arguments": {"mantisExecutor": f"com.sailpoint.mantis.{self.executor}"},
        }


KINDS: Mapping[str, Kind] = {
    "accounts": Kind(
        "CLOUD_ACCOUNT_AGGREGATION",
        "Cloud Account Aggregation",
        "Aggregate accounts from {source} [source]",
        "Aggregates from the specified application.",
        "sources.task.AccountAggregationTask",
        "accounts",
    ),
    "entitlements": Kind(
        "CLOUD_GROUP_AGGREGATION",
        "Cloud Group Aggregation",
        "Aggregate entitlements from {source} [source]",
        "Aggregates groups from the specified application.",
        "sources.task.EntitlementAggregationTask",
        "entitlements",
    ),
    "uncorrelated_accounts": Kind(
        "CLOUD_PROCESS_UNCORRELATED_ACCOUNTS",
        "Cloud Process Uncorrelated Accounts",
        "Process uncorrelated accounts of {source} [source]",
        "Processes uncorrelated accounts for the specified application.",
        "sources.task.UncorrelatedAccountsTask",
        "accounts",
    ),
    "ai_agents": Kind(
        "AI_AGENT_AGGREGATION",
        "AI Agent Aggregation",
        "Aggregate AI agents from {source} [source]",
        "Aggregates AI agents from the specified datasets.",
        "sources.task.AgentAggregationTask",
        "agents",
    ),
    "datasets": Kind(
        "DATASET_AGGREGATION",
        "Dataset Aggregation",
        "Aggregate a dataset of {source} [source]",
        "Aggregate from the specified dataset",
        "sources.task.DatasetAggregationTask",
        "records",
    ),
    "account_deletion": Kind(
        "ACCOUNT_DELETION",
        "Account Deletion",
        "Delete accounts of {source} [source]",
        "Deletes accounts of the specified application.",
        "sources.task.AccountDeletionTask",
        "accounts",
    ),
    "role_refresh": Kind(
        "CLOUD_REFRESH_ROLE",
        "Cloud Refresh Role",
        "Propagate role changes",
        "Refreshes the assignments of roles.",
        "roles.task.RoleRefreshTask",
        "identities",
        targeted=False,
    ),
    "identity_refresh": Kind(
        "IDENTITY_REFRESH",
        "Identity Refresh",
        "Refresh identities",
        "Refreshes the attributes of identities.",
        "identities.task.IdentityRefreshTask",
        "identities",
        targeted=False,
    ),
}
AGGREGATIONS = ("accounts", "entitlements", "uncorrelated_accounts", "ai_agents", "datasets")
"""The kinds that are launched for a source, by a client or by a schedule."""
