from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.triggers.base import TriggerEvent

from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.links import LINK_KEY, SailPointAggregationLink
from airflow_provider_sptasks.sensors._base import SailPointSensor
from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor, SailPointTaskSensor
from airflow_provider_sptasks.triggers.sailpoint import SailPointAggregationTrigger, SailPointTaskTrigger
from tests.compat import AIRFLOW_3_3, AirflowFailException, serialized
from tests.conftest import CONNECTION
from tests.context import context, triggerer

PAGE = "/ui/a/admin/connections/sources/"
ZERO_WORKER: dict[str, Any] = {
    "deferrable": True,
    "start_from_trigger": True,
    "launched_after": "2020-01-01T00:00Z",
}


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"host": "acme"}, "https://acme.identitynow.com"),
        ({"host": "acme.api.identitynow-demo.com"}, "https://acme.identitynow-demo.com"),
        ({"host": "https://acme.api.saas.sailpointfedramp.com/"}, "https://acme.saas.sailpointfedramp.com"),
        ({"host": "acme", "ui_url": "https://identity.acme.example/"}, "https://identity.acme.example"),
        ({"host": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080"),
    ],
)
def test_admin_url(settings: dict[str, Any], url: str) -> None:
    assert ClientSettings(client_id="id", client_secret="secret", **settings).admin_url == url


def test_bad_admin_url_is_refused() -> None:
    with pytest.raises(ValueError, match="ui_url"):
        ClientSettings(host="acme", client_id="id", client_secret="secret", ui_url="identity.acme.example")


def link(gate: SailPointSensor) -> str:
    return SailPointAggregationLink().get_link(gate, ti_key=None)  # type: ignore[arg-type]


def test_a_worker_links_to_the_source(tenant: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION, f"{tenant.connection_uri}/?ui_url=https%3A%2F%2Fidentity.acme.example")
    task = tenant.add_task(launched=-60, duration=None)
    by_task = SailPointTaskSensor(task_id="gate", task_status_id=task.id)
    by_source = SailPointAggregationSensor(
        task_id="gate", source_id=task.source_id, launched_after="2020-01-01T00:00Z"
    )
    for gate in (by_task, by_source):
        assert link(gate) == "", "nothing is known before the first poll"
        assert not gate.poke(context())
        assert link(gate) == f"https://identity.acme.example{PAGE}{task.source_id}"


def test_no_connection_is_read_for_a_link_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow asks for it at every end, also where the connection is what was missing."""
    monkeypatch.delenv(CONNECTION, raising=False)
    assert link(SailPointTaskSensor(task_id="gate", task_status_id="abc")) == ""


def test_of_several_it_links_to_the_one_that_failed(tenant: Emulator) -> None:
    good = tenant.add_task(source="HR", launched=-60, duration=1)
    bad = tenant.add_task(source="AD", launched=-60, duration=1, outcome="ERROR")
    gate = SailPointTaskSensor(task_id="gate", task_status_id=[good.id, bad.id])
    with pytest.raises(AirflowFailException):
        gate.execute(context())
    assert link(gate).endswith(f"{PAGE}{bad.source_id}")


def test_no_link_for_a_task_of_no_source(tenant: Emulator) -> None:
    task = tenant.add_task(kind="identity_refresh", launched=-60, duration=1)
    gate = SailPointTaskSensor(task_id="gate", task_status_id=task.id)
    gate.execute(context())
    assert link(gate) == ""


@pytest.mark.parametrize("by_source", [False, True])
def test_a_trigger_that_starts_a_task_links_to_the_source(tenant: Emulator, by_source: bool) -> None:
    task = tenant.add_task(launched=-60, duration=1)
    with DAG("dag", schedule=None) as dag:
        gate: SailPointSensor = (
            SailPointAggregationSensor(task_id="gate", source_id=task.source_id, **ZERO_WORKER)
            if by_source
            else SailPointTaskSensor(
                task_id="gate", task_status_id=task.id, deferrable=True, start_from_trigger=True
            )
        )
    args = gate.start_trigger_args
    assert (args is not None) is AIRFLOW_3_3
    if args is None:
        return
    kind = SailPointAggregationTrigger if by_source else SailPointTaskTrigger
    trigger = kind(**(args.trigger_kwargs or {}))

    async def collect() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    with triggerer(trigger, task=serialized(dag).get_task("gate")) as xcoms:
        asyncio.run(collect())
    assert xcoms[LINK_KEY].endswith(f"{PAGE}{task.source_id}")
    assert xcoms["return_value"]["id"] == task.id


def test_the_link_is_in_the_serialized_dag() -> None:
    with DAG("dag", schedule=None) as dag:
        SailPointTaskSensor(task_id="gate", task_status_id="abc")
    task = serialized(dag).get_task("gate")
    assert [each.name for each in task.operator_extra_links] == ["Source in SailPoint"]
    assert [each.xcom_key for each in task.operator_extra_links] == [LINK_KEY]
