"""Tables for people: as wide as they need, or as a terminal allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from rich.cells import cell_len, set_cell_size  # Airflow brings it

GAP = "  "
MIN_CUT_WIDTH = 8
MIN_LAST_WIDTH = 20
_COLORS = {
    "SUCCESS": "32",
    "WARNING": "33",
    "ERROR": "31",
    "TERMINATED": "31",
    "TEMPERROR": "31",
    "yes": "32",
    "no": "31",
}


def table_lines(
    rows: Sequence[Mapping[str, object]],
    *,
    with_ruler: bool = False,
    with_color: bool = False,
    columns: int | None = None,
) -> Iterator[str]:
    """
    Write rows as the lines of a table.

    :param rows: cells by the titles of their columns; at least one row
    :param with_ruler: draw a line below the titles
    :param with_color: colour titles and statuses
    :param columns: how wide the terminal is, in cells: names are cut so that it fits. None cuts nothing
    """
    titles = list(dict.fromkeys(title for row in rows for title in row))
    cells = [[cell(row.get(title)) for title in titles] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(titles, *cells, strict=True)]
    if columns is not None:
        _fit(widths, titles, rows, columns)
    yield _joined(titles, widths, "1" if with_color else None)
    if with_ruler:
        yield "-" * min(_total(widths), columns or _total(widths))
    for line in cells:
        yield _joined(line, widths, "" if with_color else None)


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


def _fit(
    widths: list[int], titles: Sequence[str], rows: Sequence[Mapping[str, object]], columns: int
) -> None:
    """
    Narrow the widest columns until a table fits.

    Ids, times and numbers stay whole, and so does the last column: it goes on in the terminal's next line.
    """
    least = {
        at: max(MIN_CUT_WIDTH, cell_len(title))
        for at, title in enumerate(titles[:-1])
        if title != "id" and any(isinstance(row.get(title), str) for row in rows)
    }
    for _ in range(_total([*widths[:-1], min(widths[-1], MIN_LAST_WIDTH)]) - columns):
        widest = max((at for at in least if widths[at] > least[at]), key=widths.__getitem__, default=None)
        if widest is None:
            return
        widths[widest] -= 1


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _joined(cells: Sequence[str], widths: Sequence[int], color: str | None) -> str:
    """Join cells; ``color`` is for all of them, and an empty one for what a cell says."""
    padded = [*map(_padded, cells[:-1], widths), cells[-1]]
    if color is not None:
        codes = [color or _COLORS.get(each, "") for each in cells]
        padded = [
            f"\x1b[{code}m{each}\x1b[0m" if code else each for each, code in zip(padded, codes, strict=True)
        ]
    return GAP.join(padded)


def _padded(text: str, width: int) -> str:
    fitting = text if cell_len(text) <= width else f"{set_cell_size(text, width - 1).rstrip()}…"
    return set_cell_size(fitting, width)
