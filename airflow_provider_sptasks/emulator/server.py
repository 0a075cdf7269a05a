"""A real HTTP server: uvicorn in a thread of the current process."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from airflow_provider_sptasks.emulator.app import create_app
from airflow_provider_sptasks.emulator.controls import Controls

HOST = "127.0.0.1"
_START_TIMEOUT = 10.0


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """Gives each request its connection, so that a fault can cut it."""

    app_state: dict[str, object]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class _Cancellable:
    """Lets a request end without a word when the server cancels it; uvicorn would log a failure."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await self._app(scope, receive, send)


class Server(uvicorn.Server):
    """uvicorn in a thread, that starts and stops without waiting for a tick."""

    def __init__(self, controls: Controls, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                _Cancellable(create_app(controls)),
                http=_Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=False,  # the gateway says the tenant's time
            )
        )
        self._listener = listener
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sailpoint-emulator", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Return when the server accepts connections."""
        self._thread.start()
        if not self._serving.wait(_START_TIMEOUT):
            raise RuntimeError(f"The emulator did not start within {_START_TIMEOUT:.0f} seconds.")

    def stop(self) -> None:
        """Return when the thread has ended and all connections are closed."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Accept connections.

        :param sockets: where.
        """
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._serving.set()

    async def main_loop(self) -> None:
        """Return when the server is to stop; until then, let uvicorn look after itself once a second."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)
                return

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Close all connections, without waiting for answers that are under way.

        :param sockets: where connections were accepted.
        """
        loop = asyncio.get_running_loop()
        # First no more connections, then those that are being accepted, then the listener: asyncio trips over
        # a connection whose listener is closed while it is being accepted, and leaks it.
        for listener in sockets or []:
            loop.remove_reader(listener)
        while self.server_state.connections or asyncio.all_tasks() - {asyncio.current_task()}:
            for connection in list(self.server_state.connections):
                connection.app_state["transport"].abort()
            for task in self.server_state.tasks:
                task.cancel()
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
            await server.wait_closed()

    def _run(self) -> None:
        asyncio.run(self.serve(sockets=[self._listener]))


def listen(port: int) -> socket.socket:
    """
    Return a listening socket on loopback.

    :param port: the port, 0 for any that is free.
    """
    # asyncio switches Nagle's algorithm off for sockets whose protocol it sees, which saves 40 ms a request.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(2_048)
    except OSError:
        listener.close()
        raise
    return listener
