"""What is promised about versions is what is run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from tests.compat import AIRFLOW_3_2
from tests.conftest import ROOT
from tests.documents import page

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
PAGE = page("docs/versions.md")
TABLES = {(table.section, table.heading): table.rows[1:] for table in PAGE.tables()}
PROMISED = [re.match(r"[\d.]+", row[0])[0] for row in TABLES["Airflow", "Airflow"]]  # type: ignore[index]
DIFFERENCES = {row[0]: row[1:] for row in TABLES["What differs before Airflow 3.3", "what"]}
# The tests that show each line, and that have a value for either side of it.
SHOWN_BY = {
    "`start_from_trigger`": [
        "airflow/test_ends.py::test_success_takes_no_process_where_none_is_needed",
        "test_from_trigger.py::test_only_from_airflow_3_3_on",
        "test_links.py::test_a_trigger_that_starts_a_task_links_to_the_source",
    ],
    "`end_from_trigger`": ["airflow/test_ends.py::test_success_takes_no_process_where_none_is_needed"],
    "`clear_on_kill` of a task that waits in the triggerer": [
        "airflow/test_start.py::test_cleared_while_deferred",
        "operators/test_start.py::test_in_the_triggerer",
    ],
    "a retry of the operator that starts aggregations, after its worker died": [
        "airflow/test_start.py::test_a_worker_killed_after_the_start",
        "operators/test_start.py::test_goes_on_with_what_it_started",
        "operators/test_start.py::test_without_a_store_the_newest_since_the_run_started",
        "operators/test_start.py::test_without_a_store_there_may_be_none",
    ],
    "what completes while there is no triggerer": [
        "airflow/test_assets.py::test_every_completion_is_in_an_event",
        "triggers/test_completions.py::test_finds_what_completed_while_the_triggerer_was_down",
        "triggers/test_completions.py::test_alone_where_airflow_shares_no_streams",
    ],
    "several watchers of a connection": [
        "airflow/test_assets.py::test_watchers_keep_to_a_poll_a_second",
        "triggers/test_completions.py::test_alone_where_airflow_shares_no_streams",
        "triggers/test_completions.py::test_many_watchers_cost_one_request_a_poll",
    ],
    "`airflow sailpoint`": ["test_versions.py::test_airflow_has_the_commands"],
}


def makefile(name: str) -> str:
    """The recipe of a target."""
    return re.search(rf"^{re.escape(name)}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1]  # type: ignore[index]


def test_the_lowest_version_that_is_allowed_is_the_lowest_that_is_run() -> None:
    assert f"apache-airflow>={PROMISED[0]}" in PROJECT["dependencies"]


def test_the_highest_version_is_the_one_that_make_test_runs() -> None:
    assert f"\napache-airflow=={PROMISED[-1]}\n" in (ROOT / "constraints.txt").read_text()


@pytest.mark.parametrize("version", PROMISED[:-1])
def test_older_versions_have_constraints_of_their_time(version: str) -> None:
    lines = (ROOT / "constraints" / f"airflow-{version}.txt").read_text().splitlines()
    assert f"apache-airflow=={version}" in lines
    assert [line for line in lines if not re.match(r"[a-z0-9-]+==[\w.]+( ; .*)?$", line)] == []
    (when,) = re.findall(rf"^TIME_{re.escape(version)} := (.*)$", MAKEFILE, re.MULTILINE)
    (row,) = [row for row in TABLES["Airflow", "Airflow"] if row[0].startswith(version)]
    assert row[1] == f"as of {when}"


def test_the_lowest_version_is_what_is_run_if_none_is_given() -> None:
    assert "VERSION ?= $(LOWEST_AIRFLOW)" in MAKEFILE


def test_the_hosted_ci_runs_what_is_promised() -> None:
    matrix = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.findall(r"airflow: \[(.*)\]", matrix) == [", ".join(f'"{each}"' for each in PROMISED)]


def test_pythons() -> None:
    prefix = "Programming Language :: Python :: "
    classifiers = [each.removeprefix(prefix) for each in PROJECT["classifiers"] if each.startswith(prefix)]
    assert f"Python {', '.join(classifiers[:-1])} and {classifiers[-1]}" in PAGE.text
    assert all(f"python{each}" in makefile("test-all") for each in classifiers)


def test_each_difference_is_shown() -> None:
    assert DIFFERENCES.keys() == SHOWN_BY.keys()


@pytest.mark.parametrize("test", sorted({test for tests in SHOWN_BY.values() for test in tests}))
def test_what_shows_a_difference_is_run(test: str) -> None:
    path, name = test.split("::")
    assert re.search(rf"^ *def {name}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE)
    assert any(
        f"tests/{path}".startswith(each) for each in re.findall(r"tests/\S+", makefile("test-airflow"))
    )


def test_airflow_has_the_commands() -> None:
    command = [sys.executable, "-m", "airflow", "sailpoint", "tasks", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is AIRFLOW_3_2, done.stderr
    command[2:4] = ["airflow_provider_sptasks"]
    subprocess.run(command, capture_output=True, check=True)
