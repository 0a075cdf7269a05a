"""The pytest fixture ``sailpoint_emulator``: a SailPoint tenant for one test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_sptasks.emulator import Emulator

_MARKER = "sailpoint_scenario"


def pytest_configure(config: pytest.Config) -> None:
    """
    Register the marker.

    :param config: pytest's configuration.
    """
    config.addinivalue_line(
        "markers", f"{_MARKER}(name): what the tenant of sailpoint_emulator holds at first"
    )


@pytest.fixture
def sailpoint_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A running ``Emulator``, empty unless ``@pytest.mark.sailpoint_scenario("demo")`` says otherwise."""
    try:
        # Here and not above: pytest loads this module in every session, with or without the extra.
        from airflow_provider_sptasks.emulator import Emulator
    except ImportError as error:
        pytest.fail(str(error), pytrace=False)
    marker = request.node.get_closest_marker(_MARKER)
    with Emulator(None if marker is None else marker.args[0]) as emulator:
        yield emulator
