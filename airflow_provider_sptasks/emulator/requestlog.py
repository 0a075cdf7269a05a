"""The requests that the tenant got."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CAPACITY = 200_000
"""How many requests are kept, the latest."""

_SHARED_HEADERS = 1_000


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """
    A request to the API or to the token endpoint.

    :param method: its method.
    :param path: its path, decoded.
    :param query: the parameters of its query string.
    :param status: the status of the answer; 0 where the connection was dropped before it was processed, and
        where it has not been answered yet.
    :param at: when it arrived, in real seconds since 1970.
    :param client_id: whose token it carried, or who asked for a token.
    :param api_version: the API version of its path.
    :param headers: its headers, names in lower case, without ``Authorization``.
    :param body: its body; of a form (``multipart/form-data``) the first 64 KiB.
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
        self._entries: deque[LoggedRequest] = deque(maxlen=CAPACITY)
        self._headers: dict[tuple[tuple[bytes, bytes], ...], Mapping[str, str]] = {}

    def add(self, request: LoggedRequest) -> None:
        """
        Add a request.

        :param request: the request.
        """
        self._entries.append(request)

    def entries(self) -> tuple[LoggedRequest, ...]:
        """Return the requests, oldest first."""
        return tuple(self._entries)

    def clear(self) -> None:
        """Forget all requests."""
        self._entries.clear()
        self._headers.clear()

    def headers(self, raw: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
        """
        Return headers for an entry, shared by all entries with the same ones.

        :param raw: the headers as ASGI gives them.
        """
        key = tuple((name, value) for name, value in raw if name != b"authorization")
        known = self._headers.get(key)
        if known is None:
            if len(self._headers) >= _SHARED_HEADERS:
                self._headers.clear()
            known = self._headers[key] = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in key
            }
        return known
