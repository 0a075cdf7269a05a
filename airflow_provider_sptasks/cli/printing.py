"""Prints records for people and for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

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
    elif listed := list(rows):
        _print_table(listed, is_for_people=output == "table")
    elif output == "table":
        note("Nothing found.")


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


def _print_table(rows: Sequence[Mapping[str, object]], *, is_for_people: bool) -> None:
    from airflow_provider_sptasks.cli.tables import table_lines  # what JSON doesn't need

    stream = output_stream()
    for line in table_lines(
        rows,
        with_ruler=is_for_people,
        with_color=is_for_people and has_color(stream),
        columns=shutil.get_terminal_size().columns if is_for_people and stream.isatty() else None,
    ):
        print_line(line)


def _is_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")
