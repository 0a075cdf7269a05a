"""The page's application, served over HTTP with Airflow's own users, tokens and database, but no Airflow."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import uvicorn

from airflow_provider_sptasks.emulator import Emulator
from harness.airflow import HOST, free_port

ROLES = ("viewer", "user", "op", "admin")
# The path of a base URL below which Airflow is.
ROOT_PATH = "/air/flow"


@dataclass(frozen=True)
class Client:
    """
    Sends requests to the page as its script does, or as others do.

    :param url: where the page is
    :param tokens: a token for each role
    """

    url: str
    tokens: dict[str, str]

    def get(self, path: str, role: str | None = "op", **headers: str) -> requests.Response:
        return self.send("GET", path, role, headers)

    def post(
        self, path: str, body: object, role: str | None = "op", **headers: str | None
    ) -> requests.Response:
        own = {"X-SailPoint-Page": "1", "Sec-Fetch-Site": "same-origin"}
        kept = {name: value for name, value in (own | headers).items() if value is not None}
        return self.send("POST", path, role, kept, body)

    def send(
        self, method: str, path: str, role: str | None, headers: dict[str, str], body: object = None
    ) -> requests.Response:
        cookies = {} if role is None else {"_token": self.tokens.get(role, role)}
        return requests.request(
            method, self.url + path, headers=headers, cookies=cookies, json=body, timeout=60
        )


@pytest.fixture(scope="package")
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(scope="package")
def page(airflow_database: None, emulator: Emulator) -> Iterator[Client]:
    """The page, below a path as behind a proxy."""
    environment = {
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW_CONN_SAILPOINT_DEFAULT": emulator.connection_uri,
        "AIRFLOW_CONN_ANOTHER_TYPE": "http://example.com",
        "AIRFLOW_CONN_NOT_LISTED": emulator.connection_uri,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        from airflow.api_fastapi.app import init_auth_manager
        from fastapi import FastAPI

        from airflow_provider_sptasks.plugin.app import build

        manager: Any = init_auth_manager()
        tokens = {
            role: manager.generate_jwt(
                manager.deserialize_user({"sub": role, "role": role.upper(), "teams": []})
            )
            for role in ROLES
        }
        root = FastAPI()
        root.mount(f"{ROOT_PATH}/sailpoint", build())
        with Served(root) as url:
            yield Client(f"{url}{ROOT_PATH}/sailpoint/page/", tokens)


class Served:
    """A server with an application, in a thread."""

    def __init__(self, app: Any) -> None:
        self._port = free_port()
        config = uvicorn.Config(app, host=HOST, port=self._port, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        return f"http://{HOST}:{self._port}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
