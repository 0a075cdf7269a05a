"""What the API says of sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from airflow_provider_sptasks.client.errors import UnexpectedPayloadError
from airflow_provider_sptasks.client.ids import usable_id
from airflow_provider_sptasks.client.reading import (
    describe,
    letters,
    read_datetime,
    read_name,
    read_number,
)


@dataclass(frozen=True)
class Source:
    """
    A source of a tenant.

    :param id: SailPoint's id of the source
    :param name: name of the source, such as ``Active Directory``
    :param type: what it connects to, such as ``Active Directory - Direct`` or ``DelimitedFile``
    :param delimited_file: whether its aggregations take a CSV file
    :param raw: the whole answer as it came
    """

    id: str
    name: str
    type: str | None = None
    delimited_file: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False, repr=False)

    def __str__(self) -> str:
        """Name the source for a person."""
        return f"{self.name} ({self.id})"

    @classmethod
    def from_json(cls, payload: object) -> Self:
        """
        Return a source read from the API's JSON.

        :param payload: the decoded JSON object
        :raises UnexpectedPayloadError: it is no object, or lacks a usable id or a name
        """
        if not isinstance(payload, Mapping):
            raise UnexpectedPayloadError(f"A source should be a JSON object, not {describe(payload)}")
        source_id, name = usable_id(payload.get("id")), read_name(payload.get("name"))
        if source_id is None or name is None:
            raise UnexpectedPayloadError(
                f"A source without a usable id and a name came: {describe(payload.get('id'))}, named "
                f"{describe(payload.get('name'))}"
            )
        makes = (payload.get(each) for each in ("type", "connector", "connectorImplementationId"))
        return cls(
            id=source_id,
            name=name,
            type=read_name(payload.get("type")),
            delimited_file=any(letters(read_name(make)).startswith("delimitedfile") for make in makes),
            raw=dict(payload),
        )


@dataclass(frozen=True)
class AggregationProgress:
    """
    How an account aggregation goes on: only what is new, changed or deleted is counted.

    :param status: ``STARTED``, ``ACCOUNTS_COLLECTED``, ``COMPLETED``, ``CANCELLED``, ``RETRIED``,
        ``TERMINATED`` or ``NOT_FOUND``
    :param start: when it started, UTC
    :param total_accounts: accounts to process
    :param processed_accounts: accounts processed so far
    :param total_accounts_marked_for_deletion: accounts to delete
    :param deleted_accounts: accounts deleted so far
    :param total_identities: identities to refresh
    :param processed_identities: identities refreshed so far
    """

    status: str
    start: datetime | None = None
    total_accounts: int | None = None
    processed_accounts: int | None = None
    total_accounts_marked_for_deletion: int | None = None
    deleted_accounts: int | None = None
    total_identities: int | None = None
    processed_identities: int | None = None

    def __str__(self) -> str:
        """Say for a person how far it is."""
        counts = [
            f"{done} of {total} {what}"
            for what, done, total in (
                ("accounts processed", self.processed_accounts, self.total_accounts),
                ("accounts deleted", self.deleted_accounts, self.total_accounts_marked_for_deletion),
                ("identities refreshed", self.processed_identities, self.total_identities),
            )
            if done is not None and total
        ]
        return f"{self.status}: {', '.join(counts)}" if counts else self.status

    @classmethod
    def from_json(cls, payload: object) -> Self:
        """
        Return the progress read from the API's JSON.

        :param payload: the decoded JSON object
        :raises UnexpectedPayloadError: it is no object, or has no status
        """
        if not isinstance(payload, Mapping) or (status := read_name(payload.get("status"))) is None:
            raise UnexpectedPayloadError(
                f"The status of an aggregation should be a JSON object with a status, not {describe(payload)}"
            )
        return cls(
            status=status.upper(),
            start=read_datetime(payload.get("start")),
            total_accounts=read_number(payload.get("totalAccounts")),
            processed_accounts=read_number(payload.get("processedAccounts")),
            total_accounts_marked_for_deletion=read_number(payload.get("totalAccountsMarkedForDeletion")),
            deleted_accounts=read_number(payload.get("deletedAccounts")),
            total_identities=read_number(payload.get("totalIdentities")),
            processed_identities=read_number(payload.get("processedIdentities")),
        )
