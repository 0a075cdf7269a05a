"""What a PATCH may do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.emulator.patching import CHANGEABLE, InvalidPatchError, patched
from airflow_provider_sptasks.emulator.tasks import DURATION, OUTCOME, Task, message_json
from tests.emulator.conftest import Api

PATH = "/task-status/v1/stuck"


def replace(path: str, value: Any) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": path, "value": value}]


@pytest.fixture
def api(api: Api, emulator: Emulator) -> Api:
    emulator.add_task("stuck", launched=-3600, duration=None)
    return api


@pytest.mark.parametrize(
    "status", ["SUCCESS", "Success", "Error", "error", "TERMINATED", "TempError", "Warning"]
)
def test_completion_status_keeps_its_spelling(api: Api, status: str) -> None:
    answer = api.patch(PATH, replace("/completionStatus", status))
    assert (answer.status_code, answer.json()["completionStatus"]) == (200, status)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-17T19:33:16.470Z", "2024-05-17T19:33:16.470Z"),
        ("2024-05-17 19:33:16.470000+00:00", "2024-05-17T19:33:16.470Z"),
        ("2024-05-17T21:33:16+02:00", "2024-05-17T19:33:16.000Z"),
    ],
)
def test_formats_of_completed(api: Api, value: str, expected: str) -> None:
    assert api.patch(PATH, replace("/completed", value)).json()["completed"] == expected


def test_modified_says_when(api: Api, emulator: Emulator) -> None:
    before = emulator.task("stuck")["modified"]
    emulator.clock.advance(60)
    assert api.patch(PATH, replace("/completionStatus", "Error")).json()["modified"] != before


@pytest.mark.parametrize(
    ("operations", "problem"),
    [
        ({"completionStatus": "Error"}, "must be an array"),
        ("Error", "must be an array"),
        (5, "must be an array"),
        (["Error"], "must be an object"),
        ([{"path": "/completed"}], "needs the text 'op'"),
        ([{"op": "replace", "value": 1}], "needs the text 'path'"),
        ([{"op": "replace", "path": 5, "value": 1}], "needs the text 'path'"),
        ([{"op": "copy", "path": "/completed", "from": 5}], "'from'"),
        ([{"op": "move", "path": "/completed"}], "can't be applied"),
        ([{"op": "set", "path": "/completed", "value": "x"}], "can't be applied"),
        ([{"op": "replace", "path": "/completed"}], "can't be applied"),
        ([{"op": "test", "path": "/completionStatus", "value": "SUCCESS"}], "can't be applied"),
        (replace("completionStatus", "Error"), "can't be applied"),
        (replace("/nix", "Error"), "can't be applied"),
        (replace("", {"completionStatus": "Error"}), "Only completionStatus and completed"),
        (replace("", []), "replaces the whole task"),
        (replace("/launcher", "me"), "not launcher"),
        (replace("/attributes/total", 1), "not attributes"),
        ([{"op": "add", "path": "/extra", "value": 1}], "not extra"),
        ([{"op": "remove", "path": "/completed"}], "not completed"),
        (replace("/completionStatus", "DONE"), "Invalid completionStatus 'DONE'"),
        (replace("/completionStatus", ""), "Invalid completionStatus"),
        (replace("/completionStatus", 5), "Invalid completionStatus 5"),
        (replace("/completed", "yesterday"), "Invalid completed 'yesterday'"),
        (replace("/completed", "2024-05-17T19:33:16"), "offset from UTC"),
        (replace("/completed", 1715974396470), "Invalid completed 1715974396470"),
        (replace("/completionStatus", "Error") + replace("/id", "x"), "not id"),
    ],
)
def test_refused_documents(api: Api, emulator: Emulator, operations: object, problem: str) -> None:
    before = emulator.task("stuck")
    answer = api.patch(PATH, operations)
    assert answer.status_code == 400
    assert answer.json()["detailCode"] == "400.1 Bad Request Content"
    assert problem in answer.json()["messages"][0]["text"]
    assert emulator.task("stuck") == before


DOCUMENT = Task(
    "x", "accounts", "A", "a", 1e9, DURATION, OUTCOME, messages=(message_json("m", OUTCOME),)
).snapshot(1e9 + 50)
PATHS = st.sampled_from(
    [
        "",
        "/",
        "/id",
        "/id/x",
        "/messages",
        "/messages/-",
        "/messages/x",
        "/messages/0/key/a",
        "/target/id",
        "~2",
    ]
) | st.sampled_from(["/completed", "/completed/0", "/completionStatus", "/percentComplete/0", "/~", "/nix"])
VALUES = (
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()) | st.just({"id": "y"})
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "nix"]), "path": PATHS},
    optional={"value": VALUES, "from": PATHS},
)


@example([{"op": "add", "path": "/", "value": None}])
@given(st.lists(OPERATIONS, max_size=3))
def test_any_document_is_applied_or_refused(operations: list[dict[str, object]]) -> None:
    try:
        after = patched(DOCUMENT, operations)
    except InvalidPatchError:
        return
    assert after.keys() == DOCUMENT.keys()
    assert {key for key in after if after[key] != DOCUMENT[key]} <= set(CHANGEABLE)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\xff", b"[" * 100_000, b"9" * 5_000])
def test_body_that_is_not_json(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/json-patch+json"}
    answer = api.session.patch(f"{api.url}{PATH}", data=body, headers=headers, timeout=5)
    assert (answer.status_code, answer.json()["messages"][0]["text"]) == (400, "The body is not JSON.")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/merge-patch+json"])
def test_other_content_types(api: Api, emulator: Emulator, content_type: str) -> None:
    answer = api.patch(PATH, replace("/completionStatus", "Error"), content_type)
    assert answer.status_code == 415
    assert content_type in answer.text
    assert emulator.task("stuck")["completionStatus"] is None


def test_content_type_with_a_charset(api: Api) -> None:
    operations = replace("/completionStatus", "Error")
    assert api.patch(PATH, operations, "application/json-patch+json; charset=utf-8").status_code == 200


def test_a_patch_that_changes_nothing_leaves_the_task_alive(api: Api, emulator: Emulator) -> None:
    emulator.add_task("running", duration=30)
    test = [{"op": "test", "path": "/completionStatus", "value": None}]
    assert api.patch("/task-status/v1/running", test).status_code == 200
    emulator.clock.advance(31)
    assert emulator.task("running")["completionStatus"] == "SUCCESS"


def test_completed_alone_opens_nothing(api: Api, emulator: Emulator) -> None:
    emulator.add_task("running", duration=30)
    api.patch("/task-status/v1/running", replace("/completed", "2024-05-17T19:33:16Z"))
    emulator.clock.advance(31)
    assert emulator.task("running")["completionStatus"] is None
    assert api.ids("/beta/task-status") == []
