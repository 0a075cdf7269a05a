from __future__ import annotations

import pytest

from airflow_provider_sptasks.triggers import _poller, sailpoint


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the triggerer, what has failed is tried again soon."""
    for module in (_poller, sailpoint):
        monkeypatch.setattr(module, "backoff", lambda failures: 0.1)
