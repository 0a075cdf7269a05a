"""Entries of a list that can't be read: they hide no others, they count, and they are logged once."""

from __future__ import annotations

import json

import pytest

from airflow_provider_sptasks.client import TaskStatus
from airflow_provider_sptasks.client.entries import PassedOver, read_page

ENTRIES = [
    7,
    {"id": "1"},
    None,
    {},
    {"id": None},
    {"id": "bad id/1"},
    {"id": "_x"},
    {"id": "x" * 200},
    {"id": 2},
]


def test_they_hide_no_others_and_count() -> None:
    """P3, P4."""
    page = read_page(ENTRIES, TaskStatus.from_json)
    assert [task.id for task in page.items] == ["1", "2"]
    assert len(page.keys) == len(ENTRIES)
    assert {problem: count for problem, (count, _) in page.unreadable.items()} == {
        "are no JSON objects": 2,
        "lack what they need": 5,
    }


def test_they_are_logged_once_for_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    passed_over = PassedOver()
    for _ in range(3):
        passed_over.note("GET /task-status/v1", read_page(ENTRIES, TaskStatus.from_json))
    passed_over.note("GET /sources/v1", read_page([None], TaskStatus.from_json))
    assert [record.getMessage() for record in caplog.records] == [
        "GET /task-status/v1: passed over 2 of 9 entries, which are no JSON objects (logged once). A task "
        "status should be a JSON object, not int 7",
        "GET /task-status/v1: passed over 5 of 9 entries, which lack what they need (logged once). A task "
        "status without a usable id came: NoneType None in a dict without fields",
        "GET /sources/v1: passed over 1 of 1 entries, which are no JSON objects (logged once). A task "
        "status should be a JSON object, not NoneType None",
    ]


def test_what_is_logged_is_short_and_printable(caplog: pytest.LogCaptureFixture) -> None:
    """P5."""
    odd = "\x1b[31m::group::\n\ud83d" + "x" * 1_000_000
    PassedOver().note("GET /x", read_page([{"id": odd, odd: odd}], TaskStatus.from_json))
    (line,) = [record.getMessage() for record in caplog.records]
    assert len(line) < 500
    assert json.dumps(line, ensure_ascii=False).encode()
    assert line.isprintable()
    assert "::group::" not in line
