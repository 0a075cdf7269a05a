"""What is asked together, and what becomes of a batch that the tenant refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, cast

import pytest

from airflow_provider_sptasks.client.errors import BadRequestError, ServerError
from airflow_provider_sptasks.waiting.queries import Clients, Query, ask_all

NO_CLIENTS = cast(Clients, None)


@dataclass(frozen=True, slots=True)
class Noted(Query):
    number: int

    asked: ClassVar[list[tuple[int, ...]]] = []
    refuse: ClassVar[Callable[[tuple[int, ...]], Exception | None]] = lambda _: None

    @classmethod
    def ask(cls, clients: Clients, queries: Sequence[Self]) -> Mapping[Self, int]:
        numbers = tuple(each.number for each in queries)
        Noted.asked.append(numbers)
        if (error := Noted.refuse(numbers)) is not None:
            raise error
        return {each: -each.number for each in queries}


class Other(Noted):
    """Another type, whose queries are asked apart."""

    __slots__ = ()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    asked: list[tuple[int, ...]] = []
    monkeypatch.setattr(Noted, "asked", asked)
    return asked


def refuse(monkeypatch: pytest.MonkeyPatch, rule: Callable[[tuple[int, ...]], Exception | None]) -> None:
    monkeypatch.setattr(Noted, "refuse", staticmethod(rule))


def test_those_of_a_type_are_asked_together(asked: list[tuple[int, ...]]) -> None:
    queries = [Noted(1), Other(2), Noted(3), Other(4)]
    assert ask_all(NO_CLIENTS, queries) == {each: -each.number for each in queries}
    assert asked == [(1, 3), (2, 4)]


def test_what_is_refused_together_is_asked_in_halves(
    monkeypatch: pytest.MonkeyPatch, asked: list[tuple[int, ...]]
) -> None:
    refuse(monkeypatch, lambda some: BadRequestError("GET", "/x", 400) if len(some) > 2 else None)
    queries = [Noted(number) for number in range(5)]
    assert ask_all(NO_CLIENTS, [*queries, Other(9)]) == {each: -each.number for each in [*queries, Other(9)]}
    assert asked == [(0, 1, 2, 3, 4), (0, 1), (2, 3, 4), (2,), (3, 4), (9,)]


def test_what_causes_a_refusal_is_named_alone(
    monkeypatch: pytest.MonkeyPatch, asked: list[tuple[int, ...]]
) -> None:
    refuse(monkeypatch, lambda some: BadRequestError("GET", "/x", 400, text=f"{some}") if 3 in some else None)
    with pytest.raises(BadRequestError, match=r"\(3,\)"):
        ask_all(NO_CLIENTS, map(Noted, range(5)))
    assert asked[-1] == (3,)


def test_nothing_else_is_asked_in_halves(
    monkeypatch: pytest.MonkeyPatch, asked: list[tuple[int, ...]]
) -> None:
    refuse(monkeypatch, lambda _: ServerError("GET", "/x", 503))
    with pytest.raises(ServerError):
        ask_all(NO_CLIENTS, map(Noted, range(5)))
    assert asked == [(0, 1, 2, 3, 4)]
