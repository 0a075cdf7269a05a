"""The fixture, in a pytest session of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = "airflow_provider_sptasks.emulator.pytest_plugin"
ROOT = Path(__file__).parents[2]


def session(folder: Path, test: str, before: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(test)
    options = ["-q", "-p", "no:cacheprovider", "--strict-markers", "-p", PLUGIN]
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{before}\nimport pytest; pytest.main({options})"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        # Where the package is installed, its entry point would load the plugin a second time.
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_fixture(tmp_path: Path) -> None:
    test = """
import pytest, urllib.request

def test_empty(sailpoint_emulator):
    assert sailpoint_emulator.tasks() == []
    assert urllib.request.urlopen(sailpoint_emulator.url + "/oauth/info").status == 200

@pytest.mark.sailpoint_scenario("demo")
def test_demo(sailpoint_emulator):
    assert len(sailpoint_emulator.tasks()) == 8
"""
    answer = session(tmp_path, test)
    assert "2 passed" in answer.stdout, answer.stdout + answer.stderr


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "jsonpatch", "python_multipart"])
def test_without_the_extra(tmp_path: Path, missing: str) -> None:
    test = "def test_other(): pass\n\ndef test_emulator(sailpoint_emulator): pass\n"
    answer = session(tmp_path, test, f"sys.modules[{missing!r}] = None")
    assert "1 passed, 1 error" in answer.stdout, answer.stdout + answer.stderr
    assert f"needs {missing}: pip install 'airflow-provider-sptasks[emulator]'" in answer.stdout


def test_import_is_cheap() -> None:
    heavy = ("starlette", "uvicorn", "jsonpatch", "python_multipart")
    program = f"import sys, {PLUGIN}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )
    assert answer.stdout == "[]\n"
