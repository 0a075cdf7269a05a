"""
The page's rights with FAB's users and roles, in a real Airflow.

FAB's provider needs a ``python-dateutil`` below 3, so that it can't be among what ``make test`` installs. To
run this, install both in an environment of its own, for which constraints.txt holds but for that package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator
from harness.airflow import Airflow
from tests.airflow.conftest import PATIENCE

pytest.importorskip(
    "airflow.providers.fab",
    reason="NOT TRIED WITH FAB'S ROLES: apache-airflow-providers-fab is not installed, see the file's head",
)

DAGS = Path(__file__).parent / "rights"
PASSWORD = "only on loopback"
# FAB's own roles; those that an administrator made for one right each; and one that a DAG's file names.
ADMIN, OP, USER, VIEWER, PUBLIC = "Admin", "Op", "User", "Viewer", "Public"
READ, EDIT, PLUGINS, ONE_DAG = "Read connections", "Edit connections", "See plugins", "One DAG"
RIGHTS = {
    READ: ("can_read", "Connections"),
    EDIT: ("can_edit", "Connections"),
    PLUGINS: ("can_read", "Plugins"),
}
# Users, by the name that is also their roles'.
USERS = {role: [role] for role in (ADMIN, OP, USER, VIEWER, PUBLIC, *RIGHTS)} | {ONE_DAG: [READ, ONE_DAG]}
ANONYMOUS = None  # sends no token

ALL, READERS, EDITORS = {*USERS}, {ADMIN, OP, READ, ONE_DAG}, {ADMIN, OP, EDIT}
OPEN = ("", "page.js", "page.css", "api/connections")
READING = ("overview", "history", "tasks/{task}")
CHANGING = {"tasks/{task}/clear": {"dry_run": False}, "sources/{source}/aggregate": {"kind": "accounts"}}
HERE = "api/sailpoint_default/"


class Site:
    """
    An api-server with the page.

    :param url: its base URL
    :param tokens: the users' tokens
    :param tenant: the tenant
    """

    _numbers = count()

    def __init__(self, url: str, tokens: dict[str, str], tenant: Emulator) -> None:
        self.url = url
        self.tokens = tokens
        self._tenant = tenant

    def send(self, user: str | None, path: str, body: object = None) -> requests.Response:
        cookies = {} if user is None else {"_token": self.tokens[user]}
        if body is None:
            return requests.get(self.url + path, cookies=cookies, timeout=60)
        headers = {"X-SailPoint-Page": "1", "Sec-Fetch-Site": "same-origin"}
        return requests.post(self.url + path, json=body, headers=headers, cookies=cookies, timeout=60)

    def statuses(self, path: str, body: object = None) -> dict[str | None, int]:
        """Ask as each user for a task and a source that no other was asked for."""

        def status(user: str | None) -> int:
            source = self._tenant.add_source(f"source {next(self._numbers)}").id
            names = {"task": self._tenant.add_task(duration=None).id, "source": source}
            return self.send(user, f"/sailpoint/page/{path.format(**names)}", body).status_code

        return {user: status(user) for user in (ANONYMOUS, *USERS)}

    def gates(self, user: str | None) -> set[str]:
        return {gate["name"] for gate in self.send(user, f"/sailpoint/page/{HERE}overview").json()["gates"]}


@pytest.fixture(scope="module")
def tenant() -> Iterator[Emulator]:
    with Emulator() as tenant:
        yield tenant


@pytest.fixture(scope="module")
def fab(interrupts: None, tenant: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """An Airflow with the users, and a task that waits in each of two DAGs."""
    environment = {
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW_CONN_SAILPOINT_DEFAULT": tenant.connection_uri,
        "AIRFLOW_CONN_ANOTHER_TYPE": "http://example.com",
    }
    home = tmp_path_factory.mktemp("fab")
    with Airflow(home, DAGS, environment, login=(ADMIN, PASSWORD)) as airflow:
        airflow.create_database(PATIENCE)
        names = ["--firstname", ADMIN, "--lastname", ADMIN, "--email", "admin@example.com"]
        admin = ["users", "create", "--username", ADMIN, *names, "--role", ADMIN, "--password", PASSWORD]
        airflow.run_commands([admin, ["roles", "create", ONE_DAG]], PATIENCE)
        airflow.start()
        airflow.start_triggerer()
        airflow.wait_until_ready(["seen", "unseen"], PATIENCE)
        add_users(airflow)
        runs = [airflow.trigger(dag, {"task_status_id": "f" * 32}) for dag in ("seen", "unseen")]
        for run in runs:
            airflow.until(run, {"gate": "deferred"}, PATIENCE)
        yield airflow


def add_users(airflow: Airflow) -> None:
    for role, (action, resource) in RIGHTS.items():
        right = {"action": {"name": action}, "resource": {"name": resource}}
        airflow.call("POST", "/auth/fab/v1/roles", {"name": role, "actions": [right]})
    for user, roles in USERS.items():
        if user != ADMIN:
            about = {"first_name": user, "last_name": user, "email": f"{user.replace(' ', '.')}@example.com"}
            roles_json = [{"name": role} for role in roles]
            body = {"username": user, "password": PASSWORD, "roles": roles_json, **about}
            airflow.call("POST", "/auth/fab/v1/users", body)


@pytest.fixture(scope="module")
def site(fab: Airflow, tenant: Emulator) -> Site:
    return Site(fab.url, {user: fab.log_in(fab.url, user, PASSWORD) for user in USERS}, tenant)


def only(users: set[str], anonymous: int = 401) -> dict[str | None, int]:
    """What these get, and all others."""
    return {ANONYMOUS: anonymous} | {user: 200 if user in users else 403 for user in USERS}


@pytest.mark.parametrize("path", OPEN)
def test_the_document_is_for_all_who_have_logged_in(site: Site, path: str) -> None:
    assert site.statuses(path) == only(ALL)


@pytest.mark.parametrize("path", READING)
def test_reading_needs_the_right_to_see_connections(site: Site, path: str) -> None:
    assert site.statuses(HERE + path) == only(READERS)


@pytest.mark.parametrize("path", CHANGING)
def test_changing_needs_the_right_to_edit_connections(site: Site, fab: Airflow, path: str) -> None:
    assert site.statuses(HERE + path, CHANGING[path]) == only(EDITORS)
    event = "sailpoint_clear" if "clear" in path else "sailpoint_aggregate"
    rows = fab.get(f"/api/v2/eventLogs?event={event}")["event_logs"]
    assert {row["owner"] for row in rows} == EDITORS
    assert {json.loads(row["extra"])["result"] for row in rows} == {"done"}


def test_the_page_offers_what_a_role_may_read_and_change(site: Site) -> None:
    offered = {user: site.send(user, "/sailpoint/page/api/connections").json() for user in USERS}
    assert {user for user, each in offered.items() if each["connections"]} == READERS
    changeable = {user for user, each in offered.items() if any(c["can_change"] for c in each["connections"])}
    assert changeable == READERS & EDITORS
    assert "each role that can read on Connections" in offered[VIEWER]["reason"]


@pytest.mark.parametrize("connection", ["another_type", "missing"])
def test_other_connections_are_not_there(site: Site, connection: str) -> None:
    statuses = site.statuses(f"api/{connection}/overview")
    assert {user for user, status in statuses.items() if status == 404} == READERS


def test_a_role_sees_what_waits_in_its_dags(site: Site) -> None:
    both = {"seen.gate", "unseen.gate"}
    seen = {ADMIN: both, OP: both, READ: set(), ONE_DAG: {"seen.gate"}}
    assert {user: site.gates(user) for user in READERS} == seen


def test_the_menu_has_the_page_for_those_who_may_see_plugins(site: Site) -> None:
    """It is Airflow's rule, see docs/page.md."""
    assert site.statuses("../../api/v2/plugins") == only({ADMIN, OP, PLUGINS})


def test_viewers_may_read_where_that_is_configured(fab: Airflow, site: Site, tenant: Emulator) -> None:
    """So do those who have no login, with a role for them; and who could read before still can."""
    settings = {"AIRFLOW__SAILPOINT__PAGE_READERS": "view", "AIRFLOW__FAB__AUTH_ROLE_PUBLIC": VIEWER}
    url = fab.start_api_server("opened", "", PATIENCE, **settings)
    opened = Site(url, site.tokens, tenant)
    for path in READING:
        assert opened.statuses(HERE + path) == only(READERS | {USER, VIEWER}, anonymous=200), path
    for path, body in CHANGING.items():
        assert opened.statuses(HERE + path, body) == only(EDITORS, anonymous=403), path
    both = {"seen.gate", "unseen.gate"}
    assert {ANONYMOUS: opened.gates(ANONYMOUS), ONE_DAG: opened.gates(ONE_DAG)} == {
        ANONYMOUS: both,
        ONE_DAG: {"seen.gate"},
    }
