"""What the plugin costs where it isn't used, and what Airflow makes of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

from tests.conftest import ROOT

STATIC = ROOT / "airflow_provider_sptasks" / "plugin" / "static"
IMPORTED = """
import json, os, sys
import airflow.configuration
import airflow.plugins_manager
before = set(sys.modules)
from airflow_provider_sptasks.plugin import SailPointPlugin as used
added = sorted(set(sys.modules) - before)
os.environ["AIRFLOW__SAILPOINT__PAGE"] = "False"
del sys.modules["airflow_provider_sptasks.plugin"]
from airflow_provider_sptasks.plugin import SailPointPlugin as unused
print(json.dumps([added, [[each.external_views, len(each.fastapi_apps)] for each in (used, unused)]]))
"""


@pytest.fixture(scope="module")
def imported() -> Any:
    """What a component of Airflow has when it has imported the plugin, and with the page switched off."""
    finished = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


def test_it_costs_next_to_nothing_where_it_is_not_used(imported: Any) -> None:
    modules, _ = imported
    assert "airflow_provider_sptasks.plugin" in modules
    assert len(modules) <= 5, modules


def test_it_can_be_left_out(imported: Any) -> None:
    _, (used, unused) = imported
    ((view,), apps) = used
    assert not view["href"].startswith("/"), "it is below the path of Airflow's base URL"
    assert apps == 1
    assert unused == [[], 0]


def test_airflow_finds_it_by_one_entry_point() -> None:
    found = [each.value for each in entry_points(group="airflow.plugins") if each.name == "sailpoint"]
    assert found == ["airflow_provider_sptasks.plugin:SailPointPlugin"]


@pytest.mark.parametrize(("name", "limit"), [("page.js", 20_000), ("page.css", 6_000), ("page.html", 6_000)])
def test_what_the_browser_gets_is_small(name: str, limit: int) -> None:
    assert (STATIC / name).stat().st_size <= limit


def test_nothing_comes_from_elsewhere_and_nothing_is_markup() -> None:
    assert sorted(each.name for each in STATIC.iterdir()) == ["page.css", "page.html", "page.js"]
    script = (STATIC / "page.js").read_text(encoding="utf-8")
    everything = "".join(each.read_text(encoding="utf-8") for each in STATIC.iterdir())
    assert set(re.findall(r"https?://[^\"'\s]+", everything)) == {"http://www.w3.org/2000/svg"}
    assert re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|\bimport\b", script) == []
    assert re.findall(r"\bon\w+=|<script(?! type)|\bstyle=", (STATIC / "page.html").read_text()) == []
