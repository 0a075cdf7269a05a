"""The sources of the tenant, and how aggregations of them go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_sptasks.emulator.clock import timestamp
from airflow_provider_sptasks.emulator.ids import stable_id
from airflow_provider_sptasks.emulator.tasks import DURATION, OUTCOME


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How aggregations go that the tenant launches.

    :param duration: how long each runs, in seconds; ``None`` for ones that never end.
    :param outcomes: their ``completionStatus`` in the end, one after the other, then from the first again.
    :param retry_after: how many seconds after a ``TEMPERROR`` SailPoint tries again, twice at most; ``None``
        for never.
    """

    duration: float | None = DURATION
    outcomes: tuple[str, ...] = (OUTCOME,)
    retry_after: float | None = None

    def __post_init__(self) -> None:
        if self.duration is not None and self.duration < 0:
            raise ValueError(f"duration: {self.duration!r} is negative")
        if not self.outcomes or not all(self.outcomes):
            raise ValueError("outcome: is empty; an aggregation that doesn't end has the duration None")
        if self.retry_after is not None and self.retry_after < 0:
            raise ValueError(f"retry_after: {self.retry_after!r} is negative")


@dataclass(frozen=True, slots=True)
class Source:
    """
    A source.

    :param id: its id.
    :param name: its name.
    :param created: when it was created, in seconds since 1970.
    :param delimited_file: its accounts come from an uploaded CSV file.
    :param plan: how aggregations go that a client starts.
    :param fields: overrides of its JSON.
    :param implied: it exists only because a task names it.
    """

    id: str
    name: str
    created: float
    delimited_file: bool = False
    plan: Plan = field(default_factory=Plan)
    fields: Mapping[str, object] = field(default_factory=dict)
    implied: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name: is empty")
        if "id" in self.fields:
            raise ValueError("fields: can't override the id; pass it as id")

    def snapshot(self) -> dict[str, object]:
        """Return the source's JSON."""
        if self.delimited_file:
            connector, connector_name = "delimited-file-angularsc", "Delimited File"
            kind, connector_class = "DelimitedFile", "sailpoint.connector.DelimitedFileConnector"
            features = ["DIRECT_PERMISSIONS", "NO_RANDOM_ACCESS", "DISCOVER_SCHEMA"]
        else:
            connector, connector_name = "active-directory-angularsc", "Active Directory"
            kind, connector_class = "Active Directory - Direct", "sailpoint.connector.ADLDAPConnector"
            features = ["AUTHENTICATE", "PROVISIONING", "ENABLE", "UNLOCK", "SEARCH"]
        document: dict[str, object] = {
            "id": self.id,
            "name": self.name,
            "description": f"The accounts of {self.name}",
            "owner": {"type": "IDENTITY", "id": stable_id("owner of sources"), "name": "Source Owner"},
            "cluster": None if self.delimited_file else _reference("CLUSTER", "Corporate Cluster"),
            "accountCorrelationConfig": _reference(
                "ACCOUNT_CORRELATION_CONFIG", f"{self.name} [source] Account Correlation"
            ),
            "accountCorrelationRule": None,
            "managerCorrelationMapping": None,
            "managerCorrelationRule": None,
            "beforeProvisioningRule": None,
            "schemas": [
                {"type": "CONNECTOR_SCHEMA", "id": stable_id(f"{self.id} {name}"), "name": name}
                for name in ("account", "group")
            ],
            "passwordPolicies": [],
            "features": features,
            "type": kind,
            "connector": connector,
            "connectorClass": connector_class,
            "connectorAttributes": {"healthCheckTimeout": 30, "cloudDisplayName": self.name},
            "deleteThreshold": 10,
            "authoritative": False,
            "managementWorkgroup": None,
            "healthy": True,
            "status": "SOURCE_STATE_HEALTHY",
            "since": timestamp(self.created),
            "connectorId": connector.removesuffix("-angularsc"),
            "connectorName": connector_name,
            "connectionType": "file" if self.delimited_file else "direct",
            "connectorImplementationId": connector,
            "created": timestamp(self.created),
            "modified": timestamp(self.created),
            "credentialProviderEnabled": False,
            "category": None,
        }
        return document | dict(self.fields)


class Sources:
    """The sources by id and by name; ids ignore case."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}
        self._ids: dict[str, str] = {}

    def add(self, source: Source) -> None:
        """
        Add a source; one that only tasks have named gives way to it.

        :param source: the source; an id that exists is refused.
        """
        known = self._sources.get(source.id.casefold())
        if known is not None and not known.implied:
            raise ValueError(f"id: there is already a source {known.id!r}, named {known.name!r}")
        self._sources[source.id.casefold()] = source
        self._ids.setdefault(source.name, source.id)

    def imply(self, source_id: str, name: str, now: float) -> None:
        """
        Add the source that a task is of, unless it is known.

        :param source_id: its id.
        :param name: its name.
        :param now: the tenant's time.
        """
        if source_id.casefold() not in self._sources:
            self.add(Source(source_id, name, now, implied=True))

    def get(self, source_id: str) -> Source | None:
        """
        Return a source, ``None`` if there is none with that id.

        :param source_id: its id.
        """
        return self._sources.get(source_id.casefold())

    def id_of(self, name: str) -> str:
        """
        Return the id of the source with that name, or the one that it would get.

        :param name: its name; of several with that name it is the first.
        """
        return self._ids.get(name) or stable_id(name)

    def all(self) -> list[Source]:
        """Return all sources, in the order in which they were added."""
        return list(self._sources.values())

    def clear(self) -> None:
        """Remove all sources."""
        self._sources.clear()
        self._ids.clear()


def new_plan(duration: float | None, outcome: str | Sequence[str], retry_after: float | None) -> Plan:
    """
    Return how aggregations go.

    :param duration: how long each runs, in seconds; ``None`` for ones that never end.
    :param outcome: their ``completionStatus`` in the end; several are taken one after the other.
    :param retry_after: how many seconds after a ``TEMPERROR`` SailPoint tries again.
    """
    return Plan(duration, (outcome,) if isinstance(outcome, str) else tuple(outcome), retry_after)


def _reference(kind: str, name: str) -> dict[str, object]:
    return {"type": kind, "id": stable_id(name), "name": name}
