"""What a verb has: its arguments, the tenant, and how it asks and reports."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from time import strftime
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TypeVar

from airflow_provider_sptasks.cli.printing import keep_output_apart, note
from airflow_provider_sptasks.client.client import TaskStatusClient
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.client.sources_client import SourcesClient
from airflow_provider_sptasks.client.stopping import StoppedError
from airflow_provider_sptasks.client.versions import DEFAULT_API_VERSION
from airflow_provider_sptasks.operators._interruptible import Interruptible

if TYPE_CHECKING:
    from airflow_provider_sptasks.waiting.driver import Connection

T = TypeVar("T")

VARIABLES = ("SAIL_BASE_URL", "SAIL_CLIENT_ID", "SAIL_CLIENT_SECRET")
DEFAULT_CONNECTION = "sailpoint_default"
# How much longer than an answer may take a stop waits for it.
LAST_ANSWERS_GRACE_SECONDS = 10.0


class UsageError(ValueError):
    """The command was used in a wrong way: nothing was sent that changes anything."""


class EnvironmentConnection:
    """
    The clients of the tenant that environment variables name.

    :param environment: the variables
    :param api_version: the API version; ``None`` for ``v1``
    :param retry: how long and how often a call is tried
    :raises UsageError: a variable is missing
    :raises ValueError: one is invalid; the message shows no secret
    """

    def __init__(self, environment: Mapping[str, str], api_version: str | None, retry: RetryPolicy) -> None:
        if missing := [each for each in VARIABLES if not environment.get(each)]:
            raise UsageError(f"{', '.join(missing)} must be set too, or give --conn-id.")
        host, client_id, client_secret = (environment[each] for each in VARIABLES)
        settings = ClientSettings(
            host, client_id, client_secret, api_version=api_version or DEFAULT_API_VERSION
        )
        self.client = TaskStatusClient(settings, retry=retry)
        self.sources = SourcesClient(self.client.transport)

    def reconnect(self) -> None:
        """Do nothing: the variables of a process don't change."""


class Session:
    """
    One run of a verb.

    :param options: its arguments, read
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    @cached_property
    def connection(self) -> Connection:
        """
        The clients of the tenant.

        :raises ValueError: a setting is missing or invalid
        """
        options = self.options
        retry = RetryPolicy(deadline=options.retry_for.total_seconds(), min_answer_seconds=math.inf)
        if options.conn_id is None and any(os.environ.get(each) for each in VARIABLES):
            return EnvironmentConnection(os.environ, options.api_version, retry)
        keep_output_apart()
        from airflow_provider_sptasks.cli.airflow_connection import connect  # loads Airflow

        try:
            return connect(options.conn_id or DEFAULT_CONNECTION, options.api_version, retry)
        except LookupError as error:
            names = ", ".join(VARIABLES)
            raise UsageError(f"{error.args[0]} Give --conn-id, or set {names}.") from None

    @property
    def client(self) -> TaskStatusClient:
        """The client of the tenant's tasks."""
        return self.connection.client

    @property
    def sources(self) -> SourcesClient:
        """The client of the tenant's sources."""
        return self.connection.sources

    @property
    def tenant(self) -> str:
        """The tenant, for a person."""
        return self.client.settings.base_url

    def confirm(self, question: str) -> None:
        """
        Ask before something is changed, unless ``--yes`` is given.

        :param question: what would be changed
        :raises UsageError: there is no terminal to ask at
        :raises NotConfirmedError: the answer is no
        """
        if self.options.yes:
            return
        if not sys.stdin.isatty():
            raise UsageError("There is no terminal to ask at. Give --yes to change it, or --dry-run.")
        sys.stderr.write(f"{question} At {self.tenant}. Go on? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise NotConfirmedError("Nothing was changed.")

    def uninterrupted(self, work: Callable[[Interruptible], T]) -> T:
        """
        Do what changes something: a Ctrl-C or SIGTERM lets it send nothing more, and waits for what it sent.

        :param work: what to do; it gets what stops it
        :raises SignalledError: it was stopped
        """
        interruptible = Interruptible(self.client.settings.timeout + LAST_ANSWERS_GRACE_SECONDS)
        with _stopped_by_signals(interruptible) as stopped_by:
            try:
                return interruptible.run(lambda: work(interruptible))
            except StoppedError:
                raise SignalledError(stopped_by[0]) from None


class NotConfirmedError(Exception):
    """A person was asked, and said no."""


class SignalledError(Exception):
    """
    A signal stopped what changes something.

    :param number: the signal's
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by signal {number}")


class Screen:
    """Reports what goes on while a verb waits: takes the lines that a task's log gets elsewhere."""

    def info(self, message: str, *arguments: object) -> None:
        """Print a line with the time."""
        note(f"{strftime('%H:%M:%S')} {message % arguments if arguments else message}")

    warning = info


@contextmanager
def _stopped_by_signals(work: Interruptible) -> Iterator[list[int]]:
    """Stop it by Ctrl-C and SIGTERM; gives the numbers of the signals that came."""
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if work.event.is_set():
            _leave(number)
        came.append(number)
        note("\nStopping: nothing more is sent. Waiting for the last answers; Ctrl-C again to give up.")
        work.stop()
        work.wake()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int) -> NoReturn:
    note("Gave up: what was sent last may have been done. Check it with 'tasks get' or 'tasks pending'.")
    os._exit(128 + number)  # a thread may wait for an answer for a while yet
