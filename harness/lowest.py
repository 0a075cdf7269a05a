"""
Writes what an environment with the lowest versions of what the package depends on is made by.

That is ``overrides.txt`` with these versions, even where Airflow asks for later ones, and ``constraints.txt``
with all else as the project pins it: so are Airflow and its providers, whose versions are tested elsewhere.

.. code-block:: console

    python harness/lowest.py .venv-lowest
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def lowest(project: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the lowest versions, by the names of what they are of.

    :param project: the table ``project`` of ``pyproject.toml``
    :raises ValueError: a dependency has no lower bound
    """
    versions = {}
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["emulator"]]:
        name, bound, version = re.match(r"([\w.-]+)(>=)?([\w.]*)", requirement).groups()  # type: ignore[union-attr]
        if not bound:
            raise ValueError(f"{requirement!r} has no lower bound.")
        if not name.startswith("apache-airflow"):
            versions[name] = version
    return versions


def main(folder: Path) -> None:
    """
    Write both files.

    :param folder: where to
    """
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = lowest(table)
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    others = [line for line in pinned if line.partition("==")[0] not in versions]
    overrides = [f"{name}=={version}" for name, version in versions.items()]
    for name, lines in (("constraints.txt", others), ("overrides.txt", overrides)):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
