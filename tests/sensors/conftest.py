from __future__ import annotations

import pytest

from airflow_provider_sptasks.triggers import _queue


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the triggerer, what has failed is tried again soon."""
    monkeypatch.setattr(_queue, "LONGEST_BACKOFF_SECONDS", 0.1)
