"""
A real Airflow on loopback, in a folder of its own: its components, and what they do and did.

By default it is a small one, with SQLite and the LocalExecutor; with a database and a message broker from
``harness.servers`` it is what runs on many machines.
"""

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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

HOST = "127.0.0.1"
# How long components may take to end by themselves.
GRACE = 5.0
# The most that Airflow's REST API gives in one answer.
PAGE = 100
# A request costs the api-server a tenth of a second of its core.
REFRESH_SECONDS = 1.0
# Below what Linux, macOS and Windows hand out.
PORTS = range(20_000, 32_768)
PLUGINS = Path(__file__).parent / "plugins"
COMMANDS = """
import json, sys
from airflow.cli.cli_parser import get_parser
for arguments in json.loads(sys.argv[1]):
    given = get_parser().parse_args(arguments)
    given.func(given)
"""


class AirflowError(Exception):
    """Airflow doesn't do what it is asked for; the message says what and why."""


class UnreachableError(AirflowError):
    """Airflow's api-server doesn't answer."""


@dataclass(frozen=True, slots=True)
class Task:
    """
    A task of a DAG run, or one of a mapped task's instances, as it is now.

    :param triggerer: the job of the triggerer that it waits in, where it does.
    """

    task_id: str
    state: str | None
    try_number: int
    seconds: float
    map_index: int = -1
    triggerer: int | None = None

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

    def task(self, task_id: str) -> Task:
        """
        Return one of its tasks.

        :param task_id: which one.
        """
        return next(task for task in self.tasks if task.task_id == task_id)


@dataclass(frozen=True, slots=True)
class Process:
    """
    A process of a component.

    :param pid: its id.
    :param title: its command line, which says what it does.
    :param cpu_seconds: what it and those of its children that have ended took up.
    """

    pid: int
    title: str
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Site:
    """
    An api-server where users log in.

    :param url: its base URL
    :param tokens: a token for each user
    """

    url: str
    tokens: Mapping[str, str]


class Airflow:
    """
    Airflow's components, stopped at the end of the ``with`` block.

    :param home: a folder for its settings and logs, and for the database unless there is another.
    :param dags: the folder of the DAGs.
    :param environment: further environment variables for all components, such as connections and settings.
    :param database: the database's URL for SQLAlchemy; SQLite by default.
    :param broker: the URL of a message broker for the CeleryExecutor; the LocalExecutor by default.
    :param login: name and password of an administrator; by default all are administrators without a login.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        environment: Mapping[str, str],
        *,
        database: str | None = None,
        broker: str | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.home = home
        self.logs = home / "logs"
        self.url = f"http://{HOST}:{free_port()}"
        self._started = home / "task_processes.jsonl"
        self._environment = self._settings(dags)
        if database is not None:
            self._environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = database
            # An api-server that runs out of connections waits for one in its event loop, and stands still.
            self._environment["AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE"] = "60"
        if broker is not None:
            self._environment["AIRFLOW__CORE__EXECUTOR"] = "CeleryExecutor"
            self._environment["AIRFLOW__CELERY__BROKER_URL"] = broker
        self._environment.update(environment)
        self._commands: dict[str, tuple[str, ...]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._open = build_opener(ProxyHandler({})).open
        self._login = login
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
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs / "tasks"),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(self.logs / "dag_processor"),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "HARNESS_TASK_PROCESSES": str(self._started),
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
        end(self._processes.values())

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

    def run_commands(self, commands: Iterable[Sequence[str]], timeout: float) -> None:
        """
        Run commands of Airflow's command line, one after the other, in one process: each would take seconds.

        :param commands: the arguments of each
        :param timeout: for all of them, in seconds
        :raises AirflowError: one of them fails
        """
        ended = subprocess.run(  # noqa: S603 - Airflow's own program
            [sys.executable, "-c", COMMANDS, json.dumps([list(each) for each in commands])],
            cwd=self.home,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if ended.returncode:
            raise AirflowError(f"Airflow's command line failed: {ended.stderr[-2000:]}")

    def start(self) -> None:
        """Start what shows DAGs and runs them."""
        self._run("api-server", "api-server")
        self._run("scheduler", "scheduler", "--skip-serve-logs")
        self._run("dag-processor", "dag-processor")

    def start_site(self, name: str, path: str, users: Mapping[str, str], timeout: float) -> Site:
        """
        Start another api-server, as behind a proxy, where users log in with roles.

        The first one lets everything be done without a login.

        :param name: of this one
        :param path: the path below which it is, such as ``/air/flow``
        :param users: the role of each user
        :param timeout: in seconds
        """
        url = self.start_api_server(
            name,
            path,
            timeout,
            AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="False",
            AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS=",".join(
                f"{user}:{role}" for user, role in users.items()
            ),
        )
        passwords = json.loads((self.home / "simple_auth_manager_passwords.json.generated").read_text())
        return Site(url, {user: self.log_in(url, user, passwords[user]) for user in users})

    def start_api_server(self, name: str, path: str, timeout: float, **environment: str) -> str:
        """
        Start another api-server, and return its base URL when it answers.

        :param name: of this one
        :param path: the path below which it is; empty for none
        :param timeout: in seconds
        :param environment: environment variables that are different for this one
        """
        port = free_port()
        url = f"http://{HOST}:{port}{path}"
        own = {"AIRFLOW__API__BASE_URL": url, "AIRFLOW__API__PORT": str(port)}
        self._run(name, "api-server", **own, **environment)
        deadline = time.monotonic() + timeout
        while True:
            self.check()
            with suppress(OSError, HTTPException):
                self._open(f"{url}/api/v2/monitor/health", timeout=30).close()
                break
            if time.monotonic() > deadline:
                raise AirflowError(f"{name} is not there after {timeout:.0f} s.")
            time.sleep(0.3)
        return url

    def log_in(self, url: str, user: str, password: str) -> str:
        """
        Return a token for a user.

        :param url: the api-server's base URL
        :param user: the user's name
        :param password: the user's password
        """
        request = Request(  # noqa: S310 - always http
            f"{url}/auth/token",
            data=json.dumps({"username": user, "password": password}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with self._open(request, timeout=30) as response:
            return str(json.load(response)["access_token"])

    def triggerers(self) -> list[int]:
        """Return the jobs of the triggerers that are alive."""
        jobs = self.get("/api/v2/jobs?job_type=TriggererJob&is_alive=true")["jobs"]
        return [job["id"] for job in jobs]

    def start_triggerer(self, name: str = "triggerer") -> None:
        """
        Start what runs deferred tasks: apart from the rest, which is ready sooner without it.

        :param name: of this one, where there are several.
        """
        self._run(name, "triggerer", "--skip-serve-logs")

    def start_worker(self, name: str = "worker", concurrency: int = 4) -> None:
        """
        Start what runs tasks for the CeleryExecutor.

        :param name: of this one, where there are several.
        :param concurrency: how many tasks it runs at the same time.
        """
        self._run(
            name,
            *("celery", "worker", "--skip-serve-logs", "--without-gossip", "--without-mingle"),
            *("--celery-hostname", name, "--concurrency", str(concurrency)),
        )

    def stop(self, name: str) -> None:
        """
        Stop a component as an administrator does.

        :param name: which one.
        """
        end([self._processes.pop(name)])

    def kill(self, name: str) -> None:
        """
        Kill a component with all its processes, as a machine that loses its power does.

        :param name: which one.
        """
        end([self._processes.pop(name)], grace=0.0)

    def start_again(self, name: str, **environment: str) -> None:
        """
        Start a component that was stopped or killed.

        :param name: which one.
        :param environment: environment variables that are different this time.
        """
        self._run(name, *self._commands[name], **environment)

    def processes(self, name: str) -> list[Process]:
        """
        Return a component's processes, the first one first.

        :param name: which component.
        """
        return [
            Process(pid, _title(pid), cpu_seconds)
            for pid, cpu_seconds in sorted(_session(self._processes[name].pid))
        ]

    def task_processes(self) -> list[dict[str, Any]]:
        """Return what was started to run tasks: ``dag_id``, ``run_id``, ``task_id``, … of each process."""
        with suppress(FileNotFoundError):
            return [json.loads(line) for line in self._started.read_text().splitlines()]
        return []

    def _run(self, name: str, *arguments: str, **environment: str) -> None:
        program = Path(sys.executable).with_name("airflow")
        self._commands[name] = arguments
        with (self.logs / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - Airflow's own program
                [program, *arguments],
                cwd=self.home,
                env=self._environment | environment,
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
        code = self._processes[name].returncode
        return AirflowError(f"Airflow's {name} ended with exit code {code}:\n{self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        log = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join([line[:300] for line in log if "[http.access]" not in line][-15:])

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
                self._token = self._first_token()
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

    def _first_token(self) -> str:
        if self._login is None:
            return str(self.get("/auth/token")["access_token"])
        try:
            return self.log_in(self.url, *self._login)
        except (OSError, HTTPException) as error:
            raise UnreachableError(f"The administrator can't log in: {error}") from None

    def trigger(self, dag_id: str, conf: Mapping[str, object]) -> Run:
        """
        Start a run of a DAG without a schedule.

        :param dag_id: of which DAG.
        :param conf: its parameters.
        """
        self.unpause(dag_id)
        run = self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return Run(dag_id, run["dag_run_id"], run["state"], 0.0)

    def switch_on(self, dag_id: str, timeout: float) -> Run:
        """
        Switch on a DAG with a schedule, and return the run that was due last, which starts at once.

        :param dag_id: which DAG.
        :param timeout: in seconds.
        """
        self.unpause(dag_id)
        return self.first_run(dag_id, timeout)

    def unpause(self, dag_id: str) -> None:
        """
        Switch on a DAG.

        :param dag_id: which DAG.
        """
        self.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def parse_again(self, dag_id: str) -> None:
        """
        Have a DAG's file parsed now, upon which its asset watchers begin, if the DAG is switched on.

        :param dag_id: which DAG.
        """
        token = self.get(f"/api/v2/dags/{dag_id}")["file_token"]
        self.call("PUT", f"/api/v2/parseDagFile/{token}")

    def first_run(self, dag_id: str, timeout: float) -> Run:
        """
        Wait for the scheduler to start a run of a DAG.

        :param dag_id: which DAG.
        :param timeout: in seconds.
        """
        deadline = time.monotonic() + timeout
        while not (runs := self.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]):
            self.check()
            if time.monotonic() > deadline:
                raise AirflowError(f"The scheduler started no run of {dag_id} within {timeout:.0f} s.")
            time.sleep(0.2)
        return Run(dag_id, runs[0]["dag_run_id"], runs[0]["state"], 0.0)

    def refresh(self, run: Run) -> Run:
        """
        Return a run as it is now.

        :param run: as it was.
        """
        path = self._path(run)
        state = self.get(path)
        tasks = self._all(f"{path}/taskInstances?order_by=id", "task_instances")
        return Run(
            run.dag_id,
            run.run_id,
            state["state"],
            state["duration"] or 0.0,
            tuple(
                Task(
                    each["task_id"],
                    each["state"],
                    each["try_number"],
                    each["duration"] or 0.0,
                    each["map_index"],
                    (each["triggerer_job"] or {}).get("id"),
                )
                for each in sorted(
                    tasks, key=lambda each: (each["start_date"] or "~", each["task_id"], each["map_index"])
                )
            ),
        )

    def until(self, run: Run, states: Mapping[str, str | Collection[str | None]], timeout: float) -> Run:
        """
        Wait until tasks are in given states, and return the run as it is then.

        :param run: the run.
        :param states: the state of each task, or several that will do.
        :param timeout: in seconds.
        :raises AirflowError: they aren't in time, or can't be any more; the message has states and logs.
        """
        wanted = {
            task_id: {state} if isinstance(state, str) else set(state) for task_id, state in states.items()
        }
        deadline = time.monotonic() + timeout
        while True:
            with suppress(UnreachableError):
                run = self.refresh(run)
                late = [
                    task for task in run.tasks if task.state not in wanted.get(task.task_id, {task.state})
                ]
                if run.tasks and not late:
                    return run
                if any(task.ended for task in late) or run.ended:
                    raise AirflowError(self._report(run, states, "can't become any more"))
            if time.monotonic() > deadline:
                raise AirflowError(self._report(run, states, f"isn't after {timeout:.0f} s"))
            self.check()
            time.sleep(REFRESH_SECONDS)

    def _report(
        self, run: Run, states: Mapping[str, str | Collection[str | None]], what_is_wrong: str
    ) -> str:
        there = {task.task_id: task.state for task in run.tasks}
        lines = [f"{run.dag_id} {run.run_id} {what_is_wrong} {dict(states)}, it is {run.state} with {there}."]
        for task in run.tasks:
            if task.begun and task.task_id in states:
                with suppress(AirflowError):
                    lines += [f"--- {task.task_id}, try {task.try_number}", *self.log(run, task)[-15:]]
        for name in self._processes:
            lines += [f"--- {name}", self._last_words(name)]
        return "\n".join(lines)

    def log(self, run: Run, task: Task, logger: str = "") -> list[str]:
        """
        Return the lines of a task's log, and what it says of errors.

        :param run: the run.
        :param task: the task.
        :param logger: only those that this package wrote.
        """
        path = (
            f"{self._path(run)}/taskInstances/{task.task_id}/logs/{task.try_number}"
            f"?full_content=true&map_index={task.map_index}"
        )
        lines: list[str] = []
        for entry in self.get(path)["content"]:
            if logger in (entry.get("logger") or ""):
                lines.append(entry["event"])
                lines += [
                    f"{each['exc_type']}: {each['exc_value']}" for each in entry.get("error_detail") or []
                ]
        return lines

    def xcom(self, run: Run, task_id: str, key: str = "return_value", *, deserialize: bool = True) -> Any:
        """
        Return what a task returned, or another XCom of it.

        :param run: the run.
        :param task_id: the task.
        :param key: the XCom's key.
        :param deserialize: as a task gets it; otherwise as it lies in the database.
        """
        path = f"{self._path(run)}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.get(f"{path}?deserialize={str(deserialize).lower()}")["value"]

    def asset_events(self, run: Run) -> list[dict[str, Any]]:
        """
        Return the events of assets that a run brought about.

        :param run: the run.
        """
        source = urlencode({"source_dag_id": run.dag_id, "source_run_id": run.run_id})
        return self._all(f"/api/v2/assets/events?{source}", "asset_events")

    def event_logs(self, run: Run) -> list[dict[str, Any]]:
        """
        Return the audit log of a run.

        :param run: the run.
        """
        which = urlencode({"dag_id": run.dag_id, "run_id": run.run_id})
        return self._all(f"/api/v2/eventLogs?{which}", "event_logs")

    def mark(self, run: Run, task_id: str, state: str) -> None:
        """
        Give a task a state, as a user does.

        :param run: the run.
        :param task_id: the task.
        :param state: the state.
        """
        self.call("PATCH", f"{self._path(run)}/taskInstances/{task_id}", {"new_state": state})

    def clear(self, run: Run, task_id: str) -> None:
        """
        Clear a task, as a user does.

        :param run: the run.
        :param task_id: the task.
        """
        body = {
            "dry_run": False,
            "only_failed": False,
            "reset_dag_runs": True,
            "dag_run_id": run.run_id,
            "task_ids": [task_id],
        }
        self.call("POST", f"/api/v2/dags/{run.dag_id}/clearTaskInstances", body)

    def links(self, run: Run, task_id: str) -> dict[str, str | None]:
        """
        Return a task's links, by what is written on their buttons.

        :param run: the run.
        :param task_id: the task.
        """
        links: dict[str, str | None] = self.get(f"{self._path(run)}/taskInstances/{task_id}/links")[
            "extra_links"
        ]
        return links

    def connect(self, connection_id: str, **fields: object) -> None:
        """
        Keep a connection in the database, or change the one that is there.

        :param connection_id: its id.
        :param fields: the rest, as in the REST API.
        """
        action = {
            "action": "create",
            "action_on_existence": "overwrite",
            "entities": [{"connection_id": connection_id, **fields}],
        }
        result = self.call("PATCH", "/api/v2/connections", {"actions": [action]})["create"]
        if result["errors"]:
            raise AirflowError(f"The connection {connection_id} was refused: {result['errors']}")

    def _path(self, run: Run) -> str:
        return f"/api/v2/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}"

    def _all(self, path: str, key: str) -> list[dict[str, Any]]:
        """Return all that a list of the REST API holds, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            joint = "&" if "?" in path else "?"
            page = self.get(f"{path}{joint}limit={PAGE}&offset={len(found)}")[key]
            found += page
            if len(page) < PAGE:
                return found

    def get(self, path: str) -> Any:
        """
        Ask the REST API.

        :param path: the path.
        """
        return self.call("GET", path)

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """
        Ask the REST API for more than an answer.

        :param method: the HTTP method.
        :param path: the path.
        :param body: what is sent as JSON.
        """
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
        except (OSError, HTTPException) as error:
            self.check()
            raise UnreachableError(f"{method} {path}: Airflow's api-server doesn't answer: {error}") from None


def free_port() -> int:
    """
    Return a port that nothing listens on.

    Not one of those that systems hand out to whoever asks for any: another process would get it until it is
    listened on, and then what is sent here.
    """
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


def end(
    processes: Collection[subprocess.Popen[bytes]],
    grace: float = GRACE,
    number: signal.Signals = signal.SIGTERM,
) -> None:
    """
    End processes that lead a session each, and all that belongs to these sessions.

    :param processes: the processes.
    :param grace: how long they may take to end by themselves, in seconds.
    :param number: the signal that asks them to.
    """
    if grace:
        for process in processes:
            _signal(process, number)
    deadline = time.monotonic() + grace
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _signal(process, signal.SIGKILL)  # whatever is left of its group
        # Airflow gives each task a group of its own; one may be about to be started.
        while members := list(_session(process.pid)):
            for pid, _ in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _session(leader: int) -> Iterator[tuple[int, float]]:
    """Give the processes of a session that live, with the CPU seconds of each, where the system says."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # What is in parentheses is the command's name, and may hold anything.
            state, _, _, session, *others = path.read_text().rpartition(") ")[2].split()
            if int(session) == leader and state not in {"Z", "X"}:
                ticks = sum(map(int, others[7:11]))
                yield int(path.parent.name), ticks / os.sysconf("SC_CLK_TCK")


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    return ""
