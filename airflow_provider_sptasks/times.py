"""Lengths of time, points in time and factors that a DAG author gives, checked before they are added up."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from airflow_provider_sptasks.client.reading import EARLIEST, LATEST

# Ten years: added to a time of a task or to the present, it stays a time.
MAX_SECONDS = 10 * 365 * 86_400


def show(value: object) -> str:
    """
    Show for an error what was given, in up to 80 characters.

    :param value: anything; Python refuses to write integers of thousands of digits
    """
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    return f"{value!r:.80}"


def duration(value: object, name: str) -> timedelta:
    """
    Read an argument that is a length of time: seconds, or a ``timedelta``.

    :raises ValueError: it is neither, negative, or longer than ten years
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, (int, float))
        or not -math.inf <= seconds <= math.inf
    ):
        raise ValueError(f"{name} {show(value)} is neither seconds nor a timedelta.")
    if seconds < 0:
        raise ValueError(f"{name} {show(value)} is negative. Give seconds, or a timedelta, from 0 on.")
    if seconds > MAX_SECONDS:
        raise ValueError(
            f"{name} {show(value)} is longer than ten years. "
            f"Give seconds, or a timedelta, up to {MAX_SECONDS} seconds."
        )
    return value if isinstance(value, timedelta) else timedelta(seconds=seconds)


def check_durations(arguments: Mapping[str, object], names: Iterable[str]) -> None:
    """
    Check lengths of time that Airflow itself reads, and for which it raises what names no argument.

    :param arguments: the arguments of an operator, of which ``default_args`` may hold others
    :param names: which of them are lengths of time; ``None`` is none
    :raises ValueError: one of them is something else, or longer than ten years
    """
    defaults = arguments.get("default_args")
    given = {**(defaults if isinstance(defaults, Mapping) else {}), **arguments}
    for name in names:
        if given.get(name) is not None:
            duration(given[name], name)


def check_factor(value: object, name: str) -> float:
    """
    Refuse what is no number from 1 on.

    :param value: what should be one
    :param name: the argument, for the error
    :raises ValueError: it is something else
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= sys.float_info.max:
        raise ValueError(f"{name} must be a number from 1 on, got {show(value)}.")
    return float(value)


def aware_datetime(value: object, name: str) -> datetime:
    """
    Read an argument that is a point in time: an aware ``datetime``, or ISO 8601 with a time zone.

    :return: within the years that a task's times can have, 1970 to 2200: what is beyond is any time, or none
    :raises ValueError: it is neither
    """
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError(
            f"{name} must be an aware datetime, or ISO 8601 with a time zone such as 2026-03-01T06:00:00Z, "
            f"got {show(value)}."
        )
    return min(max(moment, EARLIEST), LATEST)


def optional_datetime(value: object, name: str) -> datetime | None:
    """
    Read a point in time that may be missing.

    :raises ValueError: it is something else
    """
    return None if value is None else aware_datetime(value, name)
