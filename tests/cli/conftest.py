from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_sptasks.cli.main import PACKAGE, main
from airflow_provider_sptasks.cli.session import VARIABLES
from airflow_provider_sptasks.client.versions import API_VERSIONS
from airflow_provider_sptasks.emulator import Emulator

every_version = pytest.mark.parametrize("version", list(API_VERSIONS))
UNKNOWN = "f" * 32
DAY = 86_400.0


@dataclass(frozen=True)
class Answer:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> Any:
        return json.loads(self.out)

    @property
    def ids(self) -> list[str]:
        return [record["id"] for record in self.records]


Run = Callable[..., Answer]


def environment(emulator: Emulator) -> dict[str, str]:
    """The variables that lead to a tenant."""
    return dict(zip(VARIABLES, (emulator.url, emulator.client_id, emulator.client_secret), strict=True))


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command sets levels for its process, which here is that of other tests, too."""
    loggers = [logging.getLogger(name) for name in (PACKAGE, f"{PACKAGE}.client.retry")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(rate_limit=None) as emulator:
        yield emulator


@pytest.fixture
def run(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process, with the emulator in the environment and no terminal."""
    for name, value in environment(emulator).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run(*arguments: str) -> Answer:
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return Answer(code, printed.out, printed.err)

    return run


def patched(emulator: Emulator) -> list[str]:
    return [request.path.rsplit("/", 1)[-1] for request in emulator.requests if request.method == "PATCH"]
