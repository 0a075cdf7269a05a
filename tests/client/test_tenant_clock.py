from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from airflow_provider_sptasks.client.tenant_clock import TenantClock, lead_of


def date(ahead: timedelta) -> dict[str, str]:
    return {"date": format_datetime(datetime.now(UTC) + ahead, usegmt=True)}


@pytest.mark.parametrize("hours", [-30, -1, 1, 30])
def test_lead(hours: float) -> None:
    clock = TenantClock()
    clock.note(date(timedelta(hours=hours)))
    assert abs(clock.lead - timedelta(hours=hours)) < timedelta(seconds=5)
    assert abs(clock.now() - datetime.now(UTC) - timedelta(hours=hours)) < timedelta(seconds=5)
    assert ("behind" in clock.difference) is (hours < 0)


@pytest.mark.parametrize("headers", [{}, {"date": ""}, {"date": "soon"}, {"date": "Mon, 99 Jan 2020"}])
def test_an_answer_without_a_time_changes_nothing(headers: dict[str, str]) -> None:
    clock = TenantClock()
    clock.note(date(timedelta(hours=1)))
    clock.note(headers)
    assert lead_of(headers) is None
    assert clock.lead > timedelta(minutes=59)


def test_clocks_that_agree() -> None:
    clock = TenantClock()
    clock.note(date(timedelta(hours=1)))
    clock.note(date(timedelta(seconds=2)))
    assert (clock.lead, clock.difference) == (timedelta(0), "")
