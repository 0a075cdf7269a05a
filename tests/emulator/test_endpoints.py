"""Every endpoint in every version."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator
from tests.emulator.conftest import Api

PREFIXES = {
    "beta": "/beta/task-status",
    "v2024": "/v2024/task-status",
    "v2025": "/v2025/task-status",
    "v2026": "/v2026/task-status",
    "v1": "/task-status/v1",
}
COMPLETED_ONLY = ("beta", "v2024")
WITH_PENDING_ENDPOINT = ("beta", "v2024", "v2025")
LAUNCHER = ("v2026", "v1")
CLEAR = [
    {"op": "replace", "path": "/completionStatus", "value": "Error"},
    {"op": "replace", "path": "/completed", "value": "2024-05-17T19:33:16.470Z"},
]
# Of the schema TaskStatus: its fields, and which of them may be null.
FIELDS: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "type": str,
    "uniqueName": str,
    "description": str,
    "parentName": (str, type(None)),
    "launcher": str,
    "target": (dict, type(None)),
    "created": str,
    "modified": (str, type(None)),
    "launched": (str, type(None)),
    "completed": (str, type(None)),
    "completionStatus": (str, type(None)),
    "messages": list,
    "returns": list,
    "attributes": dict,
    "progress": (str, type(None)),
    "percentComplete": int,
    "taskDefinitionSummary": dict,
}

every_version = pytest.mark.parametrize("version", list(PREFIXES))


@pytest.fixture
def tasks(emulator: Emulator) -> None:
    emulator.add_task("done", launched=-100, duration=10)
    emulator.add_task("running", launched=-50, duration=100)
    emulator.add_task("stuck", launched=-3600, duration=None)


@every_version
@pytest.mark.usefixtures("tasks")
def test_list(api: Api, version: str) -> None:
    expected = ["done"] if version in COMPLETED_ONLY else ["done", "running", "stuck"]
    assert api.ids(PREFIXES[version]) == expected


@every_version
@pytest.mark.usefixtures("tasks")
def test_get(api: Api, version: str) -> None:
    answer = api.get(f"{PREFIXES[version]}/running")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert {key: answer.json()[key] for key in ("id", "completionStatus", "percentComplete")} == {
        "id": "running",
        "completionStatus": None,
        "percentComplete": 50,
    }


@every_version
def test_fields(api: Api, emulator: Emulator, version: str) -> None:
    for kind in ("accounts", "entitlements", "role_refresh"):
        task = emulator.add_task(
            kind=kind, launched=-60, duration=30, messages=["Bad row"], outcome="WARNING"
        )
        document = api.get(f"{PREFIXES[version]}/{task.id}").json()
        assert document.keys() == FIELDS.keys()
        for name, types in FIELDS.items():
            assert isinstance(document[name], types), name
        assert document == emulator.task(task.id)
        assert (document["target"] is None) == (kind == "role_refresh")


@every_version
@pytest.mark.usefixtures("tasks")
def test_unknown_task(api: Api, version: str) -> None:
    for answer in (api.get(f"{PREFIXES[version]}/nix"), api.patch(f"{PREFIXES[version]}/nix", CLEAR)):
        assert answer.status_code == 404
        assert answer.json()["detailCode"] == "404 Not found"
        assert len(answer.json()["trackingId"]) == 32
        assert answer.json()["messages"][0]["locale"] == "en-US"


@every_version
@pytest.mark.usefixtures("tasks")
def test_patch(api: Api, emulator: Emulator, version: str) -> None:
    answer = api.patch(f"{PREFIXES[version]}/stuck", CLEAR)
    assert answer.status_code == 200
    assert answer.json()["completionStatus"] == "Error"
    assert answer.json()["completed"] == "2024-05-17T19:33:16.470Z"
    emulator.clock.advance(3600)
    assert api.get(f"{PREFIXES[version]}/stuck").json() == answer.json()
    assert "stuck" in api.ids(PREFIXES[version])


@every_version
@pytest.mark.usefixtures("tasks")
def test_pending_tasks(api: Api, version: str) -> None:
    path = f"{PREFIXES[version]}/pending-tasks"
    answer = api.get(path)
    if version not in WITH_PENDING_ENDPOINT:
        assert answer.status_code == 404
        return
    assert [task["id"] for task in answer.json()] == ["running", "stuck"]
    assert answer.headers["X-Deprecated"] == "true"
    assert "X-Total-Count" not in answer.headers
    page = api.get(path, limit=1, offset=1, count="true")
    assert [task["id"] for task in page.json()] == ["stuck"]
    assert page.headers["X-Total-Count"] == "2"


@every_version
@pytest.mark.usefixtures("tasks")
def test_head_of_pending_tasks(api: Api, version: str) -> None:
    url = f"{api.url}{PREFIXES[version]}/pending-tasks"
    answer = api.session.head(url, params={"count": "true"}, timeout=5)
    assert answer.content == b""
    if version in WITH_PENDING_ENDPOINT:
        assert (answer.status_code, answer.headers["X-Total-Count"]) == (200, "2")
    else:
        assert answer.status_code == 405


@pytest.mark.parametrize("version", WITH_PENDING_ENDPOINT)
def test_no_pending_tasks(api: Api, version: str) -> None:
    url = f"{api.url}{PREFIXES[version]}/pending-tasks"
    for method in ("GET", "HEAD"):
        answer = api.session.request(method, url, params={"count": "true"}, timeout=5)
        assert (answer.status_code, answer.content, answer.headers["X-Total-Count"]) == (204, b"", "0")


@every_version
@pytest.mark.parametrize("value", [None, "false"])
def test_experimental_header_is_not_needed(
    api: Api, emulator: Emulator, version: str, value: str | None
) -> None:
    emulator.add_task("one", launched=-60)
    del api.session.headers["X-SailPoint-Experimental"]
    if value is not None:
        api.session.headers["X-SailPoint-Experimental"] = value
    paths = ["", "/one"] + (["/pending-tasks"] if version in WITH_PENDING_ENDPOINT else [])
    for path in paths:
        answer = api.get(PREFIXES[version] + path)
        assert answer.status_code in (200, 204)


@every_version
def test_paging(api: Api, emulator: Emulator, version: str) -> None:
    for number in range(260):
        emulator.add_task(f"t{number}", launched=-100 - number, duration=1)
    prefix = PREFIXES[version]
    assert len(api.ids(prefix)) == 250
    assert api.ids(prefix, limit=2, offset=258, sorters="-created") == ["t258", "t259"]
    assert api.ids(prefix, limit=2, sorters="created") == ["t259", "t258"]
    assert api.ids(prefix, limit=0) == []
    assert api.ids(prefix, offset=1000) == []
    assert "X-Total-Count" not in api.get(prefix).headers
    assert "X-Total-Count" not in api.get(prefix, count="false").headers
    counted = api.get(prefix, count="true", limit=1, filters='id in ("t1","t2","t3")')
    assert (len(counted.json()), counted.headers["X-Total-Count"]) == (1, "3")


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "251"},
        {"limit": "-1"},
        {"limit": "ten"},
        {"limit": "1.5"},
        {"limit": ""},
        {"limit": "٣"},
        {"offset": "-1"},
        {"offset": "x"},
        {"offset": "99999999999"},
        {"count": "yes"},
        {"sorters": "launched"},
        {"sorters": "+created"},
        {"sorters": "created,-created"},
    ],
    ids=str,
)
def test_bad_parameters(api: Api, params: dict[str, str]) -> None:
    answer = api.get("/task-status/v1", **params)
    assert answer.status_code == 400
    assert answer.json()["detailCode"] == "400.1 Bad Request Content"
    assert next(iter(params.values())) in answer.json()["messages"][0]["text"]


@every_version
@pytest.mark.parametrize(
    ("expression", "versions", "expected"),
    [
        ('id eq "DONE"', PREFIXES, ["done"]),
        ('sourceId eq "s2"', PREFIXES, ["failed"]),
        ('completionStatus eq "success"', PREFIXES, ["done"]),
        ('completionStatus in ("SUCCESS", "Error")', PREFIXES, ["done", "failed"]),
        ('type eq "CLOUD_GROUP_AGGREGATION"', PREFIXES, ["failed"]),
        ("completionStatus isnull", ("v2025", "v2026", "v1"), ["running"]),
        ('launcher eq "cloudadmin" and id in ("done","running")', LAUNCHER, ["done", "running"]),
    ],
)
def test_filters(
    api: Api,
    emulator: Emulator,
    version: str,
    expression: str,
    versions: tuple[str, ...],
    expected: list[str],
) -> None:
    emulator.add_task("done", source_id="S1", launched=-100, duration=1)
    emulator.add_task(
        "failed", source_id="S2", kind="entitlements", launched=-100, duration=1, outcome="Error"
    )
    emulator.add_task("running", source_id="S1", launched=-10, duration=60)
    if version in versions:
        found = [i for i in expected if i != "running" or version not in COMPLETED_ONLY]
        assert api.ids(PREFIXES[version], filters=expression) == found
    else:
        answer = api.get(PREFIXES[version], filters=expression)
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("expression", "status", "text"),
    [
        ('type eq "QUARTZ"', 400, "QUARTZ"),
        ('type in ("CLOUD_ACCOUNT_AGGREGATION","quartz")', 400, "quartz"),
        ('type eq "CLOUD_ENTITLEMENT_IMPORT"', 400, "Unsupported Task Definition type"),
        ('not (type eq "BOGUS")', 400, "Unsupported Task Definition type"),
        ('target.id eq "x"', 500, "internal fault"),
        ('id eq "target.id"', 200, ""),
        ('uniqueName eq "x"', 400, "uniqueName"),
        ('id co "x"', 400, "co"),
        ("id isnull", 400, "isnull"),
    ],
)
def test_refused_filters(api: Api, expression: str, status: int, text: str) -> None:
    answer = api.get("/task-status/v1", filters=expression)
    assert answer.status_code == status
    assert text in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/task-status",
        "/v3/task-status",
        "/task-status",
        "/task-status/v1/",
        "/task-status/v1/a/b",
        "/sources",
        "/v1/sources",
        "/account-aggregations/v1",
    ],
)
def test_unknown_paths(api: Api, path: str) -> None:
    answer = api.session.get(f"{api.url}{path}", timeout=5, allow_redirects=False)
    assert (answer.status_code, answer.json()["detailCode"]) == (404, "404 Not found")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/one"), ("DELETE", "/one"), ("POST", ""), ("HEAD", "/one")]
)
def test_unknown_methods(api: Api, emulator: Emulator, method: str, path: str) -> None:
    emulator.add_task("one")
    assert api.session.request(method, f"{api.url}/task-status/v1{path}", timeout=5).status_code == 405


def test_id_in_path_is_decoded(api: Api, emulator: Emulator) -> None:
    emulator.add_task("a b+c")
    assert api.get("/task-status/v1/a%20b+c").json()["id"] == "a b+c"


def test_long_request_lines(api: Api, emulator: Emulator) -> None:
    path = "/task-status/v1?x="
    fits, too_long = (path + "y" * (length - len(path)) for length in (8192, 8193))
    assert api.get(fits).status_code == 200
    answer = api.get(too_long)
    assert (answer.status_code, answer.headers["Content-Type"]) == (414, "text/html")
    assert [request.status for request in emulator.requests[-2:]] == [200, 414]


def test_long_request_line_without_credentials(emulator: Emulator) -> None:
    assert requests.get(f"{emulator.url}/task-status/v1/{'y' * 9000}", timeout=5).status_code == 414


def test_ten_thousand_tasks(api: Api, emulator: Emulator) -> None:
    ids = [emulator.add_task(launched=-number, duration=5).id for number in range(10_000)]
    wanted = ids[::53][:189]
    quoted = ",".join(f'"{task_id}"' for task_id in [*wanted, "unknown"])
    assert sorted(api.ids("/task-status/v1", filters=f"id in ({quoted})")) == sorted(wanted)
