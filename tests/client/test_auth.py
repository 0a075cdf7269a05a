"""Tokens: fetched once, renewed in time, replayed once; and the host that they are sent to."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_sptasks.client import RetryPolicy, TaskStatusClient, auth
from airflow_provider_sptasks.client.errors import (
    ForbiddenError,
    NotFoundError,
    RateLimitedError,
    SailPointError,
    ServerError,
    TransientResponseError,
    TransportError,
    UnauthorizedError,
    UnexpectedPayloadError,
)
from airflow_provider_sptasks.emulator import Emulator
from tests.client.conftest import Connect, OpenPacer, Waits, api_requests, token_requests
from tests.client.gateway import gateway

ID = "a" * 32


@pytest.fixture(autouse=True)
def _task(emulator: Emulator) -> None:
    emulator.add_task(ID, duration=None)


def statuses(emulator: Emulator) -> list[tuple[str, int]]:
    """The requests in their order: to the token endpoint or to the API, and how they were answered."""
    return [
        ("token" if request.path == "/oauth/token" else request.method, request.status)
        for request in emulator.requests
    ]


class TestFetching:
    def test_nothing_is_fetched_before_it_is_needed(self, connect: Connect, emulator: Emulator) -> None:
        connect()
        assert emulator.requests == ()

    def test_the_request(self, client: TaskStatusClient, emulator: Emulator) -> None:
        client.get(ID)
        (request,) = token_requests(emulator)
        assert (request.method, request.path, request.query) == ("POST", "/oauth/token", {})
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert sorted(part.partition(b"=")[0] for part in request.body.split(b"&")) == [
            b"client_id",
            b"client_secret",
            b"grant_type",
        ]

    @pytest.mark.parametrize("secret", ["a b+c&d=e%f", "ümläut/?#", "'\"\\"])
    def test_odd_secrets(self, secret: str, connect: Connect, emulator: Emulator) -> None:
        credential = emulator.add_credential(client_id=f"id {secret}", client_secret=secret)
        client = connect(client_id=credential.client_id, client_secret=credential.client_secret)
        assert client.get(ID).id == ID

    def test_clients_share_a_token(self, connect: Connect, emulator: Emulator) -> None:
        for version in ("v1", "beta", "v2025", "v1"):
            connect(version).get(ID)
        assert len(token_requests(emulator)) == 1

    def test_sixteen_threads_fetch_one(self, connect: Connect, emulator: Emulator) -> None:
        clients = [connect() for _ in range(4)]
        emulator.fail(kind="delay", delay=0.1, path="/oauth/token")
        start = threading.Barrier(16)

        def get(n: int) -> str:
            start.wait()
            return clients[n % 4].get(ID).id

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(get, range(16))) == [ID] * 16
        assert len(token_requests(emulator)) == 1
        assert [request.status for request in api_requests(emulator)] == [200] * 16

    def test_other_credentials_have_another(self, connect: Connect, emulator: Emulator) -> None:
        credential = emulator.add_credential()
        connect().get(ID)
        connect(client_id=credential.client_id, client_secret=credential.client_secret).get(ID)
        assert [request.client_id for request in token_requests(emulator)] == [
            emulator.client_id,
            credential.client_id,
        ]

    def test_a_new_secret_is_not_served_from_the_cache(self, connect: Connect, emulator: Emulator) -> None:
        connect().get(ID)
        with pytest.raises(UnauthorizedError):
            connect(client_secret="wrong").get(ID)
        assert statuses(emulator) == [("token", 200), ("GET", 200), ("token", 401)]

    def test_another_token_url(self, connect: Connect, emulator: Emulator) -> None:
        with Emulator(rate_limit=None) as other:
            client = connect(token_url=f"{other.url}/oauth/token")
            with pytest.raises(UnauthorizedError):
                client.get(ID)
            assert statuses(other) == [("token", 401)]
        assert emulator.requests == ()

    def test_every_new_token_is_masked_before_it_is_used(self, connect: Connect, emulator: Emulator) -> None:
        tokens: list[tuple[str, int]] = []
        client = connect(on_token=lambda token: tokens.append((token, len(api_requests(emulator)))))
        client.get(ID)
        client.get(ID)
        emulator.revoke_tokens()
        client.get(ID)
        assert [count for _, count in tokens] == [0, 3]
        assert len({token for token, _ in tokens}) == 2


class TestRenewing:
    def test_a_valid_token_is_kept(self, client: TaskStatusClient, emulator: Emulator) -> None:
        for _ in range(5):
            client.get(ID)
        assert statuses(emulator) == [("token", 200)] + [("GET", 200)] * 5

    @pytest.mark.parametrize(
        ("lifetime", "good_for"), [(43_200, 43_140), (750, 690), (600, 540), (100, 90), (5, 4.5)]
    )
    def test_is_done_before_it_is_needed(
        self, lifetime: float, good_for: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1_000.0
        monkeypatch.setattr(auth, "time", SimpleNamespace(monotonic=lambda: now))
        fetched: list[int] = []

        def fetch() -> dict[str, Any]:
            fetched.append(1)
            return {"access_token": f"token-{len(fetched)}", "expires_in": lifetime}

        signer = auth.ClientCredentialsAuth("https://x/", f"{lifetime}", "secret")
        assert signer.token(fetch) == "token-1"
        now += good_for - 0.001
        assert signer.token(fetch) == "token-1"
        now += 0.002
        assert signer.token(fetch) == "token-2"

    def test_a_revoked_one_is_replaced_and_the_request_sent_once_more(
        self, client: TaskStatusClient, emulator: Emulator, waits: Waits
    ) -> None:
        client.get(ID)
        emulator.revoke_tokens()
        emulator.reset_requests()
        assert client.get(ID).id == ID
        assert statuses(emulator) == [("GET", 401), ("token", 200), ("GET", 200)]
        assert waits.seconds == []

    def test_an_expired_one_likewise(self, client: TaskStatusClient, emulator: Emulator) -> None:
        client.get(ID)
        emulator.clock.advance(13 * 3_600)
        emulator.reset_requests()
        assert client.get(ID).id == ID
        assert statuses(emulator) == [("GET", 401), ("token", 200), ("GET", 200)]

    def test_a_patch_is_replayed_whole(self, client: TaskStatusClient, emulator: Emulator) -> None:
        client.get(ID)
        emulator.revoke_tokens()
        emulator.reset_requests()
        assert client.clear(ID).is_complete
        assert statuses(emulator) == [("PATCH", 401), ("token", 200), ("PATCH", 200)]
        first, second = api_requests(emulator)
        assert first.body == second.body
        assert json.loads(second.body)[0]["path"] == "/completionStatus"
        assert second.headers["content-type"] == "application/json-patch+json"
        assert second.headers["x-sailpoint-experimental"] == "true"

    def test_in_the_middle_of_the_pages(self, client: TaskStatusClient, emulator: Emulator) -> None:
        for n in range(5):
            emulator.add_task(launched=-100 + n, duration=1)
        found = client.list(page_size=2, sorters="created")
        seen = [next(found).id, next(found).id]
        emulator.revoke_tokens()
        seen += [task.id for task in found]
        assert len(set(seen)) == len(seen) == 6
        assert len(token_requests(emulator)) == 2

    def test_one_replay_and_no_more(self, client: TaskStatusClient, emulator: Emulator, waits: Waits) -> None:
        emulator.fail(401)
        with pytest.raises(UnauthorizedError) as caught:
            client.get(ID)
        assert statuses(emulator) == [("token", 200), ("GET", 401), ("token", 200), ("GET", 401)]
        assert not caught.value.retryable
        assert waits.seconds == []

    def test_each_attempt_has_its_replay(self, client: TaskStatusClient, emulator: Emulator) -> None:
        emulator.fail(401, times=1)
        emulator.fail(503, times=1)
        emulator.fail(401, times=1)
        assert client.get(ID).id == ID
        assert [status for kind, status in statuses(emulator) if kind == "GET"] == [401, 503, 401, 200]

    def test_sixteen_threads_replace_a_revoked_one_once(self, connect: Connect, emulator: Emulator) -> None:
        client = connect()
        client.get(ID)
        emulator.revoke_tokens()
        emulator.reset_requests()
        emulator.fail(kind="delay", delay=0.1, path="/oauth/token")
        start = threading.Barrier(16)

        def get(_: int) -> str:
            start.wait()
            return client.get(ID).id

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(get, range(16))) == [ID] * 16
        assert len(token_requests(emulator)) == 1

    def test_a_replay_that_fails_otherwise_is_tried_again(
        self, client: TaskStatusClient, emulator: Emulator
    ) -> None:
        emulator.fail(401, times=1)
        emulator.fail(kind="drop", times=1)
        assert client.get(ID).id == ID
        assert [status for kind, status in statuses(emulator) if kind == "GET"] == [401, 0, 200]

    def test_credentials_withdrawn_meanwhile(self, client: TaskStatusClient, emulator: Emulator) -> None:
        client.get(ID)
        emulator.rotate_secret(emulator.client_id, "new")
        assert client.get(ID).id == ID  # tokens that were issued stay valid
        emulator.revoke_tokens()
        with pytest.raises(UnauthorizedError, match="refused the client id or the client secret"):
            client.get(ID)


class TestTokenEndpointInTrouble:
    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 503},
            {"status": 500},
            {"status": 429},
            {"status": 302},
            {"status": 408},
            {"status": 401, "kind": "html"},
            {"status": 403, "kind": "html"},
            {"status": 400, "kind": "empty"},
            {"status": 200, "body": "null"},
            {"status": 200, "kind": "html"},
            {"status": 200, "kind": "empty"},
            {"status": 200, "body": '{"access_token": "abc'},
            {"kind": "drop"},
            {"kind": "truncate"},
        ],
        ids=lambda fault: " ".join(map(str, fault.values())),
    )
    def test_transient_errors_are_waited_out(
        self, fault: dict[str, Any], client: TaskStatusClient, emulator: Emulator, waits: Waits
    ) -> None:
        emulator.fail(path="/oauth/token", times=2, **fault)
        assert client.get(ID).id == ID
        assert len(token_requests(emulator)) == 3
        assert len(api_requests(emulator)) == 1
        assert len(waits.seconds) == 2

    @pytest.mark.parametrize(
        ("fault", "kind", "problem"),
        [
            ({"status": 503}, ServerError, "POST /oauth/token was answered with 503"),
            ({"status": 429}, RateLimitedError, "POST /oauth/token was answered with 429"),
            ({"status": 200, "kind": "html"}, UnexpectedPayloadError, "POST /oauth/token .* an HTML page"),
            ({"kind": "drop"}, TransportError, "POST /oauth/token at 127.0.0.1"),
        ],
        ids=["503", "429", "html", "drop"],
    )
    def test_what_stays_is_raised(
        self,
        fault: dict[str, Any],
        kind: type[SailPointError],
        problem: str,
        client: TaskStatusClient,
        emulator: Emulator,
    ) -> None:
        emulator.fail(path="/oauth/token", **fault)
        with pytest.raises(kind, match=problem) as caught:
            client.get(ID)
        assert caught.value.retryable
        assert len(token_requests(emulator)) == 4
        assert api_requests(emulator) == []

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            ("{}", "without an access_token"),
            ("[]", "without an access_token"),
            ("null", "without an access_token"),
            ('{"access_token": "", "expires_in": 60}', "without an access_token"),
            ('{"access_token": 7, "expires_in": 60}', "without an access_token"),
            *(
                (
                    json.dumps({"access_token": f"abc{odd}secret", "expires_in": 60}),
                    "holds a space, a control",
                )
                for odd in ("\n", "\r\n", " ", "\x00", "\x7f", "é", "\u2028")
            ),
            ('{"access_token": "abc", "expires_in": 0}', "without a usable expires_in"),
            ('{"access_token": "abc", "expires_in": -5}', "without a usable expires_in"),
            ('{"access_token": "abc", "expires_in": "inf"}', "without a usable expires_in"),
            ('{"access_token": "abc", "expires_in": 1%s}' % ("0" * 400), "without a usable expires_in"),
            ('{"access_token": "abc"}', "without a usable expires_in"),
            ('{"access_token": "abc", "expires_in": null}', "without a usable expires_in"),
            ('{"access_token": "abc", "expires_in": "soon"}', "without a usable expires_in"),
        ],
    )
    def test_an_answer_without_a_token(
        self, body: str, problem: str, client: TaskStatusClient, emulator: Emulator
    ) -> None:
        emulator.fail(200, path="/oauth/token", body=body)
        with pytest.raises(UnexpectedPayloadError, match=problem) as caught:
            client.get(ID)
        assert "secret" not in str(caught.value)
        assert len(emulator.requests) == 4
        assert api_requests(emulator) == []

    def test_a_lifetime_in_quotes(self, client: TaskStatusClient, emulator: Emulator) -> None:
        emulator.fail(200, path="/oauth/token", body='{"access_token": "abc", "expires_in": "60"}', times=1)
        assert client.get(ID).id == ID
        assert statuses(emulator) == [("token", 200), ("GET", 401), ("token", 200), ("GET", 200)]

    @pytest.mark.parametrize("field", ["client_id", "client_secret"])
    def test_wrong_credentials(self, field: str, connect: Connect, emulator: Emulator, waits: Waits) -> None:
        wrong: dict[str, Any] = {field: "wrong"}
        with pytest.raises(UnauthorizedError) as caught:
            connect(**wrong).get(ID)
        assert str(caught.value) == (
            "POST /oauth/token was answered with 401: Bad client credentials. "
            "The token endpoint refused the client id or the client secret"
        )
        assert statuses(emulator) == [("token", 401)]
        assert waits.seconds == []

    def test_a_400_is_a_refusal_too(self, client: TaskStatusClient, emulator: Emulator) -> None:
        """As OAuth 2 has it for an unknown client."""
        body = '{"error": "invalid_client", "error_description": "No such client"}'
        emulator.fail(400, path="/oauth/token", body=body)
        with pytest.raises(UnauthorizedError, match="No such client"):
            client.get(ID)
        assert len(emulator.requests) == 1

    @pytest.mark.parametrize("fault", [{"status": 401}, {"status": 503}], ids=["401", "503"])
    def test_sixteen_threads_ask_once_and_fail_together(
        self, fault: dict[str, Any], connect: Connect, emulator: Emulator
    ) -> None:
        client = connect(retry=RetryPolicy(max_attempts=1))
        emulator.fail(path="/oauth/token", delay=0.5, **fault)
        start = threading.Barrier(16)

        def get(_: int) -> bool:
            start.wait()
            with pytest.raises(SailPointError, match="POST /oauth/token was answered with"):
                client.get(ID)
            return True

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(get, range(16)))
        assert len(emulator.requests) == 1

    def test_a_failure_is_not_kept(self, client: TaskStatusClient, emulator: Emulator) -> None:
        emulator.fail(401, path="/oauth/token", times=1)
        with pytest.raises(UnauthorizedError):
            client.get(ID)
        assert client.get(ID).id == ID

    def test_its_rate_limit_is_not_that_of_the_api(
        self, client: TaskStatusClient, emulator: Emulator, pacer: OpenPacer
    ) -> None:
        emulator.fail(429, path="/oauth/token", times=1, headers={"Retry-After": "7"})
        assert client.get(ID).id == ID
        assert pacer.holds == []

    @pytest.mark.parametrize(("status", "kind"), [(403, ForbiddenError), (404, NotFoundError)])
    def test_what_else_does_not_pass(
        self, status: int, kind: type[SailPointError], client: TaskStatusClient, emulator: Emulator
    ) -> None:
        emulator.fail(status, path="/oauth/token")
        with pytest.raises(kind, match=f"POST /oauth/token was answered with {status}"):
            client.get(ID)
        assert len(emulator.requests) == 1


class TestOtherHosts:
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_is_not_followed(
        self, status: int, client: TaskStatusClient, emulator: Emulator
    ) -> None:
        """Neither the token nor the secret goes where the tenant is not."""
        with gateway(emulator.url, longest=8_191, status=414) as elsewhere:
            for path, name in (("/oauth/token", "POST"), ("/task-status/*", "GET|PATCH")):
                emulator.fail(status, path=path, headers={"Location": f"{elsewhere.url}/elsewhere"})
                with pytest.raises(TransientResponseError, match=f"^({name}) .* Redirects are not followed"):
                    client.get(ID)
                with pytest.raises(TransientResponseError, match=f"^({name}) .* Redirects are not followed"):
                    client.clear(ID)
                emulator.clear_faults()
            assert elsewhere.lines == []

    def test_no_credentials_of_a_netrc_file(
        self, connect: Connect, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password else\n")
        monkeypatch.setenv("NETRC", str(netrc))
        with gateway(emulator.url, longest=8_191, status=414) as before:
            assert connect(host=before.url).get(ID).id == ID
        token, get = before.authorizations
        assert token is None
        assert get is not None
        assert get.startswith("Bearer ")
