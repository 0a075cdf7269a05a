"""A real Airflow on loopback, in a folder of its own: one process per component, SQLite, LocalExecutor."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

HOST = "127.0.0.1"
# How long components may take to end by themselves.
GRACE = 5.0


class AirflowError(Exception):
    """Airflow doesn't do what it is asked for; the message says what and why."""


class UnreachableError(AirflowError):
    """Airflow's api-server doesn't answer."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a DAG run as it is now."""

    task_id: str
    state: str | None
    try_number: int
    seconds: float

    @property
    def begun(self) -> bool:
        """Whether it has run, so that there may be a log."""
        return self.try_number > 0 and self.state not in {None, "scheduled", "queued"}

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in {"success", "failed", "skipped", "upstream_failed"}


@dataclass(frozen=True, slots=True)
class Run:
    """A DAG run as it is now."""

    dag_id: str
    run_id: str
    state: str
    seconds: float
    tasks: tuple[Task, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in {"success", "failed"}


class Airflow:
    """
    Airflow's api-server, scheduler, dag-processor and triggerer, stopped at the end of the ``with`` block.

    :param home: a folder for its database, settings and logs.
    :param dags: the folder of the DAGs.
    :param environment: further environment variables for all components, such as connections.
    """

    def __init__(self, home: Path, dags: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.logs = home / "logs"
        self.url = f"http://{HOST}:{_free_port()}"
        self._environment = {**self._settings(dags), **environment}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._open = build_opener(ProxyHandler({})).open
        self._token = ""

    def _settings(self, dags: Path) -> dict[str, str]:
        # What is configured for another Airflow on this machine must not reach this one.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        return inherited | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": self.url.rpartition(":")[2],
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs / "tasks"),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(self.logs / "dag_processor"),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "NO_COLOR": "1",
            "NO_PROXY": f"{HOST},localhost",
            "no_proxy": f"{HOST},localhost",
        }

    def __enter__(self) -> Self:
        shutil.rmtree(self.home, ignore_errors=True)
        self.logs.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal(process, signal.SIGKILL)  # whatever is left of its group
            process.wait()

    def create_database(self, timeout: float) -> None:
        """
        Create the database; no component starts without one.

        :param timeout: in seconds.
        """
        self._run("database", "db", "migrate")
        deadline = time.monotonic() + timeout
        while (code := self._processes["database"].poll()) is None:
            if time.monotonic() > deadline:
                raise AirflowError(f"The database is not there after {timeout:.0f} s.")
            time.sleep(0.1)
        if code:
            raise self._ended("database")
        del self._processes["database"]

    def start(self) -> None:
        """Start what shows DAGs and runs them."""
        self._run("api-server", "api-server")
        self._run("scheduler", "scheduler", "--skip-serve-logs")
        self._run("dag-processor", "dag-processor")

    def start_triggerer(self) -> None:
        """Start what runs deferred tasks: apart from the rest, which is ready sooner without it."""
        self._run("triggerer", "triggerer", "--skip-serve-logs")

    def _run(self, name: str, *arguments: str) -> None:
        program = Path(sys.executable).with_name("airflow")
        with (self.logs / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - Airflow's own program
                [program, *arguments],
                cwd=self.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches it through us only
            )

    def check(self) -> None:
        """Raise :class:`AirflowError` if a component has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise self._ended(name)

    def _ended(self, name: str) -> AirflowError:
        log = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
        lines = "\n".join(log[-15:])
        return AirflowError(
            f"Airflow's {name} ended with exit code {self._processes[name].returncode}:\n{lines}"
        )

    def wait_until_ready(self, dag_ids: Iterable[str], timeout: float) -> None:
        """
        Wait until what was started answers and the DAGs are there.

        :param dag_ids: the DAGs.
        :param timeout: in seconds.
        """
        deadline = time.monotonic() + timeout
        while missing := self._missing(dag_ids):
            self.check()
            if time.monotonic() > deadline:
                raise AirflowError(f"Not there after {timeout:.0f} s: {missing}.")
            time.sleep(0.3)

    def _missing(self, dag_ids: Iterable[str]) -> str | None:
        try:
            if not self._token:
                self._token = self.get("/auth/token")["access_token"]
            health = self.get("/api/v2/monitor/health")
            errors = self.get("/api/v2/importErrors")["import_errors"]
            there = {dag["dag_id"] for dag in self.get("/api/v2/dags")["dags"]}
            # The first request to the API that tasks use takes seconds, which the first task would wait.
            self.get("/execution/health")
        except UnreachableError:
            return "api-server"
        if errors:
            raise AirflowError(f"{errors[0]['filename']} can't be imported:\n{errors[0]['stack_trace']}")
        for component in ("scheduler", "dag_processor"):
            if health[component]["status"] != "healthy":
                return component
        return next((f"DAG {dag_id}" for dag_id in dag_ids if dag_id not in there), None)

    def trigger(self, dag_id: str, conf: Mapping[str, object]) -> Run:
        """
        Start a run of a DAG without a schedule.

        :param dag_id: of which DAG.
        :param conf: its parameters.
        """
        self._switch_on(dag_id)
        run = self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return Run(dag_id, run["dag_run_id"], run["state"], 0.0)

    def switch_on(self, dag_id: str, timeout: float) -> Run:
        """
        Switch on a DAG with a schedule, and return the run that was due last, which starts at once.

        :param dag_id: which DAG.
        :param timeout: in seconds.
        """
        self._switch_on(dag_id)
        deadline = time.monotonic() + timeout
        while not (runs := self.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]):
            self.check()
            if time.monotonic() > deadline:
                raise AirflowError(f"The scheduler started no run of {dag_id} within {timeout:.0f} s.")
            time.sleep(0.2)
        return Run(dag_id, runs[0]["dag_run_id"], runs[0]["state"], 0.0)

    def _switch_on(self, dag_id: str) -> None:
        self._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def look(self, run: Run) -> Run:
        """
        Return a run as it is now.

        :param run: as it was.
        """
        path = self._path(run)
        state = self.get(path)
        tasks = self.get(f"{path}/taskInstances")["task_instances"]
        return Run(
            run.dag_id,
            run.run_id,
            state["state"],
            state["duration"] or 0.0,
            tuple(
                Task(each["task_id"], each["state"], each["try_number"], each["duration"] or 0.0)
                for each in sorted(tasks, key=lambda each: (each["start_date"] or "~", each["task_id"]))
            ),
        )

    def log(self, run: Run, task: Task, logger: str) -> list[str]:
        """
        Return the lines of a task's log that a package wrote.

        :param run: the run.
        :param task: the task.
        :param logger: the package.
        """
        path = f"{self._path(run)}/taskInstances/{task.task_id}/logs/{task.try_number}?full_content=true"
        entries = self.get(path)["content"]
        return [each["event"] for each in entries if logger in (each.get("logger") or "")]

    def xcom(self, run: Run, task_id: str) -> Any:
        """
        Return what a task returned.

        :param run: the run.
        :param task_id: the task.
        """
        path = f"{self._path(run)}/taskInstances/{task_id}/xcomEntries/return_value?deserialize=true"
        return self.get(path)["value"]

    def _path(self, run: Run) -> str:
        return f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}"

    def get(self, path: str) -> Any:
        """
        Ask the REST API.

        :param path: the path.
        """
        return self._call("GET", path)

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        request = Request(  # noqa: S310 - always http
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Accept": "application/json", "Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {self._token}"} if self._token else {}),
        )
        try:
            with self._open(request, timeout=30) as response:
                return json.load(response)
        except HTTPError as error:
            text = error.read().decode(errors="replace")
            raise AirflowError(f"{method} {path} gave {error.code}: {text}") from None
        except OSError as error:
            self.check()
            raise UnreachableError(f"{method} {path}: Airflow's api-server doesn't answer: {error}") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
