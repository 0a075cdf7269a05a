"""Two hundred gates on a real Airflow: what they cost it, and how soon they open."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from airflow_provider_sptasks.emulator import Emulator
from benchmarks.tables import REQUIREMENT, Cell, table, verdict
from harness.airflow import Airflow, Run
from harness.servers import PostgreSQL

log = logging.getLogger(__name__)

GATES = 200
QUICK_GATES = 40
# One gate after the other, so that none is seen late for the sake of the others.
ENDS_WITHIN = 60.0
PATIENCE = 1_800.0
MOST_OF_HTTP = 0.25

KINDS = {
    "zero-worker": "ours, `start_from_trigger`",
    "deferrable": "ours, `deferrable`",
    "http": "`HttpSensor`, deferrable",
    "reschedule": "`HttpSensor`, `reschedule` every 60 s",
}
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

    :param quick: fewer gates, and without those in ``reschedule`` mode
    """
    gates = QUICK_GATES if quick else GATES
    kinds = [kind for kind in KINDS if not quick or kind != "reschedule"]
    outcomes = [_measure(kind, gates) for kind in kinds]
    ours, http = outcomes[0], outcomes[2]
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
            "CPU, of `HttpSensor`'s",
            ours.total / http.total,
            MOST_OF_HTTP,
            verdict(ours.total / http.total, MOST_OF_HTTP),
        ],
    ]
    return f"### {gates} gates on a real Airflow\n\n{table(head, rows)}\n\n{table(REQUIREMENT, requirements)}"


def _measure(kind: str, gates: int) -> Outcome:
    log.info("%s gates: %s", gates, KINDS[kind])
    ids = [f"{number:032x}" for number in range(gates)]
    dags = Path(__file__).parent / "dags"
    environment = SETTINGS | {"GATES": str(gates), "GATES_KIND": kind}
    with Emulator() as tenant, PostgreSQL() as server, tempfile.TemporaryDirectory() as home:
        if kind in ("zero-worker", "deferrable"):
            environment["AIRFLOW_CONN_SAILPOINT_DEFAULT"] = tenant.connection_uri
            for each in ids:
                tenant.add_task(each, launched=-3600, duration=None)
        else:
            # It waits for as long as the answer is 404, so there its tasks appear when they end.
            environment["AIRFLOW_CONN_TENANT"] = json.dumps(
                {"conn_type": "http", "host": tenant.url, "password": _token(tenant)}
            )
        with Airflow(Path(home), dags, environment, database=server.create("airflow")) as airflow:
            airflow.create_database(PATIENCE)
            airflow.start()
            airflow.start_triggerer()
            names = [f"gates{first}" for first in range(0, gates, 10)]
            airflow.wait_until_ready(names, PATIENCE)
            time.sleep(10.0)  # until it has settled
            return _follow(kind, airflow, tenant, names, ids)


def _follow(
    kind: str, airflow: Airflow, tenant: Emulator, names: Sequence[str], ids: Sequence[str]
) -> Outcome:
    before = _cpu(airflow)
    runs = [airflow.trigger(name, {}) for name in names]
    _until(airflow, runs, {"deferred", "up_for_reschedule"})
    ended: dict[str, float] = {}
    for number, each in enumerate(ids):
        if kind in ("zero-worker", "deferrable"):
            tenant.complete(each)
        else:
            tenant.add_task(each, launched=-60, duration=1)
        ended[f"gate{number}"] = time.time()
        time.sleep(ENDS_WITHIN / len(ids))
    tasks = _until(airflow, runs, {"success", "failed"})
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
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        tasks: list[dict[str, Any]] = []
        for each in runs:
            path = f"/api/v2/dags/{each.dag_id}/dagRuns/{each.run_id}/taskInstances"
            tasks += airflow.get(path)["task_instances"]
        if tasks and all(task["state"] in states | {"failed"} for task in tasks):
            return tasks
        airflow.check()
        time.sleep(2.0)
    raise TimeoutError(f"The gates are not {' or '.join(sorted(states))} after {PATIENCE:.0f} s")


def _cpu(airflow: Airflow) -> dict[str, float]:
    return {name: sum(process.cpu_seconds for process in airflow.processes(name)) for name in COMPONENTS}


def _token(tenant: Emulator) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
    }
    request = Request(f"{tenant.url}/oauth/token", data=urlencode(form).encode())
    with urlopen(request) as answer:
        return str(json.load(answer)["access_token"])


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _percentile(values: Sequence[float], part: float) -> Cell:
    return values[min(len(values) - 1, int(len(values) * part))] if values else "never"
