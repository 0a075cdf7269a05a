"""Two hundred gates on a real Airflow: what they cost it, and how soon they open."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_provider_sptasks.emulator import Emulator
from benchmarks.contenders import SDK, token_of
from benchmarks.tables import REQUIREMENT, Cell, table, verdict
from harness.airflow import Airflow, Run
from harness.servers import PostgreSQL

log = logging.getLogger(__name__)

GATES = 200
QUICK_GATES = 40
IN_A_DAG = 10
# Gates, and in DAGs of how many.
SHAPES = ((500, 10), (200, 200), (500, 500))
QUICK_SHAPES = ((40, 10), (40, 40))
# One gate after the other, so that none is seen late for the sake of the others.
ENDS_WITHIN = 60.0
PATIENCE = 3_600.0
WAITING, OVER = {"deferred", "up_for_reschedule"}, {"success", "failed"}
MOST_OF_HTTP = 0.25

KINDS = {
    "zero-worker": "**ours**, `start_from_trigger`",
    "deferrable": "**ours**, `deferrable`",
    "http": "`HttpSensor`, deferrable, every 30 s",
    "http-often": "`HttpSensor`, deferrable, every 10 s as ours",
    "sdk": "`PythonSensor` with SailPoint's SDK 2.x, `reschedule` every 60 s",
}
HTTP = ("http", "http-often")
COMPONENTS = ("scheduler", "triggerer", "api-server")
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "60",
}


@dataclass(frozen=True)
class Outcome:
    """What a kind of gate cost, from the start of the DAGs until the last gate is open."""

    kind: str
    processes: int
    cpu: dict[str, float]
    succeeded: int
    latencies: Sequence[float]
    refused: int

    @property
    def total(self) -> float:
        return sum(self.cpu.values())


def run(*, quick: bool) -> str:
    """
    Measure, and return the tables.

    :param quick: fewer gates
    """
    gates = QUICK_GATES if quick else GATES
    outcomes = [_measure(kind, gates) for kind in KINDS if kind != "sdk" or SDK in os.environ]
    ours, _, http, *_ = outcomes
    rows: list[list[Cell]] = [
        [
            KINDS[each.kind],
            each.processes,
            *(each.cpu[name] for name in COMPONENTS),
            each.total,
            each.total / ours.total,
            f"{each.succeeded} of {gates}",
            each.refused,
            _percentile(each.latencies, 0.5),
            _percentile(each.latencies, 0.99),
        ]
        for each in outcomes
    ]
    head = ["gates", "task processes", "CPU s: scheduler and workers", "triggerer", "api-server", "in all"]
    head += ["times ours", "opened", "429s", "p50, s", "p99, s"]
    requirements: list[list[Cell]] = [
        ["task processes of zero-worker gates", ours.processes, 0, verdict(ours.processes, 0)],
        [
            "CPU, of `HttpSensor`'s every 30 s",
            ours.total / http.total,
            MOST_OF_HTTP,
            verdict(ours.total / http.total, MOST_OF_HTTP),
        ],
    ]
    return "\n\n".join(
        [
            f"### {gates} gates on a real Airflow",
            table(head, rows),
            table(REQUIREMENT, requirements),
            _memory_table(QUICK_SHAPES if quick else SHAPES),
        ]
    )


def _measure(kind: str, gates: int) -> Outcome:
    log.info("%s gates: %s", gates, KINDS[kind])
    ids = _ids(gates)
    environment = {"GATES_KIND": kind}
    with Emulator() as tenant:
        if kind in HTTP:
            # It waits for as long as the answer is 404, so there its tasks appear when they end.
            environment["AIRFLOW_CONN_TENANT"] = json.dumps(
                {"conn_type": "http", "host": tenant.url, "password": token_of(tenant)}
            )
        else:
            environment["AIRFLOW_CONN_SAILPOINT_DEFAULT"] = tenant.connection_uri
            for each in ids:
                tenant.add_task(each, launched=-3600, duration=None)
        if kind == "sdk":
            environment["SDK_PACKAGES"] = _packages(os.environ[SDK])
        with _airflow(gates, IN_A_DAG, environment) as (airflow, names):
            return _follow(kind, airflow, tenant, names, ids)


@contextmanager
def _airflow(
    gates: int, in_a_dag: int, environment: Mapping[str, str]
) -> Iterator[tuple[Airflow, list[str]]]:
    """Give an Airflow that has settled, and its DAGs of gates."""
    dags = Path(__file__).parent / "dags"
    environment = {**SETTINGS, **environment, "GATES": str(gates), "GATES_IN_A_DAG": str(in_a_dag)}
    with (
        PostgreSQL() as server,
        tempfile.TemporaryDirectory() as home,
        Airflow(Path(home), dags, environment, database=server.create("airflow")) as airflow,
    ):
        airflow.create_database(PATIENCE)
        airflow.start()
        airflow.start_triggerer()
        names = [f"gates{first}" for first in range(0, gates, in_a_dag)]
        airflow.wait_until_ready(names, PATIENCE)
        time.sleep(10.0)
        yield airflow, names


def _memory_table(shapes: Sequence[tuple[int, int]]) -> str:
    peaks = [_peak(gates, in_a_dag) for gates, in_a_dag in shapes]
    rows: list[list[Cell]] = [
        [f"{gates} in DAGs of {in_a_dag}", gates * in_a_dag, peak, peak / peaks[0]]
        for (gates, in_a_dag), peak in zip(shapes, peaks, strict=True)
    ]
    head = ["gates", "gates times tasks of their DAG", "MB at the peak", "times the first"]
    return f"### The triggerer's memory, `start_from_trigger`\n\n{table(head, rows)}"


def _peak(gates: int, in_a_dag: int) -> float:
    """Return the maximum in MB that the triggerer grew by, while all of the gates start."""
    log.info("%s gates in DAGs of %s: memory", gates, in_a_dag)
    ids = _ids(gates)
    with Emulator() as tenant:
        for each in ids:
            tenant.add_task(each, launched=-3600, duration=None)
        environment = {
            "GATES_KIND": "zero-worker",
            "AIRFLOW_CONN_SAILPOINT_DEFAULT": tenant.connection_uri,
        }
        with _airflow(gates, in_a_dag, environment) as (airflow, names):
            before = _most_megabytes(airflow)
            for name in names:
                airflow.trigger(name, {})
            _until_asked_for(tenant, ids)
            return _most_megabytes(airflow) - before


def _most_megabytes(airflow: Airflow) -> float:
    """Return the maximum that the triggerer's processes took until now, each at its own time."""
    total = 0
    for process in airflow.processes("triggerer"):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return total / 1024


def _ids(gates: int) -> list[str]:
    return [f"{number:032x}" for number in range(gates)]


def _follow(
    kind: str, airflow: Airflow, tenant: Emulator, names: Sequence[str], ids: Sequence[str]
) -> Outcome:
    before = _cpu(airflow)
    runs = [airflow.trigger(name, {}) for name in names]
    _until(airflow, runs, WAITING)
    _until_asked_for(tenant, ids)
    ended: dict[str, float] = {}
    for number, each in enumerate(ids):
        if kind in HTTP:
            tenant.add_task(each, launched=-60, duration=1)
        else:
            tenant.complete(each)
        ended[f"gate{number}"] = time.time()
        time.sleep(ENDS_WITHIN / len(ids))
    tasks = _until(airflow, runs, OVER)
    after = _cpu(airflow)
    opened = [task for task in tasks if task["state"] == "success"]
    return Outcome(
        kind,
        processes=len(airflow.task_processes()),
        cpu={name: after[name] - before[name] for name in COMPONENTS},
        succeeded=len(opened),
        latencies=sorted(_instant(task["end_date"]) - ended[task["task_id"]] for task in opened),
        refused=sum(request.status == 429 for request in tenant.requests),
    )


def _until(airflow: Airflow, runs: Sequence[Run], states: set[str]) -> list[dict[str, Any]]:
    """Return the gates when each has been seen in one of these states, or over, as it was seen then."""
    deadline = time.monotonic() + PATIENCE
    seen: dict[str, dict[str, Any]] = {}
    while time.monotonic() < deadline:
        missing = 0
        for each in runs:
            path = f"/api/v2/dags/{each.dag_id}/dagRuns/{each.run_id}/taskInstances"
            for task in airflow.get(path)["task_instances"]:
                if task["state"] in states | OVER:
                    seen[task["task_id"]] = task
                missing += task["task_id"] not in seen
        if seen and not missing:
            return list(seen.values())
        airflow.check()
        time.sleep(2.0)
    raise TimeoutError(f"The gates are not {' or '.join(sorted(states))} after {PATIENCE:.0f} s")


def _until_asked_for(tenant: Emulator, ids: Sequence[str]) -> None:
    """Return when the tenant has been asked for each: a gate may be deferred long before its trigger runs."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        asked = " ".join(text for each in tenant.requests for text in (each.path, *each.query.values()))
        if all(each in asked for each in ids):
            return
        time.sleep(2.0)
    raise TimeoutError(f"The tenant was not asked for each task after {PATIENCE:.0f} s")


def _cpu(airflow: Airflow) -> dict[str, float]:
    return {name: sum(process.cpu_seconds for process in airflow.processes(name)) for name in COMPONENTS}


def _packages(python: str) -> str:
    """Return where the packages of a virtual environment are."""
    command = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _percentile(values: Sequence[float], part: float) -> Cell:
    return values[min(len(values) - 1, int(len(values) * part))] if values else "never"
