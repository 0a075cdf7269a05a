"""Scenario files."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.emulator.clock import Clock
from airflow_provider_sptasks.emulator.controls import Controls
from airflow_provider_sptasks.emulator.durations import parse_duration
from airflow_provider_sptasks.emulator.faults import Faults
from airflow_provider_sptasks.emulator.requestlog import RequestLog
from airflow_provider_sptasks.emulator.scenario_file import builtin_scenarios, parse_scenario
from airflow_provider_sptasks.emulator.scenario_tables import ScenarioError
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.tenant import Tenant


def test_everything() -> None:
    text = """
    description = "All keys"
    [[task]]
    id = "t{n}"
    source = "App {n}"
    kind = "entitlements"
    launched = "-2h"
    duration = "never"
    outcome = "Error"
    completed_lead = 5
    messages = ["One", {type = "INFO", key = "two"}]
    fields = {progress = "Odd"}
    count = 3
    every = "1.5m"
    [[task]]
    source_id = "s"
    duration = 90
    """
    scenario = parse_scenario(text, "all")
    assert (scenario.name, scenario.description) == ("all", "All keys")
    tenant = Tenant(Clock())
    scenario.fill(Controls(State(tenant, Faults(), RequestLog(), None)))
    first, _, third, last = tenant.tasks()
    assert (first.id, first.source, first.kind) == ("t1", "App 1", "entitlements")
    assert (first.duration, first.completed_lead) == (None, 5.0)
    assert (first.outcome, len(first.messages), first.fields) == ("Error", 2, {"progress": "Odd"})
    assert (third.id, third.source) == ("t3", "App 3")
    assert (last.source_id, last.duration) == ("s", 90.0)
    # All of it begins at one time.
    assert [last.launched - task.launched for task in (first, third)] == pytest.approx([7_200, 7_380])


def test_sources_and_schedules() -> None:
    text = """
    [[source]]
    name = "HR {n}"
    id = "hr{n}"
    count = 2
    delimited_file = true
    duration = "never"
    outcome = ["ERROR", "SUCCESS"]
    retry_after = "10s"
    fields = {description = "Mine"}
    [[schedule]]
    source = "HR 2"
    kind = "entitlements"
    every = "1h"
    offset = "-90m"
    duration = "5m"
    outcome = "WARNING"
    [[schedule]]
    source = "App {n}"
    source_id = "app"
    every = 60
    offset = 60
    retry_after = 5
    count = 2
    [[task]]
    source = "HR 1"
    """
    with Emulator(parse_scenario(text, "mine")) as emulator:
        first, *scheduled = emulator.tasks()
        assert first["target"] == {"id": "hr1", "type": "APPLICATION", "name": "HR 1 [source]"}
        assert len(scheduled) == 2
        for task in scheduled:
            assert (task["uniqueName"], task["completionStatus"]) == ("Cloud Group Aggregation", "WARNING")
            assert task["target"] == {"id": "hr2", "type": "APPLICATION", "name": "HR 2 [source]"}
        sources = requests.get(f"{emulator.url}/_emulator/sources", timeout=5).json()
        schedules = requests.get(f"{emulator.url}/_emulator/schedules", timeout=5).json()
    assert [source["name"] for source in sources] == ["HR 1", "HR 2", "App 1"]
    assert {source["description"] for source in sources[:2]} == {"Mine"}
    assert [schedule["source"] for schedule in schedules] == ["HR 2", "App 1", "App 2"]
    assert schedules[1]["plan"] == {"duration": 30, "outcomes": ["SUCCESS"], "retry_after": 5}


@pytest.mark.parametrize("name", builtin_scenarios())
def test_builtin_scenarios(name: str) -> None:
    with Emulator(name) as emulator:
        assert bool(emulator.tasks()) == (name != "empty")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("90s", 90), ("5m", 300), ("-2h", -7200), ("3d", 259_200), ("+1.5 m", 90), ("7", 7), (7, 7), (0.5, 0.5)],
)
def test_durations(value: object, seconds: float) -> None:
    assert parse_duration(value, "x") == seconds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[task", "not valid TOML"),
        ("tasks = 1", "unknown key 'tasks'; use description, [[task]], [[source]], [[schedule]]"),
        ("description = 1", "description = 1 must be a text"),
        ("task = 1", "task = 1 must be tables; write [[task]]"),
        ("task = [1]", "task 1: 1 is not a table"),
        ("[[task]]\n[[task]]\nsorce = 'x'", "task 2: unknown key 'sorce'; use id, source"),
        ("[[task]]\nkind = 'account'", "task 1: kind = 'account' is not a kind; use accounts"),
        ("[[task]]\nkind = 1", "task 1: kind = 1 must be a text"),
        ("[[task]]\nsource = ' '", "task 1: source = ' ' must be a text that is not empty"),
        (
            "[[task]]\nlaunched = 'yesterday'",
            "task 1: launched = 'yesterday' is not a duration; write \"90s\"",
        ),
        ("[[task]]\nlaunched = 'never'", "launched = 'never' is not a duration"),
        ("[[task]]\nduration = true", "duration = True is not a duration"),
        ("[[task]]\nduration = '-5m'", "duration = '-5m' is negative"),
        ("[[task]]\nduration = '5 weeks'", "duration = '5 weeks' is not a duration"),
        ("[[task]]\nevery = -1", "every = -1 is negative"),
        ("[[task]]\ncount = 0", "count = 0 must be a whole number of at least 1"),
        ("[[task]]\ncount = 10_000_000", "count = 10000000 is more than 10000; write several tables"),
        ("[[task]]\nlaunched = inf", "launched = inf is longer than 3650 days"),
        ("[[task]]\nduration = nan", "duration = nan is longer than 3650 days"),
        ("[[task]]\nduration = '99999d'", "duration = '99999d' is longer than 3650 days"),
        ("[[task]]\ncount = 1.5", "count = 1.5 must be"),
        ("[[task]]\ncount = true", "count = True must be"),
        ("[[task]]\nmessages = 'x'", "messages = 'x' must be a list of texts"),
        ("[[task]]\nmessages = [1]", "messages = [1] must be a list of texts"),
        ("[[task]]\nfields = 1", "fields = 1 must be a table"),
        ("[[task]]\nfields = {id = 'x'}", "other than id"),
        ("source = 1", "source = 1 must be tables; write [[source]]"),
        ("[[source]]\nid = 'x'", "source 1: name is missing"),
        ("[[source]]\nname = 'x'\nevery = 5", "source 1: unknown key 'every'; use name, id"),
        ("[[source]]\nname = 'x'\ndelimited_file = 'yes'", "delimited_file = 'yes' must be true or false"),
        ("[[source]]\nname = 'x'\noutcome = []", "outcome = [] must be a text"),
        ("[[source]]\nname = 'x'\noutcome = ['SUCCESS', 1]", "outcome = ['SUCCESS', 1] must be a text"),
        ("[[source]]\nname = 'x'\nretry_after = '-5s'", "retry_after = '-5s' is negative"),
        ("[[source]]\nname = 'x'\ncount = 2", "name = 'x' is the same for 2 sources; put {n} into it"),
        ("[[source]]\nname = 'x'\n[[source]]\nname = 'x'", "source 2: id = "),
        ("[[schedule]]\nsource = 'x'", "schedule 1: every is missing"),
        ("[[schedule]]\nsource = 'x'\nevery = 0", "schedule 1: every = 0 is no interval"),
        ("[[schedule]]\nsource = 'x'\nevery = '-1h'", "every = '-1h' is negative"),
        (
            "[[schedule]]\nsource = 'x'\nevery = 5\nkind = 'role_refresh'",
            "kind = 'role_refresh' can't be scheduled; use accounts",
        ),
        ("[[task]]\noutcome = ['SUCCESS']", "outcome = ['SUCCESS'] must be a text"),
        ("[[task]]\nid = 'x'\ncount = 2", "task 1: id = 'x' is the same for 2 tasks; put {n} into it"),
        ("[[task]]\nid = 'x'\n[[task]]\nid = 'X'", "task 2: id = 'X' is taken by an earlier task"),
    ],
)
def test_refusals(text: str, problem: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, "mine.toml")
    assert str(caught.value).startswith("scenario mine.toml")
    assert problem in str(caught.value)
