"""What a run of an operator on a worker has: a time limit, a stop, and polls until a wait is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_sptasks.client.errors import AmbiguousError, SailPointError, UnauthorizedError
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.stopping import StoppedError
from airflow_provider_sptasks.exceptions import SailPointStartError, failed_by
from airflow_provider_sptasks.operators._interruptible import Interruptible, StoppableConnection
from airflow_provider_sptasks.operators._start_messages import airflow_error
from airflow_provider_sptasks.times import duration
from airflow_provider_sptasks.waiting.driver import Driver, poll_retry
from airflow_provider_sptasks.waiting.errors import WaitError
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.tasks import TaskWait
from airflow_provider_sptasks.waiting.verdict import Verdict, title

if TYPE_CHECKING:
    from airflow_provider_sptasks.operators._start import SailPointStartAggregationOperator

T = TypeVar("T")


class WorkerRun:
    """
    Runs an operator until a time, or until it is stopped.

    :param operator: the operator
    :param ends_at: when the operator's timeout has passed, ISO 8601; ``None`` if it begins now
    """

    def __init__(self, operator: SailPointStartAggregationOperator, ends_at: str | None = None) -> None:
        self.source_id: str | None = None
        """SailPoint's id of the source, once it is known."""
        self.operator = operator
        self.work = Interruptible()
        self.timeout = duration(operator.timeout, "timeout")
        self.ends_at = datetime.fromisoformat(ends_at) if ends_at else datetime.now(UTC) + self.timeout
        self._interval = duration(operator.poke_interval, "poke_interval").total_seconds()

    @property
    def seconds_left(self) -> float:
        """How many seconds there are until the time; 0 from then on."""
        return max(0.0, (self.ends_at - datetime.now(UTC)).total_seconds())

    def run(self, work: Callable[[], T]) -> T:
        """
        Work until it is done or stopped; fail with a line of its own in the log.

        :param work: what to do
        """
        try:
            return self.work.run(work)
        except StoppedError:
            error: Exception = SailPointStartError(self.stopped())
        except (AirflowFailException, AirflowSensorTimeout, SailPointStartError) as known:
            error = known
        except WaitError as lost:
            error = failed_by(lost)
        except (SailPointError, ValueError, TimeoutError) as other:
            error = airflow_error(other, self.timeout)
        except BaseException:
            if self.work.is_stopped:  # by execution_timeout
                self.operator.log.error("%s", self.stopped())
            raise
        self.operator.log.error("%s", error)
        raise error from None

    def stopped(self) -> str:
        """Say for a person that it was stopped, and what goes on nevertheless."""
        return "The task was stopped."

    def signed_in(self, call: Callable[[], T]) -> T:
        """
        Call, and once more with the connection read again: credentials may have been rotated.

        :param call: what to call
        """
        try:
            return call()
        except (UnauthorizedError, AmbiguousError) as error:
            if isinstance(error, AmbiguousError) and not isinstance(error.error, UnauthorizedError):
                raise
            self.operator.hook.reconnect()
            return call()

    def connection(self, retry: RetryPolicy | None = None) -> StoppableConnection:
        """
        Return clients that send nothing after a stop.

        :param retry: how long and how often a call is tried; ``None`` until the time
        """
        retry = retry or RetryPolicy(deadline=self.seconds_left)
        return StoppableConnection(self.operator.hook, retry, self.work.flag)

    def sleep(self, seconds: float, why: str) -> None:
        """
        Wait, unless it is stopped meanwhile.

        :param seconds: for how long
        :param why: for the error
        :raises TimeoutError: the time has come
        """
        self.check_time(why)
        self.work.flag.sleep(min(seconds, self.seconds_left))

    def check_time(self, why: str) -> None:
        """
        Go on, unless the time has come.

        :param why: for the error
        :raises TimeoutError: the time has come
        """
        if self.seconds_left <= 0:
            raise TimeoutError(why)

    def poll(
        self,
        wait: TaskWait,
        progress: ProgressLogger,
        defer: Callable[[], NoReturn],
        *,
        has_worked: bool,
    ) -> tuple[Verdict, bool]:
        """
        Poll until the verdict is final, here or, after the first poll, in the triggerer.

        :param wait: what is waited for, begun
        :param progress: logs what was seen
        :param defer: defers the operator
        :param has_worked: whether the tenant has answered before
        :return: the verdict, and whether the first poll came to it
        :raises TimeoutError: the time has come
        """
        driver = Driver(
            self.connection(poll_retry(self._interval, self.seconds_left)),
            wait,
            progress,
            seconds_left=lambda: self.seconds_left,
            sleep=self.work.flag.sleep,
            has_worked=has_worked,
            estimates=not self.operator.deferrable,
            defers=False,
        )
        is_first = True
        while True:
            verdict = driver.poll()
            self.source_id = driver.source_id or self.source_id
            if verdict is not None and verdict.is_final:
                return verdict, is_first
            is_first = False
            seen = wait.statuses(driver.answers)
            name = f"{title(seen[0])} (task {seen[0].id})" if seen else f"task {wait.task_status_ids[0]}"
            why = f"{name} has not ended"
            if self.operator.deferrable:
                # A deferral without time left would have no timeout at all.
                self.check_time(why)
                defer()
            self.sleep(self._interval, why)
