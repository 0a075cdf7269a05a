"""What the client sends, and what it makes of the answers: every version with every endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sptasks.client import CompletionStatus, TaskStatusClient
from airflow_provider_sptasks.client.errors import (
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    ServerError,
    UnexpectedPayloadError,
)
from airflow_provider_sptasks.emulator import Emulator
from tests.client.conftest import Connect, api_requests

MOMENT = datetime(2024, 5, 17, 19, 33, 16, 470_000, tzinfo=UTC)
CLEARED = [
    {"op": "replace", "path": "/completionStatus", "value": "Error"},
    {"op": "replace", "path": "/completed", "value": "2024-05-17T19:33:16.470Z"},
]


@dataclass(frozen=True)
class Version:
    """What SailPoint documents of a version, written down a second time."""

    name: str
    path: str
    lists_pending: bool
    pending_endpoint: bool
    launcher: bool


VERSIONS = [
    Version("beta", "/beta/task-status", False, True, False),
    Version("v2024", "/v2024/task-status", False, True, False),
    Version("v2025", "/v2025/task-status", True, True, False),
    Version("v2026", "/v2026/task-status", True, False, True),
    Version("v1", "/task-status/v1", True, False, True),
]
every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)

Sent = tuple[str, str, dict[str, str]]


@dataclass(frozen=True)
class Tasks:
    """Three tasks: the oldest has failed, one has succeeded, the newest runs."""

    failed: str
    done: str
    running: str
    hr: str
    ad: str


@pytest.fixture
def tasks(emulator: Emulator) -> Tasks:
    failed = emulator.add_task("a" * 32, source="HR", launched=-300, duration=10, outcome="ERROR")
    done = emulator.add_task("b" * 32, source="AD", launched=-200, duration=10)
    fields = {"launcher": "scheduler"}
    running = emulator.add_task("c" * 32, source="AD", launched=-100, duration=None, fields=fields)
    assert failed.source_id is not None
    assert done.source_id is not None
    return Tasks(failed.id, done.id, running.id, failed.source_id, done.source_id)


def sent(emulator: Emulator) -> list[Sent]:
    return [(request.method, request.path, dict(request.query)) for request in api_requests(emulator)]


def page(version: Version, offset: int = 0, limit: int = 250, query: Mapping[str, str] | None = None) -> Sent:
    return ("GET", version.path, {"limit": str(limit), "offset": str(offset), **(query or {})})


def pending_page(version: Version, offset: int = 0) -> Sent:
    if version.lists_pending:
        return page(version, offset, query={"filters": "completionStatus isnull", "sorters": "created"})
    return ("GET", f"{version.path}/pending-tasks", {"limit": "250", "offset": str(offset)})


def ids(found: Iterable[Any]) -> list[str]:
    return [task.id for task in found]


@every_version
class TestOneTask:
    def test_get(self, version: Version, connect: Connect, emulator: Emulator, tasks: Tasks) -> None:
        task = connect(version.name).get(tasks.failed)
        assert (task.id, task.completion_status, task.source_name) == (
            tasks.failed,
            CompletionStatus.ERROR,
            "HR",
        )
        assert sent(emulator) == [("GET", f"{version.path}/{tasks.failed}", {})]

    def test_get_a_pending_one(
        self, version: Version, connect: Connect, emulator: Emulator, tasks: Tasks
    ) -> None:
        task = connect(version.name).get(tasks.running)
        assert not task.is_complete
        assert task.completed is None
        assert sent(emulator) == [("GET", f"{version.path}/{tasks.running}", {})]

    def test_get_an_unknown_one(self, version: Version, connect: Connect, emulator: Emulator) -> None:
        with pytest.raises(NotFoundError):
            connect(version.name).get("d" * 32)
        assert sent(emulator) == [("GET", f"{version.path}/{'d' * 32}", {})]

    def test_update(self, version: Version, connect: Connect, emulator: Emulator, tasks: Tasks) -> None:
        operations = [{"op": "replace", "path": "/completionStatus", "value": "TERMINATED"}]
        task = connect(version.name).update(tasks.running, operations)
        assert task.completion_status is CompletionStatus.TERMINATED
        (request,) = api_requests(emulator)
        assert (request.method, request.path, request.query) == (
            "PATCH",
            f"{version.path}/{tasks.running}",
            {},
        )
        assert request.headers["content-type"] == "application/json-patch+json"
        assert json.loads(request.body) == operations

    def test_clear(self, version: Version, connect: Connect, emulator: Emulator, tasks: Tasks) -> None:
        task = connect(version.name).clear(tasks.running, completed=MOMENT)
        assert (task.completion_status_text, task.completed) == ("Error", MOMENT)
        (request,) = api_requests(emulator)
        assert (request.method, request.path, request.query) == (
            "PATCH",
            f"{version.path}/{tasks.running}",
            {},
        )
        assert request.headers["content-type"] == "application/json-patch+json"
        assert json.loads(request.body) == CLEARED

    def test_every_request_says_that_it_takes_experimental_answers(
        self, version: Version, connect: Connect, emulator: Emulator, tasks: Tasks
    ) -> None:
        client = connect(version.name)
        client.get(tasks.done)
        client.clear(tasks.running)
        client.count_pending()
        client.find([tasks.done])
        assert len(api_requests(emulator)) >= 4
        for request in api_requests(emulator):
            assert request.headers["x-sailpoint-experimental"] == "true"
            assert request.headers["accept"] == "application/json"


Call = Callable[[TaskStatusClient, Tasks], Iterable[Any]]


@dataclass(frozen=True)
class Listing:
    """A call of ``list``, the query that it should send, and the letters of the tasks that should come."""

    name: str
    call: Call
    query: Callable[[Tasks], dict[str, str]]
    letters: str
    needs_pending: bool = False
    needs_launcher: bool = False


LISTINGS = [
    Listing("all", lambda client, _: client.list(), lambda _: {}, "abc"),
    Listing(
        "ids",
        lambda client, tasks: client.list(task_status_ids=[tasks.failed, tasks.running]),
        lambda tasks: {"filters": f'id in ("{tasks.failed}","{tasks.running}")'},
        "ac",
    ),
    Listing(
        "sources",
        lambda client, tasks: client.list(source_ids=[tasks.ad]),
        lambda tasks: {"filters": f'sourceId in ("{tasks.ad}")'},
        "bc",
    ),
    Listing(
        "completion statuses",
        lambda client, _: client.list(completion_statuses=["error", "WARNING"]),
        lambda _: {"filters": 'completionStatus in ("error","WARNING")'},
        "a",
    ),
    Listing(
        "pending",
        lambda client, _: client.list(pending=True),
        lambda _: {"filters": "completionStatus isnull"},
        "c",
        needs_pending=True,
    ),
    Listing(
        "launchers",
        lambda client, _: client.list(launchers=["scheduler"]),
        lambda _: {"filters": 'launcher in ("scheduler")'},
        "c",
        needs_launcher=True,
    ),
    Listing(
        "two criteria",
        lambda client, tasks: client.list(source_ids=[tasks.ad], completion_statuses=["SUCCESS"]),
        lambda tasks: {"filters": f'(sourceId in ("{tasks.ad}")) and (completionStatus in ("SUCCESS"))'},
        "b",
    ),
    Listing(
        "own filter",
        lambda client, _: client.list(filters='type eq "CLOUD_ACCOUNT_AGGREGATION"'),
        lambda _: {"filters": 'type eq "CLOUD_ACCOUNT_AGGREGATION"'},
        "abc",
    ),
    Listing(
        "a criterion and an own filter with or",
        lambda client, tasks: client.list(
            source_ids=[tasks.hr],
            filters=f'id eq "{tasks.done}" or completionStatus eq "ERROR"',
        ),
        lambda tasks: {
            "filters": f'(sourceId in ("{tasks.hr}")) and '
            f'(id eq "{tasks.done}" or completionStatus eq "ERROR")'
        },
        "a",
    ),
    Listing(
        "oldest first",
        lambda client, _: client.list(sorters="created"),
        lambda _: {"sorters": "created"},
        "abc",
    ),
    Listing(
        "newest first",
        lambda client, _: client.list(sorters="-created"),
        lambda _: {"sorters": "-created"},
        "cba",
    ),
]


@every_version
class TestList:
    @pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.name)
    def test_criteria(
        self, version: Version, listing: Listing, connect: Connect, emulator: Emulator, tasks: Tasks
    ) -> None:
        client = connect(version.name)
        if (listing.needs_pending and not version.lists_pending) or (
            listing.needs_launcher and not version.launcher
        ):
            with pytest.raises(ValueError, match=f"API version '{version.name}'"):
                listing.call(client, tasks)
            assert sent(emulator) == []
            return
        found = ids(listing.call(client, tasks))
        letters = listing.letters if version.lists_pending else listing.letters.replace("c", "")
        assert [each[0] for each in found] == list(letters)
        assert sent(emulator) == [page(version, query=listing.query(tasks))]

    @pytest.mark.parametrize("criterion", ["task_status_ids", "source_ids", "completion_statuses"])
    def test_an_empty_criterion_matches_nothing(
        self, version: Version, criterion: str, connect: Connect, emulator: Emulator, tasks: Tasks
    ) -> None:
        empty: dict[str, Any] = {criterion: []}
        assert list(connect(version.name).list(**empty)) == []
        assert sent(emulator) == []

    @pytest.mark.parametrize(("count", "offsets"), [(0, [0]), (2, [0]), (3, [0, 2]), (7, [0, 2, 4, 6])])
    def test_reads_all_pages(
        self, version: Version, count: int, offsets: list[int], connect: Connect, emulator: Emulator
    ) -> None:
        added = [emulator.add_task(launched=-100 + n, duration=1).id for n in range(count)]
        found = connect(version.name).list(page_size=3, sorters="created")
        assert ids(found) == added
        assert sent(emulator) == [page(version, offset, 3, {"sorters": "created"}) for offset in offsets]

    def test_reads_a_page_only_when_it_is_wanted(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        for _ in range(5):
            emulator.add_task(launched=-100, duration=1)
        found = connect(version.name).list(page_size=2)
        assert sent(emulator) == []
        next(found), next(found)
        assert sent(emulator) == [page(version, 0, 2)]
        next(found)
        assert sent(emulator) == [page(version, 0, 2), page(version, 1, 2)]

    def test_yields_a_task_once_though_others_push_it_to_the_next_page(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        for n in range(4):
            emulator.add_task(f"{n}" * 8, launched=-100 + n, duration=1)
        found = connect(version.name).list(page_size=2, sorters="-created")
        first = [next(found).id, next(found).id]
        emulator.add_task("9" * 8, launched=-10, duration=1)
        assert first + ids(found) == [f"{n}" * 8 for n in (3, 2, 1, 0)]

    @pytest.mark.parametrize(
        "criterion", ["task_status_ids", "source_ids", "completion_statuses", "launchers"]
    )
    def test_refuses_a_string_for_a_list(
        self, version: Version, criterion: str, connect: Connect, emulator: Emulator
    ) -> None:
        """A string is a list too, of letters."""
        single: dict[str, Any] = {criterion: "abc"}
        with pytest.raises(ValueError, match=f"{criterion} is one string, 'abc'. Give a list."):
            connect(version.name).list(**single)
        assert sent(emulator) == []

    @pytest.mark.parametrize("page_size", [0, -1, 251])
    def test_refuses_a_page_size_out_of_range(
        self, version: Version, page_size: int, connect: Connect, emulator: Emulator
    ) -> None:
        with pytest.raises(ValueError, match=f"page_size {page_size}"):
            connect(version.name).list(page_size=page_size)
        assert sent(emulator) == []


@every_version
class TestPending:
    def test_pending(self, version: Version, connect: Connect, emulator: Emulator, tasks: Tasks) -> None:
        assert ids(connect(version.name).pending()) == [tasks.running]
        assert sent(emulator) == [pending_page(version)]

    def test_none_pending(self, version: Version, connect: Connect, emulator: Emulator) -> None:
        emulator.add_task(launched=-100, duration=1)
        assert list(connect(version.name).pending()) == []
        assert sent(emulator) == [pending_page(version)]
        # The list of pending tasks has no body then.
        assert api_requests(emulator)[0].status == (200 if version.lists_pending else 204)

    def test_reads_all_pages(self, version: Version, connect: Connect, emulator: Emulator) -> None:
        added = [emulator.add_task(launched=-1000 + n, duration=None).id for n in range(251)]
        assert ids(connect(version.name).pending()) == added
        assert sent(emulator) == [pending_page(version), pending_page(version, 240)]

    def test_of_sources(self, version: Version, connect: Connect, emulator: Emulator, tasks: Tasks) -> None:
        emulator.add_task(source="HR", launched=-50, duration=None)
        assert ids(connect(version.name).pending(source_ids=[tasks.ad])) == [tasks.running]
        (request,) = sent(emulator)
        if version.lists_pending:
            filters = f'(sourceId in ("{tasks.ad}")) and (completionStatus isnull)'
            assert request == page(version, query={"filters": filters, "sorters": "created"})
        else:
            assert request == pending_page(version)

    def test_of_a_source_in_other_case(
        self, version: Version, connect: Connect, emulator: Emulator, tasks: Tasks
    ) -> None:
        """As the tenant compares, so does the client."""
        assert ids(connect(version.name).pending(source_ids=[tasks.ad.upper()])) == [tasks.running]

    def test_of_more_sources_than_a_request_holds(
        self, version: Version, connect: Connect, emulator: Emulator, tasks: Tasks
    ) -> None:
        emulator.add_task(source="HR", launched=-50, duration=None)
        many = [f"{n:032x}" for n in range(1_000)]
        assert ids(connect(version.name).pending(source_ids=[*many, tasks.ad])) == [tasks.running]
        assert sent(emulator) == [pending_page(version)]

    def test_of_no_source(self, version: Version, connect: Connect, tasks: Tasks) -> None:
        assert list(connect(version.name).pending(source_ids=[])) == []

    @pytest.mark.parametrize("count", [0, 1, 7])
    def test_count(self, version: Version, count: int, connect: Connect, emulator: Emulator) -> None:
        emulator.add_task(launched=-100, duration=1)
        for _ in range(count):
            emulator.add_task(launched=-10, duration=None)
        assert connect(version.name).count_pending() == count
        query = {"limit": "1", "count": "true"}
        if version.name in ("beta", "v2024"):
            assert sent(emulator) == [("HEAD", f"{version.path}/pending-tasks", query)]
        else:
            query["filters"] = "completionStatus isnull"
            assert sent(emulator) == [("GET", version.path, query)]


class TestRights:
    def test_an_api_client_reads_but_does_not_change(self, connect: Connect, emulator: Emulator) -> None:
        credential = emulator.add_credential(user=False)
        task = emulator.add_task(duration=None)
        client = connect(client_id=credential.client_id, client_secret=credential.client_secret)
        assert client.get(task.id).id == task.id
        with pytest.raises(ForbiddenError, match="personal access token of a user") as caught:
            client.clear(task.id)
        assert "idn:task-management:write" in str(caught.value)
        assert emulator.task(task.id)["completionStatus"] is None
        assert [request.method for request in api_requests(emulator)] == ["GET", "PATCH"]

    def test_helpdesk_reads_but_does_not_change(self, connect: Connect, emulator: Emulator) -> None:
        credential = emulator.add_credential(level="HELPDESK")
        task = emulator.add_task(duration=None)
        client = connect(client_id=credential.client_id, client_secret=credential.client_secret)
        assert client.count_pending() == 1
        with pytest.raises(ForbiddenError, match="personal access token of a user"):
            client.clear(task.id)

    def test_a_missing_scope_is_named(self, connect: Connect, emulator: Emulator) -> None:
        credential = emulator.add_credential(scopes=["idn:sources:read"])
        client = connect(client_id=credential.client_id, client_secret=credential.client_secret)
        with pytest.raises(ForbiddenError, match=r"Check that .* scope idn:task-management:read"):
            client.count_pending()


class TestUpdate:
    def test_clears_as_of_now(self, client: TaskStatusClient, emulator: Emulator) -> None:
        task = emulator.add_task(duration=None)
        before = datetime.now(UTC)
        after = client.clear(task.id)
        assert after.completed is not None
        assert before - timedelta(milliseconds=1) <= after.completed <= datetime.now(UTC)

    def test_converts_the_time_to_utc(self, client: TaskStatusClient, emulator: Emulator) -> None:
        task = emulator.add_task(duration=None)
        east = MOMENT.astimezone(datetime.strptime("+0530", "%z").tzinfo)
        assert client.clear(task.id, "TERMINATED", east).completed == MOMENT
        assert json.loads(api_requests(emulator)[0].body)[1]["value"] == "2024-05-17T19:33:16.470Z"

    def test_refuses_a_time_without_zone(self, client: TaskStatusClient, emulator: Emulator) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            client.clear("a" * 32, completed=datetime(2024, 5, 17))
        assert emulator.requests == ()

    @pytest.mark.parametrize(
        "operations",
        [
            [{"op": "replace", "path": "/completionStatus", "value": "Finished"}],
            [{"op": "replace", "path": "/launcher", "value": "me"}],
            [{"op": "remove", "path": "/id"}],
        ],
    )
    def test_shows_why_a_patch_is_refused(
        self, operations: Sequence[dict[str, Any]], client: TaskStatusClient, emulator: Emulator
    ) -> None:
        task = emulator.add_task(duration=None)
        with pytest.raises(BadRequestError, match=r"400\.1 Bad Request Content") as caught:
            client.update(task.id, operations)
        assert caught.value.text
        assert len(api_requests(emulator)) == 1


class TestTenantsWays:
    def test_a_task_of_the_past_is_gone_after_90_days(
        self, client: TaskStatusClient, emulator: Emulator
    ) -> None:
        task = emulator.add_task(duration=1)
        emulator.clock.advance(91 * 86_400)
        assert client.find([task.id]) == {}
        with pytest.raises(NotFoundError):
            client.get(task.id)

    def test_a_filter_that_the_tenant_refuses(self, client: TaskStatusClient, emulator: Emulator) -> None:
        with pytest.raises(BadRequestError, match="QUARTZ"):
            list(client.list(filters='type eq "QUARTZ"'))
        assert len(api_requests(emulator)) == 1

    def test_a_filter_that_the_tenant_breaks_at(self, client: TaskStatusClient, emulator: Emulator) -> None:
        with pytest.raises(ServerError):
            list(client.list(filters='target.id eq "1"'))
        assert len(api_requests(emulator)) == 4

    @pytest.mark.parametrize("version", ["beta", "v2024"])
    def test_a_deprecated_endpoint_is_logged_once(
        self, version: str, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = connect(version)
        client.count_pending()
        client.count_pending()
        logged = [record.getMessage() for record in caplog.records if "deprecated" in record.getMessage()]
        assert logged == [
            f"SailPoint marks HEAD /{version}/task-status/pending-tasks ({version}) as deprecated"
        ]


def test_a_tenant_that_ignores_the_offset_is_not_read_for_ever(connect: Connect, emulator: Emulator) -> None:
    body = json.dumps([{"id": str(number)} for number in range(250)]).encode()
    emulator.fail(200, path="/task-status/v1", body=body)
    with pytest.raises(UnexpectedPayloadError, match="the same 250 records at every offset") as raised:
        list(connect().list())
    assert raised.value.retryable
    assert len(api_requests(emulator)) == 3
