"""What goes wrong on purpose."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, get_args

FaultKind = Literal["status", "delay", "drop", "drop_after", "truncate", "html", "empty"]
FAULT_KINDS: tuple[str, ...] = get_args(FaultKind)


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Something that goes wrong with matching requests; see ``Emulator.fail``.

    :param id: its number.
    :param kind: what goes wrong.
    :param status: the status of the answer, for the kinds that answer.
    :param method: only requests with this method.
    :param path: only requests whose path matches this pattern.
    :param times: how often it strikes.
    :param probability: how probably it strikes.
    :param delay: how long a request that it strikes is held up first, in seconds.
    :param headers: more headers of the answer.
    :param body: the body of the answer.
    """

    id: int
    kind: FaultKind
    status: int
    method: str | None = None
    path: str | None = None
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

    def matches(self, method: str, path: str, *, api: bool) -> bool:
        """
        Tell whether it concerns a request.

        :param method: the request's method.
        :param path: the request's path.
        :param api: the path belongs to the API, and not to the token endpoint.
        """
        if self.method is not None and self.method.upper() != method:
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
        times: int | None = None,
        probability: float = 1.0,
        delay: float = 0.0,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
    ) -> Fault:
        """Add a fault; see ``Emulator.fail`` for the parameters."""
        fault = Fault(
            id=next(self._numbers),
            kind=kind,
            status=503 if status is None else status,
            method=method,
            path=path,
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

    def strike(self, method: str, path: str, *, api: bool) -> list[Fault]:
        """
        Return the faults that strike a request: any delays, and at most one of another kind, the oldest.

        :param method: the request's method.
        :param path: the request's path.
        :param api: the path belongs to the API, and not to the token endpoint.
        """
        striking: list[Fault] = []
        decided = False
        for fault in self.active():
            if (decided and fault.kind != "delay") or not fault.matches(method, path, api=api):
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
