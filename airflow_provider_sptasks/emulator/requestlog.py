"""The requests that the tenant got."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_sptasks.emulator.redaction import SECRET_HEADERS

CAPACITY = 200_000
"""How many requests are kept, the latest."""
MAX_BYTES = 67_108_864
"""How many bytes of paths, query strings and bodies are kept; the oldest requests go first."""

_SHARED_HEADERS = 1_000


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """
    A request to the API or to the token endpoint.

    :param method: its method.
    :param path: its path, decoded.
    :param query: the parameters of its query string, secret ones as ``***``.
    :param status: the status of the answer; 0 where the connection was dropped before it was processed, and
        where it has not been answered yet.
    :param at: when it arrived, in real seconds since 1970.
    :param client_id: whose token it carried, or who asked for a token.
    :param api_version: the API version of its path.
    :param headers: its headers, names in lower case, without ``Authorization`` and cookies.
    :param body: the first 64 KiB of its body. Of a form (``multipart/form-data``) it is a list of the parts
        without their contents; of a request for a token the parameters, secret ones as ``***``.
    :param fault: the kind of the fault that struck it.
    """

    method: str
    path: str
    query: Mapping[str, str]
    status: int
    at: float
    client_id: str | None
    api_version: str | None
    headers: Mapping[str, str]
    body: bytes
    fault: str | None


class RequestLog:
    """The latest requests."""

    def __init__(self) -> None:
        self._entries: deque[LoggedRequest] = deque()
        self._bytes = 0
        self._headers: dict[tuple[tuple[bytes, bytes], ...], Mapping[str, str]] = {}

    def add(self, request: LoggedRequest) -> None:
        """
        Add a request.

        :param request: the request.
        """
        self._entries.append(request)
        self._bytes += _size(request)
        while len(self._entries) > CAPACITY or self._bytes > MAX_BYTES:
            self._bytes -= _size(self._entries.popleft())

    def entries(self) -> tuple[LoggedRequest, ...]:
        """Return the requests, oldest first."""
        return tuple(self._entries)

    def clear(self) -> None:
        """Forget all requests."""
        self._entries.clear()
        self._bytes = 0
        self._headers.clear()

    def headers(self, raw: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
        """
        Return headers for an entry, shared by all entries with the same ones.

        :param raw: the headers as ASGI gives them.
        """
        key = tuple((name, value) for name, value in raw if name not in SECRET_HEADERS)
        known = self._headers.get(key)
        if known is None:
            if len(self._headers) >= _SHARED_HEADERS:
                self._headers.clear()
            known = self._headers[key] = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in key
            }
        return known


def _size(request: LoggedRequest) -> int:
    query = sum(len(name) + len(value) for name, value in request.query.items())
    return len(request.path) + query + len(request.body)
