"""The project's documents: their sections, blocks, tables and links."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    code: str


class Table(NamedTuple):
    """A table of a page: its cells, the heading's row first."""

    page: str
    section: str
    rows: list[list[str]]

    @property
    def heading(self) -> str:
        return self.rows[0][0]

    @property
    def names(self) -> list[str]:
        """The names in backticks in the first column."""
        return [name for row in self.rows[1:] for name in re.findall(r"`(\w+)[^`]*`", row[0])]


@dataclass(frozen=True)
class Page:
    """A document."""

    path: str

    @property
    def text(self) -> str:
        return (ROOT / self.path).read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """What is outside of fenced blocks."""
        return re.sub(r"^ *```.*?^ *```", "", self.text, flags=re.MULTILINE | re.DOTALL)

    def blocks(self, *languages: str) -> list[Block]:
        found = re.findall(r"^( *)```([^\n]*)\n(.*?)^\1```$", self.text, flags=re.MULTILINE | re.DOTALL)
        return [
            Block(self.path, language, textwrap.dedent(code))
            for _, language, code in found
            if not languages or language in languages
        ]

    def tables(self) -> list[Table]:
        tables: list[Table] = []
        section = ""
        inside = False
        for line in self.prose.splitlines():
            if line.startswith("#"):
                section = line.lstrip("# ")
            if not line.startswith("|"):
                inside = False
                continue
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not inside:
                tables.append(Table(self.path, section, [cells]))
                inside = True
            elif not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                tables[-1].rows.append(cells)
        return tables

    def anchors(self) -> set[str]:
        titles = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}

    def included(self) -> Page:
        """The page itself, or what it includes as a whole."""
        included = re.match(r"```\{include\} (\S+)", self.text)
        if included is None:
            return self
        return Page((ROOT / self.path).parent.joinpath(included[1]).resolve().relative_to(ROOT).as_posix())


def page(path: str) -> Page:
    return Page(path)


def pages() -> list[Page]:
    """The README and all pages below ``docs``, but for what is built there."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    docs = [path.relative_to(ROOT).as_posix() for path in found if "_build" not in path.parts]
    return [Page("README.md"), *map(Page, docs)]


def documents() -> list[Page]:
    """All documents that strangers read."""
    more = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")
    return [*pages(), *(Page(path) for path in more if Path(ROOT, path).is_file())]
