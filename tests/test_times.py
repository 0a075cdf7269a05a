"""Lengths of time and times that can't be calculated with are refused, or meant in one way only."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk import DAG

from airflow_provider_sptasks.assets import aggregation_completed
from airflow_provider_sptasks.cli import values
from airflow_provider_sptasks.client.reading import EARLIEST, LATEST
from airflow_provider_sptasks.operators.sailpoint import (
    SailPointClearPendingTasksOperator,
    SailPointStartAggregationOperator,
)
from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor, SailPointTaskSensor
from airflow_provider_sptasks.times import MAX_SECONDS, aware_datetime, check_factor, duration

Make = Callable[..., Any]

# What a DAG author makes, what else it needs, and its arguments that are lengths of time.
MADE: list[tuple[Make, dict[str, Any], tuple[str, ...]]] = [
    (
        SailPointTaskSensor,
        {"task_id": "task", "task_status_id": "a"},
        ("not_found_grace", "poke_interval", "timeout", "max_wait"),
    ),
    (
        SailPointAggregationSensor,
        {"task_id": "task", "source_id": "a"},
        ("retry_grace", "poke_interval", "timeout", "max_wait"),
    ),
    (SailPointStartAggregationOperator, {"task_id": "task", "source_id": "a"}, ("poke_interval", "timeout")),
    (SailPointClearPendingTasksOperator, {"task_id": "task"}, ("older_than",)),
    (aggregation_completed, {"source_id": "a"}, ("poke_interval",)),
]
EVERY = [
    pytest.param(make, others, name, id=f"{make.__name__}-{name}")
    for make, others, names in MADE
    for name in names
]
TOO_LONG = {
    "a second more": MAX_SECONDS + 1,
    "1e14": 1e14,
    "1e300": 1e300,
    "10**400": 10**400,
    "10**5000": 10**5000,
    "infinity": math.inf,
    "a timedelta": timedelta(seconds=MAX_SECONDS, microseconds=1),
    "the longest timedelta": timedelta.max,
}


@pytest.mark.parametrize("value", TOO_LONG.values(), ids=TOO_LONG)
@pytest.mark.parametrize(("make", "others", "name"), EVERY)
def test_what_is_too_long_is_refused_by_name(
    make: Make, others: dict[str, Any], name: str, value: object
) -> None:
    with pytest.raises(ValueError, match=rf"^{name} \S.* is .*\. Give |^older_than .* timedelta above 0"):
        make(**others, **{name: value})


@pytest.mark.parametrize("by_dag", [False, True])
def test_what_is_too_long_is_refused_in_default_args(by_dag: bool) -> None:
    too_long: dict[str, Any] = {"timeout": 1e14}
    with DAG("dag", schedule=None, default_args=too_long if by_dag else {}):
        with pytest.raises(ValueError, match=r"^timeout 100000000000000.0 is longer than ten years"):
            SailPointTaskSensor(task_id="task", task_status_id="a", default_args={} if by_dag else too_long)
        SailPointTaskSensor(task_id="other", task_status_id="a", timeout=60)


@pytest.mark.parametrize(("make", "others", "name"), EVERY)
def test_a_day_is_taken(make: Make, others: dict[str, Any], name: str) -> None:
    make(**others, **{name: timedelta(days=1)})


@pytest.mark.parametrize(("make", "others", "names"), MADE)
def test_no_length_of_time_is_left_out(make: Make, others: dict[str, Any], names: tuple[str, ...]) -> None:
    parameters = inspect.signature(make).parameters.values()
    assert {each.name for each in parameters if "timedelta" in str(each.annotation)} <= {*names}
    assert others


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (MAX_SECONDS + 1, "is longer than ten years. Give seconds, or a timedelta, up to 315360000 seconds"),
        (10**400, "x an integer of 1329 bits is longer than"),
        (timedelta(seconds=-1), "is negative"),
        (-math.inf, "x -inf is negative"),
        (-(10**400), "is negative"),
        (math.nan, "x nan is neither seconds nor a timedelta"),
        (True, "x True is neither"),
        ("60", "x '60' is neither"),
        (None, "x None is neither"),
    ],
)
def test_what_is_no_duration(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        duration(value, "x")


@pytest.mark.parametrize("value", [0, 0.5, MAX_SECONDS, timedelta(0), timedelta(seconds=MAX_SECONDS)])
def test_a_duration(value: float | timedelta) -> None:
    expected = value if isinstance(value, timedelta) else timedelta(seconds=value)
    assert duration(value, "x") == expected
    assert datetime.now(UTC) + duration(value, "x") > EARLIEST


def test_a_command_line_takes_no_longer_ones() -> None:
    assert values.duration("3650d") == duration(MAX_SECONDS, "x")
    with pytest.raises(Exception, match="is not a length of time"):
        values.duration("3651d")


@pytest.mark.parametrize(
    "zone", [UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12)), ZoneInfo("Asia/Tokyo")]
)
@pytest.mark.parametrize(("moment", "expected"), [(datetime.min, EARLIEST), (datetime.max, LATEST)])
def test_times_beyond_all_tasks_can_be_calculated_with(
    moment: datetime, zone: Any, expected: datetime
) -> None:
    given = moment.replace(tzinfo=zone)
    for each in (given, given.isoformat()):
        sensor = SailPointAggregationSensor(task_id="task", source_id="a", launched_after=each)
        wait = sensor._parse()
        assert wait.launched_after == expected
        assert str(expected.year) in wait.describe()
        assert aware_datetime(each, "launched_after") == expected


@pytest.mark.parametrize("value", [10**400, 10**5000, math.nan], ids=["10**400", "10**5000", "nan"])
def test_a_factor_that_is_none(value: float) -> None:
    with pytest.raises(ValueError, match=r"^x must be a number from 1 on, got (an integer of|nan)"):
        check_factor(value, "x")
