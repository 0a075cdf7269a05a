"""``python -m benchmarks``: measures, and prints Markdown."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable

from benchmarks import calls, clearing, emulator, fleet, gates, imports, waiting
from benchmarks.tables import machine

BENCHMARKS: dict[str, Callable[..., str]] = {
    "calls": calls.run,
    "imports": imports.run,
    "emulator": emulator.run,
    "waiting": waiting.run,
    "gates": gates.run,
    "clearing": clearing.run,
    "fleet": fleet.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("which", nargs="?", choices=BENCHMARKS, help="only this one")
    parser.add_argument(
        "--quick", action="store_true", help="smaller: twenty minutes instead of more than an hour"
    )
    parser.add_argument("--tasks", type=int, help=f"how many tasks to clear (default {clearing.TASKS:,})")
    options = parser.parse_args()
    if options.tasks is not None and options.tasks < 1:
        parser.error("--tasks must be at least 1")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("benchmarks").setLevel(logging.INFO)
    print(f"{machine()}\n")
    for name, run in BENCHMARKS.items():
        if options.which in (None, name):
            more = {"tasks": options.tasks} if run is clearing.run else {}
            print(f"{run(quick=options.quick, **more)}\n", flush=True)


if __name__ == "__main__":
    main()
