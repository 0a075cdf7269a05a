"""Many processes with one budget, and what may happen to it: crowds, crashes, full disks, tidy machines."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_sptasks.client import RetryPolicy, budget, clearing, host_budget, pacing
from airflow_provider_sptasks.client.clearing import Clearing, ClearOutcome, ClearResult
from airflow_provider_sptasks.client.errors import NotSentError
from airflow_provider_sptasks.client.host_budget import HostBudget
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.client.pacing import HORIZON_SECONDS, Pacer
from airflow_provider_sptasks.emulator import Emulator
from benchmarks.fleet_simulation import MAX_LOCK_OUTS, MIN_USED, simulate
from tests.client.conftest import Connect, Waits, api_requests

PARTS = ("https://acme.api.identitynow.com", "id", "v1")


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (budget, host_budget, pacing):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "budget"


@pytest.fixture
def open_host(directory: Path) -> Callable[[], Pacer]:
    """Make what each process of a host has."""
    return lambda: Pacer(80, budget=HostBudget(*PARTS, directory=str(directory)))


class TestCrowd:
    @pytest.mark.parametrize("turn", ["wait_for_turn", "wait_in_whole"], ids=["poll", "token"])
    def test_a_poll_waits_for_no_long_backlog(
        self, turn: str, open_host: Callable[[], Pacer], clock: Clock
    ) -> None:
        clearing_process, triggerer = open_host(), open_host()
        while clearing_process.reserve(HORIZON_SECONDS) <= HORIZON_SECONDS:
            pass
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            clock.now += seconds

        getattr(triggerer.lane(0.1), turn)("GET /x", clock.now + 5, sleep)
        # It takes the next place at once, and needn't come again, when others may be quicker.
        assert slept == [pytest.approx(HORIZON_SECONDS + 0.125, abs=0.01)]

    def test_a_poll_keeps_its_place_in_the_lane(self, clock: Clock) -> None:
        """Those who come later must not be quicker."""
        lane = Pacer(80).lane(0.1)
        ahead = [lane.reserve() for _ in range(7)]
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            clock.now += seconds

        lane.wait_for_turn("GET /x", clock.now + 60, sleep)
        assert slept == [pytest.approx(ahead[-1] + 1)]
        assert ahead[-1] + 1 > 2 * HORIZON_SECONDS

    @pytest.mark.parametrize("requests", [1, 5, 10])
    def test_polls_leave_a_part_of_a_small_budget(self, requests: int, clock: Clock) -> None:
        """Their share is of SailPoint's limit, and may be more than all that there is."""
        lane = Pacer(requests).lane(0.1)
        waits = [lane.reserve() for _ in range(4)]
        assert waits[-1] - waits[-2] == pytest.approx(10 / (0.75 * requests))

    def test_a_process_knows_what_others_leave_it(self, open_host: Callable[[], Pacer], clock: Clock) -> None:
        first, second = open_host(), open_host()
        assert first.per_second == 8
        for _ in range(100):  # ten seconds; three of four places are the other one's
            for pacer in (first, first, first, second):
                pacer.reserve(HORIZON_SECONDS)
            clock.now += 0.1
        assert second.per_second < first.per_second <= 8
        assert second.per_second < 4
        clock.now += 11
        assert second.per_second == 8

    def test_a_hold_is_no_crowd(self, open_host: Callable[[], Pacer], clock: Clock) -> None:
        pacer = open_host()
        pacer.hold(60)
        assert pacer.reserve(HORIZON_SECONDS) == 60
        clock.now += 60
        assert pacer.per_second == 8


class TestUrgent:
    def test_the_others_wait_for_it(self, clock: Clock) -> None:
        pacer = Pacer(5)
        assert pacer.reserve() == 0.0
        assert pacer.urgent().reserve() == 0.0
        assert pacer.reserve() == pytest.approx(4.0)

    def test_a_hold_counts(self, clock: Clock) -> None:
        pacer = Pacer(5)
        pacer.hold(7)
        waits = Waits()
        with pytest.raises(NotSentError, match=r"allows it in 7\.0 s"):
            pacer.urgent().wait_for_turn("PATCH /x", clock.now + 5, waits)
        assert waits.seconds == []
        assert pacer.urgent().reserve() == 7.0

    def test_a_hold_is_waited_out_with_one_place(self, clock: Clock) -> None:
        pacer = Pacer(5)
        pacer.hold(7)
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            clock.now += seconds

        pacer.urgent().wait_for_turn("PATCH /x", clock.now + 60, sleep)
        assert slept == [7.0]
        assert pacer.reserve() == pytest.approx(2.0)

    def test_clears_at_the_slowest_pace(
        self, connect: Connect, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next place comes when the task that was read must be read again."""
        monkeypatch.setattr(clearing, "FRESHNESS", 0.2)
        ids = [emulator.add_task(launched=-100, duration=None).id for _ in range(2)]
        results: list[ClearResult] = []
        with connect(pacer=Pacer(100, window=30.0), retry=RetryPolicy(deadline=20)) as client:
            flow = Clearing(client, completion_status="Error", stop=threading.Event(), note=results.append)
            flow.run([TaskStatus(id=each) for each in ids])
        assert [result.outcome for result in results] == [ClearOutcome.CLEARED] * 2
        assert len(api_requests(emulator)) <= 6


class TestFile:
    def test_that_was_removed(
        self, open_host: Callable[[], Pacer], directory: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Something tidies the temporary files: those that had it open share the next one."""
        first, second = open_host(), open_host()
        first.reserve()
        second.reserve()
        for file in directory.iterdir():
            file.unlink()
        first.hold(500)
        assert second.held() > 400
        assert caplog.messages == []

    @pytest.mark.parametrize("wrong", ["link", "directory", "another user's"])
    def test_that_is_not_ones_own(
        self, wrong: str, open_host: Callable[[], Pacer], directory: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        open_host().reserve()
        (file,) = directory.iterdir()
        if wrong == "another user's":
            if os.geteuid() != 0:
                pytest.skip("only root can give a file away")
            os.chown(file, 12_345, -1)
        else:
            file.rename(directory.parent / "elsewhere")
            file.mkdir() if wrong == "directory" else file.symlink_to(directory.parent / "elsewhere")
        assert open_host().reserve() == 0.0
        assert len(caplog.messages) == 1

    def test_on_a_full_disk(self, directory: Path) -> None:
        """No byte can be written: each process keeps count by itself, and says so once."""
        script = """
            import sys
            from airflow_provider_sptasks.client.pacing import shared_pacer
            pacer = shared_pacer("https://acme.api.identitynow.com", "id", "v1", 80)
            print([pacer.reserve(0.0) for _ in range(10)] == [0.0] * 10)
        """
        finished = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env=os.environ | {"SAILPOINT_BUDGET_DIR": str(directory)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
            capture_output=True,
            text=True,
            check=True,
        )
        assert finished.stdout == "True\n"
        assert finished.stderr.count("can't be shared with other processes of this host") == 1


RESERVING = """
    import sys
    from airflow_provider_sptasks.client.host_budget import HostBudget
    from airflow_provider_sptasks.client.pacing import Pacer
    pacer = Pacer(100, 0.001, HostBudget(*sys.argv[2:], directory=sys.argv[1]))
    pacer.reserve()
    print("reserving", flush=True)
    while True:
        pacer.reserve()
"""


def test_processes_that_are_killed_at_any_moment(
    open_host: Callable[[], Pacer], directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They only change the file, over and over, so that some die with the lock; the state survives them."""
    pacer = open_host()
    pacer.hold(1_500)
    command = [sys.executable, "-c", textwrap.dedent(RESERVING), str(directory), *PARTS]
    for _ in range(3):
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "reserving\n"
        for process in processes:
            assert pacer.held() > 1_200
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert pacer.held() > 1_200
    assert caplog.messages == []


@pytest.mark.parametrize("hosts", [2, 6, 24])
def test_hosts_that_do_not_know_of_each_other(hosts: int) -> None:
    """Numbers that nothing was tuned for; the benchmark has an hour of more of them."""
    result = simulate(hosts, seed=7, seconds=1_200)
    assert result.lock_outs <= MAX_LOCK_OUTS
    assert result.used >= MIN_USED * 0.8  # the first minutes are those after the first refusal
