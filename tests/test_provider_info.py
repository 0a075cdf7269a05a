"""What Airflow makes of the provider's metadata."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_sptasks import __version__
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.client.versions import API_VERSIONS
from airflow_provider_sptasks.get_provider_info import get_provider_info
from airflow_provider_sptasks.hooks._fields import EXTRAS
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from tests.compat import AIRFLOW_3_2
from tests.conftest import ROOT

SCHEMAS = Path(airflow.__path__[0])
# Before Airflow 3.2 the schema of official providers' files knows of no commands.
KNOWS_COMMANDS = ["provider_info.schema.json", *(["provider.yaml.schema.json"] if AIRFLOW_3_2 else [])]


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_matches_airflows_schema(schema: str) -> None:
    document = json.loads((SCHEMAS / schema).read_text())
    document.pop("required")  # of an official provider's yaml: its state, its source dates
    info = get_provider_info()
    if schema not in KNOWS_COMMANDS:
        info.pop("cli")
    jsonschema.validate(info, document)


def test_matches_airflows_schema_of_forms() -> None:
    schema = json.loads((SCHEMAS / "customized_form_field_behaviours.schema.json").read_text())
    jsonschema.validate(SailPointHook.get_ui_field_behaviour(), schema)


def test_entry_point() -> None:
    (entry_point,) = [
        each
        for each in entry_points(group="apache_airflow_provider")
        if each.dist and each.dist.name == "airflow-provider-sptasks"
    ]
    assert entry_point.load()() == get_provider_info()
    assert entry_point.dist is not None
    assert entry_point.dist.version == __version__


def test_form_and_hook_agree() -> None:
    (connection_type,) = get_provider_info()["connection-types"]
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    hook = getattr(import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == ("sailpoint", connection_type["hook-name"])
    assert connection_type["conn-fields"].keys() == EXTRAS.keys()
    assert set(connection_type["conn-fields"]["api_version"]["schema"]["enum"]) == set(API_VERSIONS)


@pytest.mark.parametrize("field", ["timeout", "requests_per_10s", "poll_share", "max_answer_mb"])
def test_the_form_admits_what_the_hook_does(field: str) -> None:
    (connection_type,) = get_provider_info()["connection-types"]
    schema = connection_type["conn-fields"][field]["schema"]
    settings = ClientSettings("acme", "id", "secret")
    for bound, beyond in ((schema["minimum"], 0), (schema["maximum"], 2 * schema["maximum"])):
        changed: dict[str, Any] = {field: bound}
        replace(settings, **changed)
        changed = {field: beyond}
        with pytest.raises(ValueError, match=field):
            replace(settings, **changed)


def test_every_module_is_listed() -> None:
    info = get_provider_info()
    for kind in ("hooks", "sensors", "operators", "triggers"):
        listed = {module for each in info[kind] for module in each["python-modules"]}
        files = (ROOT / "airflow_provider_sptasks" / kind).glob("[!_]*.py")
        assert listed == {f"airflow_provider_sptasks.{kind}.{file.stem}" for file in files}
        assert all(import_module(module) for module in listed)


def test_is_light() -> None:
    """Every component of Airflow asks for the metadata: it must not import the hook."""
    code = (
        "import sys, airflow_provider_sptasks.get_provider_info as info; info.get_provider_info();"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'airflow', 'requests', 'tenacity'}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("list", "airflow-provider-sptasks"),
        ("hooks", "airflow_provider_sptasks.hooks.sailpoint.SailPointHook"),
        ("widgets", "requests_per_10s"),
        ("behaviours", "sailpoint"),
    ],
)
def test_airflow_lists_it(command: str, expected: str) -> None:
    arguments = [sys.executable, "-m", "airflow", "providers", command, "--output", "json"]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert expected in answer.stdout
    assert "sptasks" not in answer.stderr, "nothing to complain about"
