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
    letters,
    printable,
    read_datetime,
    read_integer,
    read_mapping,
    read_name,
    read_number,
    read_percent,
    read_plain,
    read_text,
    truncate,
)

NAN, INFINITY = float("nan"), float("inf")


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
        (0, 0),
        (-1, -1),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (-(2**63), -(2**63)),
        (-(2**63) - 1, None),
        (1.9, 1),
        (-0.5, 0),
        (1e20, None),
        ("12", 12),
        (" 12.7 ", 12),
        ("", None),
        ("twelve", None),
        ("nan", None),
        ("1e400", None),
        (INFINITY, None),
        (NAN, None),
        (True, None),
        (None, None),
        ([1], None),
        ("9" * 10_000, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_numbers_have_64_bits(value: object, number: int | None) -> None:
    assert read_number(value) == number


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        *((-1, 0), (0, 0), (1, 1), (99, 99), (100, 100), (101, 100)),
        *(("50", 50), (12.9, 12), (NAN, None), (None, None)),
    ],
    ids=repr,
)
def test_a_percentage_is_one(value: object, percent: int | None) -> None:
    assert read_percent(value) == percent


@pytest.mark.parametrize(
    ("value", "read"),
    [
        *((True, True), (False, False), (0, 0), (-1, -1), (2**63 - 1, 2**63 - 1), (2**63, None)),
        *((0.0, 0.0), (-1.5, -1.5), (1e300, 1e300), (NAN, None), (INFINITY, None), (-INFINITY, None)),
        *((" a\x00b ", "a b"), ("", ""), (None, None), ([], None), ({}, None)),
    ],
    ids=repr,
)
def test_plain_values(value: object, read: object) -> None:
    """What is no number for JSON, or for a database, is none."""
    found = read_plain(value)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("value", "text", "integer"),
    [
        *((0, "0", 0), (7, "7", 7), (2**63, None, None), (True, None, None), (1.0, None, None)),
        *(("7", "7", None), (" ", None, None), ("", None, None), (None, None, None), (["a"], None, None)),
    ],
    ids=repr,
)
def test_texts_and_integers(value: object, text: str | None, integer: int | None) -> None:
    assert read_text(value) == text
    assert read_name(value) == text
    assert read_integer(value) == integer


@pytest.mark.parametrize(("length", "kept"), [(199, 199), (200, 200), (201, 200)])
def test_a_name_has_200_characters(length: int, kept: int) -> None:
    name = read_name("x" * length)
    assert name is not None
    assert len(name) == kept
    assert name.endswith("…") is (length > kept)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [(None, 3, None), ("", 3, ""), ("abc", 3, "abc"), ("abcd", 3, "ab…"), ("ab", 1, "…")],
)
def test_truncate(text: str | None, limit: int, expected: str | None) -> None:
    assert truncate(text, limit) == expected


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00"),
        ("1969-12-31T23:59:59.999Z", None),
        ("2200-01-01T00:00:00Z", "2200-01-01T00:00:00+00:00"),
        ("2200-01-01T00:00:00.001Z", None),
        (" 2024-05-17T12:00:00.987654Z ", "2024-05-17T12:00:00.987000+00:00"),
        ("2024-05-17T12:00:00+02:00", "2024-05-17T10:00:00+00:00"),
        ("2024-05-17T12:00:00", "2024-05-17T12:00:00+00:00"),
        ("yesterday", None),
        ("", None),
        (0, "1970-01-01T00:00:00+00:00"),
        (1, "1970-01-01T00:00:00.001000+00:00"),
        (-1, None),
        (1715947200987, "2024-05-17T12:00:00.987000+00:00"),
        (1500.9, "1970-01-01T00:00:01.500000+00:00"),
        (NAN, None),
        (INFINITY, None),
        (10**400, None),
        (True, None),
        (None, None),
        ([], None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_times(value: object, moment: str | None) -> None:
    found = read_datetime(value)
    assert (None if found is None else found.isoformat()) == moment


@pytest.mark.parametrize(
    ("value", "described"),
    [
        ({}, "dict without fields"),
        ({f"f{n}": 1 for n in range(7)}, "dict of 7 fields (f0, f1, f2, f3, f4)"),
        ([1, 2], "list of 2 items"),
        ("x" * 100, f"str '{'x' * 79}…'"),
        (None, "NoneType None"),
        (True, "bool True"),
        (1.5, "float 1.5"),
        (7, "int 7"),
        (2**63, "int"),
        (b"secret", "bytes"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_came_instead(value: object, described: str) -> None:
    assert describe(value) == described


def test_letters_and_mappings() -> None:
    assert letters("Temp_Error 2") == "temperror"
    assert letters(None) == ""
    assert read_mapping({"a": 1}) == {"a": 1}
    assert read_mapping([("a", 1)]) == read_mapping(None) == {}


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
