"""An Airflow home of the test run's own, made before anything imports Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from airflow_provider_sptasks.emulator import Emulator

ROOT = Path(__file__).parent.parent
CONNECTION = "AIRFLOW_CONN_SAILPOINT_DEFAULT"
TOGETHER = ("tests/airflow/", "tests/contract/", "tests/plugin/")

_home = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    "SAILPOINT_BUDGET_DIR": f"{_home.name}/budget",
}
os.environ.pop(CONNECTION, None)


def pytest_unconfigure() -> None:
    _home.cleanup()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep what shares a real Airflow, or a run of the SDK, in one process, while others run the rest."""
    from xdist.scheduler import LoadScopeScheduling

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda nodeid: next(filter(nodeid.startswith, TOGETHER), nodeid)
    return scheduler


@pytest.fixture(autouse=True)
def own_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test shares a budget of requests with another: emulators come and go at the same ports."""
    from airflow_provider_sptasks.client import pacing

    monkeypatch.setenv("SAILPOINT_BUDGET_DIR", f"{_home.name}/budget-{uuid4().hex}")
    monkeypatch.setattr(pacing, "_pacers", {})


@pytest.fixture(autouse=True)
def few_masked_secrets() -> Iterator[None]:
    """Airflow looks for each secret that it ever got in each line that it logs: thousands in the end."""
    yield
    for name in ("airflow.sdk._shared.secrets_masker", "airflow._shared.secrets_masker"):
        if name in sys.modules:
            sys.modules[name].reset_secrets_masker()


@pytest.fixture
def quick_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait a tenth of their time, and what is subscribed to is polled soon."""
    from tenacity.wait import wait_random, wait_random_exponential

    from airflow_provider_sptasks.client import retry
    from airflow_provider_sptasks.triggers import _connection, _poller, _queue

    wait = wait_random_exponential(multiplier=0.05, min=0.02, max=1)
    monkeypatch.setattr(retry, "wait_random_exponential", lambda **_: wait)
    monkeypatch.setattr(retry, "wait_random", lambda low, high: wait_random(low / 10, high / 10))
    monkeypatch.setattr(_connection, "RETRY", replace(_connection.RETRY, wait=wait))
    monkeypatch.setattr(_connection, "SHORTEST_ROUND_SECONDS", 0.2)
    monkeypatch.setattr(_queue, "COALESCE_SECONDS", 0.1)
    monkeypatch.setattr(_poller, "COALESCE_SECONDS", 0.1)
    monkeypatch.setattr(_queue, "LONGEST_BACKOFF_SECONDS", 0.1)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Give the Airflow home a database, which ``dag.test()`` needs."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)


@pytest.fixture
def tenant(sailpoint_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A SailPoint tenant that the connection ``sailpoint_default`` leads to."""
    monkeypatch.setenv(CONNECTION, sailpoint_emulator.connection_uri)
    return sailpoint_emulator
