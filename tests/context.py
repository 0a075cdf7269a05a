"""What an Airflow task gets from its runner, as far as this package uses it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from airflow.sdk import Context


@dataclass
class TaskInstance:
    """Keeps XComs, and remembers when the task was first rescheduled."""

    first_reschedule: datetime | None = None
    xcoms: dict[str, Any] = field(default_factory=dict)

    def get_first_reschedule_date(self, context: Context) -> datetime | None:
        return self.first_reschedule

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


def context(ti: TaskInstance | None = None) -> Context:
    return cast(Context, {"ti": ti or TaskInstance()})
