"""Records that once took a triggerer down, or what waits in it: FAULTS P1 to P5."""

from __future__ import annotations

from typing import Any

from airflow_provider_sptasks.emulator import Emulator
from tests.airflow.conftest import POISON
from tests.airflow.watchers.poisoned import BY_ID, IDS, SOURCES

ESCAPES = "::group::\x1b[31m\r\n::endgroup::" + "x" * 100_000
# What is odd in the record of each sensor's task, in turn.
OWN: list[dict[str, Any]] = [
    POISON,
    {"created": "2099-01-01T00:00:00.000Z"},
    {"target": {"type": "APPLICATION", "id": "Role/Finance", "name": "\ud83d"}},
    {"uniqueName": f"Cloud Account Aggregation {ESCAPES}", "progress": ESCAPES},
    {"description": ESCAPES, "percentComplete": 1e400, "messages": [{"localizedText": 7}, None, ESCAPES]},
]
# And what stands beside them in every list.
BYSTANDERS: list[dict[str, Any]] = [
    {"id": None},
    {"id": "bad id/1"},
    {"id": "x" * 200},
    {"id": "_x", "launched": 1e300},
    {"completed": "9999-12-31T23:59:59.999Z", "completionStatus": "TEMPERROR"},
    {"completionStatus": {"not": "a string"}},
    {"target": [], "launcher": 2**70, "attributes": "none"},
]
FAILED = frozenset({0, 1, 2, 3, 4})
"""The sensors whose tasks end with an error."""


def fill(tenant: Emulator) -> None:
    """Give the tenant a running task for each sensor, and odd ones beside them."""
    for number, task_id in IDS.items():
        tenant.add_source(f"Source {number}", SOURCES[number])
        tenant.add_task(task_id, source_id=SOURCES[number], launched=-60, duration=None)
        own = OWN[number % len(OWN)]
        if "target" in own and number not in BY_ID:
            own = POISON  # by a target like that no sensor finds it
        tenant.override_task(task_id, own)
    for number, fields in enumerate(BYSTANDERS * 5):
        odd = tenant.add_task(launched=-30 - number, duration=None, source_id=SOURCES[number])
        tenant.override_task(odd.id, fields, without=["uniqueName"] if number % 2 else [])


def end(tenant: Emulator) -> None:
    """End what the sensors wait for."""
    for number, task_id in IDS.items():
        tenant.complete(task_id, "ERROR" if number in FAILED else "SUCCESS")
    tenant.override_task(IDS[4], completed="9999-12-31T23:59:59.999Z", completionStatus="TEMPERROR")
