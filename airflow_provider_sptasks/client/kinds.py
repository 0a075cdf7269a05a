"""How a task ended and what it does: the words that SailPoint's answers are read into."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Self

from airflow_provider_sptasks.client.reading import letters


class CompletionStatus(StrEnum):
    """
    How a task ended.

    The API documents ``SUCCESS WARNING ERROR TERMINATED TEMPERROR`` and is seen to send other spellings
    (``Success``, ``TEMP_ERROR``), which :meth:`parse` understands. ``UNKNOWN`` is any other text: the task
    has ended, but it is unknown how, so it never counts as a success.
    """

    SUCCESS = "SUCCESS"
    WARNING = "WARNING"
    ERROR = "ERROR"
    TERMINATED = "TERMINATED"
    TEMPERROR = "TEMPERROR"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read a status, regardless of case, underscores and spaces.

        :param text: as the API or a DAG author spells it
        :return: the status; ``UNKNOWN`` for what the API doesn't document
        """
        name = re.sub(r"[\s_-]", "", text).upper()
        return cls(name) if name in cls.__members__ else cls("UNKNOWN")


class TaskKind(StrEnum):
    """
    What a task does, read from its name: the API's ``type`` is ``QUARTZ`` for all that tenants were seen to
    send.

    Every kind but ``OTHER`` is an aggregation.
    """

    ACCOUNTS = "accounts"
    ENTITLEMENTS = "entitlements"
    UNCORRELATED_ACCOUNTS = "uncorrelated_accounts"
    MACHINE_IDENTITIES = "machine_identities"
    AI_AGENTS = "ai_agents"
    DATASETS = "datasets"
    APPLICATION_DISCOVERY = "application_discovery"
    OTHER = "other"


ANY_KIND = "any"
"""Where a kind is chosen: every kind of aggregation."""

STARTABLE_KINDS = (
    TaskKind.ACCOUNTS,
    TaskKind.ENTITLEMENTS,
    TaskKind.UNCORRELATED_ACCOUNTS,
    TaskKind.AI_AGENTS,
    TaskKind.DATASETS,
)

# Of SailPoint's task types (the possible values of ``type``) those that aggregate, and other spellings of
# theirs, by the letters that distinguish them. No aggregation of a source are CLOUD_UNCORRELATED_REFRESH,
# CLOUD_IDENTITY_AGGREGATION (of identities), CLOUD_REFRESH_ROLE, CLOUD_ATTRIBUTE_SYNCHRONIZATION,
# IDENTITY_REFRESH and the deletions.
_KINDS = {
    "uncorrelatedaccount": TaskKind.UNCORRELATED_ACCOUNTS,  # CLOUD_PROCESS_UNCORRELATED_ACCOUNTS
    "machineidentityaggregation": TaskKind.MACHINE_IDENTITIES,  # MACHINE_IDENTITY_AGGREGATION
    "aiagentaggregation": TaskKind.AI_AGENTS,  # AI_AGENT_AGGREGATION, "AI Agent Aggregation - ..."
    "datasetaggregation": TaskKind.DATASETS,  # "Dataset Aggregation"
    "applicationdiscovery": TaskKind.APPLICATION_DISCOVERY,  # (SOURCE_)APPLICATION_DISCOVERY
    "groupaggregation": TaskKind.ENTITLEMENTS,  # CLOUD_GROUP_AGGREGATION
    "entitlementaggregation": TaskKind.ENTITLEMENTS,
    "entitlementimport": TaskKind.ENTITLEMENTS,  # CLOUD_ENTITLEMENT_IMPORT
    "accountaggregation": TaskKind.ACCOUNTS,  # CLOUD_ACCOUNT_AGGREGATION
}
# What stands first in a name decides: the name of a source may follow.
_KIND_MARKS = re.compile("|".join(_KINDS))


def kind_of(written: object, *names: str | None) -> TaskKind:
    """
    Read a task's kind from its names, unless ``TaskStatus.to_json`` has written it down.

    :param written: what ``kind`` holds in the JSON, if anything
    :param names: the task's names, of its definition and of its type; the first that has a kind decides
    """
    if isinstance(written, str) and written in _WRITTEN:
        return _WRITTEN[written]
    return next((kind for name in names if name and (kind := _kind_of_name(name))), TaskKind.OTHER)


_WRITTEN = {kind.value: kind for kind in TaskKind}


@lru_cache(maxsize=1024)
def _kind_of_name(name: str) -> TaskKind | None:
    mark = _KIND_MARKS.search(letters(name))
    return None if mark is None else _KINDS[mark.group()]
