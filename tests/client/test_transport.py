"""What comes over the wire is bounded in time and size, and nothing goes out after a stop."""

from __future__ import annotations

import gzip
import json
import math
import os
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from urllib3.util import connection

from airflow_provider_sptasks.client import RetryPolicy, SourcesClient, TaskStatusClient, connections
from airflow_provider_sptasks.client.errors import (
    NotSentError,
    ServerError,
    TransportError,
    UnexpectedPayloadError,
)
from airflow_provider_sptasks.client.exchange import Exchange
from airflow_provider_sptasks.client.stopping import StoppedError
from airflow_provider_sptasks.emulator import Emulator
from tests.client.conftest import Connect, OpenPacer, api_requests, settings, token_requests

ID = "a" * 32
ONCE = RetryPolicy(max_attempts=1)


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A host that answers each connection by a function, once it has something to read."""

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                try:
                    client.recv(65_536)
                    answer(client)
                except OSError:
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def trickle(head: bytes) -> Callable[[socket.socket], None]:
    """Send a beginning, and then a byte now and then."""

    def answer(client: socket.socket) -> None:
        client.sendall(head)
        while True:
            client.sendall(b" ")
            time.sleep(0.05)

    return answer


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
TRICKLES = {
    "body": HEAD + b"Content-Length: 100000\r\n\r\n",
    "body without a length": HEAD + b"\r\n",
    "head": HEAD + b"X-Slow: ",
    "status line": b"HTTP/1.1 200 ",
    "nothing but the beginning": b"",
}


class TestTime:
    @pytest.mark.parametrize("where", TRICKLES)
    def test_an_answer_that_trickles_is_given_up(self, where: str, connect: Connect) -> None:
        """Each byte comes in time, the last one never."""
        with server(trickle(TRICKLES[where])) as url:
            client = connect(host=url, timeout=0.3, retry=ONCE)
            with pytest.raises(TransportError, match=r"got no answer: .*timed out") as caught:
                client.get(ID)
        assert caught.value.retryable

    def test_of_the_api(self, connect: Connect, emulator: Emulator) -> None:
        emulator.add_task(ID)
        emulator.fail(kind="trickle", delay=0.05)
        with pytest.raises(TransportError, match=r"got no answer: .*timed out"):
            connect(timeout=0.3, retry=ONCE).get(ID)

    @pytest.mark.parametrize(
        ("timeout", "deadline", "at_least", "seconds"),
        [
            (30, 300, 0, 30),
            (30, 3, 0, 8),
            (30, 0, 0, 5),
            (2, 0, 0, 2),
            (2, 300, 0, 2),
            (60, 10, math.inf, 60),
            (60, 10, 20, 25),
            (60, 40, 20, 45),
            (2, 0, math.inf, 2),
        ],
    )
    def test_is_the_timeout_or_what_the_call_has_left(
        self,
        timeout: float,
        deadline: float,
        at_least: float,
        seconds: float,
        connect: Connect,
        emulator: Emulator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        emulator.add_task(ID)
        given: list[float] = []
        send = Exchange.send

        def noting(self: Exchange, *args: Any, **kwargs: Any) -> Any:
            given.append(kwargs["seconds"])
            return send(self, *args, **kwargs)

        monkeypatch.setattr(Exchange, "send", noting)
        connect(timeout=timeout, retry=RetryPolicy(deadline, at_least)).get(ID)
        assert given == pytest.approx([seconds] * 2, abs=0.5)  # the token's and the task's

    def test_is_that_of_all_addresses_of_a_host(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A firewall that drops what is sent to them must not take the time-out for each."""
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 9)) for n in (1, 2, 3)]
        given: list[float] = []

        def create(address: object, timeout: float, *_: object, **__: object) -> socket.socket:
            given.append(timeout)
            raise TimeoutError("timed out")

        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        monkeypatch.setattr(connection, "create_connection", create)
        with pytest.raises(TransportError, match="timed out"):
            connect(host="https://gateway.example.com", timeout=3, retry=ONCE).get(ID)
        assert given == pytest.approx([1.0], abs=0.1)

    def test_of_a_host_that_is_not_known(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: object, **__: object) -> None:
            raise socket.gaierror("it is unknown")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(TransportError, match="it is unknown"):
            connect(host="https://gateway.example.com", timeout=3, retry=ONCE).get(ID)

    def test_a_host_beyond_a_socks_proxy_is_not_looked_up_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With socks5h, its name is the proxy's to look up, and may be known there alone."""
        looked_up: list[object] = []

        def look_up(*given: object, **_: object) -> list[int]:
            looked_up.append(given)
            return [1, 2]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

        class Connecting:
            host, port, timeout = "tenant.internal", 443, 8.0

            def connect(self) -> None:
                pass

        class ThroughSocks(Connecting):
            _socks_options = {"socks_version": 2}  # noqa: RUF012 - as urllib3 names it

        direct, through = (connections._bounded(kind)() for kind in (Connecting, ThroughSocks))
        direct.connect()
        assert (direct.timeout, len(looked_up)) == (4.0, 1)
        through.connect()
        assert (through.timeout, len(looked_up)) == (8.0, 1)

    @pytest.mark.parametrize(
        "line",
        [
            pytest.param(b"HTTP/1.1 " + b"x" * 40_000, id="long"),
            pytest.param(b"\x1b[31mHTTP\x00 ::group::\xff 1", id="not printable"),
        ],
    )
    def test_what_is_no_answer_is_bounded_and_printable(self, connect: Connect, line: bytes) -> None:
        beginning = server(lambda client: client.sendall(line + b"\r\n\r\n"))
        with beginning as url, pytest.raises(TransportError) as caught:
            connect(host=url, retry=ONCE).get(ID)
        assert len(str(caught.value)) < 700
        assert str(caught.value).isprintable()
        assert "::group" not in str(caught.value)

    def test_a_token_that_another_thread_waits_for(self, connect: Connect, emulator: Emulator) -> None:
        """Who has a deadline doesn't wait longer for the other's token than for one of his own."""
        emulator.fail(kind="delay", delay=1.5, path="/oauth/token")
        patient, hasty = connect(), connect(timeout=0.1, retry=ONCE)
        thread = threading.Thread(target=lambda: patient.count_pending())
        thread.start()
        while not patient.transport._auth._cache.lock.locked():
            time.sleep(0.001)
        with pytest.raises(NotSentError, match=r"has not got an access token within 0\.1 s"):
            hasty.count_pending()
        thread.join()

    def test_measures_how_long_answers_take(self, connect: Connect, emulator: Emulator) -> None:
        emulator.add_task(ID)
        client = connect(retry=ONCE)
        emulator.fail(503, path="/oauth/token", times=1)
        with pytest.raises(ServerError):
            client.get(ID)
        assert client.transport.answer_seconds == 0  # the token's doesn't count
        client.get(ID)
        quick = client.transport.answer_seconds
        assert quick > 0
        emulator.fail(kind="delay", delay=0.2)
        for _ in range(3):
            client.polling().get(ID)
        assert client.transport.answer_seconds >= 0.2 * (1 - 0.8**3)
        assert client.with_retry(ONCE).transport.answer_seconds == client.transport.answer_seconds


def packed(body: bytes, times: int) -> bytes:
    for _ in range(times):
        body = gzip.compress(body)
    return body


TASK = {"id": ID, "type": "QUARTZ"}
GZIPPED = {"Content-Encoding": "gzip"}


class TestSize:
    @pytest.mark.parametrize("headers", [{"Content-Encoding": each} for each in ("gzip", "GZIP", "x-gzip")])
    def test_a_compressed_answer_is_read(
        self, headers: dict[str, str], client: TaskStatusClient, emulator: Emulator
    ) -> None:
        emulator.fail(200, body=packed(json.dumps(TASK).encode(), 1), headers=headers)
        assert client.get(ID).id == ID

    @pytest.mark.parametrize("status", [200, 404, 503])
    @pytest.mark.parametrize("unpacked", [True, False])
    def test_a_large_answer_is_given_up(
        self, status: int, unpacked: bool, connect: Connect, emulator: Emulator
    ) -> None:
        body = b" " * 3_000_000
        emulator.fail(status, body=packed(body, 1) if unpacked else body, headers=GZIPPED if unpacked else {})
        client = connect(max_answer_mb=2, retry=ONCE)
        with pytest.raises(UnexpectedPayloadError, match="a body of more than max_answer_mb, which is 2"):
            client.get(ID)
        emulator.clear_faults()
        emulator.add_task(ID)
        assert client.get(ID).id == ID

    def test_is_not_unpacked_any_further(self, connect: Connect, emulator: Emulator) -> None:
        """Some 60 KB, which are read at once, hold 60 MB."""
        emulator.fail(200, body=packed(b" " * 60_000_000, 1), headers=GZIPPED)
        client = connect(max_answer_mb=1, retry=ONCE)
        tracemalloc.start()
        try:
            with pytest.raises(UnexpectedPayloadError, match="more than max_answer_mb"):
                client.get(ID)
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()

    def test_an_answer_of_the_largest_size_is_read(self, connect: Connect, emulator: Emulator) -> None:
        body = json.dumps(TASK).encode()
        emulator.fail(200, body=packed(body + b" " * (2 * 1024 * 1024 - len(body)), 1), headers=GZIPPED)
        assert connect(max_answer_mb=2).get(ID).id == ID

    @pytest.mark.parametrize("kind", ["endless", "gzip"])
    def test_what_never_ends_is_given_up(self, kind: Any, connect: Connect, emulator: Emulator) -> None:
        emulator.fail(kind=kind, times=1)
        with pytest.raises(UnexpectedPayloadError, match=r"more than max_answer_mb|which was not asked for"):
            connect(max_answer_mb=1, retry=ONCE).get(ID)

    @pytest.mark.parametrize("coding", ["gzip, gzip", "gzip,identity", "deflate", "br", "zstd", "x" * 500])
    def test_a_coding_that_was_not_asked_for_is_refused(
        self, coding: str, connect: Connect, emulator: Emulator
    ) -> None:
        """Each layer may unpack to a thousand times its size."""
        body = packed(json.dumps(TASK).encode(), 2)
        emulator.fail(200, body=body, headers={"Content-Encoding": coding})
        with pytest.raises(UnexpectedPayloadError, match=r"in the coding '.*which was not asked") as caught:
            connect(retry=ONCE).get(ID)
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (packed(json.dumps(TASK).encode(), 1)[:-4], "the compressed body is incomplete"),
            (b"no gzip", "incorrect header check"),
            (zlib.compress(b"{}"), "incorrect header check"),
        ],
        ids=["cut", "text", "zlib"],
    )
    def test_a_compressed_answer_that_is_damaged(
        self, body: bytes, problem: str, connect: Connect, emulator: Emulator
    ) -> None:
        emulator.fail(200, body=body, headers=GZIPPED)
        with pytest.raises(TransportError, match=f"got no answer: error: .*{problem}") as caught:
            connect(retry=ONCE).get(ID)
        assert caught.value.retryable

    def test_connections_are_kept(
        self, connect: Connect, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was read whole leaves its connection to the next request, compressed or not."""
        emulator.add_task(ID)
        made: list[int] = []
        create = connection.create_connection

        def counting(*args: Any, **kwargs: Any) -> socket.socket:
            made.append(1)
            return create(*args, **kwargs)

        monkeypatch.setattr(connection, "create_connection", counting)
        client = connect()
        emulator.fail(200, body=packed(json.dumps(TASK).encode(), 1), headers=GZIPPED, times=1)
        for _ in range(3):
            client.get(ID)
        client.count_pending()
        assert len(made) == 1


class TestStop:
    """After it nothing is sent: neither what waits, nor what was about to be."""

    def test_before(self, client: TaskStatusClient, emulator: Emulator) -> None:
        stop = threading.Event()
        stop.set()
        with pytest.raises(StoppedError):
            client.with_stop(stop).get(ID)
        assert emulator.requests == ()

    @pytest.mark.parametrize("answer", [{"delay": 0.05, "kind": "delay"}, {"status": 503}])
    def test_while_the_token_is_on_its_way(
        self, answer: dict[str, Any], connect: Connect, emulator: Emulator
    ) -> None:
        stop = threading.Event()
        client = connect(retry=RetryPolicy(), on_token=lambda _: stop.set()).with_stop(stop)
        emulator.fail(path="/oauth/token", times=1, **answer)
        with pytest.raises(StoppedError):
            client.clear(ID)
        assert token_requests(emulator)
        assert api_requests(emulator) == []

    def test_while_it_waits_for_its_place(self, connect: Connect, emulator: Emulator) -> None:
        stop = threading.Event()
        pacer = OpenPacer()
        pacer.reserve = lambda max_wait=0.0: stop.set() or 60.0  # type: ignore[func-returns-value,method-assign]
        with pytest.raises(StoppedError):
            connect(pacer=pacer, retry=RetryPolicy()).with_stop(stop).get(ID)
        assert api_requests(emulator) == []

    def test_while_it_connects(
        self, connect: Connect, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection is made, and not used."""
        stop = threading.Event()
        client = connect(retry=ONCE)
        client.count_pending()
        client.close()
        create = connection.create_connection

        def slow(*args: Any, **kwargs: Any) -> socket.socket:
            stop.set()
            return create(*args, **kwargs)

        monkeypatch.setattr(connection, "create_connection", slow)
        emulator.reset_requests()
        with pytest.raises(StoppedError):
            client.with_stop(stop).clear(ID)
        assert emulator.requests == ()

    def test_while_a_file_is_sent(self, connect: Connect, emulator: Emulator, tmp_path: Path) -> None:
        """Without its end the tenant can't act on it."""
        source = emulator.add_source("HR")
        file = tmp_path / "accounts.csv"
        file.write_bytes(b"id\n" * 1_000_000)
        stop = threading.Event()
        client = connect(retry=ONCE).with_stop(stop)
        sending = iter([False] * 5 + [True] * 1_000)
        is_set = stop.is_set
        stop.is_set = lambda: next(sending) or is_set()  # type: ignore[method-assign]
        with pytest.raises(StoppedError):
            SourcesClient(client.transport).start_aggregation(source.id, file=str(file))
        assert [request.method for request in api_requests(emulator)] in ([], ["POST"])
        assert emulator.tasks() == []

    def test_with_retry_keeps_others_going(self, client: TaskStatusClient, emulator: Emulator) -> None:
        emulator.add_task(ID)
        stop = threading.Event()
        stopped = client.with_stop(stop)
        stop.set()
        assert client.get(ID).id == ID
        with pytest.raises(StoppedError):
            stopped.polling().get(ID)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxies", [{}, {"http": "http://127.0.0.1:9"}, {"all": "http://127.0.0.1:9"}])
def test_loopback_never_goes_through_a_proxy(
    variable: str,
    proxies: dict[str, str],
    connect: Connect,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for host in (emulator.url, emulator.url.replace("127.0.0.1", "localhost")):
        assert connect(host=host, proxies=proxies, retry=ONCE).count_pending() == 0


@pytest.mark.parametrize("url", ["http://user:p#s@127.0.0.1:9", "http://user:p/s@127.0.0.1:9"])
def test_a_proxy_of_the_environment_is_not_shown(
    url: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(TransportError) as caught:
        connect(host="https://tenant.invalid", retry=ONCE).get(ID)
    assert "user" not in str(caught.value)
    assert "s@" not in str(caught.value)


@pytest.mark.parametrize("host", ["proxy..example.com", f"{'a' * 64}.example.com"])
def test_a_proxy_of_the_environment_that_can_not_be_looked_up(
    host: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{host}:3128")
    with pytest.raises(TransportError, match=r"POST /oauth/token at tenant\.invalid got no answer"):
        connect(host="https://tenant.invalid", retry=ONCE).get(ID)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
class TestFork:
    def test_a_child_uses_connections_and_locks_of_its_own(
        self, connect: Connect, emulator: Emulator
    ) -> None:
        """Even if threads of the parent hold all locks at that moment."""
        emulator.add_task(ID)
        client = TaskStatusClient(settings(emulator), retry=ONCE)  # with the pacer that the process shares
        client.get(ID)
        transport = client.transport
        locks = [
            transport._auth._cache.lock,
            transport.pacer._lock,
            transport.pacer.lane(0.1)._lock,
            transport._exchange._lock,
        ]
        parents = transport._exchange._session
        for lock in locks:
            lock.acquire()
        child = os.fork()
        if not child:
            try:
                fine = client.polling().get(ID).id == ID
                os._exit(0 if fine and transport._exchange._session is not parents else 1)
            finally:
                os._exit(2)
        for lock in locks:
            lock.release()
        deadline = time.monotonic() + 20
        done, status = os.waitpid(child, os.WNOHANG)
        while not done and time.monotonic() < deadline:
            time.sleep(0.01)
            done, status = os.waitpid(child, os.WNOHANG)
        if not done:
            os.kill(child, 9)
            os.waitpid(child, 0)
        assert done, "the child hangs"
        assert os.waitstatus_to_exitcode(status) == 0
        assert client.get(ID).id == ID
        assert transport._exchange._session is parents
        assert len(token_requests(emulator)) == 1
        client.close()
