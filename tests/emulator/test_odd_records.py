"""Records that are odd, missing from lists, or gone, and what a test does while a request is on its way."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from airflow_provider_sptasks.emulator import Emulator, LoggedRequest
from airflow_provider_sptasks.emulator.taskstore import UnknownTaskError
from tests.emulator.conftest import Api

LIST = "/task-status/v1"


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "half a \ud83d"},
        {"progress": "NUL \x00"},
        {"attributes": {"total": 2**64}, "percentComplete": 1e20},
        {"uniqueName": "x" * 1_000_000},
        {"created": "2099-01-01T00:00:00.000Z"},
        {"created": "yesterday", "launched": None},
        {"launched": "2020-01-01T00:00:00.000Z", "completed": "9999-12-31T23:59:59.999Z"},
        {"target": {"type": "APPLICATION", "id": "Role/Finance", "name": "x"}},
        {"target": "none of that kind"},
        {"id": "bad id/1"},
        {"completionStatus": {"not": "a string"}, "new": [1]},
    ],
    ids=lambda fields: ",".join(fields),
)
def test_override(emulator: Emulator, api: Api, fields: Mapping[str, object]) -> None:
    emulator.add_task("odd", launched=-60, duration=None)
    own = emulator.task("odd")
    emulator.override_task("odd", fields)
    expected = {**own, **fields}
    by_id, (listed,) = api.get(f"{LIST}/odd").json(), api.get(LIST).json()
    (found,) = api.get(LIST, filters='id eq "odd"').json()
    for document in (by_id, listed, found, emulator.task("odd"), api.get("/_emulator/tasks").json()[0]):
        assert {key: document[key] for key in expected if key != "modified"} == {
            key: expected[key] for key in expected if key != "modified"
        }


def test_half_a_surrogate_pair_is_an_escape_on_the_wire(emulator: Emulator, api: Api) -> None:
    emulator.add_task("odd", launched=-60)
    emulator.override_task("odd", description="half a \ud83d")
    assert b'"half a \\ud83d"' in api.get(f"{LIST}/odd").content


def test_override_leaves_fields_out(emulator: Emulator, api: Api) -> None:
    emulator.add_task("odd", launched=-60, duration=1)
    emulator.override_task("odd", without=["id", "completionStatus"])
    assert not {"id", "completionStatus"} & api.get(f"{LIST}/odd").json().keys()
    assert len(api.get(LIST, filters="completionStatus isnull").json()) == 1
    emulator.override_task("odd", id="even", completionStatus="Odd")
    assert api.ids(LIST, filters='completionStatus eq "ODD"') == ["even"]


def test_lists_follow_what_is_shown(emulator: Emulator, api: Api) -> None:
    for number, name in enumerate(("first", "second", "third")):
        emulator.add_task(name, source="A", source_id="a", launched=number - 60, duration=None)
    emulator.override_task("first", created="2099-01-01T00:00:00.000Z")
    emulator.override_task("second", created="no time", target={"id": "B", "type": "APPLICATION"})
    emulator.override_task("third", completionStatus="SUCCESS", target=None)
    assert api.ids(LIST, sorters="created") == ["second", "third", "first"]
    assert api.ids(LIST, filters='sourceId eq "a"') == ["first"]
    assert api.ids(LIST, filters='sourceId eq "b"') == ["second"]
    assert api.ids(LIST, filters='sourceId in ("a", "b")') == ["first", "second"]
    assert api.ids(LIST, filters="completionStatus isnull") == ["first", "second"]
    assert api.ids("/beta/task-status") == ["third"]


def test_overridden_tasks_can_still_be_patched(emulator: Emulator, api: Api) -> None:
    emulator.add_task("odd", launched=-60, duration=None)
    emulator.override_task("odd", without=["id"], launcher="half a \ud83d")
    answer = api.patch(f"{LIST}/odd", [{"op": "replace", "path": "/completionStatus", "value": "Error"}])
    assert (answer.json()["completionStatus"], answer.json()["launcher"]) == ("Error", "half a \ud83d")
    emulator.override_task("odd", completionStatus="SUCCESS")
    document = api.get(f"{LIST}/odd").json()
    assert (document["completionStatus"], "id" in document) == ("SUCCESS", False)


def test_an_override_of_the_status_decides_what_runs(emulator: Emulator, api: Api) -> None:
    task = emulator.add_task(source="A", launched=-60, duration=None)
    path = f"/sources/v1/{task.source_id}/load-accounts"
    running = [api.session.post(f"{api.url}{path}", timeout=5).json()["success"]]
    for status in ("SUCCESS", None):
        emulator.override_task(task.id, completionStatus=status)
        running.append(api.session.post(f"{api.url}{path}", timeout=5).json()["success"])
        for started in emulator.started:
            emulator.complete(started.id)
    assert running == [False, True, False]


def test_hide(emulator: Emulator, api: Api) -> None:
    emulator.add_task("hidden", launched=-60, duration=None)
    emulator.add_task("shown", launched=-60, duration=None)
    emulator.hide_task("HIDDEN")
    assert api.ids(LIST) == api.ids(LIST, filters='id in ("hidden", "shown")') == ["shown"]
    assert api.ids("/beta/task-status/pending-tasks") == ["shown"]
    assert api.get(LIST, count="true").headers["X-Total-Count"] == "1"
    assert api.get(f"{LIST}/hidden").json()["id"] == "hidden"
    emulator.hide_task("hidden", hidden=False)
    assert api.ids(LIST) == ["hidden", "shown"]


def test_remove(emulator: Emulator, api: Api) -> None:
    for name in ("first", "gone", "last"):
        emulator.add_task(name, source="A", source_id="a", launched=-60, duration=None)
    emulator.hide_task("gone")
    emulator.remove_task("GONE")
    assert api.get(f"{LIST}/gone").status_code == 404
    for filters in ("completionStatus isnull", 'sourceId eq "a"', 'id in ("gone", "last", "first")'):
        assert api.ids(LIST, filters=filters) == ["first", "last"]
    emulator.add_task("gone", source="A", source_id="a", launched=-60)
    assert api.ids(LIST, filters='sourceId eq "a"') == ["first", "last", "gone"]


def test_remove_what_a_client_has_started(emulator: Emulator, api: Api) -> None:
    emulator.add_source("A", "a", duration=None)
    path = f"{api.url}/sources/v1/a/load-accounts"
    task_id = api.session.post(path, timeout=5).json()["task"]["id"]
    emulator.override_task(task_id, launcher="me")
    emulator.remove_task(task_id)
    assert [(task.id, task.launcher()) for task in emulator.started] == [(task_id, "me")]
    assert api.session.post(path, timeout=5).json()["success"]


def test_remove_what_is_to_be_retried(emulator: Emulator, api: Api) -> None:
    emulator.add_source("A", "a", duration=10, outcome=["TEMPERROR", "SUCCESS"], retry_after=10)
    task_id = api.session.post(f"{api.url}/sources/v1/a/load-accounts", timeout=5).json()["task"]["id"]
    emulator.remove_task(task_id)
    emulator.clock.advance(25)
    assert len(emulator.tasks()) == 1


def test_unknown_tasks(emulator: Emulator) -> None:
    for change in (emulator.remove_task, emulator.hide_task, emulator.override_task):
        with pytest.raises(UnknownTaskError, match="nix"):
            change("nix")


def test_on_request(emulator: Emulator, api: Api) -> None:
    for name in "abcd":
        emulator.add_task(name, launched=-60, duration=None)
    seen: list[LoggedRequest] = []

    def between_two_pages(request: LoggedRequest) -> None:
        seen.append(request)
        if request.query.get("offset") == "2":
            emulator.complete("a")
            emulator.remove_task("b")
            emulator.add_task("e", launched=-1, duration=None)

    emulator.on_request(between_two_pages)
    pages = [api.ids(LIST, filters="completionStatus isnull", limit=2, offset=offset) for offset in (0, 2, 4)]
    assert pages == [["a", "b"], ["e"], []]
    assert [(r.method, r.path, r.query["offset"], r.status) for r in seen] == [
        ("GET", LIST, offset, 0) for offset in ("0", "2", "4")
    ]
    api.token(emulator.client_id, emulator.client_secret)
    api.get("/_emulator/")
    emulator.on_request(None)
    api.get(LIST)
    assert len(seen) == 3


def test_on_request_may_wait_for_another_thread_that_uses_the_emulator(emulator: Emulator, api: Api) -> None:
    def elsewhere(_request: LoggedRequest) -> None:
        thread = threading.Thread(target=emulator.add_task, args=("added",))
        thread.start()
        thread.join()

    emulator.on_request(elsewhere)
    assert api.ids(LIST) == ["added"]


def test_on_request_comes_after_a_delay_and_before_another_fault(emulator: Emulator, api: Api) -> None:
    emulator.add_task("a", duration=None)
    emulator.on_request(lambda _request: emulator.complete("a"))
    emulator.fail(500, times=1)
    assert api.get(LIST).status_code == 500
    assert emulator.task("a")["completionStatus"] == "SUCCESS"


def test_on_request_that_raises(emulator: Emulator, api: Api, caplog: pytest.LogCaptureFixture) -> None:
    def raises(_request: LoggedRequest) -> None:
        raise ZeroDivisionError

    emulator.on_request(raises)
    assert api.get(LIST).status_code == 500
    emulator.stop()
    assert "ZeroDivisionError" in caplog.text
