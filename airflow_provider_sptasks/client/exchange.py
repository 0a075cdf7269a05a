"""Sends one request and reads its answer: whole, in bounded time, and of bounded size."""

from __future__ import annotations

import os
import re
import time
import traceback
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from airflow_provider_sptasks.client import http
from airflow_provider_sptasks.client.connections import BoundedAdapter, bounded
from airflow_provider_sptasks.client.errors import TransportError, UnexpectedPayloadError
from airflow_provider_sptasks.client.locks import fork_safe_lock
from airflow_provider_sptasks.client.multipart import Sending
from airflow_provider_sptasks.client.reading import printable
from airflow_provider_sptasks.client.redaction import Redactor
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.client.urls import is_loopback

HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "X-SailPoint-Experimental": "true"}
# Transient errors, unlike a CA bundle that is missing; but not a certificate that doesn't verify, or an
# invalid URL, which are ValueErrors.
PASSING = (requests.RequestException, HTTPError, TimeoutError, ConnectionError, zlib.error)
HOPELESS = (requests.exceptions.SSLError, ValueError)
GZIP = ("gzip", "x-gzip")
CHUNK = 64 * 1024
MEGABYTE = 1024 * 1024
# Those before may still be good, and be repeated by an answer that comes late.
REMEMBERED_TOKENS = 4
# What the newest answer counts in the measure of how long answers take.
NEWEST_WEIGHT = 0.2


class Exchange:
    """
    Sends requests of one client to its tenant, over connections that are kept open.

    A forked process opens connections of its own. Safe to share between threads.

    :param settings: the tenant, its proxies, and what an answer may take
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._tokens: deque[str] = deque(maxlen=REMEMBERED_TOKENS)
        self._redactor = Redactor(settings.secrets)
        self._lock = fork_safe_lock()
        self._answer_seconds: float | None = None
        self._pid = os.getpid()
        self._session = _new_session()
        self._inherited: requests.Session | None = None

    @property
    def answer_seconds(self) -> float:
        """How long answers take lately, from the request to the last byte; 0 before the first one."""
        return self._answer_seconds or 0.0

    def close(self) -> None:
        """Close the connections; the next request opens others."""
        if self._pid != os.getpid():
            self._begin_session()
        self._session.close()

    def send(
        self,
        request: http.Request,
        url: str,
        body: bytes | Sending | None,
        *,
        token: str | None,
        seconds: float,
        check: Callable[[], None],
    ) -> http.Response:
        """
        Send a request once and read its answer, whatever its status.

        :param request: what to send
        :param url: where to
        :param body: what is sent in it
        :param token: the access token that signs it; ``None`` for a request that isn't signed, and whose
            answer doesn't count in :attr:`answer_seconds`
        :param seconds: how long the answer may take, to its last byte
        :param check: called right before anything is sent; nothing is if it raises
        :return: the answer, in which the secrets that were sent don't show where something on the way repeats
            them
        :raises TransportError: no answer came, or not the whole of it in time
        :raises UnexpectedPayloadError: it is too large, or encoded in another way than was asked for
        """
        started = time.monotonic()
        redactor = self._redactor_with(token)
        failure: TransportError | None = None
        signature = {} if token is None else {"Authorization": f"Bearer {token}"}
        host = urlsplit(url).hostname or ""
        if self._pid != os.getpid():
            self._begin_session()
        try:
            with (
                bounded(seconds, check, from_now=not isinstance(body, Sending)),
                closing(
                    self._session.request(
                        request.method,
                        url,
                        headers={**request.headers, **signature},
                        data=body,
                        timeout=seconds,
                        verify=self._settings.verify,
                        proxies={"no_proxy": host} if is_loopback(host) else dict(self._settings.proxies),
                        allow_redirects=False,
                        stream=True,
                    )
                ) as answer,
            ):
                content = self._read(request, answer)
        except (OSError, HTTPError, zlib.error) as error:
            failure = _no_answer(request, url, error, redactor)
        if failure is not None:
            raise failure
        if token is not None:
            self._measure(time.monotonic() - started)
        headers = {name.lower(): redactor.clean_text(value) for name, value in answer.headers.items()}
        clean = redactor.clean if 200 <= answer.status_code < 300 else redactor.clean_json
        return http.Response(answer.status_code, headers, clean(content), started)

    def _read(self, request: http.Request, answer: requests.Response) -> bytes:
        coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        what = f"{request.method} {request.path} was answered with {answer.status_code} and a body"
        if coding not in ("identity", *GZIP):
            raise UnexpectedPayloadError(f"{what} in the coding {coding!r:.80}, which was not asked for")
        inflater = zlib.decompressobj(wbits=31) if coding in GZIP else None
        limit = int(self._settings.max_answer_mb * MEGABYTE)
        parts: list[bytes] = []  # unlike one buffer that grows, they are never copied before all are there
        size, came = 0, False
        while piece := answer.raw.read(CHUNK, decode_content=False):
            came = True
            for part in [piece] if inflater is None else _inflated(inflater, piece):
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise UnexpectedPayloadError(
                        f"{what} of more than max_answer_mb, which is {self._settings.max_answer_mb:g}"
                    )
            if inflater is not None and inflater.eof:
                break
        if inflater is not None and came and not inflater.eof:
            raise zlib.error("the compressed body is incomplete")
        return b"".join(parts)

    def _begin_session(self) -> None:
        """Begin a forked process's own session: a parent's connections stay the parent's."""
        with self._lock:
            if self._pid != os.getpid():  # and no other thread has been here first
                # It is kept, since closing it might wait for a thread that runs in the parent only.
                self._inherited = self._session
                self._session = _new_session()
                self._pid = os.getpid()

    def _redactor_with(self, token: str | None) -> Redactor:
        """Return what knows all that is secret, the tokens that were sent before included."""
        with self._lock:
            if token is not None and token not in self._tokens:
                self._tokens.append(token)
                self._redactor = Redactor(self._settings.secrets.union(self._tokens))
            return self._redactor

    def _measure(self, seconds: float) -> None:
        with self._lock:
            before = seconds if self._answer_seconds is None else self._answer_seconds
            self._answer_seconds = before + NEWEST_WEIGHT * (seconds - before)


def _inflated(inflater: Any, piece: bytes) -> Iterator[bytes]:
    """Unpack a piece in small parts: the whole may be a thousand times as large."""
    part = b""
    while piece or len(part) == CHUNK:
        part = inflater.decompress(piece, CHUNK)
        yield part
        piece = inflater.unconsumed_tail


def _new_session() -> requests.Session:
    session = requests.Session()
    session.headers.update(HEADERS)
    session.auth = lambda prepared: prepared  # or requests would sign with what a netrc file says
    for scheme in ("https://", "http://"):
        session.mount(scheme, BoundedAdapter())
    return session


def _no_answer(request: http.Request, url: str, error: BaseException, redactor: Redactor) -> TransportError:
    """Make the error, whose cause is left out if it shows what was sent: something may have repeated that."""
    reason = printable(redactor.clean_text(_reason(error)))
    failure = TransportError(
        f"{request.method} {request.path} at {urlsplit(url).netloc} got no answer: {reason}",
        retryable=isinstance(error, PASSING) and not isinstance(error, HOPELESS),
    )
    trace = "".join(traceback.format_exception(error))
    if redactor.clean_text(trace) == trace:
        failure.__cause__ = error
    return failure


def _reason(error: BaseException) -> str:
    """Name the cause below the layers of urllib3: their texts hold URLs and object addresses."""
    if isinstance(error, requests.exceptions.InvalidURL):  # the tenant's was checked, and a proxy's may hold
        return f"{type(error).__name__}: the URL of a proxy can't be read"  # a password
    cause: BaseException = error
    while isinstance(reason := getattr(cause, "reason", None) or _inner(cause), BaseException):
        cause = reason
    text = re.sub(r"^HTTPS?Connection(Pool)?\([^)]*\): ", "", str(cause))
    text = re.sub(r"//\S*@", "//", text)  # a proxy's URL may hold a password
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _inner(error: BaseException) -> BaseException | None:
    return next((arg for arg in error.args if isinstance(arg, BaseException)), None)
