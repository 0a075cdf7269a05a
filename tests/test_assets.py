from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_sptasks.assets import KINDS, aggregation_completed, completed_aggregations
from airflow_provider_sptasks.client import TaskStatus, TaskStatusDict
from tests.compat import serialized


def settings(watcher: AssetWatcher) -> dict[str, Any]:
    kwargs: dict[str, Any] = watcher.trigger.serialize()[1]
    return kwargs


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"source_id": "abc"}, {"source_id": "abc", "source_name": None}),
        ({"source_id": "*"}, {"source_id": "*"}),
        ({"source_id": ["abc", " def ", "abc"]}, {"source_id": ["abc", "def"]}),
        ({"source_name": " Active Directory "}, {"source_id": None, "source_name": "Active Directory"}),
        ({"source_name": ("HR", "AD")}, {"source_name": ["HR", "AD"]}),
        ({"source_id": "*"}, {"kind": "accounts", "accepted_statuses": ["SUCCESS", "WARNING"]}),
        (
            {"source_id": "*", "accepted_statuses": {"warning", "Temp_Error"}},
            {"accepted_statuses": ["TEMPERROR", "WARNING"]},
        ),
        ({"source_id": "*", "accepted_statuses": None}, {"accepted_statuses": None}),
        ({"source_id": "*", "kind": "any", "api_version": "beta"}, {"kind": "any", "api_version": "beta"}),
        ({"source_id": "*", "poke_interval": timedelta(minutes=1)}, {"poke_interval": 60.0}),
        (
            {"source_id": "*", "poke_interval": 5},
            {"poke_interval": 5.0, "sailpoint_conn_id": "sailpoint_default"},
        ),
    ],
)
def test_watches_what_is_asked_for(arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    kwargs = settings(aggregation_completed(**arguments))
    assert {name: kwargs[name] for name in expected} == expected
    assert json.loads(json.dumps(kwargs)) == kwargs


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "Give either source_id or source_name"),
        ({"source_id": "a", "source_name": "b"}, "Give either source_id or source_name"),
        ({"source_id": []}, "source_id is empty"),
        ({"source_id": {"a"}}, "source_id is set"),
        ({"source_id": 5}, "source_id is int"),
        ({"source_id": ["*", "a"]}, "which is every source, and others"),
        ({"source_id": "{{ params.x }}"}, "is not an id"),
        ({"source_name": ""}, "source_name '' is not a text"),
        ({"source_name": "{{ params.x }}"}, "is a template"),
        ({"source_id": "*", "sailpoint_conn_id": "{{ params.x }}"}, "is a template"),
        ({"source_id": "*", "api_version": "{{ params.x }}"}, "is a template"),
        ({"source_id": "*", "api_version": "v3"}, "api_version 'v3' is unknown"),
        ({"source_id": "*", "kind": "other"}, "kind 'other' is unknown"),
        ({"source_id": "*", "accepted_statuses": "OK"}, "accepted_statuses holds 'OK'"),
        ({"source_id": "*", "poke_interval": 0}, "poke_interval 0 is out of range"),
        ({"source_id": "*", "poke_interval": "15"}, "poke_interval '15' is out of range"),
        ({"source_id": "*", "name": " "}, "name ' ' is not a text"),
    ],
)
def test_refuses(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("{", r"\{")):
        aggregation_completed(**arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (
            {"source_id": "*"},
            "Account aggregations of every source (sailpoint_default) that ended with SUCCESS or WARNING",
        ),
        (
            {"source_id": "2c91", "kind": "any", "accepted_statuses": None, "sailpoint_conn_id": "prod"},
            "Aggregations of any kind of source 2c91 (prod) that ended with any status",
        ),
        (
            {"source_name": ("HR", "AD"), "kind": "entitlements", "api_version": "beta"},
            "Entitlement aggregations of sources 'HR', 'AD' (sailpoint_default, beta) that ended with "
            "SUCCESS or WARNING",
        ),
        (
            {
                "source_id": "*",
                "kind": "machine_identities",
                "accepted_statuses": "ERROR",
                "poke_interval": 60,
            },
            "Machine identity aggregations of every source (sailpoint_default) that ended with ERROR, polled "
            "every 60 s",
        ),
        ({"source_id": "*", "name": "mine"}, "mine"),
    ],
)
def test_names_say_what_is_watched(arguments: dict[str, Any], name: str) -> None:
    assert aggregation_completed(**arguments).name == name


def test_names_differ_and_stay() -> None:
    """The same at each parse, ASCII for MySQL, and within what Airflow's column has room for."""
    every: list[dict[str, Any]] = [
        {"source_id": "*"},
        *({"source_id": "*", "kind": kind} for kind in KINDS if kind != "accounts"),
        {"source_id": "*", "accepted_statuses": None},
        {"source_id": "*", "accepted_statuses": "SUCCESS"},
        {"source_id": "*", "api_version": "v1"},
        {"source_id": "*", "sailpoint_conn_id": "other"},
        {"source_id": "*", "poke_interval": 14},
        {"source_id": "HR"},
        {"source_name": "HR"},
        {"source_name": "Café & Söhne"},
        {"source_name": "Cafe & Sohne"},
        {"source_name": "日本"},
        {"source_name": "中国"},
        *({"source_id": [f"source-{n}" for n in range(100)] + [last]} for last in ("a", "b")),
    ]
    names = [aggregation_completed(**each).name for each in every]
    assert len(set(names)) == len(names)
    assert all(len(name) < 500 and name.isascii() and name.isprintable() for name in names)
    assert [aggregation_completed(**each).name for each in every] == names


@pytest.mark.parametrize(
    "kind", ["machine_identities", "ai_agents", "datasets", "application_discovery", "accounts", "any"]
)
def test_watches_every_kind_of_aggregation(kind: str) -> None:
    assert settings(aggregation_completed("*", kind=kind))["kind"] == kind


def test_airflow_takes_it_for_the_same_again() -> None:
    """Airflow makes a new trigger whenever what a DAG file says hashes differently."""

    def serialised() -> dict[str, Any]:
        watcher = aggregation_completed(["a", "b"], accepted_statuses={"WARNING", "SUCCESS", "ERROR"})
        with DAG("readme", schedule=[Asset("fresh", watchers=[watcher])]) as dag:
            pass
        (asset,) = serialized(dag).timetable.asset_condition.iter_assets()
        trigger: dict[str, Any] = asset[1].watchers[0].trigger
        return trigger

    first, second = serialised(), serialised()
    assert BaseEventTrigger.hash(first["classpath"], first["kwargs"]) == BaseEventTrigger.hash(
        second["classpath"], second["kwargs"]
    )


def event(*aggregations: TaskStatusDict) -> SimpleNamespace:
    return SimpleNamespace(extra={"from_trigger": True, "payload": {"aggregations": list(aggregations)}})


def test_reads_what_started_a_run() -> None:
    a, b, c = (
        TaskStatus(name, completed=datetime(2026, 3, day, tzinfo=UTC)).to_json()
        for name, day in (("a", 3), ("b", 1), ("c", 2))
    )
    events = {
        "one": [event(a, b), event(b)],
        "two": [
            event(c),
            SimpleNamespace(extra={}),
            SimpleNamespace(extra={"payload": "of another provider"}),
        ],
    }
    assert completed_aggregations(events) == [b, c, a]
    assert completed_aggregations({}) == []
