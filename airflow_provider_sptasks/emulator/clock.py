"""The tenant's time, which a test can move."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


class Clock:
    """Real time plus what a test has added to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead = 0.0
        self._stopped_at: float | None = None

    def now(self) -> float:
        """Return the tenant's time in seconds since 1970."""
        return (time.time() if self._stopped_at is None else self._stopped_at) + self._ahead

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Return a context in which time stands still: all that is added meanwhile has the same time."""
        self._stopped_at = time.time()
        try:
            yield
        finally:
            self._stopped_at = None

    def advance(self, seconds: float) -> None:
        """
        Move the tenant's time: its tasks, tokens and retention, not the rate limit.

        :param seconds: how far; negative moves it back.
        """
        with self._lock:
            self._ahead += seconds


def timestamp(seconds: float) -> str:
    """
    Return an instant as the API writes it, ``2024-05-17T19:33:16.470Z``.

    :param seconds: seconds since 1970.
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant(text: object) -> float | None:
    """
    Return the seconds since 1970 of a time as the API writes it, ``None`` for anything else.

    :param text: a value of a JSON document.
    """
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def milliseconds(seconds: float) -> int:
    """
    Return an instant as the answers to starts have it, in milliseconds since 1970.

    :param seconds: seconds since 1970.
    """
    # Rounded to microseconds first, as datetime does, so that it is the same millisecond as above.
    return round(seconds * 1_000_000) // 1_000
