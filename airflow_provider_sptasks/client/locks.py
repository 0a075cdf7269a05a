"""Locks that outlive no process: a thread of the parent that holds one doesn't exist in a forked child."""

from __future__ import annotations

import os
import threading
import weakref

_locks: weakref.WeakSet[threading.Lock] = weakref.WeakSet()


def fork_safe_lock() -> threading.Lock:
    """
    Make a lock that a forked process finds open.

    What it guards must be right at any moment, since the fork may have come in the middle of a change.
    """
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def _open_all() -> None:
    for lock in _locks:
        lock._at_fork_reinit()  # type: ignore[attr-defined]  # as Python's own logging does


os.register_at_fork(after_in_child=_open_all)
