"""What waits in Airflow for a tenant: the sensors, and the operators that start aggregations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import lazyload

from airflow_provider_sptasks.arguments import is_template
from airflow_provider_sptasks.client.kinds import ANY_KIND, TaskKind
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.plugin.overview import epoch
from airflow_provider_sptasks.plugin.tasks import name_of

WAITING_STATES = ("deferred", "running", "up_for_reschedule")
OPERATORS = ("SailPointTaskSensor", "SailPointAggregationSensor", "SailPointStartAggregationOperator")
TRIGGERS = "airflow_provider_sptasks.triggers.sailpoint."
MAX_GATES = 1000
# All who watch share what the database was asked for lately.
CACHE_SECONDS = 4.0
DEFAULT_CONNECTION, DEFAULT_KIND = "sailpoint_default", TaskKind.ACCOUNTS.value


@dataclass(frozen=True, slots=True)
class Gate:
    """
    A task of Airflow that waits for a tenant.

    :param dag_id: its DAG
    :param run_id: the DAG run
    :param task_id: the task
    :param map_index: which one of a mapped task; -1 for others
    :param state: its state in Airflow
    :param since: when it started, UTC
    :param connection_id: the Airflow connection
    :param task_status_ids: the tasks that it waits for, by SailPoint's ids in one case
    :param sources: the sources that it waits for, by ids or names in one case
    :param kind: the kind of aggregations that it waits for; ``any`` for all
    :param waits_for: the same as it was given, templates too
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str
    since: datetime | None
    connection_id: str
    task_status_ids: frozenset[str]
    sources: frozenset[str]
    kind: str
    waits_for: tuple[str, ...]

    @classmethod
    def of(
        cls,
        key: tuple[str, str, str, int],
        state: str,
        since: datetime | None,
        arguments: Mapping[str, Any],
    ) -> Self:
        """
        Read what it waits for from the arguments of its trigger, or from its rendered fields.

        :param key: DAG, run, task and map index
        :param state: its state in Airflow
        :param since: when it started
        :param arguments: what was given to it; templates may not have been rendered
        """
        ids = _texts(arguments.get("task_status_id"))
        sources = [*_texts(arguments.get("source_id")), *_texts(arguments.get("source_name"))]
        connection_id = next(iter(_texts(arguments.get("sailpoint_conn_id"))), DEFAULT_CONNECTION)
        kind = next(iter(_texts(arguments.get("kind"))), DEFAULT_KIND)
        return cls(
            *key,
            state=state,
            since=since,
            connection_id=connection_id,
            task_status_ids=frozenset(each.casefold() for each in ids if not is_template(each)),
            sources=frozenset(each.casefold() for each in sources if not is_template(each)),
            kind=kind,
            waits_for=(*sources, *ids),
        )

    def waits_on(self, task: TaskStatus) -> bool:
        """
        Whether it waits for a task.

        :param task: the task
        """
        if task.id.casefold() in self.task_status_ids:
            return True
        return self.kind in (ANY_KIND, task.kind.value) and not self.sources.isdisjoint(_names(task))

    @property
    def path(self) -> str:
        """Its page in Airflow's UI, below the UI's root."""
        parts = ["dags", self.dag_id, "runs", self.run_id, "tasks", self.task_id]
        if self.map_index >= 0:
            parts += ["mapped", str(self.map_index)]
        return "/".join(quote(part, safe="") for part in parts)


def gates_json(gates: Sequence[Gate], tasks: Iterable[TaskStatus]) -> list[dict[str, Any]]:
    """
    Describe gates.

    :param gates: those that the user may see
    :param tasks: tasks whose names are known
    """
    names = {task.id.casefold(): name_of(task) for task in tasks}
    return [
        {
            "name": f"{gate.dag_id}.{gate.task_id}" + (f" [{gate.map_index}]" if gate.map_index >= 0 else ""),
            "path": gate.path,
            "state": gate.state,
            "since": epoch(gate.since),
            "waits_for": ", ".join(names.get(each.casefold(), each) for each in gate.waits_for),
        }
        for gate in gates
    ]


def waiting_on(gates: Sequence[Gate], tasks: Iterable[TaskStatus]) -> dict[str, list[int]]:
    """
    Say which gates wait for which tasks.

    :param gates: the gates
    :param tasks: the tasks
    :return: the gates' numbers by the tasks' ids
    """
    numbers: dict[str, set[int]] = {}
    for number, gate in enumerate(gates):
        for each in gate.task_status_ids | gate.sources:
            numbers.setdefault(each, set()).add(number)
    found: dict[str, list[int]] = {}
    for task in tasks:
        candidates: set[int] = set().union(
            *(numbers.get(each, ()) for each in (task.id.casefold(), *_names(task)))
        )
        if waiting := sorted(number for number in candidates if gates[number].waits_on(task)):
            found[task.id] = waiting
    return found


class Gates:
    """
    The gates of all connections and DAGs, read from Airflow's database every few seconds while watched.

    :param clock: returns seconds, monotonic
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = float("-inf")
        self._gates: tuple[Gate, ...] = ()

    def all(self) -> tuple[Gate, ...]:
        """Return all of them, whoever may see them."""
        if self._clock() - self._read_at >= CACHE_SECONDS:
            self._gates = tuple(_read_gates())
            self._read_at = self._clock()
        return self._gates


def _read_gates() -> list[Gate]:
    ti, fields = TaskInstance, RenderedTaskInstanceFields
    key = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
    rendered = (fields.dag_id, fields.run_id, fields.task_id, fields.map_index)
    query = (
        select(*key, ti.state, ti.start_date, Trigger, fields.rendered_fields)
        .outerjoin(Trigger, ti.trigger_id == Trigger.id)
        .outerjoin(fields, and_(*(one == other for one, other in zip(key, rendered, strict=True))))
        .where(ti.state.in_(WAITING_STATES))
        .where(or_(Trigger.classpath.startswith(TRIGGERS), ti.operator.in_(OPERATORS)))
        .order_by(ti.start_date)
        .limit(MAX_GATES)
        .options(lazyload(Trigger.task_instance))
    )
    with create_session() as session:
        return [
            Gate.of(tuple(found), state, since, trigger.kwargs if trigger is not None else values or {})
            for *found, state, since, trigger, values in session.execute(query)
        ]


def _texts(value: object) -> list[str]:
    """Read a string or several; anything else that a template may have become is passed over."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return [each.strip() for each in values if isinstance(each, str) and each.strip()]


def _names(task: TaskStatus) -> set[str]:
    """What a sensor may call a task's source, in one case."""
    return {(task.source_id or name_of(task)).casefold(), name_of(task).casefold()}
