"""The emulator itself: the tenant behind a real HTTP server, in a thread of the current process."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from airflow_provider_sptasks.emulator.clock import Clock
from airflow_provider_sptasks.emulator.controls import Controls
from airflow_provider_sptasks.emulator.credentials import new_credential
from airflow_provider_sptasks.emulator.faults import Faults
from airflow_provider_sptasks.emulator.ratelimit import RateLimit, RateLimiter
from airflow_provider_sptasks.emulator.requestlog import RequestLog
from airflow_provider_sptasks.emulator.scenario import Scenario
from airflow_provider_sptasks.emulator.scenario_file import load_scenario
from airflow_provider_sptasks.emulator.server import HOST, Server, listen
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.tenant import Tenant


class Emulator(Controls):
    """
    A SailPoint tenant on ``127.0.0.1``.

    .. code-block:: python

        with Emulator() as emulator:
            task = emulator.add_task(source="Active Directory", duration=20)
            monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_DEFAULT", emulator.connection_uri)

    Everything that it offers may be used from any thread while it serves.

    :param scenario: what the tenant holds at first: the name of a scenario, a TOML file, or nothing.
    :param port: where it listens; any free port by default.
    :param rate_limit: its rate limit, ``None`` to switch it off.
    :param seed: makes faults with a probability repeatable.
    :param client_id: of the default credential; random by default.
    :param client_secret: of the default credential; random by default.
    """

    def __init__(
        self,
        scenario: str | Path | Scenario | None = None,
        *,
        port: int = 0,
        rate_limit: RateLimit | None = RateLimit(),  # noqa: B008 - frozen
        seed: int = 0,
        client_id: str | None = None,
        client_secret: str | None = None,
    ) -> None:
        self.scenario = load_scenario(scenario) if isinstance(scenario, str | Path) else scenario
        self._port = port
        self._filled = False
        self._server: Server | None = None
        state = State(
            tenant=Tenant(Clock()),
            faults=Faults(seed),
            requests=RequestLog(),
            limiter=None if rate_limit is None else RateLimiter(rate_limit),
        )
        super().__init__(state)
        self._credential = new_credential(client_id=client_id, client_secret=client_secret)
        self._state.tenant.credentials.add(self._credential)

    def start(self) -> Self:
        """
        Start serving; the scenario's tasks and schedules begin now.

        :return: itself.
        :raises RuntimeError: it runs already.
        :raises OSError: the port is taken.
        """
        if self._server is not None:
            raise RuntimeError("The emulator is already running.")
        listener = listen(self._port)
        self._port = listener.getsockname()[1]
        if self.scenario is not None and not self._filled:
            self.scenario.fill(self)
            self._filled = True
        self._server = Server(self, listener)
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop serving; open connections are cut. Does nothing if it isn't running."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """
        Where the tenant is, without a slash at the end.

        :raises RuntimeError: it was never started, so that it has no port yet.
        """
        if self._port == 0:
            raise RuntimeError("The emulator has no URL before it is started.")
        return f"http://{HOST}:{self._port}"

    @property
    def connection_uri(self) -> str:
        """The Airflow connection to it, for ``AIRFLOW_CONN_SAILPOINT_DEFAULT``."""
        client_id, secret = (quote(part, safe="") for part in (self.client_id, self.client_secret))
        return f"sailpoint://http://{client_id}:{secret}@{self.url.removeprefix('http://')}"

    @property
    def client_id(self) -> str:
        """The default credential's client id: a personal access token of a user with the level ORG_ADMIN."""
        return self._credential.client_id

    @property
    def client_secret(self) -> str:
        """The default credential's secret as it is now."""
        with self._state.lock:
            return self._state.tenant.credentials.get(self._credential.client_id).client_secret
