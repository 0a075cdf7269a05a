"""Whether a sensor may start, or end, in the triggerer, without a process on a worker. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any

import airflow

from airflow_provider_sptasks.arguments import is_template

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from jinja2 import nodes

# Airflow renders the arguments of a trigger that starts a task, and lets it set an XCom, from 3.3 on.
FIRST_AIRFLOW = (3, 3)
# What a template may use in the triggerer. The rest is missing there, or asks for what it never gets.
RENDERED = frozenset(
    {
        "conn",
        "dag",
        "dag_run",
        "data_interval_end",
        "data_interval_start",
        "ds",
        "ds_nodash",
        "logical_date",
        "macros",
        "params",
        "run_id",
        "task",
        "task_instance_key_str",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
        "var",
    }
)
# What Airflow does at the start and the end of a task on a worker only, and the operator's attribute for it.
AT_THE_START = {"pre_execute": "_pre_execute_hook", "on_execute_callback": "has_on_execute_callback"}
AT_THE_END = {
    "outlets": "outlets",
    "on_success_callback": "has_on_success_callback",
    "on_skipped_callback": "has_on_skipped_callback",
    "multiple_outputs": "multiple_outputs",
    "map_index_template": "map_index_template",
    "post_execute": "_post_execute_hook",
    "the DAG's result": "returns_dag_result",
}
# That many starts in the triggerer, times tasks of their DAG, cost it some 150 MB while they start.
MOST_COPIES = 40_000
TASK_INSTANCE = frozenset({"ti", "task_instance"})


def airflow_can() -> bool:
    """Whether this Airflow starts tasks in the triggerer as they need it."""
    return tuple(int(part) for part in airflow.__version__.split(".")[:2]) >= FIRST_AIRFLOW


def why_not_start(operator: BaseOperator) -> str | None:
    """
    Say why a sensor has to start on a worker.

    :param operator: the operator, with its templated arguments as they stand in the DAG file
    :return: the reason, for a person; ``None`` where there is none
    """
    if not airflow_can():
        return f"Airflow {airflow.__version__} can't start it in the triggerer, 3.3 can"
    for name, attribute in AT_THE_START.items():
        if getattr(operator, attribute, None):
            return f"{name} is set, which Airflow runs there only"
    dag = operator.get_dag()
    native = dag is not None and dag.render_template_as_native_obj
    for name in operator.template_fields:
        value = getattr(operator, name)
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(each, (datetime, NoneType)) or (isinstance(each, str) and not is_template(each)):
                continue
            if not isinstance(each, str):
                return f"{name} comes from another task, which the triggerer can't resolve"
            if native:
                return f"{name} is rendered as a native object, which the triggerer can't do"
            if reason := _unrenderable(each):
                return f"{name} {reason}, which the triggerer can't resolve"
    return None


def too_many(operator: BaseOperator) -> str | None:
    """
    Say what is wrong with a DAG in which a sensor is the first of too many that start in the triggerer.

    Airflow sends the triggerer a copy of the whole DAG for each of them.

    :param operator: the operator, not yet one of them
    """
    dag = operator.get_dag()
    if dag is None:
        return None
    others = sum(task.start_from_trigger for task in dag.tasks if task is not operator)
    if others * (len(dag.tasks) - 1) > MOST_COPIES or (others + 1) * len(dag.tasks) <= MOST_COPIES:
        return None
    return (
        f"DAG {dag.dag_id!r} has {others + 1} sensors that start in the triggerer and {len(dag.tasks)} tasks "
        "or more. Airflow sends a copy of the DAG for each of them, which takes memory and time. Let one "
        "sensor wait for several tasks, spread the sensors over DAGs, or leave out start_from_trigger."
    )


def why_not_end(task: Any) -> str | None:
    """
    Say why a sensor that succeeds has to end on a worker: what Airflow does there only.

    :param task: the operator, or what Airflow's serialized DAG has of it
    :return: the reason, for a person; ``None`` where there is none
    """
    for name, attribute in AT_THE_END.items():
        if getattr(task, attribute, None):
            return f"{name} is set"
    dependants = getattr(task, "iter_mapped_dependants", None)
    if dependants is None:
        return "it is mapped"  # the triggerer has less of a mapped task than a worker
    mapped = next(dependants(), None)
    return f"{mapped.node_id} is mapped over its result" if mapped else None


def success_is_listened_to() -> bool:
    """Whether a plugin listens to tasks that succeed, which Airflow notifies on a worker only."""
    from airflow.sdk.listener import get_listener_manager

    return bool(get_listener_manager().hook.on_task_instance_success.get_hookimpls())


def _unrenderable(template: str) -> str | None:
    import jinja2
    from jinja2 import meta, nodes

    try:
        tree = jinja2.Environment(autoescape=True).parse(template)  # nothing is rendered with it
        names = meta.find_undeclared_variables(tree)
    except jinja2.TemplateSyntaxError as error:
        return f"has a template with an error ({error.message})"
    if unknown := sorted(names - RENDERED - TASK_INSTANCE):
        return f"uses {', '.join(unknown)}"
    pulls = list(_xcom_pulls(tree))
    if sum(node.name in TASK_INSTANCE for node in tree.find_all(nodes.Name)) > len(pulls):
        return "uses the task instance for more than an xcom_pull"
    if any("map_indexes" not in {each.key for each in pull.kwargs} for pull in pulls):
        return "has an xcom_pull without map_indexes"
    return None


def _xcom_pulls(tree: nodes.Template) -> Iterator[nodes.Call]:
    from jinja2 import nodes

    for call in tree.find_all(nodes.Call):
        method = call.node
        if not isinstance(method, nodes.Getattr) or method.attr != "xcom_pull":
            continue
        if isinstance(method.node, nodes.Name) and method.node.name in TASK_INSTANCE:
            yield call
