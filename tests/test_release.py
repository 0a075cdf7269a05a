"""What ``make release-check`` does before it builds and installs anything."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from airflow_provider_sptasks import __version__
from release.__main__ import CheckFailedError, check_changelog
from release.stranger import StrangerError, follow_the_readme, steps
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
ENTRIES = "\n### Added\n\n- Something.\n\n"


@pytest.mark.parametrize(
    "changelog",
    [
        f"# Changelog\n\n## [Unreleased]\n\n## [1.2.0]\n{ENTRIES}## [1.1.0]\n{ENTRIES}",
        f"# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-03-01\n{ENTRIES}",
    ],
)
def test_good_changelogs(changelog: str) -> None:
    check_changelog(changelog, "1.2.0")


@pytest.mark.parametrize(
    ("changelog", "problem"),
    [
        (f"## [Unreleased]\n\n## [1.1.0]\n{ENTRIES}", "should begin with"),
        (f"## [1.2.0]\n{ENTRIES}", "should begin with"),
        (f"## [Unreleased]\n{ENTRIES}## [1.2.0]\n{ENTRIES}", "move them below"),
        (f"## [Unreleased]\n\n## [1.2.0]\n\n## [1.1.0]\n{ENTRIES}", "has no entry"),
        ("", "should begin with"),
    ],
)
def test_bad_changelogs(changelog: str, problem: str) -> None:
    with pytest.raises(CheckFailedError, match=problem):
        check_changelog(changelog, "1.2.0")


def test_the_changelog_has_this_version() -> None:
    """As a heading, above those of all earlier versions."""
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", __version__]


def test_steps_of_the_readme() -> None:
    found = steps(README)
    assert found.file == "airflow/dags/load_accounts.py"
    assert "SailPointAggregationSensor" in found.dag
    assert found.emulator.startswith("python -m airflow_provider_sptasks.emulator")
    assert "Active Directory [source] ended with SUCCESS" in found.promised


def test_a_readme_with_other_steps_is_refused() -> None:
    with pytest.raises(StrangerError, match="other blocks"):
        steps(README.replace("```python", "```text", 1))


def test_a_command_that_fails(tmp_path: Path) -> None:
    """What the stranger sees is in the error."""
    broken = re.sub(r"python3 -m venv venv\n", "python3 -c 'exit(\"no such thing\")'\n", README)
    with pytest.raises(StrangerError, match=r"these commands fail:\npython3 -c(.|\n)*no such thing"):
        follow_the_readme(broken, tmp_path, __version__)


def test_hosted_checks_call_make() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    targets = set(re.findall(r"run: make ([\w-]+)", workflow))
    assert {"test", "test-lowest", "test-airflow", "docs", "release-check"} == targets
    jobs = workflow.split("\n\n  ")
    for target in ("test", "test-airflow"):
        (job,) = [each for each in jobs if f"run: make {target} " in each]
        assert "command -v chromium" in job, "without a browser, the page's tests would be skipped"
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    pythons = [each.rpartition(" ")[2] for each in supported if re.search(r":: 3\.\d+$", each)]
    assert re.findall(r"python: \[(.*)\]", workflow) == [", ".join(f'"{each}"' for each in pythons)]


def test_hooks_before_a_commit_run_what_make_lint_runs() -> None:
    hooks = re.findall(r"entry: (.+)", (ROOT / ".pre-commit-config.yaml").read_text())
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    assert len(hooks) == 3
    for hook in hooks:
        assert hook in recipe
