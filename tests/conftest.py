"""An Airflow home of the test run's own, made before anything imports Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
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


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Give the Airflow home a database, which ``dag.test()`` needs."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)


@pytest.fixture
def tenant(sailpoint_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A SailPoint tenant that the connection ``sailpoint_default`` leads to."""
    monkeypatch.setenv(CONNECTION, sailpoint_emulator.connection_uri)
    return sailpoint_emulator
