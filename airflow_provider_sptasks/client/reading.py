"""Reads values of JSON that may have a shape which nobody documented: then there is none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MAX_TEXT = 500


def shown(value: object) -> str:
    """Show what came instead of what was expected, for an error."""
    return f"{type(value).__name__} {cut(repr(value), 80)}"


def cut(text: str | None, length: int = MAX_TEXT) -> str | None:
    """Shorten a text."""
    return text if text is None or len(text) <= length else f"{text[: length - 1]}…"


def read_text(value: object) -> str | None:
    """Read a text, or a whole number as one; ``None`` for anything else, and for nothing but spaces."""
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def letters(text: str | None) -> str:
    """Keep what tells names apart, however they are spelled."""
    return re.sub(r"[^a-z]", "", (text or "").lower())


def read_mapping(value: object) -> Mapping[str, Any]:
    """Read an object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def read_number(value: object) -> int | None:
    """Read a whole number, however it is written; ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if math.isfinite(number) else None


def read_instant(value: object) -> datetime | None:
    """Read ISO 8601 (task-status) or epoch milliseconds (load-accounts), to the millisecond, in UTC."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, (int, float)):
            moment = datetime.fromtimestamp(value / 1000, tz=UTC)
        elif isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
        else:
            return None
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
