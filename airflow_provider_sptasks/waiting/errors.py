"""What waiting can't help, in words of this package: what an Airflow task raises is in ``exceptions``."""

from __future__ import annotations


class WaitError(Exception):
    """What is waited for can't come."""


class UnknownTaskError(WaitError):
    """The tenant knows no task with the given id, or dropped it after 90 days."""


class UnknownSourceError(WaitError):
    """The tenant has no source with the given id or name, or several with that name."""
