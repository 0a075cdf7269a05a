"""Sources by name, and aggregations that are started once, whatever goes wrong."""

from __future__ import annotations

import hashlib
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tenacity import wait_none

from airflow_provider_sptasks.client import (
    AggregationProgress,
    RetryPolicy,
    Source,
    SourcesClient,
    TaskKind,
    TaskStatus,
)
from airflow_provider_sptasks.client.errors import (
    AggregationRunningError,
    AmbiguousError,
    APIError,
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    NotSentError,
    SailPointError,
    ServerError,
    SourceNotFoundError,
    SourceNotUniqueError,
    TransportError,
    UnauthorizedError,
    UnexpectedPayloadError,
    UploadError,
)
from airflow_provider_sptasks.client.pacing import Pacer
from airflow_provider_sptasks.emulator import Emulator, LoggedRequest
from tests.client.conftest import Connect, Waits, api_requests

HR, AD = "a" * 32, "b" * 32
CSV = b"id,name\n1,Ann\n2,Bob\n"

VERSIONS = {
    "beta": ("/beta/sources", "/beta/account-aggregations"),
    "v2024": ("/v2024/sources", "/v2024/account-aggregations"),
    "v2025": ("/v2025/sources", "/v2025/account-aggregations"),
    "v2026": ("/v2026/sources", "/v2026/account-aggregations"),
    "v1": ("/sources/v1", "/account-aggregations/v1"),
}
PATHS = {
    "accounts": "load-accounts",
    "entitlements": "load-entitlements",
    "uncorrelated_accounts": "load-uncorrelated-accounts",
}
every_version = pytest.mark.parametrize("version", VERSIONS)
every_kind = pytest.mark.parametrize("kind", PATHS)

ConnectSources = Callable[..., SourcesClient]


@pytest.fixture
def connect_sources(connect: Connect) -> ConnectSources:
    return lambda *args, **kwargs: SourcesClient(connect(*args, **kwargs).transport)


@pytest.fixture
def sources(connect_sources: ConnectSources) -> SourcesClient:
    return connect_sources()


@pytest.fixture
def ad(emulator: Emulator) -> str:
    return emulator.add_source("Active Directory", AD, duration=None).id


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.csv"
    path.write_bytes(CSV)
    return path


def posts(emulator: Emulator) -> list[LoggedRequest]:
    return [request for request in api_requests(emulator) if request.method == "POST"]


def statuses(emulator: Emulator) -> list[int]:
    return [request.status for request in posts(emulator)]


@every_version
class TestFinding:
    def test_by_name(self, connect_sources: ConnectSources, emulator: Emulator, version: str) -> None:
        emulator.add_source("HR", HR, delimited_file=True)
        emulator.add_source("Active Directory", AD)
        source = connect_sources(version).find_by_name(" active directory ")
        assert source == Source(AD, "Active Directory", "Active Directory - Direct", delimited_file=False)
        assert source.raw["connectionType"] == "direct"
        assert str(source) == f"Active Directory ({AD})"
        (request,) = api_requests(emulator)
        assert (request.method, request.path) == ("GET", VERSIONS[version][0])
        assert request.query == {"filters": 'name eq "active directory"'}

    def test_a_name_with_quotes(
        self, connect_sources: ConnectSources, emulator: Emulator, version: str
    ) -> None:
        name = 'A "quoted\\" name) or name eq "HR" & größe'
        emulator.add_source("HR", HR)
        emulator.add_source(name, AD, delimited_file=True)
        source = connect_sources(version).find_by_name(name)
        assert (source.id, source.delimited_file) == (AD, True)

    def test_an_unknown_name(self, connect_sources: ConnectSources, emulator: Emulator, version: str) -> None:
        emulator.add_source("HR (old)", HR)
        with pytest.raises(SourceNotFoundError, match="The tenant has no source named 'HR', or the"):
            connect_sources(version).find_by_name("HR")

    def test_an_ambiguous_name(
        self, connect_sources: ConnectSources, emulator: Emulator, version: str
    ) -> None:
        emulator.add_source("HR", HR)
        emulator.add_source("Hr", AD)
        with pytest.raises(SourceNotUniqueError) as raised:
            connect_sources(version).find_by_name("HR")
        assert str(raised.value) == f"2 sources are named 'HR': give the id of one instead ({HR}, {AD})"
        assert raised.value.source_ids == (HR, AD)
        assert not raised.value.retryable

    def test_by_id(self, connect_sources: ConnectSources, emulator: Emulator, version: str) -> None:
        emulator.add_source("HR", HR, delimited_file=True)
        assert connect_sources(version).get(HR) == Source(HR, "HR", "DelimitedFile", delimited_file=True)
        (request,) = api_requests(emulator)
        assert (request.method, request.path) == ("GET", f"{VERSIONS[version][0]}/{HR}")

    def test_an_unknown_id(self, connect_sources: ConnectSources, emulator: Emulator, version: str) -> None:
        with pytest.raises(SourceNotFoundError, match=f"no source with the id {HR}"):
            connect_sources(version).get(HR)


class TestFindingWhatIsOdd:
    def test_none_is_unknown_where_one_may_not_ask(self, sources: SourcesClient, emulator: Emulator) -> None:
        emulator.fail(403)
        assert sources.unknown([AD]) == set()

    @pytest.mark.parametrize("status", [400, 401, 404, 500])
    def test_what_is_not_answered_says_nothing_of_sources(
        self, sources: SourcesClient, emulator: Emulator, status: int
    ) -> None:
        emulator.add_source("HR", HR)
        emulator.fail(status, path="/sources/v1")
        with pytest.raises(APIError, match=f"answered with {status}"):
            sources.unknown([HR, AD])
        emulator.clear_faults()
        assert sources.unknown([HR, AD]) == {AD}

    def test_a_filter_that_is_not_heeded(self, sources: SourcesClient, emulator: Emulator) -> None:
        body = f'[{{"id": "{HR}", "name": "HR"}}, {{"name": "no id"}}, {{"id": "{AD}", "name": "AD"}}]'
        emulator.fail(200, body=body)
        assert sources.find_by_name("ad").id == AD

    @pytest.mark.parametrize("name", ["", "  "])
    def test_an_empty_name(self, sources: SourcesClient, emulator: Emulator, name: str) -> None:
        with pytest.raises(ValueError, match="The name of the source is empty"):
            sources.find_by_name(name)
        assert emulator.requests == ()

    def test_what_is_no_id(self, sources: SourcesClient, emulator: Emulator) -> None:
        for call in (sources.get, sources.start_aggregation):
            with pytest.raises(ValueError, match=r"source_id '\.\./x' is not an id"):
                call("../x")
        with pytest.raises(ValueError, match=r"task_status_id '\.\./x' is not an id"):
            sources.aggregation_status("../x")
        assert emulator.requests == ()

    @pytest.mark.parametrize("payload", [None, [], {}, {"id": HR}, {"name": "HR"}, {"id": "", "name": "HR"}])
    def test_what_is_no_source(self, payload: Any) -> None:
        with pytest.raises(UnexpectedPayloadError):
            Source.from_json(payload)

    def test_secrets_of_a_source_are_not_shown(self) -> None:
        payload = {"id": HR, "name": "HR", "connectorAttributes": {"password": "hunter2"}}
        assert "hunter2" not in f"{Source.from_json(payload)!r} {Source.from_json(payload)}"
        with pytest.raises(UnexpectedPayloadError) as raised:
            Source.from_json({**payload, "id": None})
        assert "hunter2" not in str(raised.value)

    def test_a_scope_that_is_missing(self, connect_sources: ConnectSources, emulator: Emulator) -> None:
        credential = emulator.add_credential(scopes=["idn:task-management:read"])
        client = connect_sources(client_id=credential.client_id, client_secret=credential.client_secret)
        for call in (client.get, client.find_by_name):
            with pytest.raises(ForbiddenError, match="the scope idn:sources:read"):
                call(HR)


@every_version
class TestStarting:
    @every_kind
    def test_with_a_file(
        self, connect_sources: ConnectSources, emulator: Emulator, csv: Path, version: str, kind: str
    ) -> None:
        emulator.add_source("HR", HR, delimited_file=True)
        task = connect_sources(version).start_aggregation(HR, kind, csv)
        (started,) = emulator.started
        assert (task.id, task.kind, task.source_id) == (started.id, TaskKind(kind), HR)
        assert started.kind == kind
        assert task.created is not None
        assert task.created.tzinfo is UTC
        assert not task.is_complete
        (request,) = api_requests(emulator)
        assert (request.method, request.path) == ("POST", f"{VERSIONS[version][0]}/{HR}/{PATHS[kind]}")
        assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert "transfer-encoding" not in request.headers
        (upload,) = emulator.uploads
        assert (upload.filename, upload.content_type) == ("accounts.csv", "text/csv")
        assert (upload.size, upload.sha256) == (len(CSV), hashlib.sha256(CSV).hexdigest())

    @pytest.mark.parametrize("kind", ["accounts", "entitlements"])
    def test_without_one(
        self, connect_sources: ConnectSources, emulator: Emulator, ad: str, version: str, kind: str
    ) -> None:
        task = connect_sources(version).start_aggregation(ad, TaskKind(kind))
        (started,) = emulator.started
        assert (task.id, task.kind, task.source_id) == (started.id, TaskKind(kind), AD)
        assert started.optimized
        assert emulator.uploads == ()

    def test_without_optimization(
        self, connect_sources: ConnectSources, emulator: Emulator, ad: str, version: str
    ) -> None:
        connect_sources(version).start_aggregation(ad, disable_optimization=True)
        (started,) = emulator.started
        assert not started.optimized

    @pytest.mark.parametrize("kind", ["accounts", "entitlements"])
    def test_while_another_runs(
        self, connect_sources: ConnectSources, emulator: Emulator, ad: str, version: str, kind: str
    ) -> None:
        client = connect_sources(version)
        client.start_aggregation(ad, kind)
        with pytest.raises(AggregationRunningError) as raised:
            client.start_aggregation(ad, kind)
        assert str(raised.value) == (
            f"No aggregation of source {AD} was started: This aggregation failed because the currently "
            "running aggregation must complete before the next one can start."
        )
        assert (raised.value.source_id, raised.value.retryable) == (AD, False)
        assert len(emulator.started) == 1
        assert statuses(emulator) == [202, 202]

    def test_how_it_goes_on(self, connect_sources: ConnectSources, emulator: Emulator, version: str) -> None:
        client = connect_sources(version)
        task = emulator.add_task(launched=-50, duration=100)
        progress = client.aggregation_status(task.id)
        assert progress is not None
        assert progress.status == "ACCOUNTS_COLLECTED"
        assert progress.start is not None
        assert progress.total_accounts is not None
        assert progress.processed_accounts is not None
        assert 0 < progress.processed_accounts < progress.total_accounts
        (request,) = api_requests(emulator)
        assert (request.method, request.path) == ("GET", f"{VERSIONS[version][1]}/{task.id}/status")

    def test_how_what_ended_long_ago_went_on(
        self, connect_sources: ConnectSources, emulator: Emulator, version: str
    ) -> None:
        task = emulator.add_task(launched=-7200, duration=1)
        client = connect_sources(version)
        assert client.aggregation_status(task.id) is None
        assert client.aggregation_status("unknown") is None


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"kind": "other"}, "kind 'other' can't be started"),
            ({"kind": "everything"}, "'everything' is not a valid TaskKind"),
            ({"kind": "uncorrelated_accounts"}, "file is missing"),
            ({"kind": "entitlements", "disable_optimization": True}, "disable_optimization is for accounts"),
            ({"object_type": "group", "file": __file__}, "object_type is for entitlements, not for accounts"),
            ({"kind": "entitlements", "object_type": "group"}, "give file as well"),
            ({"kind": "ai_agents"}, "dataset_ids is missing"),
            ({"kind": "datasets"}, "dataset_ids is missing"),
            (
                {"kind": "datasets", "dataset_ids": ["a", "b"]},
                "has 2 ids, and datasets are aggregated one by",
            ),
            ({"kind": "datasets", "dataset_ids": ["../b"]}, "is not an id"),
            ({"kind": "datasets", "dataset_ids": "a"}, "dataset_ids is one string"),
            ({"dataset_ids": ["a"]}, "dataset_ids is for ai_agents and datasets, not for accounts"),
            ({"kind": "ai_agents", "dataset_ids": ["a"], "file": __file__}, "file is for accounts and"),
        ],
    )
    def test_that_can_not_be_right(
        self, sources: SourcesClient, emulator: Emulator, arguments: dict[str, Any], problem: str
    ) -> None:
        with pytest.raises(ValueError, match=problem):
            sources.start_aggregation(AD, **arguments)
        assert emulator.requests == ()

    @every_kind
    def test_a_file_that_can_not_be_read(
        self, sources: SourcesClient, emulator: Emulator, tmp_path: Path, kind: str
    ) -> None:
        with pytest.raises(UploadError, match=r"missing\.csv' can't be read: No such file or directory"):
            sources.start_aggregation(AD, kind, tmp_path / "missing.csv")
        assert emulator.requests == ()

    @pytest.mark.parametrize(
        ("kind", "scope", "hint"),
        [
            (
                "accounts",
                "idn:sources:read",
                "needs the scope idn:sources:manage, and a user to be ORG_ADMIN,",
            ),
            (
                "entitlements",
                "idn:sources:manage",
                "a user who is ORG_ADMIN, with the scope idn:entitlement:manage",
            ),
            (
                "uncorrelated_accounts",
                "idn:sources:read",
                "the scope idn:sources:manage, and a user to be ORG_AD",
            ),
        ],
    )
    def test_a_scope_that_is_missing(
        self, connect_sources: ConnectSources, emulator: Emulator, csv: Path, kind: str, scope: str, hint: str
    ) -> None:
        credential = emulator.add_credential(scopes=[scope])
        client = connect_sources(client_id=credential.client_id, client_secret=credential.client_secret)
        with pytest.raises(ForbiddenError, match=hint):
            client.start_aggregation(AD, kind, csv)
        assert statuses(emulator) == [403]

    def test_progress_is_for_users(self, connect_sources: ConnectSources, emulator: Emulator) -> None:
        credential = emulator.add_credential(user=False)
        client = connect_sources(client_id=credential.client_id, client_secret=credential.client_secret)
        with pytest.raises(ForbiddenError, match="personal access tokens of users who are ORG_ADMIN"):
            client.aggregation_status(emulator.add_task().id)

    def test_a_source_that_is_unknown(self, sources: SourcesClient, emulator: Emulator) -> None:
        with pytest.raises(NotFoundError):
            sources.start_aggregation(AD)
        assert statuses(emulator) == [404]

    def test_a_delimited_file_source_without_a_file(self, sources: SourcesClient, emulator: Emulator) -> None:
        emulator.add_source("HR", HR, delimited_file=True)
        with pytest.raises(BadRequestError, match="a CSV file is required"):
            sources.start_aggregation(HR)


AMBIGUOUS = [
    pytest.param({"kind": "drop"}, 0, id="dropped before it was processed"),
    pytest.param({"kind": "drop_after"}, 1, id="dropped after it was processed"),
    pytest.param({"kind": "truncate"}, 1, id="answer cut short"),
    pytest.param({"status": 500}, 0, id="500"),
    pytest.param({"status": 503}, 0, id="503"),
    pytest.param({"status": 504, "kind": "html"}, 0, id="504 of a proxy"),
    pytest.param({"status": 202, "kind": "html"}, 0, id="page of a proxy"),
    pytest.param({"status": 202, "kind": "empty"}, 0, id="no answer"),
    pytest.param({"status": 202, "body": "[]"}, 0, id="something else"),
    pytest.param({"kind": "delay", "delay": 60}, 0, id="time-out"),
]


class TestNeverTwice:
    @every_kind
    @pytest.mark.parametrize(("fault", "started"), AMBIGUOUS)
    def test_what_may_have_been_processed_is_not_sent_again(
        self,
        connect_sources: ConnectSources,
        emulator: Emulator,
        waits: Waits,
        csv: Path,
        kind: str,
        fault: dict[str, Any],
        started: int,
    ) -> None:
        emulator.add_source("HR", HR, delimited_file=True)
        client = connect_sources(timeout=2 if "delay" in fault else 30)
        emulator.fail(method="POST", path="/sources/*", **fault)
        with pytest.raises(AmbiguousError) as raised:
            client.start_aggregation(HR, kind, csv)
        assert not raised.value.retryable
        assert str(raised.value).startswith(
            "Whether SailPoint acted on a request is ambiguous: POST /sources/v1"
        )
        assert isinstance(raised.value.__cause__, (TransportError, ServerError, UnexpectedPayloadError))
        assert len(emulator.started) == started
        assert waits.seconds == []

    def test_what_was_refused_is_sent_again(
        self, sources: SourcesClient, emulator: Emulator, waits: Waits, csv: Path
    ) -> None:
        emulator.add_source("HR", HR, delimited_file=True)
        emulator.fail(429, method="POST", path="/sources/*", times=2)
        task = sources.start_aggregation(HR, file=csv)
        assert [each.id for each in emulator.started] == [task.id]
        assert statuses(emulator) == [429, 429, 202]
        assert len({request.headers["content-length"] for request in posts(emulator)}) == 1
        (upload,) = emulator.uploads
        assert upload.sha256 == hashlib.sha256(CSV).hexdigest()
        assert len(waits.seconds) == 2

    def test_with_a_token_that_was_revoked(
        self, sources: SourcesClient, emulator: Emulator, csv: Path
    ) -> None:
        emulator.add_source("HR", HR, delimited_file=True)
        sources.get(HR)
        emulator.revoke_tokens()
        task = sources.start_aggregation(HR, file=csv)
        assert [each.id for each in emulator.started] == [task.id]
        assert statuses(emulator) == [401, 202]

    def test_with_tokens_that_are_always_refused(self, sources: SourcesClient, emulator: Emulator) -> None:
        emulator.fail(401, method="POST", path="/sources/*")
        with pytest.raises(UnauthorizedError):
            sources.start_aggregation(AD)
        assert statuses(emulator) == [401, 401]

    def test_without_a_token_nothing_was_sent(
        self, sources: SourcesClient, emulator: Emulator, ad: str, waits: Waits
    ) -> None:
        fault = {"path": "/oauth/token", "times": 1}
        for kind in ("status", "drop", "drop_after"):
            emulator.fail(kind=kind, **fault)  # type: ignore[arg-type]
        sources.start_aggregation(ad)
        assert len(emulator.started) == 1
        assert len(waits.seconds) == 3
        emulator.revoke_tokens()
        emulator.fail(503, path="/oauth/token")
        with pytest.raises(ServerError):
            sources.start_aggregation(ad)
        assert len(emulator.started) == 1

    def test_where_no_server_listens(self, connect_sources: ConnectSources, waits: Waits) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            client = connect_sources(host=f"http://127.0.0.1:{bound.getsockname()[1]}")
            with pytest.raises(TransportError):
                client.start_aggregation(AD)
        assert len(waits.seconds) == 3

    def test_a_refused_connection_after_an_answer(
        self, connect_sources: ConnectSources, emulator: Emulator, ad: str
    ) -> None:
        """What was sent before is known not to have been processed."""
        retry = RetryPolicy(max_attempts=3, wait=wait_none(), sleep=lambda _: emulator.stop())
        client = connect_sources(retry=retry)
        emulator.fail(429, method="POST", path="/sources/*")
        with pytest.raises(TransportError):
            client.start_aggregation(ad)
        assert statuses(emulator) == [429]

    def test_outside_of_the_pace(self, connect_sources: ConnectSources, emulator: Emulator, ad: str) -> None:
        one_place = Pacer(100, window=1e6)
        one_place.hold(1e5)
        client = connect_sources(pacer=one_place, retry=RetryPolicy(deadline=1))
        with pytest.raises(NotSentError):
            client.start_aggregation(ad)
        assert posts(emulator) == []

    def test_with_another_patience(
        self, sources: SourcesClient, emulator: Emulator, ad: str, waits: Waits
    ) -> None:
        emulator.fail(429, method="POST", path="/sources/*")
        with pytest.raises(SailPointError):
            sources.with_retry(RetryPolicy(max_attempts=2, wait=wait_none(), sleep=waits)).start_aggregation(
                ad
            )
        assert len(posts(emulator)) == 2

    @pytest.mark.parametrize(
        "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"], ids=["none", "html"]
    )
    def test_a_connection_that_breaks_while_it_is_sent(
        self,
        answer: bytes,
        connect_sources: ConnectSources,
        emulator: Emulator,
        tmp_path: Path,
        waits: Waits,
    ) -> None:
        """Without its end no server can act on a form: it is sent again, to its end."""
        emulator.add_source("HR", HR, delimited_file=True)
        path = tmp_path / "large.csv"
        path.write_bytes(b"id,name\n" * 4_000_000)  # more than fits in the sockets' buffers
        with breaking(emulator, 3, answer) as url:
            task = connect_sources(host=url).start_aggregation(HR, file=path)
        assert [each.id for each in emulator.started] == [task.id]
        assert len(posts(emulator)) == 1
        (upload,) = emulator.uploads
        assert upload.size == path.stat().st_size
        assert len(waits.seconds) == 3

    def test_a_file_that_changes_while_it_is_sent(
        self, connect_sources: ConnectSources, emulator: Emulator, csv: Path
    ) -> None:
        emulator.add_source("HR", HR, delimited_file=True)

        def change(_: float) -> None:
            csv.write_bytes(b"id\n")

        retry = RetryPolicy(max_attempts=3, wait=wait_none(), sleep=change)
        client = connect_sources(retry=retry)
        emulator.fail(429, method="POST", path="/sources/*", times=1)
        with pytest.raises(UploadError, match="changed while it was sent"):
            client.start_aggregation(HR, file=csv)
        assert emulator.started == ()
        assert client.get(HR).id == HR


class TestLargeFiles:
    def test_are_never_held_in_memory(
        self, sources: SourcesClient, emulator: Emulator, tmp_path: Path
    ) -> None:
        emulator.add_source("HR", HR, delimited_file=True)
        path = tmp_path / "large.csv"
        line = b'"an id","a name","' + b"x" * 1000 + b'"\n'
        with path.open("wb") as file:
            for _ in range(60):
                file.write(line * 1000)
        digest = hashlib.sha256(line * 60_000).hexdigest()
        sources.get(HR)
        tracemalloc.start()
        try:
            sources.start_aggregation(HR, file=path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        (upload,) = emulator.uploads
        assert (upload.size, upload.sha256) == (path.stat().st_size, digest)
        assert peak < 16_000_000 < upload.size / 3


class TestAnswers:
    """Whatever shape the answer to a start has."""

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ("{}", "the answer names no task, which means that another aggregation runs"),
            ('{"success": false, "task": null}', "the answer names no task, which means that another"),
            ('{"task": {"id": null}, "message": "It runs."}', "It runs."),
            ('{"messages": [{"locale": "en-US", "text": "It runs."}]}', "It runs."),
            ('{"error": "It runs."}', "It runs."),
            ('{"success": false, "task": {"id": "", "messages": [{"text": "It runs."}]}}', "It runs."),
        ],
    )
    def test_without_a_task(self, sources: SourcesClient, emulator: Emulator, body: str, text: str) -> None:
        emulator.fail(202, body=body, method="POST")
        with pytest.raises(AggregationRunningError) as raised:
            sources.start_aggregation(AD)
        assert str(raised.value).startswith(f"No aggregation of source {AD} was started: {text}")

    @pytest.mark.parametrize(
        "body", ['{"id": "t1"}', '{"task": {"id": "t1"}}', '{"success": false, "task": {"id": "t1"}}']
    )
    def test_with_nothing_but_an_id(self, sources: SourcesClient, emulator: Emulator, body: str) -> None:
        emulator.fail(202, body=body, method="POST")
        task = sources.start_aggregation(AD, "entitlements")
        assert task == TaskStatus("t1", target_id=AD, kind=TaskKind.ENTITLEMENTS)

    def test_progress(self) -> None:
        progress = AggregationProgress.from_json(
            {
                "start": "2021-01-31T14:30:05.104Z",
                "status": "accounts_collected",
                "totalAccounts": 520,
                "processedAccounts": 150,
                "totalAccountsMarkedForDeletion": 0,
                "deletedAccounts": 0,
                "totalIdentities": 300,
                "processedIdentities": 250,
            }
        )
        assert str(progress) == (
            "ACCOUNTS_COLLECTED: 150 of 520 accounts processed, 250 of 300 identities refreshed"
        )
        assert str(AggregationProgress("STARTED")) == "STARTED"
        assert progress.deleted_accounts == 0

    def test_progress_that_is_not_known(self, sources: SourcesClient, emulator: Emulator) -> None:
        emulator.fail(200, body='{"status": "NOT_FOUND"}')
        assert sources.aggregation_status("t1") is None

    @pytest.mark.parametrize("payload", [None, [], {}, {"status": None}])
    def test_what_is_no_progress(self, payload: Any) -> None:
        with pytest.raises(UnexpectedPayloadError):
            AggregationProgress.from_json(payload)


@contextmanager
def breaking(emulator: Emulator, times: int, answer: bytes = b"") -> Iterator[str]:
    """Stand before a tenant, and answer and break some connections after the first part of a large body."""
    listener = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []
    left = [None] * times

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
                if b"/load-" in data and left:
                    left.pop()
                    source.sendall(answer)
                    break
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def serve() -> None:
        with suppress(OSError):
            while True:
                inside, _ = listener.accept()
                outside = socket.create_connection(("127.0.0.1", urlsplit(emulator.url).port or 0))
                ends.extend((inside, outside))
                for way in ((inside, outside), (outside, inside)):
                    threads.append(threading.Thread(target=pump, args=way))
                    threads[-1].start()

    threads.append(threading.Thread(target=serve))
    threads[0].start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for end in (listener, *ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in threads:
            thread.join()
