"""``python -m benchmarks``: measures, and prints Markdown."""

from __future__ import annotations

import argparse
import logging

from benchmarks import clearing, gates, imports, waiting
from benchmarks.tables import machine


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "which", nargs="?", choices=["imports", "waiting", "gates", "clearing"], help="only this one"
    )
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
    if options.which in (None, "imports"):
        print(f"{imports.run(quick=options.quick)}\n", flush=True)
    if options.which in (None, "waiting"):
        print(f"{waiting.run(quick=options.quick)}\n", flush=True)
    if options.which in (None, "gates"):
        print(f"{gates.run(quick=options.quick)}\n", flush=True)
    if options.which in (None, "clearing"):
        print(clearing.run(quick=options.quick, tasks=options.tasks))


if __name__ == "__main__":
    main()
