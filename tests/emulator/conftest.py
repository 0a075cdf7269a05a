from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.emulator.credentials import Credential


class Api:
    """A plain HTTP client of the emulator, with a token, and the experimental header."""

    def __init__(self, emulator: Emulator, client_id: str, client_secret: str) -> None:
        self.url = emulator.url
        self.session = requests.Session()
        self.session.headers["X-SailPoint-Experimental"] = "true"
        answer = self.token(client_id, client_secret)
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def token(self, client_id: str, client_secret: str) -> requests.Response:
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        return self.session.post(f"{self.url}/oauth/token", data=form, timeout=5)

    def get(self, path: str, **params: str | int) -> requests.Response:
        return self.session.get(f"{self.url}{path}", params=params, timeout=5)

    def patch(
        self, path: str, operations: object, content_type: str = "application/json-patch+json"
    ) -> requests.Response:
        headers = {"Content-Type": content_type}
        return self.session.patch(f"{self.url}{path}", json=operations, headers=headers, timeout=5)

    def ids(self, path: str, **params: str | int) -> list[str]:
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return [task["id"] for task in answer.json()]


ApiFactory = Callable[[Emulator, Credential | None], Api]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(rate_limit=None) as emulator:
        yield emulator


@pytest.fixture
def connect() -> Iterator[ApiFactory]:
    opened: list[Api] = []

    def connect(emulator: Emulator, credential: Credential | None = None) -> Api:
        client_id = emulator.client_id if credential is None else credential.client_id
        secret = emulator.client_secret if credential is None else credential.client_secret
        opened.append(Api(emulator, client_id, secret))
        return opened[-1]

    yield connect
    for api in opened:
        api.session.close()


@pytest.fixture
def api(emulator: Emulator, connect: ApiFactory) -> Api:
    return connect(emulator, None)
