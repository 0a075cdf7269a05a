"""Work that a kill need not wait for: it runs in a thread, and sends nothing after a stop."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_sptasks.client.stopping import StopFlag, StoppedError

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.client import TaskStatusClient
    from airflow_provider_sptasks.client.retry import RetryPolicy
    from airflow_provider_sptasks.client.sources_client import SourcesClient
    from airflow_provider_sptasks.waiting.driver import Connection

T = TypeVar("T")

# How long a killed task waits for what is under way; Airflow kills it for good after 5 seconds.
LAST_ANSWERS_SECONDS = 0.5


class Interruptible:
    """
    Runs work in a thread, and can be stopped by a signal's handler in the main thread.

    :param last_answers: how many seconds a stop waits for what is under way
    """

    def __init__(self, last_answers: float = LAST_ANSWERS_SECONDS) -> None:
        self._last_answers = last_answers
        self.event = threading.Event()
        self.flag = StopFlag(self.event)
        self.is_stopped = False
        """Whether the work was given up before its end."""
        self._woken: queue.SimpleQueue[object] = queue.SimpleQueue()

    def stop(self) -> None:
        """Stop the work: nothing more is sent from now on."""
        self.event.set()

    def wake(self) -> None:
        """Let :meth:`run` return soon after a stop."""
        self._woken.put(None)

    def run(self, work: Callable[[], T]) -> T:
        """
        Do the work.

        :param work: what to do; it runs with the context variables of the caller
        :return: what it returns
        :raises StoppedError: it was stopped before
        """
        pool = ThreadPoolExecutor(thread_name_prefix="sailpoint-operator")
        begun: list[Future[T]] = []
        try:
            begun.append(pool.submit(contextvars.copy_context().run, work))
            begun[0].add_done_callback(self._woken.put)
            self._woken.get()
            if self.event.is_set():
                raise StoppedError
        except BaseException:  # Airflow's execution_timeout comes as an exception of its signal's handler
            self.stop()
            self.is_stopped = True
            wait(begun, self._last_answers)
            raise
        else:
            return begun[0].result()
        finally:
            self.stop()
            pool.shutdown(wait=False)


class StoppableConnection:
    """
    The clients of a hook, with a retry policy of their own: one that ends with a stop.

    :param hook: the hook, or what else has clients
    :param retry: how long and how often a call is tried
    :param flag: what stops the calls
    """

    def __init__(self, hook: Connection, retry: RetryPolicy, flag: StopFlag) -> None:
        self._hook = hook
        self._retry = retry.stopped_by(flag)

    @property
    def client(self) -> TaskStatusClient:
        """The client of the tenant's tasks."""
        return self._hook.client.with_retry(self._retry)

    @property
    def sources(self) -> SourcesClient:
        """The client of the tenant's sources."""
        return self._hook.sources.with_retry(self._retry)

    def reconnect(self) -> None:
        """Read the connection again before the next request."""
        self._hook.reconnect()
