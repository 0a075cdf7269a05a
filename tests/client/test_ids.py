"""What can be an id of SailPoint."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sptasks.client import http, sources, tasks
from airflow_provider_sptasks.client.ids import check_id, usable_id
from airflow_provider_sptasks.client.kinds import TaskKind
from airflow_provider_sptasks.client.start_options import StartOptions
from airflow_provider_sptasks.client.versions import API_VERSIONS
from airflow_provider_sptasks.emulator.versions import version_of
from tests.client.conftest import prepared


@pytest.mark.parametrize(
    "value",
    [
        "00eebcf881994e419d72e757fd30dc0e",
        "2c91808a-0000-4000-8000-5c3e1b7a0001",
        "7",
        "A.b_c~d:e-f",
        "x" * 128,
        "nonexistent",
        " 00eebcf8 \n",
    ],
)
def test_ids(value: str) -> None:
    assert check_id(value, "task_status_id") == value.strip()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is empty"),
        (" \t\n", "is empty"),
        ("None", "which is what a template makes"),
        ("none", "which is what a template makes"),
        ("null", "which is what a template makes"),
        ("undefined", "which is what a template makes"),
        ("True", "which is what a template makes"),
        (".", "is not an id"),
        ("..", "is not an id"),
        ("../sources", "is not an id"),
        ("a/b", "is not an id"),
        ("a?b", "is not an id"),
        ("a#b", "is not an id"),
        ("a%2Fb", "is not an id"),
        ("a\\b", "is not an id"),
        ("a b", "is not an id"),
        ('a"b', "is not an id"),
        ("a\nb", "is not an id"),
        ("ä", "is not an id"),
        ("['a', 'b']", "is not an id"),
        ("{'id': 'a'}", "is not an id"),
        ("{{ task }}", "is not an id"),
        ("x" * 129, "is not an id"),
        (None, "not NoneType"),
        (7, "not int"),
        (["a"], "not list"),
        ({"id": "a"}, "not dict"),
        (b"a", "not bytes"),
    ],
)
def test_what_is_none(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        check_id(value, "a_field")
    assert str(caught.value).startswith("a_field")
    assert len(str(caught.value)) < 300


@given(st.text() | st.from_regex(r"[a-z0-9./\\%?#:;~_@ -]{1,20}", fullmatch=True))
def test_any_text_is_refused_or_stays_one_segment_of_the_path(text: str) -> None:
    for version in API_VERSIONS.values():
        try:
            request = tasks.get_task(version, check_id(text, "task_status_id"))
        except ValueError:
            continue
        url = prepared(request).url
        assert url is not None
        parts = urlsplit(url)
        assert parts.netloc == "acme.api.identitynow.com"
        assert (parts.query, parts.fragment) == ("", "")
        assert unquote(parts.path) == f"{version.task_status}/{text.strip()}"
        assert parts.path.count("/") == version.task_status.count("/") + 1
        reached = version_of(unquote(parts.path))
        assert reached is not None
        assert reached.name == version.name


V1 = API_VERSIONS["v1"]
BUILDERS: dict[str, Callable[[str], http.Request]] = {
    "a task": lambda each: tasks.get_task(V1, each),
    "a change of a task": lambda each: tasks.update_task(V1, each, []),
    "a source": lambda each: sources.get_source(V1, each),
    "an aggregation": lambda each: sources.start_aggregation(V1, each, TaskKind.ACCOUNTS, StartOptions()),
    "its progress": lambda each: sources.get_progress(V1, each),
    "a data set": lambda each: sources.start_aggregation(
        V1, "s", TaskKind.DATASETS, StartOptions(dataset_ids=(each,))
    ),
}


@pytest.mark.parametrize("hostile", ["a/b", "../x", "a?b", "a#b", "a%2Fb", "a;b", "a\\b", "a b", "ä"])
@pytest.mark.parametrize("builder", BUILDERS)
def test_an_id_that_was_not_checked_stays_one_segment_too(builder: str, hostile: str) -> None:
    url, harmless = prepared(BUILDERS[builder](hostile)).url, prepared(BUILDERS[builder]("x1")).url
    assert url is not None
    assert harmless is not None
    segments = [unquote(each) for each in urlsplit(url).path.split("/")]
    assert segments == [hostile if each == "x1" else each for each in urlsplit(harmless).path.split("/")]
    assert (urlsplit(url).query, urlsplit(url).fragment) == ("", "")


@pytest.mark.parametrize("text", ["pending-tasks", "a:b", "a~b", "a..b", "v1"])
def test_odd_ids_are_still_one_segment(text: str) -> None:
    url = prepared(tasks.get_task(API_VERSIONS["v1"], text)).url
    assert url is not None
    assert urlsplit(url).path.startswith("/task-status/v1/")
    assert unquote(urlsplit(url).path).split("/") == ["", "task-status", "v1", text]


@pytest.mark.parametrize(
    ("value", "usable"),
    [
        ("a1", "a1"),
        (" a1 ", "a1"),
        (7, "7"),
        (0, "0"),
        (-1, None),
        (2**64, None),
        (True, None),
        (None, None),
        ("", None),
        ("bad id/1", None),
        ("_x", None),
        ("x" * 200, None),
        ("null", None),
        (["a"], None),
    ],
)
def test_ids_of_answers(value: object, usable: str | None) -> None:
    assert usable_id(value) == usable


@given(st.text() | st.text("ab.~:-_ \n", max_size=300))
def test_an_id_of_an_answer_can_be_asked_for(text: str) -> None:
    usable = usable_id(text)
    if usable is not None:
        assert check_id(usable, "id") == usable
