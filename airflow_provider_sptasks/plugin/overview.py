"""What the page says of tasks and sources, as plain JSON. Pure functions: they ask for nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_sptasks.client.durations import Aggregated, aggregated_by
from airflow_provider_sptasks.client.models import TaskStatus
from airflow_provider_sptasks.plugin.tasks import about, began, ended, is_successful, name_of
from airflow_provider_sptasks.waiting.verdict import spelled, title

# What runs that many times longer than usual, and that long, is late; what runs for a day is stuck.
LATE_FACTOR, LATE = 3.0, timedelta(hours=1)
STUCK = timedelta(days=1)
# Kinds that can be started without a file.
STARTABLE = ("accounts", "entitlements")

Usual = Mapping[Aggregated, timedelta]


def state_of(task: TaskStatus, now: datetime, usual: timedelta | None) -> str:
    """
    Say how a pending task goes on.

    :param task: the task
    :param now: the time, aware
    :param usual: how long it usually takes; ``None`` if that is unknown
    :return: ``queued``, ``running``, ``late`` or ``stuck``
    """
    age = now - (began(task) or now)
    if age >= STUCK:
        return "stuck"
    if usual is not None and age >= LATE and age > LATE_FACTOR * usual:
        return "late"
    return "queued" if task.launched is None else "running"


def pending_json(tasks: Iterable[TaskStatus], now: datetime, usual: Usual) -> list[dict[str, Any]]:
    """
    Describe pending tasks.

    :param tasks: the tasks
    :param now: the time, aware
    :param usual: how long aggregations usually take
    """
    return [_pending_json(task, now, _usual_of(task, usual)) for task in tasks]


def _pending_json(task: TaskStatus, now: datetime, usual: timedelta | None) -> dict[str, Any]:
    return {
        "id": task.id,
        "kind": task.kind.value,
        "name": name_of(task),
        "source_id": task.source_id,
        "launcher": task.launcher,
        "start": epoch(began(task)),
        "progress": task.progress,
        "percent": task.percent_complete,
        "usual": None if usual is None else usual.total_seconds(),
        "state": state_of(task, now, usual),
    }


def history_json(tasks: Iterable[TaskStatus], since: datetime, usual: Usual) -> dict[str, Any]:
    """
    Describe the tasks that ended in a window, newest first, and all sources.

    :param tasks: all that are known to have ended
    :param since: when the window begins, aware
    :param usual: how long aggregations usually take
    """
    by_source: dict[str, list[TaskStatus]] = defaultdict(list)
    for task in sorted(tasks, key=lambda task: (ended(task) or since, task.id)):
        by_source[about(task)].append(task)
    keys = sorted(by_source, key=lambda key: (name_of(by_source[key][-1]).casefold(), key))
    window = [
        (number, task)
        for number, key in enumerate(keys)
        for task in by_source[key]
        if (ended(task) or since) >= since
    ]
    window.sort(key=lambda item: (ended(item[1]) or since, item[1].id), reverse=True)
    return {
        "since": epoch(since),
        "sources": [_source_json(by_source[key], since, usual) for key in keys],
        "tasks": [_ended_json(task, number) for number, task in window],
    }


def _source_json(tasks: Sequence[TaskStatus], since: datetime, usual: Usual) -> dict[str, Any]:
    """Describe a source by its tasks, which are in the order of their ends."""
    window = [task for task in tasks if (ended(task) or since) >= since]
    newest = {task.kind: task for task in tasks}
    kinds = sorted(newest)
    failing = [task for task in newest.values() if not is_successful(task)]
    failure = _last(failing or tasks, lambda task: not is_successful(task))
    success = _last(tasks, is_successful)
    usually = {kind.value: _usual_of(newest[kind], usual) for kind in kinds}
    return {
        "id": tasks[-1].source_id,
        "name": name_of(tasks[-1]),
        "kinds": [kind.value for kind in kinds],
        "startable": [kind for kind in STARTABLE if kind in newest and tasks[-1].source_id],
        "last_success": epoch(ended(success)) if success else None,
        "last_failure": epoch(ended(failure)) if failure else None,
        "failure": _failure_json(failure) if failure else None,
        "is_failing": bool(failing),
        "runs": len(window),
        "succeeded": sum(map(is_successful, window)),
        "usual": {kind: each.total_seconds() for kind, each in usually.items() if each is not None},
    }


def _failure_json(task: TaskStatus) -> dict[str, Any]:
    return {"id": task.id, "kind": task.kind.value, "status": spelled(task), "message": _message(task)}


def _ended_json(task: TaskStatus, source: int) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": task.id,
        "source": source,
        "kind": task.kind.value,
        "start": epoch(began(task)),
        "end": epoch(ended(task)),
        "status": spelled(task),
    }
    if not is_successful(task):
        described["failed"] = True
    if task.messages:
        described["message"] = _message(task)
    return described


def task_json(task: TaskStatus) -> dict[str, Any]:
    """
    Describe one task in full.

    :param task: as it was read
    """
    return {
        "id": task.id,
        "title": title(task),
        "description": task.description,
        "launcher": task.launcher,
        "created": epoch(task.created),
        "launched": epoch(task.launched),
        "completed": epoch(task.completed),
        "status": spelled(task),
        "progress": task.progress,
        "percent": task.percent_complete,
        "messages": list(task.messages),
        "attributes": {name: str(value) for name, value in task.attributes.items()},
    }


def _message(task: TaskStatus) -> str:
    return "\n".join(task.messages)


def _last(tasks: Sequence[TaskStatus], wanted: Callable[[TaskStatus], bool]) -> TaskStatus | None:
    return next((task for task in reversed(tasks) if wanted(task)), None)


def _usual_of(task: TaskStatus, usual: Usual) -> timedelta | None:
    what = aggregated_by(task)
    return None if what is None else usual.get(what)


def epoch(moment: datetime | None) -> int | None:
    """
    Write a time as JavaScript reads it: milliseconds since 1970.

    :param moment: the time, aware
    """
    return None if moment is None else round(moment.timestamp() * 1000)
