"""One Airflow on PostgreSQL for all tests here, in which everything happens at the same time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from types import FrameType

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.emulator.ratelimit import RateLimit
from airflow_provider_sptasks.emulator.requestlog import LoggedRequest
from harness.airflow import Airflow, Run
from harness.servers import PostgreSQL
from tests.airflow.dags.gates import MODES

DAGS = Path(__file__).parent / "dags"
# For a machine that is slow, or busy with something else.
PATIENCE = 300.0
ONE, TWO = "triggerer-one", "triggerer-two"
AWAY = 30.0
FIRST_TRY = dict.fromkeys(MODES, 1)
IN_TRIGGERER = [mode for mode, arguments in MODES.items() if "deferrable" in arguments]
LIMIT = RateLimit(requests=50, seconds=5.0)
HAMMER = "another client"

SETTINGS = {
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "100",
    "AIRFLOW__CORE__PARALLELISM": "20",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    # A scheduler that has a lot to do must not take itself for dead.
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "600",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    # So that it takes seconds to notice that a triggerer died.
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    # A task that runs can do without its api-server for that many heartbeats.
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "60",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
}
# What Airflow can't store: it once ended the triggerer, with all that waited there.
POISON = {
    "description": "half a \ud83d, and \x00",
    "launcher": "\x1b[31m" + "x" * 1_000_000,
    "percentComplete": 1e20,
    "attributes": {"total": 2**64, "note": "\x00\ud83d"},
    "messages": [{"type": "INFO", "localizedText": {"locale": "en-US", "message": "\ud83d\x00"}}],
}
# For the scheduler that takes over from one that died.
SUCCESSOR = {
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
}


class Wait:
    """
    Gates in every mode that wait for a task of SailPoint, which ends when a test wants it to.

    :param airflow: where they wait.
    :param tenant: the tenant.
    :param connection: the id of the connection to it.
    """

    def __init__(self, airflow: Airflow, tenant: Emulator, connection: str) -> None:
        self.airflow = airflow
        self.tenant = tenant
        self.connection = connection
        self.task_status_id = tenant.add_task(duration=None).id
        conf = {"task_status_id": self.task_status_id, "sailpoint_conn_id": connection}
        self.run = airflow.trigger("gates", conf)

    def begins(self) -> None:
        """Return when each sensor has polled for the task, and waits."""
        self.run = begun(self.airflow, self.run, "wait")
        # The first line says what is waited for, the second what was seen.
        self.logs(lambda log: len(log) > 1)

    def logs(self, what: Callable[[list[str]], bool]) -> None:
        """Return when each sensor has logged something."""
        for mode in MODES:
            _until(lambda mode=mode: what(self.log(mode)), f"{mode} doesn't log it")  # type: ignore[misc]

    def ends(self) -> None:
        """Expect that no gate has ended, and end what they wait for."""
        self.run = self.airflow.refresh(self.run)
        assert not [task for task in self.run.tasks if task.ended]
        self.tenant.complete(self.task_status_id)

    def opened(self) -> dict[str, int]:
        """Expect that each gate opens and hands on what it saw; return in how many tries each got there."""
        gates = dict.fromkeys((f"wait_{mode}" for mode in MODES), "success")
        self.run = self.airflow.until(self.run, gates | {"read": "success"}, PATIENCE)
        read = self.airflow.xcom(self.run, "read")
        assert {mode: status["id"] for mode, status in read.items()} == dict.fromkeys(
            MODES, self.task_status_id
        )
        return {mode: self.run.task(f"wait_{mode}").try_number for mode in MODES}

    def asked_for(self) -> list[LoggedRequest]:
        """Return the requests that asked for the task."""
        return [
            request
            for request in self.tenant.requests
            if any(self.task_status_id in text for text in (request.path, *request.query.values()))
        ]

    def log(self, mode: str) -> list[str]:
        """Return what a sensor has logged."""
        return self.airflow.log(self.run, self.run.task(f"wait_{mode}"), "airflow_provider_sptasks")


class Outage:
    """
    A wait, and what happens to it while others wait.

    :param wait: the wait.
    :param fault: makes it happen.
    """

    def __init__(self, wait: Wait, fault: Callable[[Wait], None]) -> None:
        self.airflow = wait.airflow
        self._wait = wait
        self._fault = fault
        self._happened: Future[None] = Future()

    def begin(self) -> None:
        """Return when the gates wait."""
        with self._logged():
            self._wait.begins()

    def happen(self) -> None:
        """Let it happen."""
        with self._logged():
            self._fault(self._wait)
        if not self._happened.done():
            self._happened.set_result(None)

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """Keep what goes wrong for the test."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the test raises it
            if not self._happened.done():
                self._happened.set_exception(error)

    def past(self) -> Wait:
        """Return the wait when it has happened."""
        self._happened.result(2 * PATIENCE)
        return self._wait


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def database(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of Airflow's database as it is at first, to be copied."""
    with Airflow(
        tmp_path_factory.mktemp("pristine"), DAGS, {}, database=postgresql.create("pristine")
    ) as airflow:
        airflow.create_database(PATIENCE)
    return "pristine"


@pytest.fixture(scope="session")
def interrupts() -> Iterator[None]:
    """Let SIGTERM end the tests as Ctrl-C does: with everything stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def callbacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which callbacks leave a file."""
    return tmp_path_factory.mktemp("callbacks")


@pytest.fixture(scope="session")
def airflow(
    interrupts: None,
    postgresql: PostgreSQL,
    database: str,
    callbacks: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Airflow]:
    """An Airflow with one triggerer."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {**SETTINGS, "CALLBACKS": str(callbacks)}
    url = postgresql.create("airflow", template=database)
    with Airflow(home, DAGS, environment, database=url) as airflow:
        airflow.start()
        airflow.start_triggerer(ONE)
        airflow.wait_until_ready(["gates", "timeouts", "aftermath"], PATIENCE)
        yield airflow


@pytest.fixture(scope="session")
def steady(airflow: Airflow) -> Iterator[Emulator]:
    """A tenant that nothing happens to, at the connection ``steady``."""
    with Emulator() as tenant:
        connect(airflow, "steady", tenant)
        yield tenant


def connect(airflow: Airflow, connection: str, tenant: Emulator) -> None:
    airflow.connect(
        connection,
        conn_type="sailpoint",
        host=tenant.url,
        login=tenant.client_id,
        password=tenant.client_secret,
    )


@pytest.fixture(scope="session")
def waits(airflow: Airflow, steady: Emulator) -> Iterator[dict[str, Outage]]:
    """The waits, by what happens to them; where that takes its time, it begins at once."""
    with ExitStack() as stack:

        def outage(name: str, fault: Callable[[Wait], None], *, apart: bool = False) -> Outage:
            tenant = steady
            if apart:
                tenant = stack.enter_context(Emulator(rate_limit=LIMIT))
                connect(airflow, name, tenant)
            return Outage(Wait(airflow, tenant, name if apart else "steady"), fault)

        faults = {
            "tenant": outage("tenant", _tenant_is_away, apart=True),
            "limit": outage("limit", _another_client_is_locked_out, apart=True),
            "secret": outage("secret", _secret_is_rotated, apart=True),
            "token": outage("token", _token_is_revoked, apart=True),
            "marked": outage("marked", _user_marks_failed),
            "triggerer": outage("triggerer", triggerer_is_killed),
            "api-server": outage("api-server", nothing),
            "scheduler": outage("scheduler", nothing),
        }
        for several in (["tenant"], ["limit"], [*faults][2:]):
            thread = Thread(target=_happen, args=[[faults[name] for name in several]])
            thread.start()
            stack.callback(thread.join)
        yield faults


@pytest.fixture(scope="session")
def ends(airflow: Airflow, steady: Emulator, waits: dict[str, Outage]) -> dict[str, Run]:
    """The runs whose gates come to an end, by the way they do."""
    good, bad, stuck, odd = (steady.add_task(duration=None).id for _ in range(4))
    steady.override_task(odd, POISON)

    def run(dag_id: str, task_status_id: str, bad_id: str = "") -> Run:
        conf = {"task_status_id": task_status_id, "bad_id": bad_id, "sailpoint_conn_id": "steady"}
        return airflow.trigger(dag_id, conf)

    runs = {
        "success": run("gates", good),
        "terminated": run("gates", bad),
        "aftermath": run("aftermath", good, bad),
        "unknown": run("gates", "f" * 32),
        "timeout": run("timeouts", stuck),
        "odd": run("gates", odd),
        "mapped": run("mapped", good, bad),
    }
    begun(airflow, runs["success"], "wait")
    begun(airflow, runs["terminated"], "wait")
    begun(airflow, runs["odd"], "wait")
    airflow.until(runs["mapped"], {"gate": "deferred"}, PATIENCE)
    begun(airflow, runs["aftermath"], "open", "fail", "skip")
    settle(airflow)
    steady.complete(good)
    steady.complete(odd)
    steady.complete(bad, "TERMINATED")
    return runs


def begun(airflow: Airflow, run: Run, *gates: str) -> Run:
    """Return the run when gates wait, in every mode."""
    waiting = {"poke": {"running"}, "reschedule": {"running", "up_for_reschedule"}}
    states = {f"{gate}_{mode}": waiting.get(mode, {"deferred"}) for gate in gates for mode in MODES}
    return airflow.until(run, states, PATIENCE)


def settle(airflow: Airflow) -> None:
    """
    Return when the scheduler knows of all gates that they were deferred.

    Until then it takes one for failed that comes back: https://github.com/apache/airflow/issues/72716.
    """
    time.sleep(5.0)
    beats: set[str] = set()

    def rounds() -> int:
        beats.add(airflow.get("/api/v2/monitor/health")["scheduler"]["latest_scheduler_heartbeat"])
        return len(beats)

    _until(lambda: rounds() > 3, "the scheduler stands still")


def _happen(faults: Sequence[Outage]) -> None:
    for outage in faults:
        outage.begin()
    settle(faults[0].airflow)
    for outage in faults:
        outage.happen()


def nothing(_wait: Wait) -> None:
    """The test itself sees to it."""


def _tenant_is_away(wait: Wait) -> None:
    wait.tenant.stop()
    time.sleep(AWAY)
    wait.logs(lambda log: any("Polling fails" in line for line in log))
    wait.tenant.start()
    wait.ends()


def _secret_is_rotated(wait: Wait) -> None:
    tenant = wait.tenant
    tenant.rotate_secret(tenant.client_id, "a new secret")
    connect(wait.airflow, wait.connection, tenant)
    tenant.revoke_tokens()  # which stands for their end
    wait.ends()


def _token_is_revoked(wait: Wait) -> None:
    wait.tenant.revoke_tokens()
    wait.ends()


def _another_client_is_locked_out(wait: Wait) -> None:
    """Send requests with the gates' client id until the tenant locks it out, and until that is over."""
    tenant = wait.tenant
    form = {
        "grant_type": "client_credentials",
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
    }
    with requests.Session() as session:
        session.headers["User-Agent"] = HAMMER
        token = session.post(f"{tenant.url}/oauth/token", data=form).json()["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        delay = 0.0
        while delay <= LIMIT.seconds:
            answer = session.get(f"{tenant.url}/task-status/v1", params={"limit": 1})
            delay = float(answer.headers.get("Retry-After", 0))
            time.sleep(0.05)
    time.sleep(delay)
    wait.ends()


def _user_marks_failed(wait: Wait) -> None:
    for mode in MODES:
        wait.airflow.mark(wait.run, f"wait_{mode}", "failed")


def triggerer_is_killed(wait: Wait) -> None:
    """Start another triggerer, kill the first one, in which all gates wait, and see them taken over."""
    airflow = wait.airflow
    airflow.start_triggerer(TWO)
    _until(lambda: len(airflow.triggerers()) == 2, "the other triggerer doesn't start")
    run = airflow.refresh(wait.run)
    before = {mode: run.task(f"wait_{mode}").triggerer for mode in IN_TRIGGERER}
    assert len(set(before.values())) == 1
    airflow.kill(ONE)

    def taken_over() -> bool:
        run = airflow.refresh(wait.run)
        return all(run.task(f"wait_{mode}").triggerer not in {None, job} for mode, job in before.items())

    _until(taken_over, "no triggerer takes the sensors over")
    wait.ends()


def _until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(1.0)
