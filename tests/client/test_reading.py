"""The border: whatever a tenant sends becomes bounded, printable and storable."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sptasks.client import AggregationProgress, Source, TaskStatus
from airflow_provider_sptasks.client.entries import read_page
from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.client.reading import (
    EARLIEST,
    LATEST,
    MAX_TEXT,
    describe,
    printable,
    read_datetime,
    read_number,
    read_plain,
    read_text,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        (" größe 🙂 ", "größe 🙂"),
        ("half a \ud83d", "half a \ufffd"),
        ("NUL \x00.", "NUL  ."),
        ("\x1b[31mred\x9b0m", "[31mred 0m"),
        ("two\r\nlines\u2028three", "two  lines three"),
        ("turned \u202eround", "turned  round"),
        ("x ::group::y ::endgroup::", "x : :group::y : :endgroup::"),
        ("x" * 1_000_000, "x" * 499 + "…"),
        ("\x00", ""),
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()) | st.text("\x00\x1b:group end\n\ud800 ", max_size=1_500), st.integers(1, 600))
def test_what_is_printable(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    shown.encode()
    assert not set(shown) & set(map(chr, [*range(32), *range(127, 160)]))
    assert "::group::" not in shown
    assert printable(shown, limit) == shown


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (-(2**63) - 1, None),
        (1e20, None),
        ("12", 12),
        ("1e400", None),
        (float("inf"), None),
        (True, None),
        ("9" * 10_000, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_numbers_have_64_bits(value: object, number: int | None) -> None:
    assert read_number(value) == number


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**64])
    | st.floats()
    | st.text(st.characters(), max_size=30)
    | st.sampled_from(
        ["", "\x00", "\ud83d", "x" * 5_000, "9999-12-31T23:59:59Z", "0001-01-01", "1", "9" * 5_000]
    ),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["id", "name", "message", "\ud800"]) | st.text(max_size=3), inner, max_size=5
        )
    ),
    max_leaves=10,
)
FIELDS = [
    *("id", "name", "uniqueName", "description", "launcher", "target", "created", "launched", "completed"),
    *("completionStatus", "progress", "percentComplete", "messages", "attributes", "taskDefinitionSummary"),
    *("type", "kind", "status", "start", "totalAccounts", "connector"),
]


@given(ANYTHING | st.dictionaries(st.sampled_from(FIELDS), ANYTHING | st.just("1"), max_size=12))
def test_any_json_is_read_or_refused(value: object) -> None:
    """P1 and its like: nothing but ``SailPointError`` comes out, and all else can be stored and printed."""
    for read in (TaskStatus.from_json, Source.from_json, AggregationProgress.from_json):
        found: object = None
        try:
            found = read(value)
        except SailPointError as error:
            refusal = str(error)
        if found is None:
            refusal.encode()
            assert len(refusal) < 500
            continue
        str(found).encode()
        if isinstance(found, TaskStatus):
            assert json.dumps(found.to_json(), allow_nan=False, ensure_ascii=False).encode()
            assert found.outcome().encode()
    read_page([value, value], TaskStatus.from_json)


@given(ANYTHING)
def test_single_values(value: object) -> None:
    moment = read_datetime(value)
    assert moment is None or EARLIEST <= moment <= LATEST
    assert isinstance(moment, datetime | None)
    assert len(read_text(value) or "") <= MAX_TEXT
    assert json.dumps(read_plain(value), allow_nan=False, ensure_ascii=False).encode()
    assert len(describe(value)) < 200
    assert describe(value).encode()


def test_values_of_an_object_are_not_shown() -> None:
    assert describe({"password": "hunter2"}) == "dict of 1 fields (password)"


def test_what_is_nested_deeply() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    task = TaskStatus.from_json(
        {"id": "1", "attributes": {"deep": nested}, "messages": nested, "target": nested}
    )
    assert task.attributes == {}
    assert describe(nested) == "list of 1 items"
