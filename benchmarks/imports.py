"""What an import adds to the parsing of a DAG file, beyond Airflow's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.tables import REQUIREMENT, Cell, table, verdict

PROBE = Path(__file__).with_name("import_probe.py")
BASE = "from airflow.sdk import BaseSensorOperator"
OURS = (
    "from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor\n"
    "from airflow_provider_sptasks.operators.sailpoint import SailPointClearPendingTasksOperator"
)
OURS_ALL = (
    "from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor, SailPointTaskSensor\n"
    "from airflow_provider_sptasks.operators.sailpoint import (\n"
    "    SailPointClearPendingTasksOperator, SailPointStartAggregationOperator)"
)
MOST_MS = 15
HEAVY = ("requests", "asgiref")
ROUNDS = 10
QUICK_ROUNDS = 3


@dataclass(frozen=True)
class Candidate:
    """
    Something to import.

    :param name: what the table calls it
    :param statement: the import that a user writes
    :param sdk: the environment variable with the interpreter of an SDK's own environment, without Airflow
    """

    name: str
    statement: str
    sdk: str | None = None


@dataclass(frozen=True)
class Sample:
    """One import in one process: the time that it took, and what it loaded."""

    base_ms: float
    base_modules: tuple[str, ...]
    ms: float
    modules: tuple[str, ...]


CANDIDATES = (
    Candidate("**ours: sensor and operator**", OURS),
    Candidate("**ours: all sensors and operators**", OURS_ALL),
    Candidate("`HttpSensor`", "from airflow.providers.http.sensors.http import HttpSensor"),
    Candidate(
        "`DbtCloudJobRunSensor`", "from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor"
    ),
    Candidate(
        "SailPoint's SDK 2.x",
        "from sailpoint.configuration import Configuration\n"
        "from sailpoint.task_management import ApiClient, TaskManagementApi",
        "SAILPOINT_SDK2_PYTHON",
    ),
    Candidate(
        "SailPoint's SDK 1.x",
        "from sailpoint.configuration import Configuration\n"
        "from sailpoint.v2024.api_client import ApiClient\n"
        "from sailpoint.v2024.api.task_management_api import TaskManagementApi",
        "SAILPOINT_SDK1_PYTHON",
    ),
)


def run(*, quick: bool) -> str:
    """
    Measure, and return the tables.

    :param quick: fewer rounds
    """
    missing = [each for each in CANDIDATES if each.sdk and not os.environ.get(each.sdk)]
    candidates = [each for each in CANDIDATES if each not in missing]
    rounds = QUICK_ROUNDS if quick else ROUNDS
    samples = _measure(candidates, rounds)
    parts = [
        f"### Imports\n\nMedian of {rounds} fresh processes each, taken in turns, with bytecode cached.",
        _table(samples),
        _requirement(samples[CANDIDATES[0]]),
        *(f"{each.name} skipped: {each.sdk} names no Python that has it." for each in missing),
    ]
    return "\n\n".join(parts)


def _measure(candidates: list[Candidate], rounds: int) -> Mapping[Candidate, list[Sample]]:
    samples: dict[Candidate, list[Sample]] = {each: [] for each in candidates}
    with tempfile.TemporaryDirectory() as home:
        # An SDK beside Airflow shares with it what both need: what Airflow has loaded costs nothing more.
        loaded = _probe(CANDIDATES[0], (), home).base_modules
        for number in range(rounds + 1):
            for candidate in candidates:
                sample = _probe(candidate, loaded if candidate.sdk else (), home)
                if number:  # the first time fills the caches
                    samples[candidate].append(sample)
    return samples


def _probe(candidate: Candidate, preload: Iterable[str], home: str) -> Sample:
    python = os.environ[candidate.sdk] if candidate.sdk else sys.executable
    base = "" if candidate.sdk else BASE
    given = {"preload": list(preload), "base": base, "statement": candidate.statement}
    finished = subprocess.run(
        [python, "-I", str(PROBE)],  # -I: no PYTHONDONTWRITEBYTECODE, and none of this folder's modules
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env={**os.environ, "AIRFLOW_HOME": home},
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"{candidate.name} can't be imported:\n{finished.stderr}")
    answer = json.loads(finished.stdout.splitlines()[-1])
    return Sample(answer["base_ms"], tuple(answer["base_modules"]), answer["ms"], tuple(answer["modules"]))


def _table(samples: Mapping[Candidate, list[Sample]]) -> str:
    ours = _ms(samples[CANDIDATES[0]])
    base = samples[CANDIDATES[0]]
    rows: list[list[Cell]] = [
        [
            f"Airflow's own: `{BASE}`",
            median(each.base_ms for each in base),
            _range([each.base_ms for each in base]),
            len(base[-1].base_modules),
            "",
            "",
        ]
    ]
    for candidate, taken in samples.items():
        rows.append(
            [
                candidate.name,
                _ms(taken),
                _range([each.ms for each in taken]),
                len(taken[-1].modules),
                ", ".join(_heavy(taken)) or "none",
                f"{_ms(taken) / ours:.1f}",
            ]
        )
    head = ["import", "ms added", "least to most", "modules added", " and ".join(HEAVY), "times ours"]
    return table(head, rows)


def _requirement(taken: list[Sample]) -> str:
    heavy = _heavy(taken)
    return table(
        REQUIREMENT,
        [
            ["ms added", _ms(taken), MOST_MS, verdict(_ms(taken), MOST_MS)],
            [f"of {' and '.join(HEAVY)} loaded", len(heavy), 0, verdict(len(heavy), 0)],
        ],
    )


def _ms(taken: list[Sample]) -> float:
    return median(each.ms for each in taken)


def _range(values: list[float]) -> str:
    return f"{min(values):,.0f} to {max(values):,.0f}"


def _heavy(taken: list[Sample]) -> list[str]:
    return [name for name in HEAVY if name in taken[-1].modules]
