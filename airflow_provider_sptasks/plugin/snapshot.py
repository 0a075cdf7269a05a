"""What was known of a tenant at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_provider_sptasks.client.durations import Aggregated
from airflow_provider_sptasks.client.models import TaskStatus


@dataclass(frozen=True)
class Outage:
    """
    Why the tenant's state isn't known.

    :param message: what is wrong, for a person
    :param is_refusal: whether trying again can't help
    :param since: when it began, UTC
    """

    message: str
    is_refusal: bool
    since: datetime


@dataclass(frozen=True)
class Snapshot:
    """
    What was known of a tenant at a time.

    :param pending: the pending tasks
    :param ended: the tasks of the last days that have ended
    :param usual: how long aggregations usually take
    :param failing: the sources whose last run failed
    :param version: changes whenever ``ended`` does
    :param read_at: when the pending tasks were read, UTC; ``None`` before that
    :param reaches_back_to: from when on all tasks are known
    :param is_reading: whether older tasks are still being read
    :param is_cut: whether there were too many
    :param outage: why it is not newer
    """

    pending: tuple[TaskStatus, ...] = ()
    ended: tuple[TaskStatus, ...] = ()
    usual: Mapping[Aggregated, timedelta] = field(default_factory=dict)
    failing: Sequence[str] = ()
    version: str = ""
    read_at: datetime | None = None
    reaches_back_to: datetime | None = None
    is_reading: bool = True
    is_cut: bool = False
    outage: Outage | None = None
