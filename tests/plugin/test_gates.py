"""What waits in Airflow, and for what."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_sptasks.plugin.gates import Gate, gates_json, waiting_on
from tests.plugin.test_overview import NOW, task

KEY = ("dag", "manual__2026-05-04T03:00:00+00:00", "gate", -1)


def gate(map_index: int = -1, **arguments: Any) -> Gate:
    return Gate.of((*KEY[:3], map_index), "deferred", NOW, arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"task_status_id": "task1"}, True),
        ({"task_status_id": "TASK1"}, True),
        ({"task_status_id": ["x", "task1"]}, True),
        ({"task_status_id": "task2"}, False),
        ({"task_status_id": "{{ params.task1 }}"}, False),
        ({"source_id": "id-of-Workday"}, True),
        ({"source_name": ["SAP", "workday"]}, True),
        ({"source_name": "Workday", "kind": "any"}, True),
        ({"source_name": "Workday", "kind": "entitlements"}, False),
        ({"source_id": None, "source_name": None}, False),
        ({"task_status_id": {"odd": 1}, "source_id": 7, "kind": None}, False),
        ({}, False),
    ],
)
def test_it_waits_for_what_its_arguments_say(arguments: dict[str, Any], expected: bool) -> None:
    waiting = gate(**arguments)
    assert waiting.waits_on(task(1, 1)) is expected
    assert waiting_on([gate(), waiting], [task(1, 1)]) == ({"task1": [1]} if expected else {})


def test_the_connection_is_the_default_one_where_none_is_named() -> None:
    assert gate().connection_id == "sailpoint_default"
    assert gate(sailpoint_conn_id="acme").connection_id == "acme"


def test_links_lead_to_airflows_own_pages() -> None:
    path = "dags/dag/runs/manual__2026-05-04T03%3A00%3A00%2B00%3A00/tasks/gate"
    assert [each["path"] for each in gates_json([gate(), gate(map_index=3)], [])] == [
        path,
        f"{path}/mapped/3",
    ]


def test_what_it_waits_for_is_named() -> None:
    waiting = gate(task_status_id=["TASK1", "b"], source_name=["SAP", "{{ params.x }}"])
    (described,) = gates_json([waiting], [task(1, 1)])
    assert described["waits_for"] == "SAP, {{ params.x }}, Workday, b"
    assert described["name"] == "dag.gate"
