"""
The border: makes bounded, printable, storable values of whatever a tenant sent.

Nothing else turns JSON into values. What has an undocumented shape becomes ``None`` or empty. What comes out
can be encoded, printed to a terminal or a log, stored in PostgreSQL, and calculated with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, overload

MAX_TEXT = 500
MAX_NAME = 200
# Numbers and times are written with fewer characters; more need not be read.
MAX_LITERAL = 64

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
# Beyond these years, times can't be added to and subtracted from without care.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

# Control characters, separators of lines, and what turns the direction of writing.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# What Airflow's log view takes for the beginning or the end of a group of lines.
_LOG_GROUPS = re.compile("::(?=(?:end)?group::)", re.IGNORECASE)


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """
    Make a string safe to print and to store, without white space around it.

    :param text: any string
    :param limit: characters to keep; a longer one ends with ``…``
    """
    text = text.strip()[: 2 * limit]
    text = _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", _CONTROLS.sub(" ", text))
    return truncate(_LOG_GROUPS.sub(": :", text).strip(), limit)


@overload
def truncate(text: str, limit: int = MAX_TEXT) -> str: ...
@overload
def truncate(text: None, limit: int = MAX_TEXT) -> None: ...
def truncate(text: str | None, limit: int = MAX_TEXT) -> str | None:
    """Shorten a string to a number of characters; a longer one ends with ``…``."""
    return text if text is None or len(text) <= limit else f"{text[: limit - 1]}…"


def describe(value: object) -> str:
    """
    Describe what came instead of what was expected, for an error.

    Of an object only the names of its fields are shown: their values may be secret.
    """
    kind = type(value).__name__
    if isinstance(value, Mapping):
        names = [printable(str(name), 20) for _, name in zip(range(5), value, strict=False)]
        return f"{kind} of {len(value)} fields ({', '.join(names)})" if names else f"{kind} without fields"
    if isinstance(value, (list, tuple)):
        return f"{kind} of {len(value)} items"
    if isinstance(value, str):
        return f"{kind} {printable(value, 80)!r}"
    if value is None or isinstance(value, (bool, float)):
        return f"{kind} {value!r}"
    return f"{kind} {value}" if isinstance(value, int) and MIN_INTEGER <= value <= MAX_INTEGER else kind


def read_text(value: object, limit: int = MAX_TEXT) -> str | None:
    """
    Read a string, or an integer of up to 64 bits as one.

    :param value: any JSON value
    :param limit: characters to keep
    :return: ``None`` for anything else, and for a string of nothing but white space
    """
    if isinstance(value, str):
        return printable(value, limit) or None
    number = read_integer(value)
    return None if number is None else str(number)


def read_name(value: object) -> str | None:
    """Read a string as :func:`read_text` does, of up to 200 characters."""
    return read_text(value, MAX_NAME)


def letters(text: str | None) -> str:
    """Keep what tells names apart, regardless of their spelling."""
    return re.sub(r"[^a-z]", "", (text or "").lower())


def read_mapping(value: object) -> Mapping[str, Any]:
    """Read an object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def read_integer(value: object) -> int | None:
    """Read an integer of up to 64 bits; ``None`` for anything else, and for one beyond."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if MIN_INTEGER <= value <= MAX_INTEGER else None


def read_number(value: object) -> int | None:
    """Read a whole number of up to 64 bits, however it is written; ``None`` for anything else."""
    if isinstance(value, int):
        return read_integer(value)
    if isinstance(value, str):
        try:
            value = float(value[:MAX_LITERAL])
        except ValueError:
            return None
    return read_integer(int(value)) if isinstance(value, float) and math.isfinite(value) else None


def read_percent(value: object) -> int | None:
    """Read a whole number as :func:`read_number` does, clamped to 0 to 100."""
    number = read_number(value)
    return None if number is None else min(max(number, 0), 100)


def read_plain(value: object) -> str | int | float | bool | None:
    """Read a string, a boolean, a finite float or an integer of up to 64 bits; ``None`` for anything else."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool) else read_integer(value)


def read_datetime(value: object) -> datetime | None:
    """
    Read ISO 8601 (task-status) or epoch milliseconds (load-accounts).

    :return: in UTC, truncated to the millisecond; ``None`` for anything else, and outside of 1970 to 2200
    """
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, (int, float)):
            moment = datetime.fromtimestamp(value / 1000, tz=UTC)
        elif isinstance(value, str):
            moment = datetime.fromisoformat(value.strip()[:MAX_LITERAL])
        else:
            return None
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if not EARLIEST <= moment <= LATEST:
        return None
    return to_milliseconds(moment)


def to_milliseconds(moment: datetime) -> datetime:
    """Truncate a time to the millisecond, as precise as SailPoint's are."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
