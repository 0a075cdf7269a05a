"""What arguments on a command line are read into."""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

from airflow_provider_sptasks.times import MAX_SECONDS

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def duration(text: str) -> timedelta:
    """
    Read a length of time: ``90``, ``90s``, ``5m``, ``2h`` or ``3d``.

    :param text: as it was typed
    :raises ArgumentTypeError: it is something else, or longer than ten years
    """
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _UNITS[match[2]] if match else math.inf
    if seconds > MAX_SECONDS:
        raise ArgumentTypeError(f"{text!r} is not a length of time; write 90, 90s, 5m, 2h or 3d")
    return timedelta(seconds=seconds)


def positive_duration(text: str) -> timedelta:
    """
    Read a length of time above 0, as :func:`duration` does.

    :param text: as it was typed
    :raises ArgumentTypeError: it is something else
    """
    length = duration(text)
    if not length:
        raise ArgumentTypeError(f"{text!r} is no time at all; give more than 0")
    return length


def moment(text: str) -> datetime:
    """
    Read a point in time: ISO 8601, of which one without a time zone is UTC, or how long ago it is.

    :param text: ``2026-03-01T06:00:00Z``, ``2026-03-01`` or ``2h``
    :raises ArgumentTypeError: it is something else
    """
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            return datetime.now(UTC) - duration(text)
        except ArgumentTypeError:
            raise ArgumentTypeError(
                f"{text!r} is not a time; write 2026-03-01T06:00:00Z, or how long ago it is, such as 2h"
            ) from None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def count(text: str) -> int:
    """
    Read a whole number above 0.

    :param text: as it was typed
    :raises ArgumentTypeError: it is something else
    """
    if not text.isascii() or not text.isdigit() or int(text[:19]) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text[:19])


def offset(text: str) -> int:
    """
    Read a whole number from 0 on.

    :param text: as it was typed
    :raises ArgumentTypeError: it is something else
    """
    return 0 if text == "0" else count(text)


def factor(text: str) -> float:
    """
    Read a number from 1 on.

    :param text: as it was typed
    :raises ArgumentTypeError: it is something else
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 1 <= number < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return number
