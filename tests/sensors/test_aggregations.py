from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import jinja2
import pytest
from airflow.sdk import DAG, Context
from airflow.sdk.execution_time import macros

from airflow_provider_sptasks.emulator import Emulator
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointSourceNotFoundError,
    SailPointTaskFailedError,
)
from airflow_provider_sptasks.sensors.sailpoint import SailPointAggregationSensor
from airflow_provider_sptasks.times import aware_datetime
from tests.compat import AirflowSensorTimeout, AirflowSkipException, TaskDeferred
from tests.context import context
from tests.sensors.modes import MODES, run

HOUR = 3600.0
DAY = 24 * HOUR
AD = "2c91808a7813090a017814121e121518"


def sensor(mode: str = "poke", *, boundary: float = -DAY, **kwargs: Any) -> SailPointAggregationSensor:
    """A gate by source, whose boundary is that many seconds from now."""
    settings: dict[str, Any] = {
        "task_id": "gate",
        "dag": DAG("dag", schedule=None),
        "launched_after": (datetime.now(UTC) + timedelta(seconds=boundary)).isoformat(),
        "poke_interval": 0.1,
        "timeout": 20,
    }
    if "source_name" not in kwargs:
        settings["source_id"] = AD
    return SailPointAggregationSensor(**settings | MODES[mode] | kwargs)


@pytest.fixture
def ad(tenant: Emulator) -> Callable[..., str]:
    """Add aggregations of Active Directory: launched that many hours from now, for that many hours."""
    tenant.add_source("Active Directory", AD)

    def add(hours: float, lasts: float | None = 0.5, **kwargs: Any) -> str:
        duration = None if lasts is None else lasts * HOUR
        return tenant.add_task(source_id=AD, launched=hours * HOUR, duration=duration, **kwargs).id

    return add


@contextmanager
def soon(act: Callable[[], object], seconds: float = 0.3) -> Iterator[None]:
    timer = threading.Timer(seconds, act)
    timer.start()
    yield
    timer.join()


@pytest.mark.parametrize("mode", MODES)
class TestSituations:
    """The boundary is 24 hours ago; times are hours from now."""

    def opened_by(self, mode: str, **kwargs: Any) -> Any:
        return run(mode, lambda: sensor(mode, **kwargs))["id"]

    def waits_on(self, mode: str, **kwargs: Any) -> None:
        with pytest.raises(AirflowSensorTimeout):
            run(mode, lambda: sensor(mode, timeout=0.6, **kwargs))

    def test_after_the_boundary(self, ad: Callable[..., str], mode: str) -> None:
        last_night = ad(-4)
        assert self.opened_by(mode) == last_night

    def test_before_the_boundary(self, ad: Callable[..., str], mode: str) -> None:
        ad(-30)
        self.waits_on(mode)

    def test_across_the_boundary(self, ad: Callable[..., str], mode: str) -> None:
        ad(-24.2)
        self.waits_on(mode)

    def test_across_the_boundary_and_still_running(self, ad: Callable[..., str], mode: str) -> None:
        ad(-24.2, lasts=None)
        self.waits_on(mode)

    def test_just_after_the_boundary(self, ad: Callable[..., str], mode: str) -> None:
        task = ad(-23.99)
        assert self.opened_by(mode) == task

    def test_the_one_after_one_that_does_not_count(self, ad: Callable[..., str], mode: str) -> None:
        ad(-30)
        with soon(lambda: ad(0, lasts=0.0001)):
            assert run(mode, lambda: sensor(mode))["completionStatus"] == "SUCCESS"

    def test_running(self, tenant: Emulator, ad: Callable[..., str], mode: str) -> None:
        task = ad(-0.2, lasts=None)
        with soon(lambda: tenant.complete(task)):
            assert self.opened_by(mode) == task

    def test_running_after_one_that_ended_well(
        self, tenant: Emulator, ad: Callable[..., str], mode: str
    ) -> None:
        ad(-4)
        task = ad(-0.2, lasts=None)
        with (
            soon(lambda: tenant.complete(task, "ERROR")),
            pytest.raises(SailPointTaskFailedError, match=task),
        ):
            run(mode, lambda: sensor(mode))

    def test_failed_then_succeeded(self, ad: Callable[..., str], mode: str) -> None:
        ad(-5, outcome="ERROR")
        task = ad(-4)
        assert self.opened_by(mode) == task

    def test_succeeded_then_failed(self, ad: Callable[..., str], mode: str) -> None:
        ad(-5)
        task = ad(-4, outcome="TERMINATED")
        with pytest.raises(SailPointTaskFailedError, match=task):
            run(mode, lambda: sensor(mode))

    def test_failed_and_waiting_for_the_next(self, ad: Callable[..., str], mode: str) -> None:
        ad(-4, outcome="ERROR")
        with soon(lambda: ad(0, lasts=0.0001)):
            status = run(mode, lambda: sensor(mode, if_failed="wait_for_next"))
        assert status["completionStatus"] == "SUCCESS"

    def test_accepted_failure(self, ad: Callable[..., str], mode: str) -> None:
        task = ad(-4, outcome="ERROR")
        assert self.opened_by(mode, accepted_statuses=None) == task

    def test_retried_by_sailpoint(self, ad: Callable[..., str], mode: str) -> None:
        ad(-0.01, lasts=0.005, outcome="TEMPERROR")
        with soon(lambda: ad(0, lasts=0.0001)):
            assert run(mode, lambda: sensor(mode))["completionStatus"] == "SUCCESS"

    def test_not_retried_by_sailpoint(self, ad: Callable[..., str], mode: str) -> None:
        task = ad(-0.01, lasts=0.01, outcome="TEMPERROR")
        with pytest.raises(SailPointTaskFailedError, match=task):
            run(mode, lambda: sensor(mode, retry_grace=1.5))

    def test_temporary_error_of_long_ago(self, ad: Callable[..., str], mode: str) -> None:
        task = ad(-4, outcome="TEMPERROR")
        with pytest.raises(SailPointTaskFailedError, match=task):
            run(mode, lambda: sensor(mode))

    def test_another_kind(self, ad: Callable[..., str], mode: str) -> None:
        ad(-4, kind="entitlements")
        ad(-3, kind="identity_refresh")
        self.waits_on(mode)

    def test_two_kinds(self, ad: Callable[..., str], mode: str) -> None:
        accounts = ad(-4)
        entitlements = ad(-3, kind="entitlements")
        assert self.opened_by(mode) == accounts
        assert self.opened_by(mode, kind="entitlements") == entitlements
        assert self.opened_by(mode, kind="any") == entitlements

    def test_none_at_all(self, ad: Callable[..., str], mode: str) -> None:
        self.waits_on(mode)

    def test_older_than_sailpoint_keeps(self, ad: Callable[..., str], mode: str) -> None:
        ad(-100 * 24)
        self.waits_on(mode, boundary=-120 * DAY)

    def test_completed_without_completion_status_is_not_the_end(
        self, ad: Callable[..., str], mode: str
    ) -> None:
        ad(-4, lasts=5, completed_lead=2 * HOUR)
        self.waits_on(mode)

    def test_several_sources(self, tenant: Emulator, ad: Callable[..., str], mode: str) -> None:
        hr = tenant.add_source("HR").id
        task, other = ad(-4), tenant.add_task(source="HR", source_id=hr, launched=-HOUR, duration=None).id
        with soon(lambda: tenant.complete(other)):
            statuses = run(mode, lambda: sensor(mode, source_id=[hr.upper(), AD]))
        assert [status["id"] for status in statuses] == [other, task]

    def test_one_source_of_several_failed(self, tenant: Emulator, ad: Callable[..., str], mode: str) -> None:
        hr = tenant.add_source("HR").id
        failed = tenant.add_task(source="HR", source_id=hr, launched=-HOUR, duration=60, outcome="ERROR").id
        with pytest.raises(SailPointTaskFailedError, match=failed):
            run(mode, lambda: sensor(mode, source_id=[AD, hr]))

    def test_by_name(self, ad: Callable[..., str], mode: str) -> None:
        task = ad(-4)
        assert self.opened_by(mode, source_name="active directory") == task

    def test_by_several_names(self, tenant: Emulator, ad: Callable[..., str], mode: str) -> None:
        task, hr = ad(-4), tenant.add_source("HR")
        other = tenant.add_task(source="HR", source_id=hr.id, launched=-HOUR, duration=60).id
        statuses = run(mode, lambda: sensor(mode, source_name=["HR", "Active Directory"]))
        assert [status["id"] for status in statuses] == [other, task]

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ({"source_id": "f" * 32}, "no source with the id ffff"),
            ({"source_name": "Nowhere"}, "'Nowhere'"),
            ({"source_name": "Twin"}, "Twin"),
        ],
    )
    def test_source_that_is_not_there(
        self, tenant: Emulator, ad: Callable[..., str], mode: str, source: dict[str, Any], message: str
    ) -> None:
        for each in "ab":
            tenant.add_source("Twin", each * 32)
        with pytest.raises(SailPointSourceNotFoundError, match=message):
            run(mode, lambda: sensor(mode, **source))
        with pytest.raises(AirflowSkipException):
            run(mode, lambda: sensor(mode, soft_fail=True, **source))

    def test_credentials_that_may_not_read_sources(
        self, tenant: Emulator, ad: Callable[..., str], mode: str
    ) -> None:
        tenant.fail(403, path="/sources/v1")
        with soon(lambda: ad(0, lasts=0.0001)):
            assert run(mode, lambda: sensor(mode))["completionStatus"] == "SUCCESS"

    @pytest.mark.parametrize("source", [{}, {"source_name": "Active Directory"}])
    def test_what_passes_is_waited_out(
        self, tenant: Emulator, ad: Callable[..., str], mode: str, source: dict[str, str]
    ) -> None:
        task = ad(-4)
        tenant.fail(503, times=5)
        assert self.opened_by(mode, timeout=60, **source) == task

    def test_refusal_fails(self, tenant: Emulator, ad: Callable[..., str], mode: str) -> None:
        tenant.fail(403, path="/task-status/v1")
        with pytest.raises(SailPointRequestError, match="answered with 403"):
            run(mode, lambda: sensor(mode))

    def test_a_refused_batch_hides_no_unknown_source(
        self, tenant: Emulator, ad: Callable[..., str], mode: str
    ) -> None:
        tenant.fail(400, path="/sources/v1", times=1)
        with pytest.raises(SailPointSourceNotFoundError, match=f"no source with the id {'f' * 32}"):
            run(mode, lambda: sensor(mode, source_id=[AD, "f" * 32]))

    @pytest.mark.parametrize("version", ["beta", "v2024", "v2025", "v2026", "v1"])
    def test_every_version(self, tenant: Emulator, ad: Callable[..., str], mode: str, version: str) -> None:
        task = ad(-0.2, lasts=None)
        with soon(lambda: tenant.complete(task), 0.4):
            assert self.opened_by(mode, api_version=version) == task


def test_a_poll_for_many_sources_is_few_requests(tenant: Emulator) -> None:
    sources = [tenant.add_source(f"Source {number}").id for number in range(1000)]
    for number, source in enumerate(sources):
        tenant.add_task(source=f"Source {number}", source_id=source, launched=-HOUR, duration=None)
    before = len(tenant.requests)
    assert not sensor(source_id=sources).poke(context())
    lists = [request for request in tenant.requests[before:] if request.path == "/task-status/v1"]
    assert len(lists) <= 10
    assert {request.status for request in lists} == {200}


def test_unknown_sources_are_looked_for_once(tenant: Emulator, ad: Callable[..., str]) -> None:
    gate = sensor()
    for _ in range(3):
        assert not gate.poke(context())
    assert sum(request.path == "/sources/v1" for request in tenant.requests) == 1


def test_a_source_that_is_refused_is_asked_for_by_itself(tenant: Emulator, ad: Callable[..., str]) -> None:
    culprit = "e" * 32
    tenant.fail(400, path="/sources/v1", query=f"*{culprit}*")
    with pytest.raises(SailPointRequestError, match="answered with 400"):
        sensor(source_id=[AD, culprit]).poke(context())
    assert tenant.requests[-1].query["filters"] == f'id in ("{culprit}")'


def test_a_sensor_that_defers_asks_once(tenant: Emulator, ad: Callable[..., str]) -> None:
    """Whether the source is there, its trigger asks for many sensors together."""
    with pytest.raises(TaskDeferred):
        sensor("deferrable").execute(context())
    assert [request.path for request in tenant.requests if request.api_version] == ["/task-status/v1"]


def test_xcom_and_log(tenant: Emulator, ad: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    task = ad(-4)
    status = sensor(launched_after="2020-02-29T06:00:00+01:00").execute(context())
    assert json.loads(json.dumps(status)) == status
    assert status["target"] == {"id": AD, "name": "Active Directory [source]"}
    log = capsys.readouterr().out
    assert (
        f"Waiting for the completion of the aggregation (accounts) of {AD} "
        "launched at 2020-02-29 05:00:00 UTC or later" in log
    )
    assert f"(task {task})" in log


RUN_AFTER = datetime(2026, 3, 2, 6, tzinfo=UTC)
YESTERDAY = datetime(2026, 3, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    "interval",
    [
        pytest.param({"data_interval_start": YESTERDAY, "data_interval_end": RUN_AFTER}, id="data interval"),
        pytest.param({"data_interval_start": RUN_AFTER, "data_interval_end": RUN_AFTER}, id="cron trigger"),
        pytest.param({"data_interval_start": None, "data_interval_end": None}, id="none"),
        pytest.param({}, id="no logical date"),
    ],
)
@pytest.mark.parametrize("undefined", [jinja2.Undefined, jinja2.StrictUndefined])
def test_default_boundary(interval: dict[str, Any], undefined: type[jinja2.Undefined]) -> None:
    """The triggerer renders leniently, a worker strictly."""
    gate = sensor()
    gate.launched_after = SailPointAggregationSensor(task_id="default", source_id=AD).launched_after
    values = {"dag_run": SimpleNamespace(run_after=RUN_AFTER), "macros": macros, **interval}
    gate.render_template_fields(cast(Context, values), jinja2.Environment(undefined=undefined))
    assert aware_datetime(gate.launched_after, "launched_after") == YESTERDAY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source_id": None}, "source_id is None and source_name None. Give one of the two"),
        ({"source_name": "x"}, "Give one of the two"),
        ({"source_id": []}, "source_id is an empty list"),
        ({"source_id": "a/b"}, "source_id 'a/b' is not an id"),
        ({"source_id": None, "source_name": " "}, "source_name"),
        ({"kind": "everything"}, "kind 'everything' is unknown. Use one of accounts, entitlements"),
        ({"if_failed": "retry"}, "if_failed 'retry' is unknown"),
        ({"retry_grace": -1}, "retry_grace -1 is negative"),
        ({"launched_after": "yesterday"}, "launched_after must be an aware datetime.*'yesterday'"),
        ({"launched_after": "2026-03-01T06:00:00"}, "launched_after must be an aware datetime"),
        ({"launched_after": datetime(2026, 3, 1)}, "launched_after must be an aware datetime"),
        ({"accepted_statuses": ()}, "accepted_statuses is empty"),
    ],
)
def test_bad_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SailPointAggregationSensor(**{"task_id": "gate", "source_id": AD} | arguments)


@pytest.mark.parametrize("launched_after", ["", "None", "2026-03-01"])
def test_rendered_boundary_that_is_none_is_refused(tenant: Emulator, launched_after: str) -> None:
    gate = sensor(launched_after="{{ params.since }}")
    gate.launched_after = launched_after
    with pytest.raises(SailPointRequestError, match="launched_after"):
        gate.execute(context())
    assert tenant.requests == ()
