"""The page's rights with FAB's users and roles, in a real Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator
from harness.airflow import Airflow
from tests.airflow.conftest import PATIENCE

pytest.importorskip(
    "airflow.providers.fab",
    reason="NOT TRIED WITH FAB: apache-airflow-providers-fab doesn't go with constraints.txt, see docs/page.md",
)

PASSWORD = "only on loopback"
ADMIN = "admin"
DAGS = Path(__file__).parent / "rights"
# What tests/airflow/rights/two.py says.
ACCESS, ROLE = ("seen", "unseen"), "One DAG"
READER, EDITOR = "Reads connections", "Edits connections"
# The roles that are not FAB's own, and what they may.
CUSTOM = {
    READER: [("can_read", "Connections")],
    EDITOR: [("can_edit", "Connections")],
    ROLE: [("can_read", "Connections")],
}
ROLES = ("Admin", "Op", "User", "Viewer", "Public", *CUSTOM)
# None sends no token.
ALL = (None, *ROLES)

OPEN = ("", "page.js", "page.css", "api/connections")
HERE = "api/sailpoint_default/"
READING = ("overview", "history", "tasks/{task}")
CLEARING, AGGREGATING = "tasks/{task}/clear", "sources/{source}/aggregate"
CHANGING: dict[str, dict[str, Any]] = {CLEARING: {"dry_run": True}, AGGREGATING: {"kind": "accounts"}}


def user(role: str) -> str:
    return role.lower().replace(" ", "_")


def commands() -> Iterator[list[str]]:
    """What an administrator types."""
    for role, rights in CUSTOM.items():
        yield ["roles", "create", role]
        for action, resource in rights:
            yield ["roles", "add-perms", role, "--action", action, "--resource", resource]
    for role in ROLES:
        name = user(role)
        names = ["--username", name, "--firstname", name, "--lastname", name, "--email", f"{name}@example.com"]
        yield ["users", "create", *names, "--role", role, "--password", PASSWORD]


@pytest.fixture(scope="module")
def tenant() -> Iterator[Emulator]:
    with Emulator() as tenant:
        yield tenant


@pytest.fixture(scope="module")
def fab(interrupts: None, tenant: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    environment = {
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW_CONN_SAILPOINT_DEFAULT": tenant.connection_uri,
        "AIRFLOW_CONN_ANOTHER_TYPE": "http://example.com",
    }
    home = tmp_path_factory.mktemp("fab")
    with Airflow(home, DAGS, environment, login=(user("Admin"), PASSWORD)) as airflow:
        airflow.create_database(PATIENCE)
        airflow.run_commands(commands(), PATIENCE)
        airflow.start()
        airflow.start_triggerer()
        airflow.wait_until_ready(ACCESS, PATIENCE)
        yield airflow


@pytest.fixture(scope="module")
def tokens(fab: Airflow) -> dict[str | None, str]:
    return {role: fab.log_in(fab.url, user(role), PASSWORD) for role in ROLES}


@pytest.fixture(scope="module")
def ids(tenant: Emulator) -> dict[str, str]:
    task = tenant.add_task(source="Workday", duration=None)
    return {"task": task.id, "source": next(each.id for each in tenant.sources if each.name == "Workday")}


class Site:
    """
    An api-server with the page.

    :param url: its base URL
    :param tokens: the users' tokens by their roles
    """

    def __init__(self, url: str, tokens: dict[str | None, str]) -> None:
        self.url = url
        self.tokens = tokens

    def get(self, role: str | None, path: str) -> requests.Response:
        return self._send("GET", role, path, {}, None)

    def post(self, role: str | None, path: str, body: object) -> requests.Response:
        return self._send("POST", role, path, {"X-SailPoint-Page": "1", "Sec-Fetch-Site": "same-origin"}, body)

    def _send(
        self, method: str, role: str | None, path: str, headers: dict[str, str], body: object
    ) -> requests.Response:
        cookies = {} if role is None else {"_token": self.tokens[role]}
        url = f"{self.url}/sailpoint/page/{path}"
        return requests.request(method, url, headers=headers, cookies=cookies, json=body, timeout=60)

    def table(self, ids: dict[str, str]) -> dict[str, dict[str | None, int]]:
        """Return the statuses of all routes, by role."""
        read = {path: {role: self.get(role, path).status_code for role in ALL} for path in OPEN}
        for each in READING:
            path = HERE + each.format(**ids)
            read[each] = {role: self.get(role, path).status_code for role in ALL}
        for each, body in CHANGING.items():
            path = HERE + each.format(**ids)
            read[each] = {role: self.post(role, path, body).status_code for role in ALL}
        return read


@pytest.fixture(scope="module")
def site(fab: Airflow, tokens: dict[str | None, str]) -> Site:
    return Site(fab.url, tokens)


def test_table(site: Site, fab: Airflow, ids: dict[str, str]) -> None:
    for path, row in site.table(ids).items():
        print(f"{path:30}", *(f"{role}={code}" for role, code in row.items()))
    for role in ALL:
        print(role, site.get(role, "api/connections").text)
        plugins = requests.get(fab.url + "/api/v2/plugins", cookies={"_token": site.tokens.get(role, "")}, timeout=9)
        print("   plugins", plugins.status_code)
    for dag in ACCESS:
        run = fab.trigger(dag, {"task_status_id": ids["task"]})
        fab.until(run, {"gate": "deferred"}, PATIENCE)
    import time; time.sleep(5)
    for role in ALL:
        answer = site.get(role, HERE + "overview")
        print(role, answer.status_code, [g["name"] for g in answer.json().get("gates", [])], answer.json().get("detail"))
    for role in ALL:
        print(role, site.post(role, HERE+"tasks/"+ids["task"]+"/clear", {"dry_run": False}).text[:150])
    for e in fab.get("/api/v2/eventLogs?limit=100")["event_logs"]:
        if e["event"].startswith("sailpoint"):
            print(e["event"], e["owner"], e["extra"])
    for c in ("another_type", "missing"):
        print(c, {role: site.get(role, f"api/{c}/overview").status_code for role in ALL})
    url = fab.start_api_server("opened", "", PATIENCE, AIRFLOW__SAILPOINT__PAGE_READERS="view", AIRFLOW__FAB__AUTH_ROLE_PUBLIC="Viewer")
    print("=== page_readers=view, auth_role_public=Viewer")
    opened = Site(url, site.tokens)
    for path, row in opened.table(ids).items():
        print(f"{path:30}", *(f"{role}={code}" for role, code in row.items()))
    for role in ALL:
        answer = opened.get(role, HERE + "overview")
        print(role, answer.status_code, [g["name"] for g in answer.json().get("gates", [])], answer.json().get("detail"))
    url = fab.start_api_server("public", "", PATIENCE, AIRFLOW__FAB__AUTH_ROLE_PUBLIC="Op")
    print("=== auth_role_public=Op")
    opened = Site(url, site.tokens)
    for path, row in opened.table(ids).items():
        print(f"{path:30}", *(f"{role}={code}" for role, code in row.items()))
    print(fab.logs)
    for e in fab.get("/api/v2/eventLogs?limit=100")["event_logs"]:
        if e["event"].startswith("sailpoint"):
            print(e["event"], e["owner"], e["extra"])
