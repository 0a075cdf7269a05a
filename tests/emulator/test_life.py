"""A task's life by the tenant's clock."""

from __future__ import annotations

import re

import pytest

from airflow_provider_sptasks.emulator import Emulator, Task
from airflow_provider_sptasks.emulator.kinds import KINDS
from airflow_provider_sptasks.emulator.taskstore import RETENTION, UnknownTaskError
from tests.emulator.conftest import Api


def shown(emulator: Emulator, task: Task) -> tuple[object, ...]:
    document = emulator.task(task.id)
    return document["percentComplete"], document["progress"], document["completionStatus"]


def test_progress(emulator: Emulator) -> None:
    task = emulator.add_task("fixed", duration=100)
    assert shown(emulator, task) == (0, "Initializing...", None)
    emulator.clock.advance(50.5)
    percent, progress, status = shown(emulator, task)
    assert (percent, status) == (50, None)
    document = emulator.task("fixed")
    attributes = document["attributes"]
    assert isinstance(attributes, dict)
    assert attributes["appId"] == task.source_id
    assert progress == f"Processed {attributes['total']} of {attributes['total'] * 2} accounts"
    emulator.clock.advance(50)
    assert shown(emulator, task) == (100, "Completed", "SUCCESS")
    ended = emulator.task("fixed")["attributes"]
    assert isinstance(ended, dict)
    assert ended["total"] > attributes["total"]


def test_times(emulator: Emulator) -> None:
    task = emulator.add_task(launched=-100, duration=40)
    document = task.snapshot(task.launched + 100)
    later = task.snapshot(task.launched + 39)
    assert document["created"] == document["launched"]
    assert str(document["completed"]).endswith("Z")
    assert str(document["launched"]) < str(later["modified"]) < str(document["completed"])
    assert later["completed"] is None


def test_completed_before_the_status(emulator: Emulator) -> None:
    task = emulator.add_task(duration=30, completed_lead=10)
    emulator.clock.advance(19)
    assert emulator.task(task.id)["completed"] is None
    emulator.clock.advance(2)
    early = emulator.task(task.id)
    assert early["completed"] is not None
    assert early["completionStatus"] is None
    emulator.clock.advance(10)
    assert emulator.task(task.id)["completionStatus"] == "SUCCESS"
    assert emulator.task(task.id)["completed"] == early["completed"]


def test_stuck(emulator: Emulator) -> None:
    task = emulator.add_task(duration=None)
    emulator.clock.advance(80 * 86_400)
    assert shown(emulator, task)[::2] == (40, None)


def test_messages_come_in_the_end(emulator: Emulator) -> None:
    raw = {"type": "WARN", "localizedText": None, "key": "raw", "parameters": None}
    task = emulator.add_task(duration=10, outcome="WARNING", messages=["Bad row", raw])
    assert emulator.task(task.id)["messages"] == []
    emulator.clock.advance(11)
    messages = emulator.task(task.id)["messages"]
    assert messages == [
        {
            "type": "WARN",
            "localizedText": {"locale": "en-US", "message": "Bad row"},
            "key": "Bad row",
            "parameters": None,
        },
        raw,
    ]


def test_not_launched_yet(emulator: Emulator, api: Api) -> None:
    task = emulator.add_task(launched=60)
    assert api.get(f"/task-status/v1/{task.id}").status_code == 404
    assert api.ids("/task-status/v1") == []
    emulator.clock.advance(61)
    assert api.ids("/task-status/v1") == [task.id]


def test_retention(emulator: Emulator, api: Api) -> None:
    task = emulator.add_task(launched=60 - RETENTION, duration=10)
    assert api.ids("/task-status/v1") == [task.id]
    emulator.clock.advance(61)
    assert api.ids("/task-status/v1") == []
    assert api.ids("/task-status/v1", filters=f'id eq "{task.id}"') == []
    assert api.get(f"/task-status/v1/{task.id}").status_code == 404
    with pytest.raises(UnknownTaskError):
        emulator.task(task.id)


@pytest.mark.parametrize(
    "task", [{"duration": None}, {"duration": 5, "launched": -50}, {"launched": 500}], ids=str
)
def test_complete(emulator: Emulator, api: Api, task: dict[str, float | None]) -> None:
    added = emulator.add_task(**task)  # type: ignore[arg-type]
    emulator.complete(added.id, "ERROR")
    document = api.get(f"/task-status/v1/{added.id}").json()
    assert (document["completionStatus"], document["percentComplete"]) == ("ERROR", 100)
    assert document["completed"] >= document["launched"]


def test_complete_an_unknown_task(emulator: Emulator) -> None:
    with pytest.raises(UnknownTaskError, match="nix"):
        emulator.complete("nix")


def test_field_overrides(emulator: Emulator, api: Api) -> None:
    fields = {"completionStatus": None, "launcher": "me", "modified": None, "new": [1]}
    emulator.add_task("odd", launched=-60, duration=1, fields=fields)
    document = api.get("/task-status/v1/odd").json()
    assert {key: document[key] for key in fields} == fields
    assert api.ids("/task-status/v1", filters='completionStatus isnull and launcher eq "ME"') == ["odd"]
    emulator.complete("odd", "SUCCESS")
    assert emulator.task("odd")["completionStatus"] == "SUCCESS"


def test_source_ids(emulator: Emulator) -> None:
    first, again, other, own = (
        emulator.add_task(source="A"),
        emulator.add_task(source="A"),
        emulator.add_task(source="B"),
        emulator.add_task(source="A", source_id="mine"),
    )
    assert first.source_id == again.source_id != other.source_id
    assert own.source_id == "mine"
    assert len(first.source_id or "") == len(first.id) == 32


@pytest.mark.parametrize("kind", list(KINDS))
def test_kinds(emulator: Emulator, kind: str) -> None:
    document = emulator.task(emulator.add_task(source="AD", kind=kind).id)
    assert document["type"] == "QUARTZ"
    assert document["uniqueName"] == KINDS[kind].unique_name
    summary = document["taskDefinitionSummary"]
    assert isinstance(summary, dict)
    assert summary["uniqueName"] == KINDS[kind].unique_name
    if KINDS[kind].targeted:
        target = document["target"]
        assert isinstance(target, dict)
        assert (target["type"], target["name"]) == ("APPLICATION", "AD [source]")
        assert "AD [source]" in str(document["description"])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"kind": "account"}, "kind: 'account'"),
        ({"duration": -1}, "duration: -1"),
        ({"completed_lead": -1}, "completed_lead: -1"),
        ({"outcome": ""}, "outcome: is empty"),
        ({"fields": {"id": "x"}}, "fields: can't override the id"),
        ({"id": "TAKEN"}, "already a task 'TAKEN'"),
    ],
)
def test_refused_tasks(emulator: Emulator, arguments: dict[str, object], problem: str) -> None:
    emulator.add_task("taken")
    with pytest.raises(ValueError, match=re.escape(problem)):
        emulator.add_task(**arguments)  # type: ignore[arg-type]
    assert [task["id"] for task in emulator.tasks()] == ["taken"]
