"""What the page says of tasks and sources, as plain JSON. Pure functions: they ask for nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_sptasks.client.durations import Aggregated, aggregated_by
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
from airflow_provider_sptasks.client.reading import EARLIEST
from airflow_provider_sptasks.plugin.tasks import about, began, ended, is_successful, name_of
from airflow_provider_sptasks.waiting.verdict import spelled, title

# What runs that many times longer than usual, and that long, is late; what runs for a day is stuck.
LATE_FACTOR, LATE = 3.0, timedelta(hours=1)
STUCK = timedelta(days=1)
# Kinds that can be started without a file.
STARTABLE = ("accounts", "entitlements")

# How many sources a sentence names.
NAMED = 3

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
        "kind": _named(task.kind),
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
        {"source": number, **described}
        for number, key in enumerate(keys)
        for described in _in_lanes(task for task in by_source[key] if (ended(task) or since) >= since)
    ]
    window.sort(key=lambda described: described["end"] or 0, reverse=True)
    return {
        "since": epoch(since),
        "sources": [_source_json(by_source[key], since, usual) for key in keys],
        "tasks": window,
    }


def _source_json(tasks: Sequence[TaskStatus], since: datetime, usual: Usual) -> dict[str, Any]:
    """Describe a source by its tasks, which are in the order of their ends."""
    window = [task for task in tasks if (ended(task) or since) >= since]
    newest = {task.kind: task for task in tasks}
    kinds = sorted(newest)
    failing = [task for task in newest.values() if not is_successful(task)]
    failure = _last(failing or tasks, lambda task: not is_successful(task))
    success = _last(tasks, is_successful)
    usually = {_named(kind): _usual_of(newest[kind], usual) for kind in kinds}
    return {
        "id": tasks[-1].source_id,
        "name": name_of(tasks[-1]),
        "kinds": [_named(kind) for kind in kinds],
        "startable": [kind for kind in STARTABLE if kind in newest and tasks[-1].source_id],
        "last_success": epoch(ended(success)) if success else None,
        "last_failure": epoch(ended(failure)) if failure else None,
        "failure": _failure_json(failure) if failure else None,
        "is_failing": bool(failing),
        "rate": _rate(window),
        "usual": {kind: each.total_seconds() for kind, each in usually.items() if each is not None},
    }


def _failure_json(task: TaskStatus) -> dict[str, Any]:
    return {"id": task.id, "kind": _named(task.kind), "status": spelled(task), "message": _message(task)}


def _rate(window: Sequence[TaskStatus]) -> str:
    if not window:
        return "no runs"
    succeeded = sum(map(is_successful, window))
    return f"{succeeded / len(window):.0%} ({succeeded} of {len(window)})"


def _in_lanes(tasks: Iterable[TaskStatus]) -> Iterator[dict[str, Any]]:
    """Describe the runs of a source; one that begins while another runs is in the second lane."""
    free_at: datetime | None = None
    for task in sorted(tasks, key=lambda task: (began(task) or EARLIEST, task.id)):
        start, end = began(task), ended(task)
        described: dict[str, Any] = {
            "id": task.id,
            "kind": _named(task.kind),
            "start": epoch(start or end),
            "end": epoch(end),
            "status": spelled(task),
        }
        if not is_successful(task):
            described["failed"] = True
        if task.messages:
            described["message"] = _message(task)
        if free_at is not None and start is not None and start < free_at:
            described["lane"] = 1
        else:
            free_at = end
        yield described


def task_json(task: TaskStatus, source_page: str | None = None, *, attributes: bool = True) -> dict[str, Any]:
    """
    Describe one task.

    :param task: as it was read
    :param source_page: the URL of its source's page in SailPoint's UI
    :param attributes: whether what it has counted is wanted
    :return: a title, and facts: names with a string, or a time, or a link each
    """
    progress = [f"{task.percent_complete} %"] if task.percent_complete is not None else []
    facts = {
        "Status": spelled(task) or "pending",
        "Messages": _message(task),
        "Progress": " ".join([*progress, task.progress or ""]),
        "Created": epoch(task.created),
        "Launched": epoch(task.launched),
        "Ended": epoch(task.completed),
        "Launched by": task.launcher,
        "Description": task.description,
        "Task": task.id,
        **({name: str(value) for name, value in task.attributes.items()} if attributes else {}),
        "In SailPoint": {"href": source_page} if source_page else None,
    }
    return {"title": title(task), "facts": [[name, value] for name, value in facts.items() if value]}


def summary(tasks: Sequence[Mapping[str, Any]], failing: Sequence[str], gates: int) -> str:
    """
    Say in one line how things are.

    :param tasks: what :func:`pending_json` returned
    :param failing: the names of the sources whose last run failed
    :param gates: how many tasks of Airflow wait
    """
    states = [task["state"] for task in tasks]
    facts = [f"{len(tasks)} pending" if tasks else "Nothing runs"]
    if "stuck" in states:
        facts.append(f"{states.count('stuck')} stuck for more than a day")
    if "late" in states:
        facts.append(f"{states.count('late')} longer than usual")
    if failing:
        more = f" and {len(failing) - NAMED} more" if len(failing) > NAMED else ""
        facts.append(f"the last run failed of {', '.join(failing[:NAMED])}{more}")
    facts.append(f"{gates} waiting in Airflow" if gates else "nothing waits in Airflow")
    return " · ".join(facts)


def failing_sources(tasks: Iterable[TaskStatus]) -> list[str]:
    """
    Name the sources whose last run of a kind failed.

    :param tasks: all that are known to have ended
    """
    newest: dict[tuple[str, str], TaskStatus] = {}
    for task in tasks:
        key = (about(task), task.kind.value)
        if task.source_id and (key not in newest or _end(task) > _end(newest[key])):
            newest[key] = task
    return sorted({name_of(task) for task in newest.values() if not is_successful(task)}, key=str.casefold)


def _end(task: TaskStatus) -> datetime:
    return ended(task) or EARLIEST


def _named(kind: TaskKind) -> str:
    return kind.value.replace("_", " ")


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
