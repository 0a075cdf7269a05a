"""DAGs that start when aggregations complete: watchers for their assets, and what they were started by."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import AssetWatcher

from airflow_provider_sptasks.arguments import (
    check_api_version,
    check_choice,
    check_text,
    completion_statuses,
    is_template,
    texts,
)
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.kinds import ANY_KIND
from airflow_provider_sptasks.client.models import TaskKind, TaskStatusDict
from airflow_provider_sptasks.completions import AGGREGATIONS
from airflow_provider_sptasks.times import show
from airflow_provider_sptasks.triggers.completions import (
    ARGUMENTS_VERSION,
    EVERY_SOURCE,
    SailPointAggregationCompletedTrigger,
)

KINDS = (*sorted(AGGREGATIONS), ANY_KIND)
DEFAULT_POKE_SECONDS = 15.0
# Characters of the sources in a watcher's name.
MAX_SOURCES_LENGTH = 200

_KIND_LABELS = {
    TaskKind.ACCOUNTS: "Account aggregations",
    TaskKind.ENTITLEMENTS: "Entitlement aggregations",
    TaskKind.UNCORRELATED_ACCOUNTS: "Uncorrelated account aggregations",
    TaskKind.MACHINE_IDENTITIES: "Machine identity aggregations",
    TaskKind.AI_AGENTS: "AI agent aggregations",
    TaskKind.DATASETS: "Dataset aggregations",
    TaskKind.APPLICATION_DISCOVERY: "Application discoveries",
    ANY_KIND: "Aggregations of any kind",
}


def aggregation_completed(
    source_id: str | Sequence[str] | None = None,
    *,
    source_name: str | Sequence[str] | None = None,
    kind: str = "accounts",
    accepted_statuses: str | Iterable[str] | None = ("SUCCESS", "WARNING"),
    sailpoint_conn_id: str = "sailpoint_default",
    api_version: str | None = None,
    poke_interval: float | timedelta = DEFAULT_POKE_SECONDS,
    name: str | None = None,
) -> AssetWatcher:
    """
    Make a watcher that updates its asset when aggregations complete.

    .. code-block:: python

        fresh = Asset("hr_accounts", watchers=[aggregation_completed("2c918085...")])

        with DAG(dag_id="load_hr", schedule=[fresh]): ...

    Each poll that finds completions makes one asset event, with all of them; in a task,
    :func:`completed_aggregations` reads them from ``triggering_asset_events``. Nothing here is templated.

    :param source_id: SailPoint's id of the source, several of them, or ``*`` for every source
    :param source_name: the source's name instead, or several, case-insensitive; looked up once, when the
        triggerer begins to watch
    :param kind: ``accounts``, ``entitlements``, ``uncorrelated_accounts``, ``machine_identities``,
        ``ai_agents``, ``datasets``, ``application_discovery``, or ``any`` of these
    :param accepted_statuses: the completion statuses that count, of ``SUCCESS WARNING ERROR TERMINATED
        TEMPERROR``; ``None`` for any status
    :param sailpoint_conn_id: the Airflow connection
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``; ``None`` for the connection's
    :param poke_interval: maximum seconds between two polls, or a ``timedelta``; watchers of a connection
        share their polls, as often as the shortest interval among them says
    :param name: the watcher's name; ``None`` for one that says what it watches
    :return: the watcher, for ``Asset(watchers=[...])``
    :raises ValueError: an argument is invalid
    """
    if (source_id is None) == (source_name is None):
        raise ValueError("Give either source_id or source_name; source_id='*' is every source.")
    check_api_version(api_version)
    accepted = completion_statuses(accepted_statuses)
    ids = None if source_id is None else _sources(source_id, "source_id", _check_id_or_every)
    names = None if source_name is None else _sources(source_name, "source_name", _check_name)
    if ids is not None and EVERY_SOURCE in ids and len(ids) > 1:
        raise ValueError(f"source_id {ids!r} holds {EVERY_SOURCE!r}, which is every source, and others.")
    trigger = SailPointAggregationCompletedTrigger(
        source_id=ids,
        source_name=names,
        kind=check_choice(kind, "kind", KINDS),
        accepted_statuses=None if accepted is None else sorted(each.value for each in accepted),
        sailpoint_conn_id=_literal(sailpoint_conn_id, "sailpoint_conn_id"),
        api_version=None if api_version is None else _literal(api_version, "api_version"),
        poke_interval=_seconds(poke_interval),
        version=ARGUMENTS_VERSION,
    )
    return AssetWatcher(name=_name(trigger) if name is None else check_text(name, "name"), trigger=trigger)


def completed_aggregations(triggering_asset_events: Mapping[Any, Sequence[Any]]) -> list[TaskStatusDict]:
    """
    Read which aggregations started a DAG run.

    :param triggering_asset_events: what Airflow hands to a task under this name
    :return: each aggregation once, however many events have it, as
        :class:`~airflow_provider_sptasks.client.TaskStatusDict`, oldest completion first;
        none where the run was started by hand, or by other assets
    """
    found: dict[str, TaskStatusDict] = {}
    for events in triggering_asset_events.values():
        for event in events:
            payload = (event.extra or {}).get("payload")
            if isinstance(payload, Mapping):
                found.update({each["id"]: each.copy() for each in payload.get("aggregations", ())})
    return sorted(found.values(), key=lambda each: (each["completed"] or "", each["id"]))


def _sources(value: object, name: str, check: Any) -> str | list[str]:
    """Check one text or several; several stay a list, each once."""
    if not isinstance(value, (str, list, tuple)):
        raise ValueError(f"{name} is {type(value).__name__}, not a text or a list of texts.")
    checked = texts(value, name, check)
    if not checked:
        raise ValueError(f"{name} is empty. Give at least one source.")
    return checked[0] if isinstance(value, str) else checked


def _check_id_or_every(value: object, name: str) -> str:
    return EVERY_SOURCE if value == EVERY_SOURCE else check_id(value, name)


def _check_name(value: object, name: str) -> str:
    return _literal(check_text(value, name), name)


def _literal(text: str, name: str) -> str:
    if is_template(text):
        raise ValueError(
            f"{name} {text!r} is a template. Watchers know no task that it could be rendered for."
        )
    return text


def _seconds(interval: float | timedelta) -> float:
    seconds = interval.total_seconds() if isinstance(interval, timedelta) else interval
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 1 <= seconds <= 86_400:
        raise ValueError(f"poke_interval {show(interval)} is out of range. Give seconds, 1 to a day (86400).")
    return float(seconds)


def _name(trigger: SailPointAggregationCompletedTrigger) -> str:
    """
    Name a watcher by what it watches: the name is its label on the asset's page, and identifies it.

    So it says all that the watcher was given. It may be shorter, and has ASCII characters only, which is what
    Airflow stores on every database; then a digest keeps it apart from others.
    """
    sources = _listed(trigger.source_id) or [repr(name) for name in _listed(trigger.source_name)]
    statuses = _listed(trigger.accepted_statuses)
    place = ", ".join(filter(None, (trigger.sailpoint_conn_id, trigger.api_version)))
    end = f"with {' or '.join(statuses)}" if statuses else "with any status"
    if trigger.poke_interval != DEFAULT_POKE_SECONDS:
        end += f", polled every {trigger.poke_interval:g} s"
    where = f"{'source' if len(sources) == 1 else 'sources'} {', '.join(sources)}"
    if sources == [EVERY_SOURCE]:
        where = "every source"
    full = f"{_KIND_LABELS[trigger.kind]} of {where} ({place}) that ended {end}"
    if len(where) > MAX_SOURCES_LENGTH:
        where = f"{where[:MAX_SOURCES_LENGTH]}..."
    short = f"{_KIND_LABELS[trigger.kind]} of {where} ({place}) that ended {end}"
    plain = unicodedata.normalize("NFKD", short).encode("ascii", "ignore").decode()
    if plain == full:
        return full
    return f"{plain} [{hashlib.sha256(full.encode()).hexdigest()[:8]}]"


def _listed(value: str | Sequence[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
