from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_sptasks.client import filters, http, tasks, versions
from airflow_provider_sptasks.client.errors import APIError, UnexpectedPayloadError
from airflow_provider_sptasks.client.http import Request, Response
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.versions import API_VERSIONS
from airflow_provider_sptasks.emulator import filters as emulated
from airflow_provider_sptasks.emulator.versions import VERSIONS, version_of

V1 = API_VERSIONS["v1"]
REQUEST = Request("GET", "/task-status/v1")

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


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            (None, None),
            ("", None),
            ("soon", None),
            ("nan", None),
            ("0", 0.0),
            ("5", 5.0),
            (" 5 ", 5.0),
            ("2.5", 2.5),
            ("-3", 0.0),
            ("999999999", 1_200.0),
            ("inf", 1_200.0),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
            ("Wed, 21 Oct 9015 07:28:00 GMT", 1_200.0),
            ("Wed, 99 Oct 2015 07:28:00 GMT", None),
            ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
        ],
    )
    def test_forms(self, text: str | None, seconds: float | None) -> None:
        assert http.parse_retry_after(text) == seconds

    @pytest.mark.parametrize("zone", [UTC, None])
    def test_dates(self, zone: Any) -> None:
        moment = datetime.now(UTC) + timedelta(minutes=10)
        seconds = http.parse_retry_after(format_datetime(moment.replace(tzinfo=zone)))
        assert seconds is not None
        assert 500 < seconds <= 600

    @given(st.text() | st.from_regex(r"\w{3}, \d{1,5} \w{3} \d{1,20} \d\d:\d\d:\d\d [A-Z+]{1,3}\d{0,9}"))
    def test_whatever_it_says_it_is_never_negative_nor_longer_than_a_ban(self, text: str) -> None:
        seconds = http.parse_retry_after(text)
        assert seconds is None or 0 <= seconds <= 1_200


class TestAnswers:
    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"", "an empty body"),
            (b" \r\n", "an empty body"),
            (b"<html>\n</html>", "an HTML page: is a proxy or a login page on the way?"),
            (b"  <!DOCTYPE html>", "an HTML page"),
            (b'[{"id": "1"', "a body of 11 bytes that is not JSON"),
            (b"\xff\xfe\xfa", "a body of 3 bytes that is not JSON"),
            pytest.param(b"[" * 100_000, "a body of 100000 bytes that is not JSON", id="deep"),
            pytest.param(b"1" * 5_000, "a body of 5000 bytes that is not JSON", id="long number"),
        ],
    )
    def test_a_body_that_is_not_json(self, body: bytes, problem: str) -> None:
        with pytest.raises(UnexpectedPayloadError, match=problem) as caught:
            tasks.decode_page(REQUEST, Response(200, {}, body))
        assert caught.value.retryable
        assert "GET /task-status/v1 was answered with 200" in str(caught.value)
        assert len(str(caught.value)) < 300
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("body", [b"{}", b'"text"', b"null", b"7"])
    def test_a_list_that_is_none(self, body: bytes) -> None:
        with pytest.raises(UnexpectedPayloadError, match="should be answered with a JSON array") as caught:
            tasks.decode_page(REQUEST, Response(200, {}, body))
        assert not caught.value.retryable

    def test_an_entry_that_is_no_task_does_not_hide_the_others(self) -> None:
        body = b'[7, {"id": "1"}, null, {}, {"id": null}, {"id": "2"}]'
        page = tasks.decode_page(REQUEST, Response(200, {}, body))
        assert [task.id for task in page.items] == ["1", "2"]
        assert len(page.keys) == 6
        assert {problem: count for problem, (count, _) in page.unreadable.items()} == {
            "are no JSON objects": 2,
            "lack what they need": 2,
        }

    def test_204_is_an_empty_list(self) -> None:
        assert tasks.decode_page(REQUEST, Response(204, {}, b"")).keys == []

    @pytest.mark.parametrize(
        ("status", "headers", "count"),
        [(200, {"x-total-count": "12"}, 12), (204, {"x-total-count": "0"}, 0), (204, {}, 0)],
    )
    def test_count(self, status: int, headers: dict[str, str], count: int) -> None:
        assert http.decode_count(REQUEST, Response(status, headers, b"")) == count

    @pytest.mark.parametrize(
        "headers", [{}, {"x-total-count": ""}, {"x-total-count": "many"}, {"x-total-count": "-1"}]
    )
    def test_no_count(self, headers: dict[str, str]) -> None:
        with pytest.raises(UnexpectedPayloadError, match="without a usable X-Total-Count"):
            http.decode_count(REQUEST, Response(200, headers, b"[]"))

    @given(st.integers(300, 599), st.binary() | st.sampled_from([b"[" * 10_000, b'{"messages": [7]}']))
    def test_any_body_of_an_error_is_tolerated(self, status: int, body: bytes) -> None:
        error = http.decode_error(REQUEST, Response(status, {}, body))
        assert isinstance(error, APIError)
        assert (error.status, error.retryable) == (status, status == 429 or status >= 500)
        assert f"GET /task-status/v1 was answered with {status}" in str(error)
