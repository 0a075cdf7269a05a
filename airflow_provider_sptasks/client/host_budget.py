"""The budget that all processes of a user on a host share, in a small locked file."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
import time
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from airflow_provider_sptasks.client.budget import MAX_BYTES, OwnBudget, State, restored, stored
from airflow_provider_sptasks.client.locks import fork_safe_lock

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

T = TypeVar("T")

# Where the files are: for tests, and for hosts whose temporary directory is not shared by all processes.
DIRECTORY_VARIABLE = "SAILPOINT_BUDGET_DIR"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# No process needs the lock for longer than some microseconds, unless it was suspended.
LOCK_SECONDS, LOCK_PAUSE_SECONDS = 1.0, 0.001
# For that long a process keeps count by itself after the file failed.
RETRY_SECONDS = 30.0


class HostBudget:
    """
    The budget of all processes of this user on this host for one tenant, client id and API version.

    Its times are by the monotonic clock, which processes of a host have in common, and which cannot be set.
    Who dies with the lock leaves it to the others, since the kernel opens it. Where the file can't be had,
    the process keeps count by itself, and says so once. Safe to share between threads and across forks.

    :param parts: what is counted together; only their hash is in the file's name
    :param directory: where the file is; ``None`` for a directory of the user's in the temporary directory
    """

    def __init__(self, *parts: str, directory: str | None = None) -> None:
        self._name = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        self._directory = directory
        self._lock = fork_safe_lock()
        self._own = OwnBudget()
        self._file: int | None = None
        self._close: Callable[[], object] = lambda: None
        self._pid = 0
        self._retry_at = 0.0
        self._warned = False

    def update(self, change: Callable[[State, float], T]) -> T:
        """Change the state, while no other thread or process changes it."""
        with self._lock:
            if time.monotonic() >= self._retry_at:
                try:
                    return self._update(change)
                except OSError as error:
                    self._retry_at = time.monotonic() + RETRY_SECONDS
                    if not self._warned:
                        self._warned = True
                        log.warning(
                            "The budget of requests can't be shared with other processes of this host: %s. "
                            "This one keeps count by itself.",
                            error,
                        )
        return self._own.update(change)

    def _update(self, change: Callable[[State, float], T]) -> T:
        file = self._file
        if file is None or self._pid != os.getpid():
            file = self._open()
        _lock(file)
        if not os.fstat(file).st_nlink:
            # Removed, as by what tidies temporary files: other processes share another one by now.
            file = self._open()
            _lock(file)
        try:
            now = time.monotonic()
            state = restored(os.pread(file, MAX_BYTES, 0), now, _boot_id())
            result = change(state, now)
            content = stored(state, now, _boot_id()).ljust(MAX_BYTES)
            if os.pwrite(file, content, 0) < MAX_BYTES:
                raise OSError("it could not be written whole: is the disk full?")
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
        return result

    def _open(self) -> int:
        """Open the file; a forked process opens its own, since locks belong to what was opened."""
        self._close()
        self._file = None
        if fcntl is None:
            raise OSError("there is no fcntl on this system")
        path = _directory(self._directory) / f"{self._name}.json"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(path, flags, 0o600)
        try:
            _must_be_private(str(path), os.fstat(file))
        except OSError:
            os.close(file)
            raise
        self._file, self._pid, self._close = file, os.getpid(), weakref.finalize(self, os.close, file)
        return file


def _directory(given: str | None) -> Path:
    chosen = given or os.environ.get(DIRECTORY_VARIABLE)
    path = Path(chosen or Path(tempfile.gettempdir(), f"airflow-provider-sptasks-{os.getuid()}"))
    path.mkdir(mode=0o700, exist_ok=True)
    _must_be_private(str(path), path.lstat())
    return path


def _must_be_private(path: str, found: os.stat_result) -> None:
    """Refuse what another user may have put there, or may change."""
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} is not this user's alone")


def _lock(file: int) -> None:
    ends_at = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends_at:
                raise TimeoutError(f"another process has held its lock for {LOCK_SECONDS:g} s") from None
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return


@cache
def _boot_id() -> str:
    """Return the name of this machine's start, from which its clock counts; empty where it has none."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
