"""How many ids a request may have: learnt from what a gateway before the tenant refuses as too long."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from airflow_provider_sptasks.client.errors import TooLongError
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE, first_chunk

# A number that was reduced is tried doubled after this time.
REGROWTH_SECONDS = 600.0


class ChunkSize:
    """
    The maximum number of ids in a request: a page's, or fewer where longer requests were refused lately.

    Safe to share between threads.

    :param clock: returns seconds, monotonic
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reduced = (MAX_PAGE_SIZE, 0.0)  # replaced as a whole, so that it needs no lock

    @property
    def value(self) -> int:
        """The number at this moment."""
        number, since = self._reduced
        if number >= MAX_PAGE_SIZE:
            return MAX_PAGE_SIZE
        doublings = int((self._clock() - since) // REGROWTH_SECONDS)
        return min(MAX_PAGE_SIZE, number << min(doublings, MAX_PAGE_SIZE.bit_length()))

    def reduce(self, number: int) -> None:
        """
        Note that requests with a number of ids pass, after longer ones did not.

        :param number: the number
        """
        if number < self.value:
            self._reduced = (number, self._clock())


def send_in_chunks(
    ids: Sequence[str], size: ChunkSize, send: Callable[[Sequence[str]], Sequence[str] | None]
) -> None:
    """
    Send ids in as few requests as they fit in. What is refused for its length is sent in two, and so on.

    :param ids: all ids
    :param size: how many a request may have
    :param send: sends some ids; returns those of them that are to be sent again, if any
    """
    rest = list(ids)
    number = size.value
    while rest:
        chunk = first_chunk(rest, number)
        try:
            again = send(chunk)
        except TooLongError:
            if len(chunk) == 1:
                raise
            number = len(chunk) // 2
            continue
        size.reduce(number)
        rest[: len(chunk)] = again or ()


def ids_that_fit(most: int) -> int:
    """
    Return how many of SailPoint's usual ids fit in a request.

    :param most: a maximum besides
    """
    return len(first_chunk(["0" * 32] * MAX_PAGE_SIZE, most))
