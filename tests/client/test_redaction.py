from __future__ import annotations

import html
import json
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sptasks.client.redaction import Redactor, spellings

SECRET = """it's "9 %" \\ é"""
WRITTEN = {
    "as it is": SECRET,
    "in a URL": quote(SECRET, safe=""),
    "in JSON": json.dumps({"a": [SECRET]}),
    "in JSON in JSON": json.dumps({"a": json.dumps([SECRET])}),
    "as a key": json.dumps({SECRET: 1}, ensure_ascii=False),
    "in Python": repr({"a": SECRET}),
    "in base64": b64encode(SECRET.encode()).decode(),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_each_form_is_taken_out(how: str) -> None:
    cleaned = Redactor([SECRET]).clean_json(f"{WRITTEN[how]}".encode()).decode()
    assert "***" in cleaned
    assert "it's" not in cleaned.replace("\\", "")
    assert "9 %" not in cleaned
    assert "9%20" not in cleaned


QUOTED = "it's a/secret é"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (repr([QUOTED]), '["***"]'),
        (repr([f'{QUOTED}"']), """['***"']"""),
        (ascii([f'{QUOTED}"']), """['***"']"""),
        (repr(QUOTED.encode()), 'b"***"'),
        (json.dumps(QUOTED), '"***"'),
        (json.dumps(QUOTED, ensure_ascii=False).replace("/", "\\/"), '"***"'),
        (html.escape(QUOTED), "***"),
        (html.escape(QUOTED, quote=False), "***"),
        (quote_plus(QUOTED), "***"),
        (quote(QUOTED), "***"),
        (quote(QUOTED, safe="").lower(), "***"),
    ],
)
def test_nothing_of_it_is_left(text: str, cleaned: str) -> None:
    assert Redactor([QUOTED]).clean_text(text) == cleaned


def test_what_holds_none_stays_the_same() -> None:
    data = b'{"a": 1.50}'
    assert Redactor([SECRET]).clean(data) is data
    assert Redactor([]).clean_text("any \ud83d") == "any \ud83d"


def test_one_secret_may_be_a_part_of_another() -> None:
    assert Redactor(["0123456789", "0123456789-and-more"]).clean(b"0123456789-and-more") == b"***"


def test_short_ones_would_be_found_by_chance() -> None:
    assert Redactor(["secret"]).clean(b"a secret") == b"a secret"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=8))
def test_any_secret_in_any_text(secret: str) -> None:
    redactor = Redactor([secret])
    for spelling in spellings(secret):
        assert redactor.clean_text(f"<{spelling}>") == "<***>"


@given(st.binary())
def test_any_data(data: bytes) -> None:
    Redactor([SECRET]).clean_json(data)
