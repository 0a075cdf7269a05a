"""Sources, and aggregations that clients start."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator
from tests.emulator.conftest import Api

SOURCES = {
    "beta": "/beta/sources",
    "v2024": "/v2024/sources",
    "v2025": "/v2025/sources",
    "v2026": "/v2026/sources",
    "v1": "/sources/v1",
}
PROGRESS = {version: path.replace("sources", "account-aggregations") for version, path in SOURCES.items()}
EMPTY_FILE = {"file": ("", b"")}
CSV = b'id,name\r\n1,"Smith\nJohn"\r\n2,"O""Neil"\r\n3,x'

every_version = pytest.mark.parametrize("version", list(SOURCES))


def post(api: Api, path: str, **kwargs: Any) -> requests.Response:
    return api.session.post(f"{api.url}{path}", timeout=10, **kwargs)


def load(api: Api, source_id: str, what: str = "accounts", **kwargs: Any) -> requests.Response:
    return post(api, f"/sources/v1/{source_id}/load-{what}", **kwargs)


def names(api: Api, **params: str | int) -> list[str]:
    answer = api.get("/sources/v1", **params)
    assert answer.status_code == 200, answer.text
    return [source["name"] for source in answer.json()]


def text_of(answer: requests.Response) -> str:
    return str(answer.json()["messages"][0]["text"])


@every_version
def test_list_and_get(api: Api, emulator: Emulator, version: str) -> None:
    added = emulator.add_source("HR export", delimited_file=True, fields={"description": "Mine"})
    task = emulator.add_task(source="Active Directory", launched=60)
    documents = api.get(SOURCES[version]).json()
    assert [document["name"] for document in documents] == ["HR export", "Active Directory"]
    assert [document["id"] for document in documents] == [added.id, task.source_id]
    assert [document["type"] for document in documents] == ["DelimitedFile", "Active Directory - Direct"]
    assert documents[0]["description"] == "Mine"
    assert api.get(f"{SOURCES[version]}/{added.id.upper()}").json() == documents[0]
    assert api.get(f"{SOURCES[version]}/nix").status_code == 404
    assert emulator.requests[-1].api_version == version


def test_ids_and_names(emulator: Emulator) -> None:
    own = emulator.add_source("Workday", "w1")
    assert emulator.add_task(source="Workday").source_id == own.id == "w1"
    other = emulator.add_source("Workday", "w2")
    assert other.name == own.name
    assert emulator.schedule("Workday", every=60, offset=60).source_id == "w1"
    implied = emulator.add_task(source="AD").source_id
    assert emulator.add_source("AD", delimited_file=True).id == implied
    assert emulator.add_source("SAP").id == emulator.add_task(source="SAP").source_id


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('name eq "workday"', ["Workday"]),
        (r'name eq "A \"quoted\" \\ name"', ['A "quoted" \\ name']),
        ('name in ("Workday","nix","AD")', ["AD", "Workday"]),
        ('name sw "w"', ["Workday"]),
        ('name co "QUOTE"', ['A "quoted" \\ name']),
        ('name ne "AD" and not (name co "quoted")', ["Workday"]),
        ('id eq "S1"', ["AD"]),
        ('id in ("s1","s2")', ["AD", "Workday"]),
        ('id ge "s2"', ["Workday", 'A "quoted" \\ name']),
        ('type eq "DelimitedFile"', ["Workday"]),
        ('owner.id isnull or category eq "x"', []),
        ("managementWorkgroup.id isnull", ["AD", "Workday", 'A "quoted" \\ name']),
    ],
)
def test_filters(api: Api, emulator: Emulator, expression: str, expected: list[str]) -> None:
    emulator.add_source("AD", "s1")
    emulator.add_source("Workday", "s2", delimited_file=True)
    emulator.add_source('A "quoted" \\ name', "s3")
    assert names(api, filters=expression) == expected


@pytest.mark.parametrize(
    "params",
    [
        {"filters": 'cluster eq "x"'},
        {"filters": 'features ca ("SEARCH")'},
        {"filters": 'description co "x"'},
        {"filters": "name eq AD"},
        {"filters": 'name lt "x"'},
        {"filters": 'name sw ("x")'},
        {"sorters": "cluster.name"},
        {"sorters": "name,"},
        {"limit": "251"},
        {"offset": "x"},
    ],
    ids=str,
)
def test_refused_lists(api: Api, params: dict[str, str]) -> None:
    answer = api.get("/sources/v1", **params)
    assert (answer.status_code, answer.json()["detailCode"]) == (400, "400.1 Bad Request Content")


def test_pages_and_order(api: Api, emulator: Emulator) -> None:
    for number in range(260):
        emulator.add_source(f"App {number:03}", delimited_file=number % 2 == 0)
    assert len(names(api)) == 250
    assert names(api, limit=2, offset=258) == ["App 258", "App 259"]
    assert names(api, limit=2, sorters="-type,name") == ["App 000", "App 002"]
    assert names(api, limit=2, sorters="type,-name") == ["App 259", "App 257"]
    counted = api.get("/sources/v1", count="true", limit=1, filters='name sw "App 00"')
    assert counted.headers["X-Total-Count"] == "10"


@every_version
def test_load_accounts(api: Api, emulator: Emulator, version: str) -> None:
    source = emulator.add_source("AD", duration=60, outcome="WARNING")
    answer = post(
        api, f"{SOURCES[version]}/{source.id}/load-accounts", files={"disableOptimization": (None, "true")}
    )
    assert answer.status_code == 202
    assert answer.json()["success"] is True
    started = answer.json()["task"]
    assert "uniqueName" not in started
    assert (started["name"], started["completionStatus"]) == ("Cloud Account Aggregation", None)
    assert started["attributes"] == {"appId": source.id, "optimizedAggregation": "disabled"}
    assert [task.id for task in emulator.started] == [started["id"]]
    document = emulator.task(started["id"])
    launched = datetime.fromisoformat(str(document["launched"]))
    assert started["launched"] == started["created"] == round(launched.timestamp() * 1000)
    attributes = document["attributes"]
    assert isinstance(attributes, dict)
    assert attributes["optimizedAggregation"] == "disabled"
    emulator.clock.advance(61)
    assert emulator.task(started["id"])["completionStatus"] == "WARNING"
