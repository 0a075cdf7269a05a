"""Work that a kill need not wait for."""

from __future__ import annotations

import contextvars
import signal
import threading
import time

import pytest

from airflow_provider_sptasks.client.stopping import StoppedError
from airflow_provider_sptasks.operators._interruptible import Interruptible

variable = contextvars.ContextVar("variable", default="")


def test_it_works_in_a_thread_with_the_caller_s_context() -> None:
    variable.set("caller's")
    name, seen = Interruptible().run(lambda: (threading.current_thread().name, variable.get()))
    assert name.startswith("sailpoint-operator")
    assert seen == "caller's"


def test_its_error_is_the_caller_s_and_nothing_goes_on_after_it() -> None:
    work, nothing = Interruptible(), dict[str, str]()
    threads: list[threading.Thread] = []

    def fail() -> str:
        threads.append(threading.current_thread())
        return nothing["none"]

    with pytest.raises(KeyError) as held:
        work.run(fail)
    assert work.event.is_set()
    threads[0].join(20)
    assert not threads[0].is_alive(), "though the error's traceback still holds what ran it"
    assert held is not None


def test_a_stop_waits_for_what_is_under_way_a_moment_only() -> None:
    work, goes_on = Interruptible(last_answers=0.01), threading.Event()

    def slow() -> bool:
        work.stop()
        work.wake()
        return goes_on.wait(60)

    with pytest.raises(StoppedError):
        work.run(slow)
    assert not goes_on.is_set()
    goes_on.set()


def test_the_last_answer_comes_before_the_stop_is_reported() -> None:
    work, answers = Interruptible(last_answers=60.0), []

    def slow() -> None:
        work.stop()
        work.wake()
        time.sleep(0.1)
        answers.append("answer")

    with pytest.raises(StoppedError):
        work.run(slow)
    assert answers == ["answer"]


def test_a_stop_that_came_before_is_heeded() -> None:
    work = Interruptible()
    work.stop()
    with pytest.raises(StoppedError):
        work.run(work.flag.check)


def test_an_exception_of_a_signal_s_handler_stops_it_too() -> None:
    """As Airflow's execution_timeout."""
    work, answers = Interruptible(last_answers=60.0), []

    class TimeIsUpError(BaseException):
        pass

    def handler(*_: object) -> None:
        raise TimeIsUpError

    def slow() -> None:
        time.sleep(0.1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        assert work.event.wait(60)
        answers.append("answer")

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(TimeIsUpError):
            work.run(slow)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert work.is_stopped
    assert answers == ["answer"]
