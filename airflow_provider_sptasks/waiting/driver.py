"""Drives a wait in a process of its own: asks, tries again after errors, has the wait judge the answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from airflow_provider_sptasks.client.errors import SailPointError, UnauthorizedError
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.queries import (
    Answers,
    Clients,
    ask_all,
    ask_usual_durations,
)
from airflow_provider_sptasks.waiting.verdict import Verdict

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.retry import RetryPolicy
    from airflow_provider_sptasks.waiting.events import Wait

# A poll that fails is tried again for that long, and that often, before the next one is due.
POLL_TIMEOUT_SECONDS, POLL_ATTEMPTS = 60.0, 4

# A refusal after polls that worked may come from something on the way: it has to repeat for that long.
REFUSAL_SECONDS, REFUSAL_RETRY_SECONDS = 120.0, 10.0


class Connection(Clients, Protocol):
    """What asks a tenant, and can read its Airflow connection again."""

    def reconnect(self) -> None:
        """Read the connection again before the next request."""


def poll_retry(interval: float, seconds_left: float) -> RetryPolicy:
    """
    Say how long and how often each request of a poll is tried: the next poll comes anyway.

    :param interval: seconds until the next poll is due
    :param seconds_left: seconds that are left for all polls; a slow tenant's answer may take that long
    """
    from airflow_provider_sptasks.client.retry import RetryPolicy

    return RetryPolicy(
        deadline=min(interval, seconds_left, POLL_TIMEOUT_SECONDS),
        min_answer_seconds=seconds_left,
        max_attempts=POLL_ATTEMPTS,
    )


class Driver:
    """
    Polls for a wait on a worker.

    Each poll is one pass: how long its requests are tried again is the clients' own matter, and when the next
    poll is due the caller's.

    :param connection: what to ask with
    :param wait: what is waited for, begun
    :param progress: logs what was seen
    :param seconds_left: says how many seconds there are until the caller's deadline
    :param sleep: waits for seconds
    :param has_worked: whether the tenant has answered the caller before: a first refusal is taken at its word
    :param estimates: whether it is read, once, how long what runs usually takes; a failure harms nothing
    :param defers: whether a trigger goes on after a poll that isn't the end, and asks what can be left to it
    """

    def __init__(
        self,
        connection: Connection,
        wait: Wait,
        progress: ProgressLogger,
        *,
        seconds_left: Callable[[], float],
        sleep: Callable[[float], object] = time.sleep,
        has_worked: bool = False,
        estimates: bool = False,
        defers: bool,
    ) -> None:
        self.wait = wait
        self.answers: Answers = {}
        self._connection = connection
        self._progress = progress
        self._seconds_left = seconds_left
        self._sleep = sleep
        self._has_worked = has_worked
        self._estimates = estimates
        self._defers = defers

    @property
    def source_id(self) -> str | None:
        """The first source that is known to be waited for."""
        return next(filter(None, self.wait.source_ids(self.answers)), None)

    def poll(self) -> Verdict | None:
        """
        Ask for everything that the wait needs, and judge the answers.

        :return: ``None`` where the tenant can't be asked at present
        :raises SailPointError: the tenant refuses, and goes on to do so
        :raises UnknownTaskError: the tenant doesn't know a task
        :raises UnknownSourceError: the tenant doesn't know a source
        """
        answers = self._answers()
        if answers is None:
            return None
        self.answers = answers
        statuses = self.wait.statuses(answers)
        if self._estimates and any(not each.is_complete for each in statuses):
            self._estimates = False
            with suppress(SailPointError):
                self._progress.usual = ask_usual_durations(self._connection, statuses)
        self._progress.polled(statuses, self.wait.notes(answers))
        return self.wait.judge(answers, datetime.now(UTC))

    def _answers(self) -> Answers | None:
        give_up_at = time.monotonic() + REFUSAL_SECONDS
        while True:
            try:
                answers = self._ask()
            except SailPointError as error:
                is_refusal = not error.retryable
                if is_refusal and (not self._has_worked or time.monotonic() >= give_up_at):
                    raise
                self._progress.outage(error)
                if not is_refusal or self._seconds_left() <= REFUSAL_RETRY_SECONDS:
                    return None
                self._sleep(REFUSAL_RETRY_SECONDS)
            else:
                self._has_worked = True
                return answers

    def _ask(self) -> Answers:
        """Ask, and ask what the answers lead to, until nothing is left to ask."""
        lasting = {query: answer for query, answer in self.answers.items() if query.lasts(answer)}
        answers, has_reconnected = dict(lasting), False
        now = datetime.now(UTC)
        while queries := [
            query
            for query in self.wait.queries(answers, now)
            if query not in answers and not (self._defers and query.is_left_to_trigger)
        ]:
            try:
                answers |= ask_all(self._connection, queries)
            except UnauthorizedError:
                if has_reconnected:
                    raise
                # The credentials may have been rotated meanwhile: read the connection again. It may lead to
                # another tenant, so all is asked again.
                self._connection.reconnect()
                answers, has_reconnected = dict(lasting), True
        return answers
