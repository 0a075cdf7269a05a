"""A week of a tenant, as an operator finds it in the night: for the page, and for its pictures."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_sptasks.emulator import Emulator

HOUR, DAY = 3600.0, 86_400.0
UNREACHABLE = (
    "Could not connect to the connector gateway: connect timed out after 30000 ms. Check that the virtual "
    "appliance cluster 'va-eu' is running and can reach the host hr.example.com, port 5050."
)
EXPIRED = "Login failed for the service account svc_identity: the password has expired."


@dataclass(frozen=True, slots=True)
class Habit:
    """
    How a source is aggregated.

    :param source: its name
    :param every: seconds from one aggregation to the next
    :param ago: how many seconds ago the last one was launched
    :param took: how many seconds one takes
    :param failed: which ones failed, counted back from the last one, which is 0
    :param message: what SailPoint says of these
    """

    source: str
    every: float
    ago: float
    took: float
    failed: tuple[int, ...] = ()
    message: str = UNREACHABLE


HABITS = (
    Habit("Active Directory", 4 * HOUR, 3.2 * HOUR, 900),
    Habit("Azure Entra ID", 6 * HOUR, 2 * HOUR, 1800, (9,)),
    Habit("Workday", DAY, 7 * HOUR, 1320, (5,)),
    Habit("SAP HR", 6 * HOUR, 1.5 * HOUR, 420, (0, 1), EXPIRED),
    Habit("ServiceNow", 6 * HOUR, 9.5 * HOUR, 400, (3, 4)),
    Habit("Salesforce", 8 * HOUR, 5 * HOUR, 240),
    Habit("Oracle ERP", 12 * HOUR, 54 * HOUR, 2600, (6,)),
    Habit("Jira", 12 * HOUR, 4 * HOUR, 130),
)


def fill(emulator: Emulator) -> str:
    """
    Let a week have passed at a tenant.

    :param emulator: the tenant
    :return: the id of an aggregation that takes longer than usual
    """
    with emulator.clock.stopped():
        for habit in HABITS:
            for number in range(int((7 * DAY - habit.ago) // habit.every)):
                failed = number in habit.failed
                emulator.add_task(
                    source=habit.source,
                    launched=-habit.ago - number * habit.every,
                    duration=habit.took * (0.8 + 0.1 * (number * 7 % 5)),
                    outcome="ERROR" if failed else "SUCCESS",
                    messages=[habit.message] if failed else [],
                )
        emulator.add_task(source="Oracle ERP", launched=-52 * HOUR, duration=None)
        emulator.add_task(source="Active Directory", launched=-300.0, duration=900.0)
        emulator.add_task(source="Workday", kind="entitlements", launched=-40.0, duration=600.0)
        return emulator.add_task(source="ServiceNow", launched=-3.4 * HOUR, duration=None).id
