"""
Show the provider at work in a real Airflow, against an emulated tenant, with nothing else needed.

Runs example DAGs as they are. ``sailpoint_gate`` waits for an aggregation that is under way and then lets its
job run, and so does ``sailpoint_gate_by_source``, which knows only the names of its sources and needs no
worker; ``sailpoint_when_aggregated`` starts when the aggregation has ended. Meanwhile
``sailpoint_clear_stuck_aggregations`` clears one that has been stuck for days. All of it lives in ``.demo``
and ends with this program, whose exit code says whether it went as it should.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from airflow_provider_sptasks.emulator import Emulator
from demo.week import fill
from harness.airflow import Airflow, AirflowError, Run

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
GATE = "sailpoint_gate"
BY_SOURCE = "sailpoint_gate_by_source"
WHEN_AGGREGATED = "sailpoint_when_aggregated"
CLEAN_UP = "sailpoint_clear_stuck_aggregations"
WAIT = "wait_for_aggregation"
LOAD = "load"
SOURCE = "Active Directory"
SECONDS = 16
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STARTED_WITHIN = 150.0
ENDED_WITHIN = 120.0

# What a log has besides the name of a SailPoint task, and a reader of this can do without.
_SHOWN_ID = re.compile(r" \([0-9a-f]{32}\)")
_STARTED = time.monotonic()


class DemoError(Exception):
    """Something didn't go as it should; the message says what."""


class Story:
    """Prints what happens in a DAG run, once each: what the provider logs, and how each task ends."""

    def __init__(self, airflow: Airflow, run: Run) -> None:
        self.run = run
        self._airflow = airflow
        self._lines: dict[str, int] = {}
        self._ended: set[str] = set()

    def go_on(self) -> None:
        """Print what has happened since the last time."""
        self.run = self._airflow.refresh(self.run)
        dag = self.run.dag_id.removeprefix("sailpoint_")
        for task in self.run.tasks:
            if task.task_id in self._ended:
                continue
            printed = self._lines.get(task.task_id, 0)
            lines = self._airflow.log(self.run, task, "airflow_provider_sptasks") if task.begun else []
            for line in lines[printed:]:
                say(f"  {dag}.{task.task_id}: {_SHOWN_ID.sub('', line)}")
            self._lines[task.task_id] = max(printed, len(lines))
            if task.ended:
                self._ended.add(task.task_id)
                say(f"  {dag}.{task.task_id}: {task.state} after {task.seconds:.1f} s")


def main() -> int:
    """Show it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=(__doc__ or "").strip())
    parser.add_argument("--keep", action="store_true", help="leave all of it running until Ctrl-C")
    keep = parser.parse_args().keep
    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    try:
        show(keep)
    except KeyboardInterrupt:
        say("Interrupted; everything is stopped.")
        return 130
    except (AirflowError, DemoError) as error:
        say(f"FAILED: {error}")
        say("Everything is stopped. The logs are in .demo/logs.")
        return 1
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)  # a second one would leave something running
    raise KeyboardInterrupt


def say(text: str = "") -> None:
    """
    Print something, with the seconds since the start.

    :param text: what to print.
    """
    sys.stdout.write(f"{time.monotonic() - _STARTED:6.1f} s  {text}\n" if text else "\n")
    sys.stdout.flush()


def show(keep: bool) -> None:
    """
    Start everything, let the DAGs run, stop everything.

    :param keep: leave it running until Ctrl-C once the DAGs have run.
    """
    with Emulator("demo") as emulator:
        say(f"Emulator: a SailPoint tenant with {len(emulator.tasks())} tasks on {emulator.url}")
        environment = {"AIRFLOW_CONN_SAILPOINT_DEFAULT": emulator.connection_uri}
        with Airflow(HOME, ROOT / "example_dags", environment) as airflow:
            say("Airflow: creating its database")
            airflow.create_database(STARTED_WITHIN)
            say("Airflow: starting api-server, scheduler and dag-processor")
            airflow.start()
            airflow.wait_until_ready([GATE, BY_SOURCE, WHEN_AGGREGATED, CLEAN_UP], STARTED_WITHIN)
            say(f"Airflow {airflow.get('/api/v2/version')['version']} is ready: {airflow.url}")
            summarise(run(airflow, emulator))
            if keep:
                _show_the_page(airflow, emulator)
                say(f"Everything keeps running until Ctrl-C. Airflow's UI, without a password: {airflow.url}")
                _until_interrupted()
            say("Stopping everything")
    say(f"Done. The logs are in {HOME.name}/logs, the tasks' ones in {HOME.name}/logs/tasks.")
    if not keep:
        say("To look around in Airflow's UI: make demo KEEP=1")


def _show_the_page(airflow: Airflow, emulator: Emulator) -> None:
    """Let there be something to see on the page, and something that waits for it."""
    late = fill(emulator)
    airflow.trigger(GATE, {"task_status_id": late})
    say(f"The page, with a week of aggregations: {airflow.url}/plugin/sailpoint")


def _until_interrupted() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        say()


def run(airflow: Airflow, emulator: Emulator) -> list[Run]:
    """
    Run the DAGs, print what happens, and check what came of it.

    :param airflow: where they run.
    :param emulator: their tenant.
    """
    stuck = [str(task["id"]) for task in emulator.tasks() if _is_stuck(task)]
    for task in emulator.tasks():
        # What the tenant runs by itself would start a DAG if it ended while a watcher is there.
        if task["completionStatus"] is None and task["id"] not in stuck:
            emulator.complete(str(task["id"]))
    emulator.add_task(source="Workday", launched=-3600, duration=600)
    say()
    say(f"DAG {WHEN_AGGREGATED} is switched on: the triggerer watches for aggregations that end")
    airflow.unpause(WHEN_AGGREGATED)
    airflow.parse_again(WHEN_AGGREGATED)
    airflow.start_triggerer()
    say("An aggregation of Workday ended a while ago")
    say(f"Another aggregation has been stuck for days: {', '.join(stuck)}")
    say(f"DAG {CLEAN_UP} is switched on, so its run of last night starts: it clears that")
    clean_up = Story(airflow, airflow.switch_on(CLEAN_UP, STARTED_WITHIN))
    _wait_for_the_watcher(airflow, emulator)
    aggregation = emulator.add_task(source=SOURCE, duration=SECONDS).id
    say(f"An aggregation of {SOURCE} begins and will take {SECONDS} s")
    say(f"DAG {GATE} starts: it waits for that aggregation, and then lets its job run")
    gate = Story(airflow, airflow.trigger(GATE, {"task_status_id": aggregation}))
    say(f"DAG {BY_SOURCE} is switched on, so its run of last night starts: it needs no worker")
    by_source = Story(airflow, airflow.switch_on(BY_SOURCE, STARTED_WITHIN))
    say()
    _follow(airflow, [gate, by_source, clean_up])
    when_aggregated = _follow_to_the_end(airflow, airflow.first_run(WHEN_AGGREGATED, ENDED_WITHIN))
    say()
    status = airflow.xcom(gate.run, WAIT)
    received = {name: status[name] for name in ("id", "uniqueName", "completionStatus", "duration")}
    say(f"{GATE}: {LOAD} received by XCom: {json.dumps(received)}")
    say(f"{GATE}: {LOAD} returned: {airflow.xcom(gate.run, LOAD)}")
    _require(status["id"] == aggregation, f"that is about the task {status['id']}, not {aggregation}")
    say(f"{BY_SOURCE}: {LOAD} returned: {json.dumps(airflow.xcom(by_source.run, LOAD))}")
    fresh = [each["id"] for each in airflow.xcom(when_aggregated, "what_is_fresh")]
    say(f"{WHEN_AGGREGATED} was started by: {', '.join(fresh)}")
    _require(fresh == [aggregation], f"that is not {aggregation}")
    for task_id in stuck:
        completion_status = emulator.task(task_id)["completionStatus"]
        say(f"The stuck aggregation {task_id}: completionStatus {completion_status}")
        _require(completion_status == "Error", f"{task_id} was not cleared")
    return [gate.run, by_source.run, when_aggregated, clean_up.run]


def _wait_for_the_watcher(airflow: Airflow, emulator: Emulator) -> None:
    """Wait for its first poll: what has ended before that starts no DAG."""
    deadline = time.monotonic() + STARTED_WITHIN
    while not any(request.query.get("sorters") == "-created" for request in emulator.requests):
        _require(time.monotonic() < deadline, f"no watcher after {STARTED_WITHIN:.0f} s")
        airflow.check()
        time.sleep(0.2)


def _follow_to_the_end(airflow: Airflow, run: Run) -> Run:
    deadline = time.monotonic() + ENDED_WITHIN
    while not run.ended:
        _require(time.monotonic() < deadline, f"DAG {run.dag_id} has not ended after {ENDED_WITHIN:.0f} s")
        time.sleep(0.5)
        airflow.check()
        run = airflow.refresh(run)
    _require(run.state == "success", f"DAG {run.dag_id} ended as {run.state}")
    return run


def _is_stuck(task: Mapping[str, object]) -> bool:
    launched = datetime.fromisoformat(str(task["launched"]))
    return task["completionStatus"] is None and datetime.now(UTC) - launched > timedelta(days=1)


def _follow(airflow: Airflow, stories: list[Story]) -> None:
    deadline = time.monotonic() + ENDED_WITHIN
    while not all(story.run.ended for story in stories):
        _require(time.monotonic() < deadline, f"the DAGs have not ended after {ENDED_WITHIN:.0f} s")
        time.sleep(0.5)
        airflow.check()
        for story in stories:
            story.go_on()
    for story in stories:
        _require(story.run.state == "success", f"DAG {story.run.dag_id} ended as {story.run.state}")


def _require(right: bool, otherwise: str) -> None:
    if not right:
        raise DemoError(otherwise)


def summarise(runs: list[Run]) -> None:
    """
    Print what ran.

    :param runs: the DAG runs.
    """
    say()
    say("What ran:")
    for each in runs:
        say(f"  {each.dag_id:42} {each.state:8} {each.seconds:5.1f} s")
        for task in each.tasks:
            say(f"    {task.task_id:40} {task.state:8} {task.seconds:5.1f} s")
    say()


if __name__ == "__main__":
    sys.exit(main())
