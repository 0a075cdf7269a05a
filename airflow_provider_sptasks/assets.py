"""DAGs that start when aggregations complete: watchers for their assets, and what they were started by."""

from __future__ import annotations

import hashlib
import json
import re
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
from airflow_provider_sptasks.completions import AGGREGATIONS
from airflow_provider_sptasks.triggers.completions import (
    ANY_KIND,
    EVERY_SOURCE,
    SailPointAggregationCompletedTrigger,
)

KINDS = (*sorted(AGGREGATIONS), ANY_KIND)
MAX_WORDS = 100


def aggregation_completed(
    source_id: str | Sequence[str] | None = None,
    *,
    source_name: str | Sequence[str] | None = None,
    kind: str = "accounts",
    accepted_statuses: str | Iterable[str] | None = ("SUCCESS", "WARNING"),
    sailpoint_conn_id: str = "sailpoint_default",
    api_version: str | None = None,
    poke_interval: float | timedelta = 15.0,
    name: str | None = None,
) -> AssetWatcher:
    """
    Make a watcher that updates its asset when aggregations complete.

    .. code-block:: python

        fresh = Asset("hr_accounts", watchers=[aggregation_completed("2c918085...")])

        with DAG(dag_id="load_hr", schedule=[fresh]): ...

    Each look that finds completions makes one asset event, with all of them; in a task,
    :func:`completed_aggregations` reads them from ``triggering_asset_events``. Nothing here is templated.

    :param source_id: SailPoint's id of the source, several of them, or ``*`` for every source
    :param source_name: the source's name instead, or several, whatever their case; looked up once, when the
        triggerer begins to watch
    :param kind: ``accounts``, ``entitlements``, ``uncorrelated_accounts``, or ``any`` of these
    :param accepted_statuses: the completion statuses that count, of ``SUCCESS WARNING ERROR TERMINATED
        TEMPERROR``; ``None`` for whatever status is set
    :param sailpoint_conn_id: the Airflow connection
    :param api_version: ``beta``, ``v2024``, ``v2025``, ``v2026`` or ``v1``; ``None`` for the connection's
    :param poke_interval: the longest that a look may take to come, in seconds or as a ``timedelta``; watchers
        of a connection look together, as often as the most impatient of them wants
    :param name: the watcher's name; ``None`` for one that tells what it watches
    :raises ValueError: an argument can't be right
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
    )
    return AssetWatcher(name=_name(trigger) if name is None else check_text(name, "name"), trigger=trigger)


def completed_aggregations(triggering_asset_events: Mapping[Any, Sequence[Any]]) -> list[dict[str, Any]]:
    """
    Read which aggregations started a DAG run.

    :param triggering_asset_events: what Airflow hands to a task under this name
    :return: each aggregation once, however many events have it, as
        :meth:`~airflow_provider_sptasks.client.models.TaskStatus.to_json` gives it, oldest completion first;
        none where the run was started by hand, or by other assets
    """
    found: dict[str, dict[str, Any]] = {}
    for events in triggering_asset_events.values():
        for event in events:
            payload = (event.extra or {}).get("payload")
            if isinstance(payload, Mapping):
                found.update({each["id"]: dict(each) for each in payload.get("aggregations", ())})
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
        raise ValueError(f"poke_interval {interval!r} is out of range. Give seconds, 1 to a day (86400).")
    return float(seconds)


def _name(trigger: SailPointAggregationCompletedTrigger) -> str:
    """Name a watcher by what it watches: the name may hold plain letters only, and only so many."""
    sources = trigger.source_id or trigger.source_name or ""
    words = sources if isinstance(sources, str) else ",".join(sources)
    settings = json.dumps(trigger.serialize()[1], sort_keys=True)
    digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
    plain = re.sub(r"[^A-Za-z0-9*,.-]+", "_", f"{trigger.sailpoint_conn_id}.{trigger.kind}.{words}")
    return f"{plain[:MAX_WORDS]}.{digest}"
