"""One budget of requests for all processes of a host, and for all hosts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from airflow_provider_sptasks.client import TaskStatusClient, budget, host_budget, redis_budget
from airflow_provider_sptasks.client.budget import OwnBudget, State
from airflow_provider_sptasks.client.errors import RateLimitedError
from airflow_provider_sptasks.client.host_budget import HostBudget
from airflow_provider_sptasks.client.pacing import Pacer, shared_pacer
from airflow_provider_sptasks.client.redis_budget import BudgetServer, RedisBudget
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.emulator import Emulator, RateLimit
from harness.servers import Valkey
from tests.client.conftest import settings

PARTS = ("https://acme.api.identitynow.com", "id", "v1")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    stand_in = SimpleNamespace(monotonic=clock.monotonic, sleep=time.sleep)
    monkeypatch.setattr(budget, "time", stand_in)
    monkeypatch.setattr(host_budget, "time", stand_in)
    return clock


def reserve(pacer: Pacer, count: int) -> list[float]:
    return [pacer.reserve() for _ in range(count)]


def file_of(directory: Path) -> Path:
    (found,) = directory.glob("*.json")
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "budget"


@pytest.fixture
def open_host(directory: Path) -> Callable[[], Pacer]:
    """Make what each process of a host has."""
    return lambda: Pacer(80, budget=HostBudget(*PARTS, directory=str(directory)))


class TestAfter429:
    def test_sends_less_and_then_more_again(self, clock: Clock) -> None:
        pacer = Pacer(80)
        reserve(pacer, 400)
        clock.now += 50
        pacer.refused(5)
        assert pacer.held() == 5
        clock.now += 5
        waits = reserve(pacer, 40)
        assert waits[-1] - waits[-2] == pytest.approx(10 / 32, rel=0.2)
        clock.now += 3_600
        waits = reserve(pacer, 40)
        assert waits[-1] - waits[-2] == pytest.approx(10 / 80)

    def test_all_refusals_of_a_window_are_one_lesson(self, clock: Clock) -> None:
        state = State(sent=80, sent_at=clock.now)
        for _ in range(5):
            state.learn(10.0, clock.now)
        assert state.learnt == pytest.approx(32)

    def test_who_had_little_to_do_does_not_learn_from_that(self, clock: Clock) -> None:
        state = State()
        state.learn(10.0, clock.now)
        assert state.learnt == pytest.approx(10)

    def test_all_who_share_a_tenant_grow_alike(self) -> None:
        """The more they are the slower each grows, or they would violate the limit soon again."""
        grown = []
        for hosts in (2, 8, 32):
            state = State(learnt=40 / hosts)
            grown.append(hosts * state.allowed(10.0, 120.0))
        assert grown == pytest.approx([grown[0]] * 3, rel=0.3)
        assert max(grown) < 100


class TestHost:
    def test_processes_share_it_exactly(self, open_host: Callable[[], Pacer], clock: Clock) -> None:
        first, second = open_host(), open_host()
        waits = [wait for _ in range(20) for wait in (first.reserve(), second.reserve())]
        alone = reserve(Pacer(80), 40)
        assert waits == pytest.approx(alone)

    def test_a_hold_and_a_lesson_are_for_all(self, open_host: Callable[[], Pacer], clock: Clock) -> None:
        first, second = open_host(), open_host()
        first.refused(60)
        assert second.held() == 60
        assert second.lane(0.1).reserve() == 60
        assert second.budget.update(lambda state, now: state.allowed(10.0, now)) == pytest.approx(10)

    def test_lanes_are_shared_too(self, open_host: Callable[[], Pacer], clock: Clock) -> None:
        first, second = open_host().lane(0.1), open_host().lane(0.1)
        assert [first.reserve(), second.reserve(), first.reserve()] == pytest.approx([0, 0, 1])

    def test_the_next_process_goes_on_with_it(self, open_host: Callable[[], Pacer], clock: Clock) -> None:
        reserve(open_host(), 30)
        assert open_host().reserve() == pytest.approx(21 * 0.125)

    def test_nothing_in_it_is_secret(self, open_host: Callable[[], Pacer], directory: Path) -> None:
        open_host().reserve()
        file = file_of(directory)
        assert directory.stat().st_mode & 0o777 == 0o700
        assert file.stat().st_mode & 0o777 == 0o600
        assert not any(part in file.name or part in file.read_text() for part in PARTS if part != "v1")
        assert json.loads(file.read_text()).keys() >= {"next", "held_until", "clock"}

    @pytest.mark.parametrize(
        "content",
        ["", "{", "null", "[]", "{}", '{"next": "soon"}', '{"next": 1e300}', '{"mood": 1}', "\0" * 1024],
    )
    def test_garbage(
        self, content: str, open_host: Callable[[], Pacer], directory: Path, clock: Clock
    ) -> None:
        """Starts from nothing, when what was sent before that counts no more."""
        reserve(open_host(), 30)
        file_of(directory).write_text(content)
        pacer = open_host()
        assert pacer.reserve() == pytest.approx(10.0 if content else 0.0)
        clock.now += 12
        assert reserve(pacer, 3) == [0.0] * 3

    def test_a_clock_that_starts_from_0(
        self,
        open_host: Callable[[], Pacer],
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """After a restart of the machine the stored times mean nothing."""
        clock.now = 1_000_000.0
        reserve(open_host(), 300)
        clock.now = 5.0
        monkeypatch.setattr(host_budget, "_boot_id", lambda: "another")
        assert open_host().reserve() == 0.0

    @pytest.mark.parametrize("wrong", ["file", "link", "open to others", "another user's"])
    def test_a_directory_that_is_not_ones_own(
        self,
        wrong: str,
        open_host: Callable[[], Pacer],
        directory: Path,
        caplog: pytest.LogCaptureFixture,
        clock: Clock,
    ) -> None:
        """The process keeps count by itself, and says so once."""
        if wrong == "file":
            directory.write_text("")
        elif wrong == "link":
            (directory.parent / "elsewhere").mkdir(mode=0o700)
            directory.symlink_to(directory.parent / "elsewhere")
        else:
            directory.mkdir(mode=0o700)
            if wrong == "open to others":
                directory.chmod(0o777)
            elif os.geteuid() == 0:
                os.chown(directory, 12_345, -1)
            else:
                pytest.skip("only root can give a directory away")
        pacer = open_host()
        assert reserve(pacer, 30) == reserve(Pacer(80), 30)
        (message,) = caplog.messages
        assert message.startswith(
            "The budget of requests can't be shared with other processes of this host: "
        )

    def test_a_file_that_others_may_change(
        self,
        open_host: Callable[[], Pacer],
        directory: Path,
        caplog: pytest.LogCaptureFixture,
        clock: Clock,
    ) -> None:
        """It isn't used at the next attempts either, until it is the user's alone."""
        reserve(open_host(), 30)
        file_of(directory).chmod(0o666)
        written = file_of(directory).read_text()
        pacer = open_host()
        for _ in range(3):
            assert pacer.reserve() == 0.0
            clock.now += host_budget.RETRY_SECONDS
        assert file_of(directory).read_text() == written
        (message,) = caplog.messages
        assert f"{file_of(directory)} is not this user's alone" in message
        file_of(directory).chmod(0o600)
        pacer.hold(60)
        assert open_host().held() == 60

    def test_a_full_disk(
        self,
        open_host: Callable[[], Pacer],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        assert open_host().reserve() == 0.0
        assert "No space left on device" in caplog.text

    def test_a_forked_process_locks_by_itself(self, open_host: Callable[[], Pacer]) -> None:
        pacer = open_host()
        pacer.reserve()
        child = os.fork()
        if child == 0:
            os._exit(reserve(pacer, 20)[-1] <= 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pacer.reserve() > 0


HOLDER = """
import fcntl, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(open_host: Callable[[], Pacer], directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock."""
    open_host().reserve()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file_of(directory))], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_who_dies_with_the_lock(open_host: Callable[[], Pacer], holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    pacer = open_host()
    pacer.hold(500)
    assert open_host().held() > 400


def test_who_is_suspended_with_the_lock(
    open_host: Callable[[], Pacer],
    holder: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(host_budget, "LOCK_SECONDS", 0.1)
    holder.send_signal(signal.SIGSTOP)
    assert open_host().reserve() == 0.0
    assert "another process has held its lock for 0.1 s" in caplog.text


WORKER = textwrap.dedent("""
    import json, sys
    from concurrent.futures import ThreadPoolExecutor
    from airflow_provider_sptasks.client import ClientSettings, TaskStatusClient
    given, calls = json.loads(sys.argv[1]), int(sys.argv[2])
    with TaskStatusClient(ClientSettings(**given)) as client, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: client.get("1"), range(calls)))
""")


@pytest.fixture
def limited() -> Iterator[Emulator]:
    """A tenant with SailPoint's limit and its lock-outs."""
    with Emulator(rate_limit=RateLimit()) as emulator:
        emulator.add_task("1", duration=None)
        yield emulator


def work(emulator: Emulator, processes: int, calls: int, **more: Any) -> list[int]:
    """Let processes send as fast as they may; return the statuses that they got."""
    given = settings(emulator, **more)
    values = {
        "host": given.host,
        "client_id": given.client_id,
        "client_secret": given.client_secret,
        "budget_url": given.budget_url,
    }
    command = [sys.executable, "-c", WORKER, json.dumps(values), str(calls)]
    started = [subprocess.Popen(command) for _ in range(processes)]
    assert [each.wait(timeout=120) for each in started] == [0] * processes
    return [request.status for request in emulator.requests if request.api_version]


def test_five_processes_earn_no_429(limited: Emulator) -> None:
    """Each by itself would send 10 at once: with one budget it is as if one sent them all."""
    statuses = work(limited, processes=5, calls=22)
    assert statuses == [200] * 110


def test_without_it_they_do(limited: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is really on."""
    monkeypatch.setenv(host_budget.DIRECTORY_VARIABLE, os.devnull)
    assert 429 in work(limited, processes=5, calls=22)


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with Valkey() as server:
        yield server.url


@pytest.fixture
def guarded(valkey: str) -> Iterator[str]:
    """A server that wants a password of everyone, and has a user with another one."""
    with redis.Redis.from_url(valkey) as admin:
        admin.config_set("requirepass", PASSWORD)
        admin.execute_command("ACL", "SETUSER", "airflow", "on", f">{USERS_PASSWORD}", "~*", "+@all")
        yield valkey
        admin.execute_command("ACL", "DELUSER", "airflow")
        admin.config_set("requirepass", "")


PASSWORD, USERS_PASSWORD = "pa55 w#rd/of:all@é", "pa55word of the user"


def across(url: str, *parts: str, password: str | None = None) -> Pacer:
    server = BudgetServer(url, password)
    return Pacer(80, budget=RedisBudget(server, *parts, otherwise=OwnBudget()))


class TestHosts:
    def test_share_it(self, valkey: str) -> None:
        first, second = (across(valkey, *PARTS) for _ in "12")
        waits = [wait for _ in range(20) for wait in (first.reserve(), second.reserve())]
        assert waits[-1] == pytest.approx(30 * 0.125, abs=1.5)
        first.refused(60)
        assert second.held() == pytest.approx(60, abs=1)
        other = across(valkey.replace("redis", "valkey", 1), "another", *PARTS[1:])
        assert other.held() == 0

    @pytest.mark.parametrize(("user", "password"), [("", PASSWORD), ("airflow@", USERS_PASSWORD)])
    def test_with_a_password(
        self, user: str, password: str, guarded: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It opens the server; what is stored there is the same for all who know any."""
        parts = ("with a password", user)
        first = across(guarded.replace("://", f"://{user}"), *parts, password=password)
        second = across(guarded, *parts, password=PASSWORD)
        first.hold(60)
        assert second.held() == pytest.approx(60, abs=1)
        assert caplog.messages == []
        with redis.Redis.from_url(guarded, password=PASSWORD) as admin:
            found = [(key, admin.get(key)) for key in admin.scan_iter()]
        assert password not in repr(found)

    @pytest.mark.parametrize("password", [None, "wr0ng pa55word"])
    def test_with_a_wrong_password(
        self, password: str | None, guarded: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        pacer = across(guarded, *PARTS, password=password)
        assert reserve(pacer, 3) == [0.0] * 3
        (message,) = caplog.messages
        assert "can't be had (AuthenticationError)" in message
        assert "pa55word" not in f"{caplog.text} {vars(pacer.budget)} {caplog.records[0].args}"

    def test_another_password_is_another_pacer(self, valkey: str) -> None:
        """After a rotation the new one counts, also in a triggerer that runs for months."""
        pacers = [shared_pacer(*PARTS, 80, BudgetServer(valkey, each)) for each in ("a", "b", "b", None)]
        assert len(set(pacers)) == 3
        assert pacers[1] is pacers[2]

    def test_processes_of_two_hosts(
        self, valkey: str, limited: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each has a budget of its own besides, as if it ran on a host of its own."""
        monkeypatch.setenv(host_budget.DIRECTORY_VARIABLE, os.devnull)
        assert work(limited, processes=5, calls=22, budget_url=valkey) == [200] * 110

    def test_goes_on_without_the_server(
        self, valkey: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pacer = across("redis://127.0.0.1:1/0", *PARTS, password="pa55word")
        monkeypatch.setattr(redis_budget, "RETRY_SECONDS", 0.0)
        assert pacer.reserve() == pacer.reserve() == 0.0
        (message,) = caplog.messages
        assert message.startswith("The budget of requests at 127.0.0.1 can't be had (ConnectionError)")
        vars(pacer.budget).update(vars(across(valkey, *PARTS).budget), _is_away=True)
        caplog.set_level("INFO")
        pacer.reserve()
        assert caplog.messages[-1] == "The budget of requests at 127.0.0.1 can be had again"


def test_the_package_is_not_there(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ValueError, match="budget_url needs the package redis") as caught:
        TaskStatusClient(settings(emulator, budget_url="redis://127.0.0.1:1/0", budget_password="pa55word"))
    # Tools that report errors send them along.
    frames = [repr(frame.f_locals) for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert "BudgetServer" in str(frames)
    assert "pa55word" not in str(frames)


def test_a_429_is_learnt_from(limited: Emulator) -> None:
    limited.fail(429, path="/task-status*", times=1)
    with TaskStatusClient(settings(limited), retry=RetryPolicy(max_attempts=1)) as client:
        with pytest.raises(RateLimitedError):
            client.get("1")
        learnt = client.transport.pacer.budget.update(lambda state, _: state.learnt)
    assert learnt == pytest.approx(10)
