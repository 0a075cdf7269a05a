"""Durations as people write them: ``90s``, ``5m``, ``2h``, ``-3d``."""

from __future__ import annotations

import re

MAX_DURATION = 3_650 * 86_400.0
"""The longest, in seconds: some ten years. The tenant's times stay ones that can be written down."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?P<number>[+-]?\d{1,12}(?:\.\d{1,12})?)\s*(?P<unit>[smhd])?")


def parse_duration(value: object, where: str) -> float:
    """
    Return a duration in seconds.

    :param value: a number of seconds, or a text such as ``90s``, ``5m``, ``2h``, ``3d``, ``-2h``.
    :param where: what error messages say first.
    """
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError(f'{where} is not a duration; write "90s", "5m", "2h", "3d", or a number of seconds')
    if not -MAX_DURATION <= seconds <= MAX_DURATION:
        raise ValueError(f"{where} is longer than {MAX_DURATION / 86_400:.0f} days")
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if match is None else float(match["number"]) * _UNITS[match["unit"] or "s"]
