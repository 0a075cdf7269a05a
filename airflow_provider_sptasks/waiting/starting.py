"""Starting an aggregation when no other one runs any more, and what to say about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from airflow_provider_sptasks.client.intent import Outcome, StartResult
from airflow_provider_sptasks.client.models import TaskKind
from airflow_provider_sptasks.client.starting import IfRunning, Pauses
from airflow_provider_sptasks.waiting.verdict import title


def start_in_turn(
    attempt: Callable[[], Outcome],
    if_running: IfRunning,
    *,
    has_ended_already: Callable[[str], bool],
    sleep: Callable[[float, str], object],
    say: Callable[[str], object],
) -> Outcome:
    """
    Start an aggregation; where another one blocks it, wait until that has ended, and so on.

    :param attempt: tries to start it
    :param if_running: what to do while another one runs
    :param has_ended_already: waits until a task has ended, in whichever way, or is gone, and says whether it
        had before the first poll
    :param sleep: waits for seconds; gets for what too
    :param say: reports to a person what runs instead
    :return: what came of it; it is ``blocked`` only with ``fail`` and ``skip``
    """
    pauses = Pauses()
    while (outcome := attempt()).result is StartResult.BLOCKED:
        message = blocked(outcome)
        if if_running in (IfRunning.SKIP, IfRunning.FAIL):
            return outcome
        say(message)
        if has_ended_already(outcome.task_status_id):
            # SailPoint doesn't know yet: it goes on to refuse.
            sleep(pauses.next(), message)
        else:
            pauses.reset()
    return outcome


def begun(outcome: Outcome, kind: TaskKind) -> str:
    """
    Say which aggregation is the operator's, and how it came about.

    :param outcome: what came of starting it
    :param kind: what is aggregated
    """
    name = title(outcome.task) if outcome.task is not None else f"The aggregation ({kind})"
    how = {
        StartResult.STARTED: "was started",
        StartResult.FOUND: "was started before: going on with it",
        StartResult.ATTACHED: "was started by others: attached to it",
    }
    return f"{name} {how[outcome.result]} (task {outcome.task_status_id})"


def blocked(outcome: Outcome) -> str:
    """
    Say what runs instead: what, of which source, since when, for how long, and how far it is.

    :param outcome: what came of starting
    """
    task, said = outcome.task, f". SailPoint says: {outcome.reason}" if outcome.reason else ""
    if task is None:
        return f"Nothing was started: another aggregation runs, which the list of tasks doesn't show{said}"
    since = task.launched or task.created
    parts = [f"{title(task)} runs"]
    if since is not None:
        parts.append(f"since {since.isoformat(' ', 'seconds').replace('+00:00', ' UTC')}")
        if outcome.seen_at is not None and outcome.seen_at > since:
            parts.append(f"for {timedelta(seconds=round((outcome.seen_at - since).total_seconds()))}")
    percent = "" if task.percent_complete is None else f" ({task.percent_complete} %)"
    if task.progress or percent:
        parts.append(f"{task.progress or 'pending'}{percent}")
    return f"Nothing was started: {', '.join(parts)} (task {task.id}){said}"
