"""What a test does with the tenant, on all its sides."""

from __future__ import annotations

from airflow_provider_sptasks.emulator.clock import Clock
from airflow_provider_sptasks.emulator.controls.credentials import CredentialControls
from airflow_provider_sptasks.emulator.controls.requests import RequestControls
from airflow_provider_sptasks.emulator.controls.sources import SourceControls
from airflow_provider_sptasks.emulator.controls.tasks import TaskControls
from airflow_provider_sptasks.emulator.state import State


class Controls(TaskControls, SourceControls, CredentialControls, RequestControls):
    """
    The tenant in the hands of a test, of a scenario, or of the admin routes.

    It holds the lock of the state while it uses it, so all of it may be used from any thread.

    :param state: the emulator's state.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def state(self) -> State:
        """The emulator's state; whoever reads or changes it holds its lock."""
        return self._state

    @property
    def clock(self) -> Clock:
        """The tenant's time; ``clock.advance(60)`` moves it."""
        return self._state.tenant.clock
