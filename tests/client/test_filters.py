"""Filter expressions, as the emulator reads them, and what fits in a request."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_sptasks.client import filters, tasks, versions
from airflow_provider_sptasks.client.http import Request
from airflow_provider_sptasks.client.versions import API_VERSIONS
from airflow_provider_sptasks.emulator import filters as emulated
from airflow_provider_sptasks.emulator.versions import VERSIONS
from tests.client.conftest import prepared

V1 = API_VERSIONS["v1"]

every_version = pytest.mark.parametrize("version", API_VERSIONS.values(), ids=list(API_VERSIONS))


def parsed(expression: str, version: str = "v1") -> emulated.Expression:
    """What the emulator, which was written without knowing this client, makes of a filter."""
    return emulated.parse(expression, next(each.filters for each in VERSIONS if each.name == version))


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
    def test_ten_thousand_ids_are_few_requests(self) -> None:
        rest = [f"{n:032x}" for n in range(10_000)]
        chunks = 0
        while rest:
            chunk = filters.first_chunk(rest, filters.MAX_PAGE_SIZE)
            assert chunk == rest[: len(chunk)]
            rest = rest[len(chunk) :]
            chunks += 1
        # The tenant answers the first page of its pending tasks besides, where it has them apart.
        assert chunks <= 55

    @every_version
    @pytest.mark.parametrize(("field", "sorters"), [("id", ""), ("sourceId", "-created")])
    @given(ids=st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}", fullmatch=True)), data=st.data())
    def test_a_chunk_is_as_long_as_fits(
        self,
        version: versions.ApiVersion,
        field: str,
        sorters: str,
        ids: list[str],
        data: st.DataObject,
    ) -> None:
        def ask(some: Sequence[str]) -> Request:
            return tasks.list_tasks(version, filters=filters.one_of(field, some), sorters=sorters)

        assume(ids)
        ids = ids * data.draw(st.integers(1, 300))
        most = data.draw(st.integers(1, 300))
        chunk = filters.first_chunk(ids, most)
        assert chunk == ids[: len(chunk)]
        assert 1 <= len(chunk) <= min(most, 250)
        url = prepared(ask(chunk)).path_url
        assert len(f"GET {url} HTTP/1.1\r\n") < 8_192
        if len(chunk) < min(len(ids), most, 250):
            longer = ask(ids[: len(chunk) + 1])
            assert len(longer.target) > 7_900
