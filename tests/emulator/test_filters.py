"""The grammar of filter expressions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sptasks.emulator.filters import MAX_DEPTH, FilterError, bound, comparisons, parse

OPERATORS = frozenset({"eq", "in", "isnull"})
FIELDS = {"a": OPERATORS, "b": OPERATORS, "x.y": frozenset({"eq"})}
RECORDS: dict[str, dict[str, str | None]] = {
    "one": {"a": "1", "b": "x"},
    "two": {"a": "2", "b": "Y"},
    "null": {"a": None, "b": "x"},
}


def matching(text: str) -> list[str]:
    expression = parse(text, FIELDS)
    return [name for name, record in RECORDS.items() if expression.matches(record.__getitem__)]


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a eq "1"', ["one"]),
        ('  a   eq"1"  ', ["one"]),
        ('a in ("1","2")', ["one", "two"]),
        ('a in("1")', ["one"]),
        ("a isnull", ["null"]),
        ("not a isnull", ["one", "two"]),
        ("not not a isnull", ["null"]),
        ('not (a eq "1" or a eq "2")', ["null"]),
        ('b eq "y"', ["two"]),
        ('b eq "X"', ["one", "null"]),
        ('not a eq "1"', ["two", "null"]),
        ('a eq "1" or a eq "2" and b eq "none"', ["one"]),
        ('(a eq "1" or a eq "2") and b eq "y"', ["two"]),
        ('b eq "x" and not (a isnull) or a eq "2"', ["one", "two"]),
        ('((a eq "1"))', ["one"]),
        ('a eq ""', []),
        (" or ".join(['a eq "1"'] * 500), ["one"]),
        ("(" * (MAX_DEPTH - 1) + 'a eq "1"' + ")" * (MAX_DEPTH - 1), ["one"]),
    ],
)
def test_meaning(text: str, expected: list[str]) -> None:
    assert matching(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expected a field, found the end"),
        ("a", "operator (none)"),
        ("a eq", "found the end"),
        ("a eq 1", "Invalid syntax at character 5"),
        ("a eq one", "double quotes, found one"),
        ("a eq 'one'", "Invalid syntax"),
        ('a eq "one', "Invalid syntax"),
        ('a eq "o\\ne"', "Invalid syntax"),
        ('a EQ "1"', "operator EQ"),
        ('a eq "1" AND b eq "2"', "Unexpected AND"),
        ('a eq "1" b eq "2"', "Unexpected b"),
        ('a co "1"', "operator co is not supported for a"),
        ('x.y in ("1")', "operator in is not supported for x.y"),
        ('c eq "1"', "by c is not supported"),
        ("a in ()", "double quotes, found )"),
        ('a in "1"', 'Expected (, found "1"'),
        ('a in ("1"', "Expected ), found the end"),
        ('a in ("1",)', "double quotes, found )"),
        ('(a eq "1"', "Expected ), found the end"),
        ('a eq "1")', "Unexpected )"),
        ('"a" eq "1"', 'Expected a field, found "a"'),
        ('eq eq "1"', "Expected a field, found eq"),
        ('a eq "1" and', "found the end"),
        ("not", "found the end"),
        ("a isnull isnull", "Unexpected isnull"),
        ("(" * 4000 + "a isnull" + ")" * 4000, "nested more than"),
        ("not " * 2000 + "a isnull", "nested more than"),
        ('a eq "1"; drop', "Invalid syntax at character 9"),
    ],
)
def test_refusal(text: str, problem: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text, FIELDS)
    assert problem in str(caught.value)


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_strings_survive_quoting(values: list[str]) -> None:
    expression = parse(f"a in ({','.join(map(quoted, values))})", FIELDS)
    (comparison,) = comparisons(expression)
    assert list(comparison.values) == values
    assert all(expression.matches({"a": value}.__getitem__) for value in values)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        parse(text, FIELDS)
    except FilterError as error:
        assert str(error)  # noqa: PT017 - either outcome is right, a crash is not


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a eq "X"', {"x"}),
        ('a in ("X","y")', {"x", "y"}),
        ('b eq "X"', None),
        ("a isnull", None),
        ('not a eq "X"', None),
        ('a in ("x","y") and b eq "z"', {"x", "y"}),
        ('a in ("x","y") and a in ("y","z")', {"y"}),
        ('a eq "x" or a eq "y"', {"x", "y"}),
        ('a eq "x" or b eq "y"', None),
        ('a eq "x" or a isnull', None),
    ],
)
def test_bound(text: str, expected: set[str] | None) -> None:
    assert bound(parse(text, FIELDS), "a") == expected
