"""The tenant's clock, by which all its times are, as its answers show it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# Answers have the time in whole seconds, and are under way for a while.
PRECISION = timedelta(seconds=5)


def lead_of(headers: Mapping[str, str]) -> timedelta | None:
    """
    Say how far the clock of an answer that has just come is ahead of this machine's.

    :param headers: the answer's, with lower-case names
    :return: negative where it is behind; 0 where they agree within 5 seconds; ``None`` without a usable
        ``Date``
    """
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
        lead = date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)
    except (ValueError, OverflowError):
        return None
    return timedelta(0) if abs(lead) <= PRECISION else lead


class TenantClock:
    """The tenant's clock as the newest answer showed it; this machine's until there is one."""

    def __init__(self) -> None:
        self.lead = timedelta(0)
        """How far it is ahead of this machine's."""

    def note(self, headers: Mapping[str, str]) -> None:
        """
        Set it by an answer that has just come.

        :param headers: the answer's, with lower-case names
        """
        lead = lead_of(headers)
        if lead is not None:
            self.lead = lead

    @property
    def difference(self) -> str:
        """How it differs from this machine's, for a log; empty where it doesn't."""
        if not self.lead:
            return ""
        seconds = abs(self.lead).total_seconds()
        precision = 60 if seconds >= 120 else 1
        shown = timedelta(seconds=round(seconds / precision) * precision)
        return f"{shown} {'behind' if self.lead < timedelta(0) else 'ahead'}"

    def now(self) -> datetime:
        """Return the time, aware."""
        return datetime.now(UTC) + self.lead
