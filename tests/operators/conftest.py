from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.hooks import sailpoint as hooks
from tests.conftest import CONNECTION


@pytest.fixture(autouse=True)
def short_pauses(quick_waits: None) -> None:
    """No test here is about how long a retry waits."""


@pytest.fixture
def lose_connection(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have Airflow not find the connection until it is asked again, as while its API server restarts."""

    def sleep(_: float) -> None:
        monkeypatch.setenv(CONNECTION, tenant.connection_uri)

    def lose() -> None:
        monkeypatch.delenv(CONNECTION)
        monkeypatch.setattr(hooks, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))

    return lose
