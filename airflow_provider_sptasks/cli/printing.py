"""Prints records for people and for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TextIO

MAX_CELL = 60
_COLORS = {
    "SUCCESS": "32",
    "WARNING": "33",
    "ERROR": "31",
    "TERMINATED": "31",
    "TEMPERROR": "31",
    "yes": "32",
    "no": "31",
}


_own: TextIO | None = None


def output_stream() -> TextIO:
    """Return the stream for what was asked for: standard output."""
    return _own or sys.stdout


def keep_output_apart() -> None:
    """
    Let what others write to standard output from now on go to standard error.

    Airflow and its plugins log there, and would spoil what is piped into a program.
    """
    global _own
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # a test's stream, or none at all
        return
    if _own is None:
        sys.stdout.flush()
        encoding = sys.stdout.encoding
        _own = os.fdopen(os.dup(descriptor), "w", encoding=encoding, errors="backslashreplace")
        os.dup2(sys.stderr.fileno(), descriptor)


def print_records(
    records: Sequence[Mapping[str, Any]], rows: Iterable[Mapping[str, object]], output: str
) -> None:
    """
    Print records as they are wanted.

    :param records: for programs: plain JSON
    :param rows: for people: cells by the titles of their columns
    :param output: ``table``, ``plain``, ``json`` or ``yaml``
    """
    if output == "json":
        print_line(json.dumps(list(records), indent=2, ensure_ascii=not _is_unicode(output_stream())))
    elif output == "yaml":
        import yaml  # Airflow brings it

        print_line(
            yaml.safe_dump(list(records), sort_keys=False, allow_unicode=_is_unicode(output_stream())), end=""
        )
    else:
        _print_table(list(rows), is_table=output == "table")


def print_line(line: str, end: str = "\n") -> None:
    """Print a line of what was asked for."""
    output_stream().write(f"{line}{end}")


def note(line: str) -> None:
    """Print a line about what happens, which is no part of what was asked for."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def has_color(stream: TextIO) -> bool:
    """Whether what is printed may be coloured: on a terminal, unless ``NO_COLOR`` is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def cell(value: object) -> str:
    """
    Write a value into a table.

    :param value: any
    """
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds").replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return str(timedelta(seconds=round(value.total_seconds())))
    return str(value)


def _print_table(rows: Sequence[Mapping[str, object]], *, is_table: bool) -> None:
    if not rows:
        if is_table:
            note("Nothing found.")
        return
    limit = MAX_CELL if is_table and output_stream().isatty() else sys.maxsize
    titles = list(dict.fromkeys(title for row in rows for title in row))
    cells = [[_shortened(cell(row.get(title)), limit) for title in titles] for row in rows]
    widths = [max(len(title), *(len(line[at]) for line in cells)) for at, title in enumerate(titles)]
    color = is_table and has_color(output_stream())
    print_line(_joined(titles, widths, "1" if color else None))
    if is_table:
        width = shutil.get_terminal_size().columns if output_stream().isatty() else sys.maxsize
        print_line("-" * min(width, sum(widths) + 2 * (len(widths) - 1)))
    for line in cells:
        print_line(_joined(line, widths, color="" if color else None))


def _joined(cells: Sequence[str], widths: Sequence[int], color: str | None) -> str:
    """Join cells; ``color`` is for all of them, and an empty one for what a cell says."""
    padded = [each.ljust(width) for each, width in zip(cells, widths, strict=True)]
    padded[-1] = padded[-1].rstrip()
    if color is not None:
        codes = [color or _COLORS.get(each, "") for each in cells]
        padded = [
            f"\x1b[{code}m{each}\x1b[0m" if code else each for each, code in zip(padded, codes, strict=True)
        ]
    return "  ".join(padded)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _is_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")
