"""Locks that outlive no process: a thread of the parent that holds one doesn't exist in a forked child."""

from __future__ import annotations

import os
import threading
import weakref

_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """
    A lock like :class:`threading.Lock`, which a forked process finds open.

    What it guards must be right at any moment, since the fork may have come in the middle of a change.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def acquire(self, timeout: float = -1) -> bool:
        """
        Take it.

        :param timeout: seconds to wait for it; -1 for as long as it takes
        :return: whether it was taken
        """
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Give it back."""
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def renew(self) -> None:
        """Forget who holds it: they run in another process."""
        self._lock = threading.Lock()


def _renew_all() -> None:
    for lock in _locks:
        lock.renew()


os.register_at_fork(after_in_child=_renew_all)
