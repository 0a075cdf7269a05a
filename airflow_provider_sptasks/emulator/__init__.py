"""
A SailPoint tenant on loopback, for development and for tests: no account, no network.

Written from SailPoint's specification. ``Emulator`` starts it in the current process, ``python -m
airflow_provider_sptasks.emulator`` from a shell, and the pytest fixture ``sailpoint_emulator`` in a test.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_sptasks.emulator.credentials import Credential
    from airflow_provider_sptasks.emulator.emulator import Emulator
    from airflow_provider_sptasks.emulator.faults import Fault
    from airflow_provider_sptasks.emulator.ratelimit import RateLimit
    from airflow_provider_sptasks.emulator.requestlog import LoggedRequest
    from airflow_provider_sptasks.emulator.scenario import Scenario
    from airflow_provider_sptasks.emulator.scenario_file import load_scenario
    from airflow_provider_sptasks.emulator.scenario_tables import ScenarioError
    from airflow_provider_sptasks.emulator.schedules import Schedule
    from airflow_provider_sptasks.emulator.sources import Source
    from airflow_provider_sptasks.emulator.tasks import Task
    from airflow_provider_sptasks.emulator.uploads import Upload

__all__ = [
    "Credential",
    "Emulator",
    "Fault",
    "LoggedRequest",
    "RateLimit",
    "Scenario",
    "ScenarioError",
    "Schedule",
    "Source",
    "Task",
    "Upload",
    "load_scenario",
]

_MODULES = {
    "Credential": "credentials",
    "Emulator": "emulator",
    "Fault": "faults",
    "LoggedRequest": "requestlog",
    "RateLimit": "ratelimit",
    "Scenario": "scenario",
    "ScenarioError": "scenario_tables",
    "Schedule": "schedules",
    "Source": "sources",
    "Task": "tasks",
    "Upload": "uploads",
    "load_scenario": "scenario_file",
}
_EXTRA = frozenset({"starlette", "uvicorn", "jsonpatch", "python_multipart"})


def __getattr__(name: str) -> object:
    # Lazy, since pytest imports this package in every session of whoever has the provider installed.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        raise ImportError(
            f"The SailPoint emulator needs {missing}: pip install 'airflow-provider-sptasks[emulator]'"
        ) from error
    return getattr(module, name)
