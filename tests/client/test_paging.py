"""Lists that shift while their pages are read: nothing that stays is passed over, or the reading fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sptasks.client.entries import Page
from airflow_provider_sptasks.client.errors import UnexpectedPayloadError
from airflow_provider_sptasks.client.paging import MAX_SETBACKS, overlap_of, read_pages

SIZE = 10


class ShiftingList:
    """
    A list of numbers, in descending order, that changes between requests.

    :param numbers: what it holds at first
    :param change: changes it; gets how many pages were read
    """

    def __init__(
        self, numbers: Sequence[int], change: Callable[[int, list[int]], object] = lambda _, __: None
    ) -> None:
        self.numbers = list(numbers)
        self.offsets: list[int] = []
        self._change = change

    def fetch(self, offset: int) -> Page[int]:
        if self.offsets:
            self._change(len(self.offsets), self.numbers)
        self.offsets.append(offset)
        numbers = sorted(self.numbers, reverse=True)[offset : offset + SIZE]
        return Page(numbers, [str(number) for number in numbers], {})


def read(shifting: ShiftingList, max_pages: int = 100) -> list[int]:
    return [
        number for page in read_pages(shifting.fetch, "The list", SIZE, max_pages) for number in page.items
    ]


@pytest.mark.parametrize(
    ("length", "offsets"),
    [(0, [0]), (9, [0]), (10, [0, 5]), (14, [0, 5]), (15, [0, 5, 10]), (20, [0, 5, 10, 15])],
)
def test_pages_overlap(length: int, offsets: list[int]) -> None:
    shifting = ShiftingList(range(length))
    assert set(read(shifting)) == set(range(length))
    assert shifting.offsets == offsets


@pytest.mark.parametrize(("page_size", "overlap"), [(2, 1), (3, 1), (10, 5), (20, 10), (250, 10)])
def test_overlap(page_size: int, overlap: int) -> None:
    assert overlap_of(page_size) == overlap
    assert overlap < page_size


@pytest.mark.parametrize("removed", [1, 4, 5, 6, 9, 10, 25])
def test_what_goes_before_the_next_page_hides_nothing(removed: int) -> None:
    """W2: without the overlap, as many of the next page would be passed over."""

    def change(pages: int, numbers: list[int]) -> None:
        if pages == 3:
            del numbers[-removed:]  # the first of the list

    shifting = ShiftingList(range(60), change)
    assert set(range(60 - removed)) <= set(read(shifting))


@pytest.mark.parametrize("added", [1, 4, 5, 6, 30, 100])
def test_what_comes_before_the_next_page_hides_nothing(added: int) -> None:
    def change(pages: int, numbers: list[int]) -> None:
        if pages == 3:
            numbers.extend(range(1000, 1000 + added))

    assert set(range(60)) <= set(read(ShiftingList(range(60), change)))


def test_a_list_that_keeps_changing_is_no_answer() -> None:
    def change(_: int, numbers: list[int]) -> None:
        numbers[:] = range(numbers[-1] + 1, numbers[-1] + 101)

    shifting = ShiftingList(range(100), change)
    with pytest.raises(
        UnexpectedPayloadError, match="The list kept changing while its pages were read"
    ) as raised:
        read(shifting)
    assert raised.value.retryable
    assert shifting.offsets == [0, 5] * (MAX_SETBACKS + 1)


def test_steps_back_further_each_time_and_not_for_ever() -> None:
    offsets: list[int] = []

    def fetch(offset: int) -> Page[int]:
        offsets.append(offset)
        number = len(offsets)
        first = number * SIZE if number > 8 else offset
        return Page([], [str(first + at) for at in range(SIZE)], {})

    with pytest.raises(UnexpectedPayloadError, match="kept changing"):
        list(read_pages(fetch, "The list", SIZE, 100))
    assert offsets[:9] == [0, 5, 10, 15, 20, 25, 30, 35, 40]
    assert offsets[9:] == [30, 10, 0, 5, 0, 5, 0, 5][: len(offsets) - 9]
    assert len(offsets) <= 9 + 2 * MAX_SETBACKS


def test_an_offset_without_effect_is_no_answer() -> None:
    offsets: list[int] = []

    def fetch(offset: int) -> Page[int]:
        offsets.append(offset)
        return Page(range(SIZE), [str(number) for number in range(SIZE)], {})

    with pytest.raises(
        UnexpectedPayloadError, match="The list has the same 10 records at every offset"
    ) as raised:
        list(read_pages(fetch, "The list", SIZE))
    assert raised.value.retryable
    assert len(offsets) == 3


def test_pages_without_end_are_not_read_for_ever() -> None:
    with pytest.raises(UnexpectedPayloadError, match="more than 7 pages") as raised:
        read(ShiftingList(range(1000)), max_pages=7)
    assert raised.value.retryable


def test_entries_that_cannot_be_read_count() -> None:
    """P4: a page with one of them is full."""

    def fetch(offset: int) -> Page[int]:
        keys = [str(number) for number in range(25)][offset : offset + SIZE]
        return Page([int(key) for key in keys if key != "3"], keys, {})

    read = {number for page in read_pages(fetch, "The list", SIZE) for number in page.items}
    assert read == set(range(25)) - {3}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["front", "anywhere", "nothing", "nothing"]),
        st.integers(0, 30),
        st.randoms(use_true_random=False),
    ),
    max_size=12,
)


@given(st.integers(0, 80), CHANGES)
def test_whatever_stays_is_read_or_the_reading_fails(
    length: int, changes: Sequence[tuple[str, int, object]]
) -> None:
    rest = list(changes)
    stays = set(range(length))
    ever = set(range(length))

    def change(_: int, numbers: list[int]) -> None:
        if not rest:
            return
        what, count, random = rest.pop(0)
        if what == "front":
            new = range(max(ever, default=0) + 1, max(ever, default=0) + 1 + count)
            numbers.extend(new)
            ever.update(new)
        elif what == "anywhere":
            random.shuffle(numbers)  # type: ignore[attr-defined]
            stays.difference_update(numbers[:count])
            del numbers[:count]

    try:
        found = read(ShiftingList(range(length), change))
    except UnexpectedPayloadError:
        return
    assert stays <= set(found) <= ever
