from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_sptasks.client import filters, tasks, versions
from airflow_provider_sptasks.client.http import Request
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.versions import API_VERSIONS
from airflow_provider_sptasks.emulator import filters as emulated
from airflow_provider_sptasks.emulator.versions import VERSIONS, version_of

V1 = API_VERSIONS["v1"]

every_version = pytest.mark.parametrize("version", API_VERSIONS.values(), ids=list(API_VERSIONS))


def prepared(request: Request) -> requests.PreparedRequest:
    """What ``requests`` makes of a request."""
    url = f"https://acme.api.identitynow.com{request.target}"
    return requests.Request(request.method, url, headers=dict(request.headers), data=request.body).prepare()


def parsed(expression: str, version: str = "v1") -> emulated.Expression:
    """What the emulator, which was written without knowing this client, makes of a filter."""
    return emulated.parse(expression, next(each.filters for each in VERSIONS if each.name == version))


class TestVersions:
    def test_are_those_of_the_emulator(self) -> None:
        """Two tables, each written from SailPoint's documents."""
        assert [
            (each.name, each.task_status, each.lists_pending, each.pending_tasks is not None, each.filters)
            for each in API_VERSIONS.values()
        ] == [
            (each.name, each.prefix, each.lists_pending, each.pending_endpoint, frozenset(each.filters))
            for each in VERSIONS
        ]
        assert [(each.sources, each.account_aggregations) for each in API_VERSIONS.values()] == [
            (each.sources, each.aggregations) for each in VERSIONS
        ]

    def test_default(self) -> None:
        assert versions.DEFAULT_API_VERSION == "v1"

    @pytest.mark.parametrize("name", ["v3", "V1", "", "2024", None, 1, ["v1"]])
    def test_unknown_ones_are_refused(self, name: Any) -> None:
        with pytest.raises(ValueError, match="Use one of beta, v2024, v2025, v2026, v1") as caught:
            versions.api_version(name)
        assert repr(name) in str(caught.value)


class TestIds:
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
    def test_ids(self, value: str) -> None:
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
    def test_what_is_none(self, value: object, problem: str) -> None:
        with pytest.raises(ValueError, match=problem) as caught:
            check_id(value, "a_field")
        assert str(caught.value).startswith("a_field")
        assert len(str(caught.value)) < 300

    @given(st.text() | st.from_regex(r"[a-z0-9./\\%?#:;~_@ -]{1,20}", fullmatch=True))
    def test_any_text_is_refused_or_stays_one_segment_of_the_path(self, text: str) -> None:
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

    @pytest.mark.parametrize("text", ["pending-tasks", "a:b", "a~b", "a..b", "v1"])
    def test_odd_ids_are_still_one_segment(self, text: str) -> None:
        url = prepared(tasks.get_task(V1, text)).url
        assert url is not None
        assert urlsplit(url).path.startswith("/task-status/v1/")
        assert unquote(urlsplit(url).path).split("/") == ["", "task-status", "v1", text]


class TestFilters:
    @given(st.text(), st.sampled_from(sorted(V1.filters)))
    def test_any_value_comes_through_unchanged(self, value: str, name: str) -> None:
        comparison = parsed(filters.equals(name, value))
        assert isinstance(comparison, emulated.Comparison)
        assert (comparison.field, comparison.operator, comparison.values) == (name, "eq", (value,))

    @given(st.lists(st.text(), min_size=1), st.sampled_from(sorted(V1.filters)))
    def test_any_values_come_through_unchanged(self, values: list[str], name: str) -> None:
        comparison = parsed(filters.one_of(name, values))
        assert isinstance(comparison, emulated.Comparison)
        assert (comparison.field, comparison.operator, comparison.values) == (name, "in", tuple(values))

    @given(
        st.lists(st.text(), min_size=1, max_size=3),
        st.sampled_from(['id eq "1" or launcher eq "x"', 'not (type eq "y")', "completionStatus isnull"]),
    )
    def test_all_of_holds_only_if_each_does(self, values: list[str], own: str) -> None:
        expression = parsed(filters.all_of(filters.one_of("sourceId", values), "", own))
        assert isinstance(expression, emulated.And)
        assert expression.parts == (parsed(filters.one_of("sourceId", values)), parsed(own))

    @pytest.mark.parametrize(
        ("given", "expression"),
        [((), ""), (("", ""), ""), (("", "a"), "a"), (("a", "b", "", "c"), "(a) and (b) and (c)")],
    )
    def test_all_of(self, given: tuple[str, ...], expression: str) -> None:
        assert filters.all_of(*given) == expression

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_a_filter_survives_the_url(self, value: str) -> None:
        request = tasks.list_tasks(V1, filters=filters.equals("launcher", value), sorters="created")
        url = prepared(request).url
        assert url is not None
        assert parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True) == {
            "limit": ["250"],
            "offset": ["0"],
            "filters": [filters.equals("launcher", value)],
            "sorters": ["created"],
        }

    @every_version
    def test_every_filter_of_a_version_is_understood(self, version: versions.ApiVersion) -> None:
        expression = filters.task_filters(
            version,
            task_status_ids=["1"],
            source_ids=["2", "3"],
            completion_statuses=["ERROR"],
            launchers=["me"] if "launcher" in version.filters else None,
            pending=version.lists_pending,
        )
        assert expression is not None
        fields = [each.field for each in emulated.comparisons(parsed(expression, version.name))]
        optional = ["launcher"] if "launcher" in version.filters else []
        pending = ["completionStatus"] if version.lists_pending else []
        assert fields == ["id", "sourceId", "completionStatus", *optional, *pending]


class TestChunks:
    @every_version
    def test_ten_thousand_ids_are_few_requests(self, version: versions.ApiVersion) -> None:
        rest = [f"{n:032x}" for n in range(10_000)]
        chunks = 0
        while rest:
            chunk = filters.first_chunk(tasks.find_tasks, version, rest, filters.MAX_PAGE_SIZE)
            assert chunk == rest[: len(chunk)]
            rest = rest[len(chunk) :]
            chunks += 1
        # The tenant answers the first page of its pending tasks besides, where it has them apart.
        assert chunks <= 55

    @every_version
    @pytest.mark.parametrize("asks", [tasks.find_tasks, tasks.newest_tasks])
    @given(ids=st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}", fullmatch=True)), data=st.data())
    def test_a_chunk_is_the_longest_that_fits(
        self,
        version: versions.ApiVersion,
        asks: Callable[[versions.ApiVersion, Sequence[str]], Request],
        ids: list[str],
        data: st.DataObject,
    ) -> None:
        assume(ids)
        ids = ids * data.draw(st.integers(1, 300))
        most = data.draw(st.integers(1, 300))
        chunk = filters.first_chunk(asks, version, ids, most)
        assert chunk == ids[: len(chunk)]
        assert 1 <= len(chunk) <= min(most, 250)
        url = prepared(asks(version, chunk)).path_url
        assert len(f"GET {url} HTTP/1.1\r\n") < 8_192
        if len(chunk) < min(len(ids), most, 250):
            longer = asks(version, ids[: len(chunk) + 1])
            assert len(longer.target) > filters.MAX_TARGET_LENGTH - 2
