"""Markdown tables, and what machine they were made on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

Cell = str | int | float

REQUIREMENT = ("requirement on ours", "measured", "at most", "met")


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """
    Return a table; the first column is text, the others are numbers.

    :param head: the names of the columns
    :param rows: the cells, floats with as many digits as make sense
    """
    lines = [list(head), ["---", *("---:" for _ in head[1:])]]
    lines += [[_shown(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Return on what the benchmarks run, and how busy it is."""
    parts = (
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{os.cpu_count()} cores ({platform.machine()})",
        f"Python {platform.python_version()}",
        f"Airflow {version('apache-airflow')}",
        f"load at the start {os.getloadavg()[0]:.1f}",
    )
    return ", ".join(parts)


def verdict(value: float, limit: float) -> str:
    """
    Return whether a requirement is met.

    :param value: what was measured
    :param limit: its maximum
    """
    return "yes" if value <= limit else "**no**"


def _shown(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or cell == 0 or abs(cell) >= 1000:
        return f"{cell:,.0f}"
    return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
