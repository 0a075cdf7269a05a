"""Sources, and aggregations that clients start."""

from __future__ import annotations

import hashlib
import re
import tracemalloc
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.emulator.faults import FaultKind
from airflow_provider_sptasks.emulator.kinds import KINDS
from tests.emulator.conftest import Api, ApiFactory

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
    assert [source.name for source in emulator.sources] == ["Workday", "Workday", "AD", "SAP"]


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


def test_other_shapes(api: Api, emulator: Emulator) -> None:
    source = emulator.add_source("AD")
    answer = load(api, source.id, "entitlements", files=EMPTY_FILE)
    assert answer.status_code == 202
    (task,) = emulator.started
    document = emulator.task(task.id)
    assert (answer.json()["id"], answer.json()["uniqueName"]) == (task.id, "Cloud Group Aggregation")
    assert answer.json()["created"] == document["created"]
    assert answer.json().keys() == {
        "id",
        "type",
        "uniqueName",
        "description",
        "launcher",
        "created",
        "returns",
    }
    emulator.complete(task.id)
    answer = load(api, source.id, "uncorrelated-accounts", files=EMPTY_FILE)
    started = answer.json()["task"]
    assert (answer.status_code, started["name"]) == (202, "Cloud Process Uncorrelated Accounts")
    assert isinstance(started["launched"], int)
    assert [each.kind for each in emulator.started] == ["entitlements", "uncorrelated_accounts"]


def test_outcomes_in_turn(api: Api, emulator: Emulator) -> None:
    source = emulator.add_source("AD", duration=0, outcome=["ERROR", "SUCCESS"])
    for _ in range(3):
        assert load(api, source.id).json()["success"] is True
    statuses = [emulator.task(task.id)["completionStatus"] for task in emulator.started]
    assert statuses == ["ERROR", "SUCCESS", "ERROR"]


@pytest.mark.parametrize("running", ["accounts", "entitlements", "uncorrelated_accounts"])
@pytest.mark.parametrize("what", ["accounts", "entitlements", "uncorrelated-accounts"])
def test_while_another_one_runs(api: Api, emulator: Emulator, running: str, what: str) -> None:
    task = emulator.add_task(source="AD", kind=running, launched=-3600, duration=None)
    assert task.source_id is not None
    answer = load(api, task.source_id, what, files=EMPTY_FILE)
    assert answer.status_code == 202
    assert not answer.json().get("success")
    assert answer.json().get("id") is None
    if what == "entitlements":
        text = text_of(answer)
    else:
        assert answer.json()["task"]["id"] is None
        (message,) = answer.json()["task"]["messages"]
        assert (message["type"], message["error"], message["warning"]) == ("ERROR", True, False)
        text = message["localizedText"]
    assert "must complete before the next one can start" in text
    assert (emulator.started, len(emulator.tasks())) == ((), 1)
    clear = [{"op": "replace", "path": "/completionStatus", "value": "Error"}]
    assert api.patch(f"/task-status/v1/{task.id}", clear).status_code == 200
    assert load(api, task.source_id, what, files=EMPTY_FILE).status_code == 202
    assert len(emulator.started) == 1


def test_what_doesnt_hinder(api: Api, emulator: Emulator) -> None:
    source = emulator.add_source("AD")
    emulator.add_task(source="AD", launched=-60, duration=30)
    emulator.add_task(source="AD", launched=60)
    emulator.add_task(source="AD", kind="account_deletion", duration=None)
    emulator.add_task(source="SAP", duration=None)
    assert load(api, source.id).json()["success"] is True


@pytest.mark.parametrize(
    ("what", "delimited", "request_", "status", "problem"),
    [
        ("accounts", False, {}, 202, ""),
        ("accounts", False, {"files": EMPTY_FILE}, 202, ""),
        ("accounts", False, {"files": {"file": ("a.csv", CSV)}}, 400, "not a delimited file source"),
        ("accounts", True, {"files": {"file": ("a.csv", CSV)}}, 202, ""),
        ("accounts", True, {}, 400, "a CSV file is required"),
        ("accounts", True, {"files": EMPTY_FILE}, 400, "a CSV file is required"),
        ("accounts", True, {"data": CSV, "headers": {"Content-Type": "text/csv"}}, 415, "text/csv"),
        ("accounts", False, {"json": {}}, 415, "application/json"),
        (
            "accounts",
            False,
            {"files": {"disableOptimization": (None, "yes")}},
            400,
            "disableOptimization yes",
        ),
        ("entitlements", False, {}, 500, "internal fault"),
        ("entitlements", True, {"files": EMPTY_FILE}, 400, "a CSV file is required"),
        ("entitlements", True, {"files": {"file": ("a.csv", CSV)}}, 202, ""),
        ("entitlements", False, {"files": {"file": ("a.csv", CSV)}}, 400, "not a delimited file source"),
        ("uncorrelated-accounts", False, {}, 400, "'file' is not present"),
        ("uncorrelated-accounts", False, {"files": {"file": ("a.csv", CSV)}}, 202, ""),
    ],
)
def test_forms(
    api: Api,
    emulator: Emulator,
    what: str,
    delimited: bool,
    request_: dict[str, Any],
    status: int,
    problem: str,
) -> None:
    source = emulator.add_source("HR", delimited_file=delimited)
    answer = load(api, source.id, what, **request_)
    assert (answer.status_code, len(emulator.started)) == (status, int(status == 202))
    assert problem in answer.text


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--b\r\n"),
        ("multipart/form-data; boundary=b", b"no form"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx'),
        ("multipart/form-data; boundary=b", b"--b\r\nX: y\r\n\r\nx\r\n--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 2 + b"--b--\r\n",
        ),
        (
            "multipart/form-data; boundary=b",
            b"".join(b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\nx\r\n' % n for n in range(101))
            + b"--b--\r\n",
        ),
        (f"multipart/form-data; boundary={'b' * 300}", b"--" + b"b" * 300 + b"--\r\n"),
        (f"multipart/form-data; boundary={'b' * 300}", b""),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="a"\r\nX: '
            + b"x" * 100_000
            + b"\r\n\r\nx\r\n--b--\r\n",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n'
            + b"X: y\r\n" * 10_000
            + b"\r\nx\r\n--b--\r\n",
        ),
    ],
)
@pytest.mark.parametrize("what", ["accounts", "entitlements"])
def test_malformed_forms(api: Api, emulator: Emulator, what: str, content_type: str, body: bytes) -> None:
    source = emulator.add_source("AD")
    answer = load(api, source.id, what, data=body, headers={"Content-Type": content_type})
    assert (answer.status_code, emulator.started) == (400, ())


def test_form_without_parts(api: Api, emulator: Emulator) -> None:
    source = emulator.add_source("AD")
    form: dict[str, Any] = {
        "data": b"--b--\r\n",
        "headers": {"Content-Type": "multipart/form-data; boundary=b"},
    }
    assert load(api, source.id, "entitlements", **form).status_code == 500
    assert load(api, source.id, **form).json()["success"] is True


def test_empty_body_that_says_it_is_a_form(api: Api, emulator: Emulator) -> None:
    source = emulator.add_source("AD")
    headers = {"Content-Type": "multipart/form-data"}
    assert load(api, source.id, "entitlements", headers=headers).status_code == 500
    assert load(api, source.id, headers=headers).json()["success"] is True


def test_uploads(api: Api, emulator: Emulator) -> None:
    source = emulator.add_source("HR", delimited_file=True)
    for _ in range(2):
        load(
            api,
            source.id,
            files={"file": ("accounts.csv", CSV, "text/csv"), "disableOptimization": (None, "false")},
        )
    (task,) = emulator.started
    first, second = emulator.uploads
    assert (first.task_id, second.task_id) == (task.id, None)
    assert (first.source_id, first.kind, first.rows) == (source.id, "accounts", 3)
    assert (first.filename, first.content_type) == ("accounts.csv", "text/csv")
    assert (first.size, first.sha256) == (len(CSV), hashlib.sha256(CSV).hexdigest())
    assert emulator.requests[-1].body.decode().splitlines() == [
        f"'file': {len(CSV)} bytes, file 'accounts.csv', text/csv",
        "'disableOptimization': 5 bytes",
    ]


@pytest.mark.parametrize(
    ("content", "rows"),
    [(b"a", 0), (b"a\n", 0), (b"a\nb", 1), (b"a\nb\n", 1), (b'a\n"b\n""c\n"\n', 1), (b"\n\n\n", 2)],
)
def test_rows(api: Api, emulator: Emulator, content: bytes, rows: int) -> None:
    source = emulator.add_source("HR", delimited_file=True)
    load(api, source.id, files={"file": ("a.csv", content)})
    assert emulator.uploads[0].rows == rows


def test_upload_is_not_held_in_memory(api: Api, emulator: Emulator) -> None:
    source = emulator.add_source("HR", delimited_file=True)
    row = b'1,"Smith, John",' + b"x" * 1_006 + b"\n"
    blocks, rows = 512, 64
    sent = hashlib.sha256()

    def form() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\n\r\n'
        for _ in range(blocks):
            sent.update(row * rows)
            yield row * rows
        yield b"\r\n--b--\r\n"

    tracemalloc.start()
    try:
        answer = post(
            api,
            f"/sources/v1/{source.id}/load-accounts",
            data=form(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.json()["success"] is True
    (upload,) = emulator.uploads
    assert (upload.size, upload.sha256) == (len(row) * rows * blocks, sent.hexdigest())
    assert upload.rows == rows * blocks - 1
    assert upload.size > 32_000_000
    assert peak < 8_000_000
    assert len(emulator.requests[-1].body) < 100


@every_version
def test_unknown_source(api: Api, version: str) -> None:
    for what in ("accounts", "entitlements", "uncorrelated-accounts"):
        answer = post(api, f"{SOURCES[version]}/nix/load-{what}", files=EMPTY_FILE)
        assert (answer.status_code, answer.json()["detailCode"]) == (404, "404 Not found")


@pytest.mark.parametrize(
    ("credential", "allowed"),
    [
        ({"user": True}, "list get accounts entitlements uncorrelated-accounts progress"),
        ({"user": True, "level": "SOURCE_ADMIN"}, "list get accounts progress"),
        ({"user": True, "level": "ROLE_SUBADMIN"}, "list"),
        ({"user": True, "level": "HELPDESK"}, ""),
        ({"user": True, "scopes": ["idn:sources:read"]}, "list get progress"),
        (
            {"user": True, "scopes": ["idn:sources:manage"]},
            "list get accounts uncorrelated-accounts progress",
        ),
        ({"user": True, "scopes": ["idn:entitlement:manage"]}, "entitlements progress"),
        ({"user": True, "scopes": ["idn:task-management:write"]}, "progress"),
        ({"user": False}, "list get accounts uncorrelated-accounts"),
        ({"user": False, "scopes": ["idn:sources:read"]}, "list get"),
    ],
    ids=str,
)
@pytest.mark.parametrize("version", ["v1", "beta"])
def test_rights(
    emulator: Emulator, connect: ApiFactory, version: str, credential: dict[str, Any], allowed: str
) -> None:
    source = emulator.add_source("AD", duration=0)
    task = emulator.add_task(source="AD", duration=0)
    api = connect(emulator, emulator.add_credential(**credential))
    one = f"{SOURCES[version]}/{source.id}"
    answers = {
        "list": api.get(SOURCES[version]),
        "get": api.get(one),
        "progress": api.get(f"{PROGRESS[version]}/{task.id}/status"),
    }
    for what in ("accounts", "entitlements", "uncorrelated-accounts"):
        answers[what] = post(api, f"{one}/load-{what}", files=EMPTY_FILE)
    expected = set(allowed.split())
    if version == "beta" and not credential["user"]:
        expected -= {"accounts", "uncorrelated-accounts"}
    assert {name for name, answer in answers.items() if answer.status_code != 403} == expected
    assert {answers[name].status_code for name in expected} <= {200, 202}


@pytest.mark.parametrize(
    ("kind", "started"),
    [("status", 0), ("html", 0), ("empty", 0), ("drop", 0), ("drop_after", 1), ("truncate", 1), ("delay", 1)],
)
def test_faults(api: Api, emulator: Emulator, kind: FaultKind, started: int) -> None:
    source = emulator.add_source("HR", delimited_file=True)
    delay = 0.3 if kind == "delay" else 0.0
    emulator.fail(kind=kind, path="/sources/v1/*/load-accounts", delay=delay, times=1)
    if kind in ("status", "html", "empty"):
        assert load(api, source.id, files={"file": ("a.csv", CSV)}).status_code == 503
    elif kind == "delay":
        assert load(api, source.id, files={"file": ("a.csv", CSV)}).elapsed.total_seconds() >= delay
    else:
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            load(api, source.id, files={"file": ("a.csv", CSV)})
    assert (len(emulator.started), len(emulator.uploads)) == (started, started)
    entry = emulator.requests[-1]
    assert (entry.method, entry.api_version, entry.fault) == ("POST", "v1", kind)


@every_version
def test_progress(api: Api, emulator: Emulator, version: str) -> None:
    task = emulator.add_task(source="AD", duration=100)
    path = f"{PROGRESS[version]}/{task.id}/status"
    start = emulator.task(task.id)["launched"]
    assert api.get(path).json() == {"start": start, "status": "STARTED"}
    emulator.clock.advance(50)
    half = api.get(path).json()
    assert half["status"] == "ACCOUNTS_COLLECTED"
    assert 0 < half["processedAccounts"] < half["totalAccounts"]
    emulator.clock.advance(60)
    done = api.get(path).json()
    assert done["status"] == "COMPLETED"
    for part, whole in (
        ("processedAccounts", "totalAccounts"),
        ("deletedAccounts", "totalAccountsMarkedForDeletion"),
        ("processedIdentities", "totalIdentities"),
    ):
        assert done[part] == done[whole] == half[whole]
    emulator.clock.advance(3_500)
    assert api.get(path).status_code == 200
    emulator.clock.advance(100)
    assert api.get(path).status_code == 404
    assert api.get(f"/task-status/v1/{task.id}").status_code == 200


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("Error", "COMPLETED"),
        ("TEMP_ERROR", "RETRIED"),
        ("TERMINATED", "TERMINATED"),
        ("Cancelled", "CANCELLED"),
    ],
)
def test_progress_of_what_went_wrong(api: Api, emulator: Emulator, outcome: str, status: str) -> None:
    task = emulator.add_task(launched=-100, duration=10, outcome=outcome)
    document = api.get(f"/account-aggregations/v1/{task.id}/status").json()
    assert document["status"] == status
    assert ("totalAccounts" in document) == (status == "COMPLETED")


def test_progress_of_others(api: Api, emulator: Emulator) -> None:
    for kind in KINDS:
        task = emulator.add_task(kind=kind)
        expected = 200 if kind == "accounts" else 404
        assert api.get(f"/account-aggregations/v1/{task.id}/status").status_code == expected
    assert api.get("/account-aggregations/v1/nix/status").status_code == 404


def test_progress_of_a_cleared_task(api: Api, emulator: Emulator) -> None:
    task = emulator.add_task(launched=-86_400, duration=None)
    long_ago = "2024-05-17T19:33:16.470Z"
    clear = [
        {"op": "replace", "path": "/completionStatus", "value": "Error"},
        {"op": "replace", "path": "/completed", "value": long_ago},
    ]
    path = f"/account-aggregations/v1/{task.id}/status"
    assert api.get(path).json()["status"] == "ACCOUNTS_COLLECTED"
    api.patch(f"/task-status/v1/{task.id}", clear)
    emulator.clock.advance(3_000)
    assert api.get(path).json()["status"] == "COMPLETED"
    emulator.clock.advance(700)
    assert api.get(path).status_code == 404


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"name": ""}, "name: is empty"),
        ({"name": "AD", "id": "TAKEN"}, "already a source 'taken', named 'Mine'"),
        ({"name": "AD", "fields": {"id": "x"}}, "fields: can't override the id"),
        ({"name": "AD", "duration": -1}, "duration: -1 is negative"),
        ({"name": "AD", "outcome": ""}, "outcome: is empty"),
        ({"name": "AD", "outcome": []}, "outcome: is empty"),
        ({"name": "AD", "retry_after": -1}, "retry_after: -1 is negative"),
    ],
)
def test_refused_sources(emulator: Emulator, arguments: dict[str, Any], problem: str) -> None:
    emulator.add_source("Mine", "taken")
    with pytest.raises(ValueError, match=re.escape(problem)):
        emulator.add_source(**arguments)


def test_two_hundred_starts(api: Api, emulator: Emulator) -> None:
    ids = [emulator.add_source(f"App {number}").id for number in range(200)]
    for source_id in ids:
        load(api, source_id)
    assert [task.source_id for task in emulator.started] == ids
    assert len({task.id for task in emulator.started}) == 200


URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


@every_version
@pytest.mark.parametrize("body", ["", "disableOptimization=true"])
def test_urlencoded_body(api: Api, emulator: Emulator, version: str, body: str) -> None:
    source = emulator.add_source("AD")
    answer = post(api, f"{SOURCES[version]}/{source.id}/load-accounts", data=body, headers=URLENCODED)
    if version != "beta" and body:
        assert (answer.status_code, emulator.started) == (415, ())
        return
    assert answer.json()["success"] is True
    assert [task.optimized for task in emulator.started] == [not body]


def test_urlencoded_body_has_no_file(api: Api, emulator: Emulator) -> None:
    delimited, direct = emulator.add_source("HR", delimited_file=True), emulator.add_source("AD")
    for source, what, body, status in (
        (delimited, "accounts", "file=a", 202),
        (delimited, "accounts", "disableOptimization=true", 400),
        (direct, "accounts", "disableOptimization=maybe", 400),
        (direct, "accounts", "&".join(f"a{n}=1" for n in range(101)), 400),
        (direct, "entitlements", "disableOptimization=true", 415),
    ):
        answer = post(api, f"/beta/sources/{source.id}/load-{what}", data=body, headers=URLENCODED)
        assert answer.status_code == status, body


@every_version
def test_part_that_names_the_entitlement_schema(api: Api, emulator: Emulator, version: str) -> None:
    source = emulator.add_source("AD")
    answer = post(
        api,
        f"{SOURCES[version]}/{source.id}/load-entitlements",
        files={**EMPTY_FILE, "objectType": (None, "group")},
    )
    assert (answer.status_code, answer.json()["uniqueName"]) == (202, "Cloud Group Aggregation")
