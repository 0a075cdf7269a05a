"""
Measures one import in a fresh process; runs in whatever environment has what is imported.

Input, on standard input: ``{"preload": [module], "base": statement, "statement": statement}``. A module of
``preload`` that this environment lacks is left out.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from contextlib import suppress


def timed(statement: str) -> tuple[float, list[str]]:
    before = set(sys.modules)
    start = time.perf_counter()
    exec(statement, {})
    seconds = time.perf_counter() - start
    return seconds * 1000, sorted(set(sys.modules) - before)


def main() -> None:
    given = json.load(sys.stdin)
    for name in given["preload"]:
        with suppress(ImportError):
            importlib.import_module(name)
    base_ms, base_modules = timed(given["base"])
    ms, modules = timed(given["statement"])
    answer = {"base_ms": base_ms, "base_modules": base_modules, "ms": ms, "modules": modules}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
