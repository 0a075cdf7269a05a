"""
What asset watchers make of completions in a real Airflow whose triggerer is killed again and again.

``WATCHED_COMPLETIONS`` and ``TRIGGERER_KILLS`` make it longer.
"""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sptasks.emulator import Emulator
from harness.airflow import Airflow, AirflowError
from harness.servers import PostgreSQL
from tests.airflow import poison
from tests.airflow.conftest import PATIENCE, SETTINGS, connect
from tests.airflow.watchers.poisoned import IDS
from tests.compat import AIRFLOW_3_3

log = logging.getLogger(__name__)

DAGS = Path(__file__).parent / "watchers"
# The first one watches a source that isn't there, before there are others.
FRESH = ["fresh_nothing", "fresh", "fresh_accounts"]
COMPLETIONS = int(os.environ.get("WATCHED_COMPLETIONS", "60"))
KILLS = int(os.environ.get("TRIGGERER_KILLS", "1"))
PER_SECOND = 5.0
# How far from the triggerer's end an event may have come for its completions to come again.
AT_RISK = 30.0
# How many complete while there is no triggerer: only from Airflow 3.3 on they are found.
MISSED = 2


@dataclass
class Story:
    """
    What happened.

    :param old: what had completed before there was a watcher
    :param trials: what completed about when the watching began
    :param completed: what completed then, by asset
    :param missed: what completed while there was no triggerer
    :param kills: when the triggerer was killed
    :param began: when the last triggerer began
    :param events: the events, by asset
    """

    old: set[str] = field(default_factory=set)
    trials: set[str] = field(default_factory=set)
    completed: dict[str, set[str]] = field(default_factory=lambda: {"every": set(), "accounts": set()})
    missed: set[str] = field(default_factory=set)
    kills: list[float] = field(default_factory=list)
    began: float = 0.0
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def latest(self, asset: str) -> float:
        """Return when the last event of an asset came; 0 if there is none."""
        times = [datetime.fromisoformat(event["timestamp"]).timestamp() for event in self.events[asset]]
        return max(times, default=0.0)

    def times(self, asset: str) -> dict[str, list[float]]:
        """Return when each completion came in an event of an asset, the trials left out."""
        times: dict[str, list[float]] = {}
        for event in self.events[asset]:
            at = datetime.fromisoformat(event["timestamp"]).timestamp()
            for each in event["extra"]["payload"]["aggregations"]:
                if each["id"] not in self.trials:
                    times.setdefault(each["id"], []).append(at)
        return times


@pytest.fixture(scope="module")
def watched() -> Iterator[Emulator]:
    with Emulator() as tenant:
        yield tenant


@pytest.fixture(scope="module")
def watching(
    interrupts: None,
    postgresql: PostgreSQL,
    database: str,
    watched: Emulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Airflow]:
    """An Airflow of its own, whose triggerer watches."""
    environment = {**SETTINGS, "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2"}
    url = postgresql.create("watching", template=database)
    with Airflow(tmp_path_factory.mktemp("watching"), DAGS, environment, database=url) as airflow:
        airflow.start()
        airflow.wait_until_ready([*FRESH, "poisoned", "poisoned_events"], PATIENCE)
        connect(airflow, "watched", watched)
        # From the next time on that Airflow reads their file, the assets have watchers.
        airflow.start_triggerer()
        for dag_id in FRESH:
            airflow.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
            _until(lambda: _asked_for_nothing(watched), "the watcher of an unknown source asks nothing")
        yield airflow


@pytest.fixture(scope="module")
def story(watching: Airflow, watched: Emulator) -> Story:
    """Let aggregations complete in any order, and kill the triggerer in between."""
    chance = random.Random(4)
    story = Story()
    story.old = {watched.add_task(launched=-60, duration=30).id for _ in range(3)}
    assets = {name: _asset(watching, name) for name in story.completed}

    def is_watched() -> bool:
        story.trials.add(watched.add_task(launched=-1, duration=0).id)
        story.events = {asset: _events(watching, assets[asset]) for asset in assets}
        return all(story.latest(asset) > story.began for asset in assets)

    def have_come() -> bool:
        story.events = {asset: _events(watching, assets[asset]) for asset in assets}
        return all(
            story.times(asset).keys() >= ids - story.missed - set(running)
            for asset, ids in story.completed.items()
        )

    running: list[str] = []
    _until(is_watched, "there is no watcher")
    kills = set(chance.sample(range(COMPLETIONS // 5, COMPLETIONS - 5), KILLS))
    for number in range(COMPLETIONS):
        kind = chance.choice(["accounts", "entitlements"])
        running.append(watched.add_task(kind=kind, source=f"Source {number}", duration=None).id)
        for asset in ("every", "accounts") if kind == "accounts" else ("every",):
            story.completed[asset].add(running[-1])
        while running and chance.random() < 0.6:
            watched.complete(running.pop(chance.randrange(len(running))))
        if number in kills:
            if not AIRFLOW_3_3:
                _until(have_come, "completions are missing before the triggerer is killed")
            watching.kill("triggerer")
            story.kills.append(time.time())
            story.missed |= _complete(watched, running, MISSED)
            watching.start_again("triggerer")
            if not AIRFLOW_3_3:
                story.began = time.time()
                _until(is_watched, "there is no watcher after the triggerer was killed")
        time.sleep(chance.uniform(0, 2 / PER_SECOND))
    _complete(watched, running, len(running))
    if AIRFLOW_3_3:  # where nothing is missed
        story.missed.clear()
    _until(have_come, "completions are missing")
    time.sleep(5)  # what comes again would have come by now
    assert have_come()
    return story


def _asked_for_nothing(tenant: Emulator) -> bool:
    return any("No such source" in each.query.get("filters", "") for each in tenant.requests)


def _complete(tenant: Emulator, running: list[str], number: int) -> set[str]:
    """Complete those that were launched last; return which."""
    completed = {running.pop() for _ in range(min(number, len(running)))}
    for each in completed:
        tenant.complete(each)
    return completed


def _asset(airflow: Airflow, name: str) -> int:
    return next(int(each["id"]) for each in airflow.get("/api/v2/assets")["assets"] if each["name"] == name)


def _events(airflow: Airflow, asset_id: int) -> list[dict[str, Any]]:
    """Return an asset's events; until a run that they started has begun, Airflow 3.3.2 answers with 500."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + PATIENCE
    while True:
        page = f"limit=50&offset={len(found)}&order_by=timestamp"
        try:
            more = airflow.get(f"/api/v2/assets/events?asset_id={asset_id}&{page}")["asset_events"]
        except AirflowError as error:
            if " gave 500: " not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
            continue
        found += more
        if len(more) < 50:
            return found


def _until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(1.0)


@pytest.mark.parametrize("asset", ["every", "accounts"])
def test_every_completion_is_in_an_event(story: Story, asset: str) -> None:
    times = story.times(asset)
    again = {each: sorted(when) for each, when in times.items() if len(when) > 1}
    log.info(
        "%s: %d completions in %d events, the triggerer killed %d times, %d of them in several events",
        *(asset, len(times), len(story.events[asset]), len(story.kills), len(again)),
    )
    assert times.keys() == story.completed[asset] - story.missed
    assert all(len(when) <= 1 + KILLS for when in again.values())
    for when in again.values():
        assert any(abs(kill - first) < AT_RISK for kill in story.kills for first in when[:-1])


def test_no_event_for_what_had_completed_before(story: Story) -> None:
    assert not any(story.old & story.times(asset).keys() for asset in story.events)


def test_a_watcher_of_an_unknown_source_silences_no_other(
    story: Story, watching: Airflow, watched: Emulator
) -> None:
    """FAULTS S7: it was there before the others, all of whose completions came."""
    assert _asked_for_nothing(watched)
    assert all(story.times(asset) for asset in story.completed)
    assert _events(watching, _asset(watching, "nothing")) == []


def test_watchers_keep_to_a_poll_a_second(story: Story, watched: Emulator) -> None:
    """They share it on Airflow 3.3; before, they take turns within the connection's share."""
    polls = Counter(int(each.at) for each in watched.requests if each.query.get("sorters") == "-created")
    assert sorted(polls.values())[len(polls) // 2] == 1


def test_runs_read_what_started_them(story: Story, watching: Airflow) -> None:
    read: set[str] = set()

    def has_run() -> bool:
        for run in watching.get("/api/v2/dags/fresh/dagRuns?limit=100&state=success")["dag_runs"]:
            path = (
                f"/api/v2/dags/fresh/dagRuns/{run['dag_run_id']}/taskInstances/read/xcomEntries/return_value"
            )
            read.update(watching.get(path)["value"])
        return bool(read - story.trials)

    _until(has_run, "no run has read them")
    assert read <= story.completed["every"] | story.trials


def _noted_as_deferred(airflow: Airflow, dag_id: str) -> set[str]:
    """
    Return the tasks of which the scheduler has noted that they deferred.

    Airflow itself may fail one that is resumed before that (apache/airflow#72716).
    """
    log = (airflow.logs / "scheduler.log").read_text(errors="replace")
    return set(re.findall(rf"TaskInstance Finished: dag_id={dag_id}, task_id=(\w+),.* state=deferred,", log))


def test_odd_records_kill_no_triggerer_and_no_sensor(watching: Airflow) -> None:
    """With fifty sensors and a watcher in it, on a tenant whose records are all odd."""
    with Emulator() as tenant:
        poison.fill(tenant)
        connect(watching, "poisoned", tenant)
        watching.call("PATCH", "/api/v2/dags/poisoned_events", {"is_paused": False})
        run = watching.trigger("poisoned", {})
        gates = [f"gate_{number}" for number in IDS]
        watching.until(run, dict.fromkeys(gates, "deferred"), PATIENCE)
        _until(lambda: len(tenant.requests) > 10, "they don't poll")
        if not AIRFLOW_3_3:
            _until(lambda: _noted_as_deferred(watching, "poisoned") >= set(gates), "they aren't deferred")
        triggerers = watching.triggerers()
        poison.end(tenant)
        ends = dict.fromkeys(gates, "success") | {f"gate_{each}": "failed" for each in poison.FAILED}
        run = watching.until(run, ends, PATIENCE)
        asset = _asset(watching, "poisoned")
        seen: set[str] = set()

        def is_watched() -> bool:
            seen.add(tenant.add_task(launched=-1, duration=0).id)
            events = _events(watching, asset)
            found = {each["id"] for event in events for each in event["extra"]["payload"]["aggregations"]}
            return not seen.isdisjoint(found)

        _until(is_watched, "the watcher sees nothing")
        watching.check()
    assert {task.try_number for task in run.tasks} == {1}
    assert watching.triggerers() == triggerers != []
