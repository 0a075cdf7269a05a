"""Polls until a wait is over, as a sensor does in the mode ``poke``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_sptasks.arguments import completion_statuses
from airflow_provider_sptasks.cli.codes import ExitCode
from airflow_provider_sptasks.cli.printing import note
from airflow_provider_sptasks.cli.tasks import print_tasks
from airflow_provider_sptasks.client.kinds import CompletionStatus
from airflow_provider_sptasks.client.stopping import StopFlag
from airflow_provider_sptasks.operators._interruptible import StoppableConnection
from airflow_provider_sptasks.waiting.driver import Driver, poll_retry
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.verdict import Verdict, failure

if TYPE_CHECKING:
    from airflow_provider_sptasks.waiting.driver import Connection
    from airflow_provider_sptasks.waiting.events import Wait

DEFAULT_ACCEPTED = ("SUCCESS", "WARNING")


class Polling:
    """
    Polls in a rhythm, until a time.

    :param connection: what to ask with
    :param options: ``interval`` and ``timeout``
    :param flag: what stops it
    """

    def __init__(self, connection: Connection, options: argparse.Namespace, flag: StopFlag) -> None:
        self.connection = connection
        self._interval: float = options.interval.total_seconds()
        self._flag = flag
        self.deadline: float = time.monotonic() + options.timeout.total_seconds()

    @property
    def seconds_left(self) -> float:
        """How many seconds there are until the time; 0 from then on."""
        return max(0.0, self.deadline - time.monotonic())

    def sleep(self, seconds: float, why: str) -> None:
        """
        Wait.

        :param seconds: for how long
        :param why: for the error
        :raises TimeoutError: the time has come
        """
        left = self.seconds_left
        if left <= 0:
            raise TimeoutError(why)
        self._flag.sleep(min(seconds, left))

    def until_final(
        self,
        wait: Wait,
        progress: Callable[[Connection], ProgressLogger],
        *,
        has_worked: bool = False,
    ) -> tuple[Verdict, bool]:
        """
        Poll until the verdict is final.

        :param wait: what is waited for
        :param progress: makes what reports the progress, of what to ask with
        :param has_worked: whether the tenant has answered before
        :return: the verdict, and whether the first poll came to it
        :raises TimeoutError: the time has come
        """
        retry = poll_retry(max(self._interval, 1.0), self.seconds_left)
        connection = StoppableConnection(self.connection, retry, self._flag)
        driver = Driver(
            connection,
            wait.begun(datetime.now(UTC)),
            progress(connection),
            seconds_left=lambda: self.seconds_left,
            sleep=self._flag.sleep,
            has_worked=has_worked,
            estimates=True,
            defers=False,
        )
        is_first = True
        while (verdict := driver.poll()) is None or not verdict.is_final:
            is_first = False
            self.sleep(self._interval, f"{wait.describe()} has not ended")
        return verdict, is_first


def accepted_statuses(options: argparse.Namespace) -> frozenset[CompletionStatus] | None:
    """
    Read ``--accept``.

    :param options: the arguments
    :return: ``None`` for any
    """
    if options.accept is not None and "any" in options.accept:
        return None
    return completion_statuses(options.accept or DEFAULT_ACCEPTED)


def conclude(verdict: Verdict, options: argparse.Namespace) -> ExitCode:
    """
    Print what was waited for, and say how it ended.

    :param verdict: a final one
    :param options: how to print
    """
    how = argparse.Namespace(output=options.output, raw=False)
    print_tasks(verdict.refused or verdict.accepted, how)
    if verdict.refused:
        note(f"Error: {failure(verdict.refused)}")
        return ExitCode.FAILED
    return ExitCode.OK
