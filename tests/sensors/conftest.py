from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def short_pauses(quick_waits: None) -> None:
    """No test here is about how long a pause is."""
