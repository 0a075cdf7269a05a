"""Connections whose answers come in bounded time, and over which nothing is sent after a stop."""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from requests import PreparedRequest
from requests.adapters import HTTPAdapter

CONNECTIONS = 32


class _Current(threading.local):
    """What the connection that a thread is using has to know of the request."""

    seconds = 3_600.0
    started: float | None = None
    check: Callable[[], None] = staticmethod(lambda: None)


_current = _Current()


@contextmanager
def bounded(seconds: float, check: Callable[[], None], *, from_now: bool) -> Iterator[None]:
    """
    Bound the requests that this thread sends meanwhile.

    :param seconds: how long an answer may take, to its last byte
    :param check: called right before anything is sent; sends nothing if it raises
    :param from_now: whether the time runs from now on, or only when all was sent, as for an upload of any
        size
    """
    before = (_current.seconds, _current.started, _current.check)
    _current.seconds, _current.started = seconds, time.monotonic() if from_now else None
    _current.check = check
    try:
        yield
    finally:
        _current.seconds, _current.started, _current.check = before


class BoundedAdapter(HTTPAdapter):
    """Makes such connections, whatever they are to: http, https, or through a proxy."""

    def __init__(self) -> None:
        super().__init__(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS)

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> Any:
        """Take the pool for a request, as ``requests`` asks for it."""
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        pool.ConnectionCls = _bounded(pool.ConnectionCls)
        return pool


class _Answer(http.client.HTTPResponse):
    """An answer whose every byte, of head and body, comes before its time is over."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        started = time.monotonic() if _current.started is None else _current.started
        super().__init__(_Source(sock, started + _current.seconds), *args, **kwargs)  # type: ignore[arg-type]


class _Bounded:
    """What is mixed into each class of connections."""

    response_class = _Answer

    timeout: float
    host: str
    port: int

    def connect(self) -> None:
        # Or each of a host's addresses may take the whole time. Who connects through SOCKS may not know them,
        # and not want to ask for them here.
        if not hasattr(self, "_socks_options"):
            self.timeout /= max(1, _addresses(self.host, self.port))
        super().connect()  # type: ignore[misc]
        _current.check()

    def request(self, *args: Any, **kwargs: Any) -> None:
        _current.check()
        super().request(*args, **kwargs)  # type: ignore[misc]


def _addresses(host: str, port: int) -> int:
    try:
        return len(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        return 1  # connecting says what is wrong


@cache
def _bounded(kind: type) -> type:
    if issubclass(kind, _Bounded):
        return kind
    return type(f"Bounded{kind.__name__}", (_Bounded, kind), {})


class _Source:
    """Stands for the socket that an answer is read from."""

    def __init__(self, sock: Any, ends_at: float) -> None:
        self._sock = sock
        self._ends_at = ends_at

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._ends_at))


class _Reader(io.RawIOBase):
    """Reads from a socket until a moment, whether or not bytes trickle in until then."""

    def __init__(self, sock: Any, ends_at: float) -> None:
        self._sock = sock
        self._ends_at = ends_at
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out before the last byte")
        self._sock.settimeout(left)
        read: int | None = self._raw.readinto(buffer)
        return read

    def close(self) -> None:
        self._raw.close()
        super().close()
