"""The exit codes that scripts can rely on."""

from __future__ import annotations

from enum import IntEnum

from airflow_provider_sptasks.client.errors import (
    AmbiguousError,
    APIError,
    NotFoundError,
    SailPointError,
    SourceNotFoundError,
    SourceNotUniqueError,
    UploadError,
)
from airflow_provider_sptasks.waiting.errors import WaitError


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    TIMED_OUT = 3
    REFUSED = 4
    NOT_FOUND = 5
    NO_ANSWER = 6
    SKIPPED = 99
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


MEANINGS = {
    ExitCode.OK: "done; what was waited for ended with an accepted status",
    ExitCode.FAILED: "ended with another status, not all could be done, another aggregation runs, or one may "
    "have been started",
    ExitCode.USAGE: "wrong use: an argument, a setting or a file; nothing was sent that changes anything",
    ExitCode.TIMED_OUT: "the timeout has passed",
    ExitCode.REFUSED: "SailPoint refuses: the credentials, their rights, or the request",
    ExitCode.NOT_FOUND: "SailPoint doesn't know the task or source, or knows several sources of the name",
    ExitCode.NO_ANSWER: "no usable answer until --retry-for had passed; try again later",
    ExitCode.SKIPPED: "nothing was started: another aggregation runs, with --if-running skip",
    ExitCode.INTERRUPTED: "Ctrl-C",
    ExitCode.BROKEN_PIPE: "what the output was piped into has ended",
    ExitCode.TERMINATED: "SIGTERM",
}


def code_of(error: Exception) -> ExitCode:
    """
    Say with which code a command ends that an error ended.

    :param error: the error
    """
    if isinstance(error, AmbiguousError):
        return ExitCode.FAILED
    if isinstance(error, (NotFoundError, SourceNotFoundError, SourceNotUniqueError, WaitError)):
        return ExitCode.NOT_FOUND
    if isinstance(error, APIError) and not error.retryable:
        return ExitCode.REFUSED
    if isinstance(error, TimeoutError):
        return ExitCode.TIMED_OUT
    if isinstance(error, SailPointError) and not isinstance(error, UploadError):
        return ExitCode.NO_ANSWER
    return ExitCode.USAGE


def epilog() -> str:
    """List the codes, for ``--help``."""
    return "\n".join(["exit codes:", *(f"  {code.value:3}  {meaning}" for code, meaning in MEANINGS.items())])
