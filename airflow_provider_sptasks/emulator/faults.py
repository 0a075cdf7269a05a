"""What goes wrong on purpose."""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, get_args

FaultKind = Literal[
    "status", "delay", "drop", "drop_after", "truncate", "html", "empty", "trickle", "endless", "gzip"
]
FAULT_KINDS: tuple[str, ...] = get_args(FaultKind)
ENDLESS_CHUNK = b" " * 65_536
"""What a body that never ends consists of: JSON that doesn't even begin."""
BOMB_SIZE = 268_435_456
"""How many bytes a compressed body holds by default."""
MAX_BOMB_SIZE = 4 * 1024**3

_BLOCK = 1_048_576


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Something that goes wrong with matching requests; see ``Emulator.fail``.

    :param id: its number.
    :param kind: what goes wrong.
    :param status: the status of the answer, for the kinds that answer.
    :param method: only requests with this method.
    :param path: only requests whose path matches this pattern.
    :param query: only requests whose query string, decoded, matches this pattern.
    :param times: how often it strikes.
    :param probability: how probably it strikes.
    :param delay: how long a request that it strikes is held up first, in seconds; for ``trickle`` and
        ``endless`` the pause between two pieces of the body.
    :param headers: more headers of the answer.
    :param body: the body of the answer.
    """

    id: int
    kind: FaultKind
    status: int
    method: str | None = None
    path: str | None = None
    query: str | None = None
    times: int | None = None
    probability: float = 1.0
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"kind: {self.kind!r} is none of {', '.join(FAULT_KINDS)}")
        if not 200 <= self.status <= 599:
            raise ValueError(f"status: {self.status!r} is not between 200 and 599")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times: {self.times!r} is less than 1")
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability: {self.probability!r} is not above 0 and at most 1")
        if self.delay < 0 or (self.kind == "delay" and not self.delay):
            raise ValueError(f"delay: {self.delay!r} is not above 0")

    @property
    def hold(self) -> float:
        """How long it holds a request up before anything else happens, in seconds."""
        return 0.0 if self.kind in ("trickle", "endless") else self.delay

    def matches(self, method: str, path: str, query: str, *, api: bool) -> bool:
        """
        Return whether it concerns a request.

        :param method: the request's method.
        :param path: the request's path.
        :param query: the request's query string, decoded.
        :param api: the path belongs to the API, and not to the token endpoint.
        """
        if self.method is not None and self.method.upper() != method:
            return False
        if self.query is not None and not fnmatchcase(query, self.query):
            return False
        return api if self.path is None else fnmatchcase(path, self.path)


class Faults:
    """
    The faults that are active.

    :param seed: makes those with a probability repeatable.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._numbers = itertools.count(1)
        self._active: dict[int, Fault] = {}
        self._struck: dict[int, int] = {}

    def add(
        self,
        status: int | None = None,
        *,
        kind: FaultKind = "status",
        method: str | None = None,
        path: str | None = None,
        query: str | None = None,
        times: int | None = None,
        probability: float = 1.0,
        delay: float = 0.0,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        size: int = BOMB_SIZE,
    ) -> Fault:
        """Add a fault; see ``Emulator.fail`` for the parameters."""
        if status is None:
            status = 200 if kind in ("endless", "gzip") else 503
        if kind == "gzip":
            body = bomb(size)
        fault = Fault(
            id=next(self._numbers),
            kind=kind,
            status=status,
            method=method,
            path=path,
            query=query,
            times=times,
            probability=probability,
            delay=delay,
            headers=dict(headers or {}),
            body=body.encode() if isinstance(body, str) else body,
        )
        self._active[fault.id] = fault
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        self._active.clear()
        self._struck.clear()

    def active(self) -> tuple[Fault, ...]:
        """Return the faults that may still strike, oldest first."""
        return tuple(self._active.values())

    def strike(self, method: str, path: str, query: str, *, api: bool) -> list[Fault]:
        """
        Return the faults that strike a request: any delays, and at most one of another kind, the oldest.

        :param method: the request's method.
        :param path: the request's path.
        :param query: the request's query string, decoded.
        :param api: the path belongs to the API, and not to the token endpoint.
        """
        striking: list[Fault] = []
        decided = False
        for fault in self.active():
            if (decided and fault.kind != "delay") or not fault.matches(method, path, query, api=api):
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            decided = decided or fault.kind != "delay"
            striking.append(fault)
            self._count(fault)
        return striking

    def _count(self, fault: Fault) -> None:
        if fault.times is None:
            return
        self._struck[fault.id] = self._struck.get(fault.id, 0) + 1
        if self._struck[fault.id] >= fault.times:
            del self._active[fault.id], self._struck[fault.id]


def bomb(size: int) -> bytes:
    """
    Return an empty JSON list with many spaces in it, compressed twice: some 300 bytes for each 100 MB.

    :param size: its size in bytes when it is unpacked.
    """
    if not 2 <= size <= MAX_BOMB_SIZE:
        raise ValueError(f"size: {size!r} is not between 2 and {MAX_BOMB_SIZE}")
    gzip = 31  # as zlib's window bits
    inner, outer = zlib.compressobj(wbits=gzip), zlib.compressobj(wbits=gzip)
    packed = outer.compress(inner.compress(b"["))
    for start in range(2, size, _BLOCK):
        packed += outer.compress(inner.compress(b" " * min(_BLOCK, size - start)))
    return packed + outer.compress(inner.compress(b"]") + inner.flush()) + outer.flush()
