from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.listeners import hookimpl
from airflow.listeners.listener import get_listener_manager as get_core_listener_manager
from airflow.sdk import DAG, Asset, BaseOperator, task
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_sptasks import from_trigger
from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.from_trigger import airflow_can, too_many, why_not_end, why_not_start
from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor
from airflow_provider_sptasks.triggers.sailpoint import SailPointTaskTrigger
from tests.compat import dag_bag, get_task_listener_manager, needs_airflow_3_3, serialized
from tests.context import context, triggerer


def gate(task_status_id: Any = "abc", dag: DAG | None = None, **kwargs: Any) -> SailPointTaskSensor:
    settings: dict[str, Any] = {"task_id": "gate", "deferrable": True, "start_from_trigger": True} | kwargs
    return SailPointTaskSensor(
        task_status_id=task_status_id, dag=dag or DAG("dag", schedule=None), **settings
    )


@needs_airflow_3_3
@pytest.mark.parametrize(
    "task_status_id",
    [
        "abc",
        ["abc", "{{ params.id }}"],
        "{{ dag_run.conf['id'] }}",
        "{{ dag_run.conf.get('id') | trim }}",
        "{{ var.value.id }}-{{ ds_nodash }}",
        "{% set id = params.id %}{{ id }}",
        "{% if params.id is string %}{{ params.id }}{% endif %}",
        "{{ ti.xcom_pull(task_ids='start', map_indexes=-1) }}",
        "{{ task_instance.xcom_pull(task_ids='start', key='id', map_indexes=-1)['id'] }}",
    ],
)
def test_starts_in_the_triggerer(task_status_id: Any) -> None:
    sensor = gate(task_status_id, timeout=90)
    assert sensor.start_from_trigger
    args = sensor.start_trigger_args
    assert args is not None
    assert args.trigger_cls == f"{SailPointTaskTrigger.__module__}.{SailPointTaskTrigger.__qualname__}"
    assert args.next_method == "execute_complete"
    assert args.timeout is not None
    assert args.timeout.total_seconds() == 90
    assert (args.trigger_kwargs or {})["task_status_id"] == task_status_id


@needs_airflow_3_3
@pytest.mark.parametrize(
    ("task_status_id", "reason"),
    [
        ("{{ ti.xcom_pull(task_ids='start') }}", "task_status_id has an xcom_pull without map_indexes"),
        ("{{ task_instance.xcom_pull('start') }}", "has an xcom_pull without map_indexes"),
        ("{{ ti.start_date }}", "uses the task instance for more than an xcom_pull"),
        (["abc", "{{ prev_start_date_success }}"], "uses prev_start_date_success"),
        ("{{ my_macro() }}", "uses my_macro"),
        ("{{ params.id | my_filter }}", "(No filter named 'my_filter'.)"),
        ("{{ data_interval_start | ds }}", "(No filter named 'ds'.)"),
        ("{{ params.id ", "has a template with an error"),
    ],
)
def test_starts_on_a_worker(
    task_status_id: Any, reason: str, tenant: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor = gate(task_status_id)
    assert not sensor.start_from_trigger
    assert sensor.start_trigger_args is None
    assert capsys.readouterr().out == "", "V4: other tasks of the DAG file have nothing to do with it"
    assert reason in why_it_started_on_a_worker(sensor, tenant, capsys)


def why_it_started_on_a_worker(
    sensor: SailPointTaskSensor, tenant: Emulator, capsys: pytest.CaptureFixture[str]
) -> str:
    """What the log of the task that it is about says, once."""
    sensor.task_status_id = tenant.add_task(launched=-60, duration=1).id
    sensor.execute(context())
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "Starting on a worker: " in each]
    return line


@needs_airflow_3_3
def test_another_tasks_output_is_for_a_worker(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    @task
    def start() -> str:
        return "abc"

    with DAG("dag", schedule=None) as dag:
        sensor = gate(start(), dag)
    assert not sensor.start_from_trigger
    assert "task_status_id comes from another task" in why_it_started_on_a_worker(sensor, tenant, capsys)


@needs_airflow_3_3
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"pre_execute": lambda _: None}, "pre_execute is set"),
        ({"on_execute_callback": lambda _: None}, "on_execute_callback is set"),
    ],
)
def test_what_airflow_does_at_the_start_is_for_a_worker(
    settings: dict[str, Any], reason: str, tenant: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor = gate(**settings)
    assert not sensor.start_from_trigger
    assert reason in why_it_started_on_a_worker(sensor, tenant, capsys)


@needs_airflow_3_3
def test_native_templates_are_for_a_worker() -> None:
    native = DAG("native", schedule=None, render_template_as_native_obj=True)
    assert gate("abc", native, task_id="literal").start_from_trigger
    assert not gate("{{ params.id }}", native, task_id="template").start_from_trigger


@pytest.mark.parametrize(
    ("version", "can"),
    [
        ("3.0.6", False),
        ("3.2.1", False),
        ("3.3.0", True),
        ("3.3.2rc1", True),
        ("3.10.0", True),
        ("4.0", True),
    ],
)
def test_only_from_airflow_3_3_on(version: str, can: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow, "__version__", version)
    assert airflow_can() is can
    sensor = gate()
    assert sensor.start_from_trigger is can
    why = None if can else f"Airflow {version} can't start it in the triggerer, 3.3 can"
    assert why_not_start(sensor) == why


def test_needs_deferrable() -> None:
    with pytest.raises(ValueError, match="Set deferrable=True too"):
        gate(deferrable=False)


def test_dag_is_imported_where_a_plugin_listens(tmp_path: Path) -> None:
    class Listener:
        @hookimpl
        def on_task_instance_running(self) -> None: ...

    (tmp_path / "gates.py").write_text(
        "from airflow.sdk import DAG\n"
        "from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor\n"
        "with DAG('gates', schedule=None):\n"
        "    SailPointTaskSensor(task_id='poke', task_status_id='abc')\n"
        "    SailPointTaskSensor(\n"
        "        task_id='gate', task_status_id='abc', deferrable=True, start_from_trigger=True\n"
        "    )\n"
    )
    listener = Listener()
    manager: Any = get_core_listener_manager()
    manager.add_listener(listener)
    try:
        bag = dag_bag(tmp_path)
    finally:
        manager.pm.unregister(listener)
    assert bag.import_errors == {}
    assert set(bag.dags) == {"gates"}


@pytest.mark.parametrize("argument", ["start_from_trigger", "end_from_trigger"])
def test_flags_are_flags(argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument} 'no' is neither True nor False"):
        gate(**dict[str, Any]({argument: "no"}))


@needs_airflow_3_3
def test_a_worker_that_gets_it_says_why(tenant: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    task = tenant.add_task(launched=-60, duration=1)
    sensor = gate("{{ ti.start_date }}")
    sensor.task_status_id = task.id
    assert sensor.execute(context())["id"] == task.id
    assert "Starting on a worker: task_status_id uses the task instance" in capsys.readouterr().out


def with_outlets(**kwargs: Any) -> DAG:
    with DAG("dag", schedule=None) as dag:
        gate("abc", dag, **kwargs)
    return dag


def with_mapped_dependant() -> DAG:
    @task
    def use(status: object) -> None: ...

    with DAG("dag", schedule=None) as dag:
        use.expand(status=gate(["abc"], dag).output)
    return dag


@needs_airflow_3_3
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_outlets, None),
        (lambda: with_outlets(on_failure_callback=print), None),
        (lambda: with_outlets(outlets=[Asset("done")]), "outlets is set"),
        (lambda: with_outlets(on_success_callback=print), "on_success_callback is set"),
        (lambda: with_outlets(on_skipped_callback=print), "on_skipped_callback is set"),
        (lambda: with_outlets(multiple_outputs=True), "multiple_outputs is set"),
        (with_mapped_dependant, "use is mapped over its result"),
    ],
)
def test_what_is_left_to_do_at_the_end_is_for_a_worker(make: Callable[[], DAG], reason: str | None) -> None:
    """The operator says so on a worker, and the serialized DAG in the triggerer."""
    dag = make()
    assert why_not_end(dag.get_task("gate")) == reason
    assert why_not_end(serialized(dag).get_task("gate")) == reason


@needs_airflow_3_3
def test_post_execute_is_known_on_a_worker() -> None:
    sensor = gate(post_execute=lambda _context, _result: None)
    assert why_not_end(sensor) == "post_execute is set"
    assert not (sensor.start_trigger_args.trigger_kwargs or {})["end_from_trigger"]  # type: ignore[union-attr]


@needs_airflow_3_3
def test_too_many_gates_in_a_dag_are_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(from_trigger, "MOST_COPIES", 30)
    with DAG("large", schedule=None) as dag:
        BaseOperator(task_id="other")
        for number in range(10):
            gate("abc", dag, task_id=f"gate{number}")
    logged = [
        line for line in capsys.readouterr().out.splitlines() if "sensors that start in the triggerer" in line
    ]
    assert len(logged) == 1
    assert "DAG 'large' has 6 sensors that start in the triggerer and 7 tasks" in logged[0]


def test_a_gate_in_no_dag_is_not_too_many() -> None:
    assert too_many(SailPointTaskSensor(task_id="gate", task_status_id="abc")) is None


class Listener:
    """A plugin's listener, as a module may be one."""

    @hookimpl
    def on_task_instance_success(self, previous_state: object, task_instance: object) -> None: ...


def last_event(trigger: SailPointTaskTrigger) -> TriggerEvent:
    async def collect() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(collect())
    return event


def trigger_of(sensor: SailPointTaskSensor) -> SailPointTaskTrigger:
    args = sensor.start_trigger_args
    assert args is not None
    return SailPointTaskTrigger(**(args.trigger_kwargs or {}))


@needs_airflow_3_3
class TestEnd:
    @pytest.fixture
    def ended(self, tenant: Emulator) -> str:
        return tenant.add_task(launched=-60, duration=1).id

    def test_success_ends_there_with_the_xcom(self, ended: str) -> None:
        trigger = trigger_of(gate(ended))
        with triggerer(trigger) as xcoms:
            assert isinstance(last_event(trigger), TaskSuccessEvent)
        assert xcoms["return_value"]["id"] == ended

    def test_without_an_xcom_where_none_is_wanted(self, ended: str) -> None:
        trigger = trigger_of(gate(ended, do_xcom_push=False))
        with triggerer(trigger) as xcoms:
            assert isinstance(last_event(trigger), TaskSuccessEvent)
        assert xcoms == {}

    def test_goes_on_to_a_worker_for_a_plugin_that_listens(
        self, ended: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        listener = Listener()
        manager = get_task_listener_manager()
        manager.add_listener(listener)
        try:
            trigger = trigger_of(gate(ended))
            with triggerer(trigger) as xcoms:
                event = last_event(trigger)
        finally:
            manager.clear()
        assert event.payload["statuses"][0]["id"] == ended
        assert xcoms == {}
        assert "A success will end on a worker: a plugin listens to it" in capsys.readouterr().out

    def test_goes_on_to_a_worker_when_the_xcom_cannot_be_set(self, ended: str) -> None:
        trigger = trigger_of(gate(ended))
        refusal = AirflowRuntimeError(ErrorResponse(detail={"status_code": 500}))
        with triggerer(trigger, refusal):
            assert last_event(trigger).payload["statuses"][0]["id"] == ended

    def test_goes_on_to_a_worker_where_it_should(self, ended: str) -> None:
        trigger = trigger_of(gate(ended, end_from_trigger=False))
        with triggerer(trigger) as xcoms:
            assert last_event(trigger).payload["statuses"][0]["id"] == ended
        assert xcoms == {}

    def test_cannot_end_in_a_dag_test(self, ended: str) -> None:
        assert last_event(trigger_of(gate(ended))).payload["statuses"][0]["id"] == ended

    def test_other_tasks_of_the_dag_are_let_go(self, ended: str) -> None:
        with DAG("dag", schedule=None) as dag:
            gate(ended, dag)
            BaseOperator(task_id="other")
        copy = serialized(dag)
        other = weakref.ref(copy.get_task("other"))
        trigger = trigger_of(gate(ended))
        with triggerer(trigger, task=copy.get_task("gate")) as xcoms:
            assert isinstance(last_event(trigger), TaskSuccessEvent)
            gc.collect()
            assert other() is None
        assert xcoms["return_value"]["id"] == ended
