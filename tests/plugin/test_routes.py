"""Who may do what: routes, roles, and what others could try."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from airflow.models.log import Log
from airflow.utils.session import create_session
from fastapi import FastAPI
from sqlalchemy import select

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.plugin.app import build
from tests.plugin.conftest import ROOT_PATH, Client, Served

OPEN = ("", "page.js", "page.css", "api/connections")
READING = ("overview", "history", "history?hours=168", "tasks/{task}")
CHANGING = {"tasks/{task}/clear": {"dry_run": True}, "sources/{source}/aggregate": {"kind": "accounts"}}
HERE = "api/sailpoint_default/"


@pytest.fixture
def ids(emulator: Emulator) -> dict[str, str]:
    task = emulator.add_task(source="Workday", duration=None)
    return {"task": task.id, "source": next(each.id for each in emulator.sources if each.name == "Workday")}


def codes(page: Client, path: str, ids: dict[str, str], *roles: str | None) -> list[int]:
    return [page.get(path.format(**ids), role).status_code for role in roles]


def changed(page: Client, path: str, ids: dict[str, str], role: str | None, **headers: str | None) -> int:
    return page.post(HERE + path.format(**ids), CHANGING[path], role, **headers).status_code


@pytest.mark.parametrize("path", OPEN)
def test_the_document_is_for_all_who_have_logged_in(page: Client, ids: dict[str, str], path: str) -> None:
    assert codes(page, path, ids, None, "not.a.token", "viewer", "user", "op", "admin") == [
        401,
        403,
        200,
        200,
        200,
        200,
    ]


@pytest.mark.parametrize("path", READING)
def test_reading_needs_the_right_to_see_the_connection(page: Client, ids: dict[str, str], path: str) -> None:
    found = codes(page, HERE + path, ids, None, "not.a.token", "viewer", "user", "op", "admin")
    assert found == [401, 403, 403, 403, 200, 200]


@pytest.mark.parametrize("path", CHANGING)
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-SailPoint-Page": None}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": None}, 403),
        ({"Sec-Fetch-Site": None, "Origin": "https://evil.example.com"}, 403),
        ({"Sec-Fetch-Site": None, "Origin": "null"}, 403),
    ],
)
def test_nothing_is_changed_but_by_the_page(
    page: Client, ids: dict[str, str], path: str, headers: dict[str, Any], expected: int
) -> None:
    assert changed(page, path, ids, "admin", **headers) == expected


@pytest.mark.parametrize("path", CHANGING)
def test_changing_needs_the_right_to_edit_the_connection(
    page: Client, emulator: Emulator, ids: dict[str, str], path: str
) -> None:
    roles = (None, "not.a.token", "viewer", "user")
    assert [changed(page, path, ids, role) for role in roles] == [401, 403, 403, 403]
    assert emulator.started == ()


def test_an_older_browser_names_its_origin(page: Client, ids: dict[str, str]) -> None:
    origin = page.url.partition("/air")[0]
    path = "tasks/{task}/clear"
    assert changed(page, path, ids, "op", **{"Sec-Fetch-Site": None, "Origin": origin}) == 200


@pytest.mark.parametrize("connection", ["another_type", "not_listed", "missing", "..", "a%2Fb", "%00"])
def test_other_connections_are_not_there(page: Client, ids: dict[str, str], connection: str) -> None:
    """The page is no probe of what other connections there are."""
    for path in READING:
        assert page.get(f"api/{connection}/{path.format(**ids)}").status_code == 404
    for path, body in CHANGING.items():
        assert page.post(f"api/{connection}/{path.format(**ids)}", body).status_code == 404


@pytest.mark.parametrize("hostile", ["{{x}}", "a b", "%00", "a%22", "none", "x" * 200, "%3Cscript%3E"])
def test_hostile_ids_are_not_sent(
    page: Client, emulator: Emulator, ids: dict[str, str], hostile: str
) -> None:
    page.get(f"{HERE}overview")
    before = len(emulator.requests)
    assert page.get(f"{HERE}tasks/{hostile}").status_code == 400
    assert page.post(f"{HERE}tasks/{hostile}/clear", {"dry_run": False}).status_code == 400
    assert page.post(f"{HERE}sources/{hostile}/aggregate", {"kind": "accounts"}).status_code == 400
    assert [each.path for each in emulator.requests[before:] if hostile in each.path] == []


@pytest.mark.parametrize("body", [None, [], "x", {}, {"dry_run": 1}, {"dry_run": "false"}, {"dry_run": None}])
def test_a_change_has_its_argument(
    page: Client, emulator: Emulator, ids: dict[str, str], body: object
) -> None:
    assert page.post(f"{HERE}tasks/{ids['task']}/clear", body).status_code == 400
    assert emulator.task(ids["task"])["completionStatus"] is None


@pytest.mark.parametrize("kind", ["other", "machine_identities", "", None, ["accounts"]])
def test_only_some_kinds_can_be_started(page: Client, ids: dict[str, str], kind: object) -> None:
    assert page.post(f"{HERE}sources/{ids['source']}/aggregate", {"kind": kind}).status_code == 400


def test_what_is_too_large_is_not_read(page: Client, ids: dict[str, str]) -> None:
    assert page.post(f"{HERE}tasks/{ids['task']}/clear", {"dry_run": "x" * 10_000}).status_code == 413


@pytest.mark.parametrize("hours", ["1", "25", "x", "24h", "-24", "9" * 30])
def test_there_are_two_windows(page: Client, hours: str) -> None:
    assert page.get(f"{HERE}history?hours={hours}").status_code == 400


def test_every_answer_has_its_headers(page: Client, ids: dict[str, str]) -> None:
    for path, role in (("", "op"), ("", None), (f"{HERE}overview", "viewer"), ("nothing", "op")):
        headers = page.get(path, role).headers
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_no_route_is_without_a_guard() -> None:
    """Airflow authenticates none of them: a new one has to bring its own."""
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi.routing import APIRoute

    from airflow_provider_sptasks.plugin.access import requires_page
    from airflow_provider_sptasks.plugin.app import build

    def calls(dependant: Any) -> Iterator[Any]:
        for each in dependant.dependencies:
            yield each.call
            yield from calls(each)

    def rights(route: APIRoute) -> set[str]:
        return {getattr(call, "__qualname__", "").partition(".")[0] for call in calls(route.dependant)}

    routes = build().routes
    assert len(routes) == len(OPEN) + 3 + len(CHANGING)
    for route in routes:
        assert isinstance(route, APIRoute), f"{route} serves without a guard"
        guards = list(calls(route.dependant))
        assert get_user in guards, route.path
        if "{connection_id}" in route.path:
            assert "requires_access_connection" in rights(route), route.path
        if route.methods != {"GET"}:
            assert requires_page in guards, route.path


def test_clearing(page: Client, emulator: Emulator, ids: dict[str, str]) -> None:
    path = f"{HERE}tasks/{ids['task']}/clear"
    preview = page.post(path, {"dry_run": True}).json()
    assert preview["title"] == "Cloud Account Aggregation of Workday"
    assert "is not stopped" in preview["message"]
    assert emulator.task(ids["task"])["completionStatus"] is None
    answer = page.post(path, {"dry_run": False})
    assert (answer.status_code, answer.json()["result"]) == (200, "done")
    assert emulator.task(ids["task"])["completionStatus"] == "Error"
    again = page.post(path, {"dry_run": False})
    assert (again.status_code, again.json()["result"]) == (409, "conflict")
    assert "ended with ERROR" in again.json()["message"]
    assert page.post(f"{HERE}tasks/{'f' * 32}/clear", {"dry_run": False}).status_code == 404
    assert audited("sailpoint_clear", ids["task"]) == ["done", "conflict"]


def test_a_start_whose_check_is_refused(page: Client, emulator: Emulator) -> None:
    source = emulator.add_source("Lost", duration=None).id
    emulator.fail(kind="drop_after", method="POST", path=f"*/{source}/load-accounts")
    emulator.on_request(
        lambda request: emulator.fail(403, method="GET") if f"/{source}/" in request.path else None
    )
    answer = page.post(f"{HERE}sources/{source}/aggregate", {"kind": "accounts"})
    emulator.clear_faults()
    assert [each.source_id for each in emulator.started].count(source) == 1
    assert answer.json()["message"].startswith("It may have been started: check before you try again.")


def test_a_connection_that_has_become_invalid(
    page: Client, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be edited while its rows are still on the page."""
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", "sailpoint://client:@acme")
    monkeypatch.setenv("AIRFLOW__SAILPOINT__PAGE_CONNECTIONS", "broken")
    about = ids["task"]
    answers = [
        page.get(f"api/broken/tasks/{about}"),
        page.post(f"api/broken/tasks/{about}/clear", {"dry_run": False}),
        page.post(f"api/broken/sources/{about}/aggregate", {"kind": "accounts"}),
    ]
    assert [each.status_code for each in answers] == [502, 502, 502]
    for each in answers:
        assert "Connection 'broken': Client Secret (client_secret) is empty" in each.json()["detail"]
    assert audited("sailpoint_clear", about) == audited("sailpoint_aggregate", about) == ["failed"]


def test_starting_an_aggregation(page: Client, emulator: Emulator) -> None:
    source = emulator.add_source("Starts").id
    path = f"{HERE}sources/{source}/aggregate"
    answer = page.post(path, {"kind": "accounts"})
    assert (answer.status_code, answer.json()["result"]) == (200, "done")
    again = page.post(path, {"kind": "accounts"})
    assert (again.status_code, again.json()["result"]) == (409, "conflict")
    assert "Nothing was started" in again.json()["message"]
    assert [each.source_id for each in emulator.started].count(source) == 1
    assert page.post(f"{HERE}sources/{'f' * 32}/aggregate", {"kind": "accounts"}).status_code in (404, 502)
    assert audited("sailpoint_aggregate", source) == ["done", "conflict"]


def audited(event: str, about: str) -> list[str]:
    with create_session() as session:
        rows = session.scalars(select(Log).where(Log.event == event).order_by(Log.id)).all()
        assert {row.owner for row in rows} == {"op"}
        extras = [json.loads(row.extra or "{}") for row in rows]
    return [extra["result"] for extra in extras if extra["id"] == about]


def test_viewers_may_read_where_that_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_sptasks.plugin.access import requires_changing, requires_reading

    def name(dependency: Any) -> str:
        return str(dependency.dependency.__qualname__)

    assert name(requires_reading()).startswith("requires_access_connection")
    monkeypatch.setenv("AIRFLOW__SAILPOINT__PAGE_READERS", "view")
    assert name(requires_reading()) == "requires_view_or_connection"
    assert name(requires_changing()[0]).startswith("requires_access_connection")
    monkeypatch.setenv("AIRFLOW__SAILPOINT__PAGE_READERS", "everyone")
    with pytest.raises(ValueError, match=r"page_readers is 'everyone'\. Give connection or view"):
        requires_reading()


def test_viewers_read_and_change_nothing_where_that_is_configured(
    page: Client, emulator: Emulator, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__SAILPOINT__PAGE_READERS", "view")
    before = emulator.started
    root = FastAPI()
    root.mount(f"{ROOT_PATH}/sailpoint", build())
    with Served(root) as url:
        opened = replace(page, url=f"{url}{ROOT_PATH}/sailpoint/page/")
        for path in READING:
            found = codes(opened, HERE + path, ids, None, "not.a.token", "viewer", "user", "op", "admin")
            assert found == [401, 403, 200, 200, 200, 200], path
        for path in CHANGING:
            roles = (None, "not.a.token", "viewer", "user")
            assert [changed(opened, path, ids, role) for role in roles] == [401, 403, 403, 403], path
    assert emulator.started == before
