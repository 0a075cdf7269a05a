"""
SailPoint's official SDK, unchanged, drives the emulator, and reads what our client reads.

It is the emulator's witness: what the SDK takes for a tenant is close enough to one. It runs in virtual
environments of its own, in one process for each API version, all at once since it takes seconds to import.
So does the one for TypeScript, where there is Node.js.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from airflow_provider_sptasks.client import ClientSettings, CompletionStatus, TaskStatus, TaskStatusClient
from airflow_provider_sptasks.client.errors import BadRequestError, NotFoundError
from airflow_provider_sptasks.emulator import Emulator, LoggedRequest

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sdk:
    """
    A release of SailPoint's SDK, as it drives one version of the API.

    :param version: the API version
    :param variable: the environment variable that leads to it
    :param has: what the version has
    :param answers_nulls: whether it reads an answer whose ``modified`` is null
    """

    version: str
    variable: str
    has: tuple[str, ...]
    answers_nulls: bool = True

    @property
    def errors(self) -> Mapping[int, str]:
        """What its errors are called."""
        if self.variable == TYPESCRIPT:
            return {400: "AxiosError", 404: "AxiosError"}
        return {400: "BadRequestException", 404: "NotFoundException"}

    def command(self, environment: dict[str, str]) -> list[str]:
        """Return what runs its driver, and complete the environment for it."""
        if self.variable == TYPESCRIPT:
            environment["NODE_PATH"] = os.environ[TYPESCRIPT]
            return ["node", str(HERE / "typescript" / "drive_sdk.js")]
        return [os.environ[self.variable], str(HERE / "drive_sdk.py")]


SDK1, SDK2, TYPESCRIPT = "SAILPOINT_SDK1_PYTHON", "SAILPOINT_SDK2_PYTHON", "SAILPOINT_SDK_NODE_MODULES"
SDKS: Mapping[str, Sdk] = {
    "beta": Sdk("beta", SDK1, ("pending_endpoint",), answers_nulls=False),
    "v2024": Sdk("v2024", SDK1, ("pending_endpoint",), answers_nulls=False),
    "v2025": Sdk("v2025", SDK1, ("pending_endpoint", "lists_pending"), answers_nulls=False),
    "v2026": Sdk("v2026", SDK1, ("lists_pending",), answers_nulls=False),
    "v1": Sdk("v1", SDK2, ("lists_pending",)),
    "beta in TypeScript": Sdk("beta", TYPESCRIPT, ("pending_endpoint",)),
    "v2024 in TypeScript": Sdk("v2024", TYPESCRIPT, ("pending_endpoint",)),
}
IDS = {
    name: letter * 32
    for name, letter in {
        "done": "a",
        "failed": "b",
        "running": "c",
        "stuck": "d",
        "to_clear": "e",
        "unknown": "f",
        "sparse": "0",
    }.items()
}
MOMENT = datetime(2024, 5, 17, 19, 33, 16, 470_000, tzinfo=UTC)


@dataclass(frozen=True)
class Witness:
    """What the SDK read of a tenant, the requests by which it did, and our client of the same tenant."""

    sdk: Sdk
    seen: dict[str, Any]
    requests: tuple[LoggedRequest, ...]
    tenant: Emulator
    client: TaskStatusClient
    sparse: TaskStatusClient

    def has(self, what: str) -> bool:
        return what in self.sdk.has

    def get(self, name: str) -> dict[str, Any]:
        return ours(self.client.get(IDS[name]))


def connection(emulator: Emulator) -> dict[str, str]:
    return {"url": emulator.url, "client_id": emulator.client_id, "client_secret": emulator.client_secret}


def client_of(emulator: Emulator, version: str) -> TaskStatusClient:
    return TaskStatusClient(ClientSettings(emulator.url, emulator.client_id, emulator.client_secret, version))


def fill(tenant: Emulator, sparse: Emulator) -> None:
    tenant.add_task(IDS["done"], launched=-500, duration=100, messages=["All done"])
    odd: dict[str, object] = {"type": "WARN", "localizedText": None, "key": "k", "parameters": []}
    messages: list[str | dict[str, object]] = ["Connection refused", odd]
    tenant.add_task(
        IDS["failed"], source="HR", launched=-400, duration=10, outcome="ERROR", messages=messages
    )
    parent = {"parentName": "Parent"}
    tenant.add_task(IDS["running"], kind="entitlements", launched=-300, duration=None, fields=parent)
    tenant.add_task(IDS["stuck"], kind="identity_refresh", launched=-200, duration=None)
    tenant.add_task(IDS["to_clear"], launched=-100, duration=None)
    # As a real tenant shows a task that was just launched.
    nothing = {"modified": None, "target": None, "progress": None}
    sparse.add_task(IDS["sparse"], launched=-100, duration=None, fields=nothing)


def drive(sdk: Sdk, tenant: Emulator, sparse: Emulator) -> dict[str, Any]:
    given = {
        "version": sdk.version,
        "has": sdk.has,
        "ids": IDS,
        "tenant": connection(tenant),
        "sparse_tenant": connection(sparse),
    }
    # Nothing of this environment's packages, and no configuration of another SDK.
    kept = ("PATH", "HOME", "SYSTEMROOT", "TEMP")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    finished = subprocess.run(
        sdk.command(environment),
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=HERE,
        env=environment,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr
    seen: dict[str, Any] = json.loads(finished.stdout)
    return seen


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[Witness]]]:
    """What the SDK says of each version that there is an environment for."""

    def run(sdk: Sdk) -> Witness:
        tenant, sparse = (stack.enter_context(Emulator(rate_limit=None)) for _ in range(2))
        fill(tenant, sparse)
        seen = drive(sdk, tenant, sparse)
        requests = tenant.requests
        client, other = (stack.enter_context(client_of(each, sdk.version)) for each in (tenant, sparse))
        return Witness(sdk, seen, requests, tenant, client, other)

    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        yield {name: pool.submit(run, sdk) for name, sdk in SDKS.items() if os.environ.get(sdk.variable)}


@pytest.fixture(params=SDKS)
def witness(request: pytest.FixtureRequest, runs: dict[str, Future[Witness]]) -> Witness:
    name: str = request.param
    if name not in runs:
        variable = SDKS[name].variable
        node = "" if variable != TYPESCRIPT or which("npm") else ", but THERE IS NO NODE.JS HERE"
        pytest.skip(f"{variable} is not set: `make test` makes the environment of the SDK{node}")
    return runs[name].result()


def ours(task: TaskStatus) -> dict[str, Any]:
    """All that the tenant said of a task, as our client keeps it."""
    return theirs(dict(task.raw))


def theirs(document: dict[str, Any]) -> dict[str, Any]:
    """Times as instants, since the SDK writes them in its own way."""
    times = ("created", "modified", "launched", "completed")
    return {
        name: datetime.fromisoformat(value) if name in times and value else value
        for name, value in document.items()
    }


def ids(documents: list[dict[str, Any]]) -> list[str]:
    return [document["id"] for document in documents]


@pytest.mark.parametrize("name", ["done", "failed", "running", "stuck"])
def test_get(witness: Witness, name: str) -> None:
    assert theirs(witness.seen[name]) == witness.get(name)
    task = witness.client.get(IDS[name])
    assert TaskStatus.from_json(witness.seen[name]).to_json() == task.to_json()


def test_get_an_unknown_one(witness: Witness) -> None:
    with pytest.raises(NotFoundError) as caught:
        witness.client.get(IDS["unknown"])
    assert witness.seen["unknown"] == {
        "error": witness.sdk.errors[404],
        "status": caught.value.status,
    }


def test_list(witness: Witness) -> None:
    pending = ["running", "stuck", "to_clear"] if witness.has("lists_pending") else []
    expected = [IDS[name] for name in ["done", "failed", *pending]]
    seen = witness.seen["list"]
    assert ids(seen) == expected
    # All but the one that has been cleared since.
    assert [theirs(each) for each in seen[:4]] == [
        witness.get(name) for name in ["done", "failed", *pending[:2]]
    ]
    assert ids(witness.seen["newest_first"]) == expected[::-1]
    assert ids(witness.seen["second_page"]) == expected[1:2]
    assert witness.seen["count"] == {"status": 200, "count": str(len(expected))}


def test_filters(witness: Witness) -> None:
    expected = ["done", "running"] if witness.has("lists_pending") else ["done"]
    assert [theirs(each) for each in witness.seen["by_id"]] == [witness.get(name) for name in expected]
    assert [theirs(each) for each in witness.seen["by_status"]] == [witness.get("failed")]
    found = list(witness.client.list(task_status_ids=[IDS["done"], IDS["running"]]))
    assert [each.id for each in found] == ids(witness.seen["by_id"])


def test_a_bad_filter(witness: Witness) -> None:
    with pytest.raises(BadRequestError) as caught:
        list(witness.client.list(filters='progress eq "x"'))
    assert witness.seen["bad_filter"] == {
        "error": witness.sdk.errors[400],
        "status": caught.value.status,
    }


def test_pending(witness: Witness) -> None:
    expected = [IDS[name] for name in ("running", "stuck", "to_clear")]
    if witness.has("pending_endpoint"):
        assert ids(witness.seen["pending"]) == expected
        assert witness.seen["pending_headers"] == {"status": 200, "count": "3"}
    if witness.has("lists_pending"):
        assert ids(witness.seen["isnull"]) == expected
    seen = witness.seen["isnull" if witness.has("lists_pending") else "pending"]
    # The third has been cleared since.
    assert [theirs(each) for each in seen[:2]] == [ours(each) for each in witness.client.pending()][:2]


def test_update(witness: Witness) -> None:
    after = witness.client.get(IDS["to_clear"])
    assert theirs(witness.seen["updated"]) == ours(after)
    assert (after.completion_status, after.completed) == (CompletionStatus.ERROR, MOMENT)


def test_ours_clears_with_the_same_request(witness: Witness) -> None:
    task = witness.tenant.add_task(duration=None)
    witness.client.clear(task.id, completed=MOMENT)
    (sdk,) = (each for each in witness.requests if each.method == "PATCH")
    client = next(each for each in reversed(witness.tenant.requests) if each.method == "PATCH")
    assert json.loads(sdk.body) == json.loads(client.body)
    assert sdk.path.replace(IDS["to_clear"], "") == client.path.replace(task.id, "")
    assert sdk.headers["content-type"] == client.headers["content-type"]


def test_a_real_answer_with_nulls(witness: Witness) -> None:
    """``modified`` is null in real answers: the SDK for Python reads that from release 2 on."""
    task = witness.sparse.get(IDS["sparse"])
    assert not task.is_complete
    assert (task.raw["modified"], task.source_id) == (None, task.raw["attributes"]["appId"])
    if witness.sdk.answers_nulls:
        assert theirs(witness.seen["sparse"]["read"]) == ours(task)
    else:
        assert witness.seen["sparse"] == {"error": "ValidationError", "status": None}


def test_all_that_the_sdk_asked_was_understood(witness: Witness) -> None:
    """But for what was asked wrongly on purpose."""
    statuses = [each.status for each in witness.requests]
    assert sorted(each for each in statuses if each >= 400) == [400, 404]
    assert len(statuses) > 12
