"""
Draws mutants of the package by chance, and shows which of them no test finds.

.. code-block:: console

    python -m mutants --seed 7 --number 150 --modules client waiting
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mutants.operators import Mutant, Source
from mutants.running import Outcome, Runner

ROOT = Path(__file__).parent.parent
PACKAGE = "airflow_provider_sptasks"
MODULES = ("waiting", "triggers", "sensors", "operators", "client")
# Those that are quick, and that concern these modules.
TESTS = (
    *(f"tests/{module}" for module in MODULES),
    "tests/hooks",
    "tests/test_completions.py",
    "tests/test_from_trigger.py",
    "tests/test_links.py",
)
EQUIVALENT = Path(__file__).parent / "equivalent.json"
SURVIVORS = ROOT / ".mutants" / "survivors.json"
GOAL_PERCENT = 85


def draw(root: Path, folders: Sequence[str], number: int, seed: int) -> list[Mutant]:
    """
    Draw mutants, as many of each folder, and none of a line twice.

    :param root: the project
    :param folders: of the modules, relative to it
    :param number: how many there are to be, of all folders together
    :param seed: the same draws the same, as long as the modules are the same
    """
    chance = random.Random(seed)  # noqa: S311  # nothing is secret here
    drawn = []
    for place, folder in enumerate(folders):
        sources = [
            Source(root, path.relative_to(root).as_posix()) for path in sorted((root / folder).glob("*.py"))
        ]
        lines = [(source, numbers) for source in sources for numbers in source.by_line().values()]
        count = number * (place + 1) // len(folders) - number * place // len(folders)
        for source, numbers in chance.sample(lines, min(count, len(lines))):
            drawn.append(source.mutant(chance.choice(numbers)))
    return drawn


def keys(file: Path) -> set[tuple[str, str, str]]:
    """Read the mutants that a file names."""
    listed = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return {(each["path"], each["removed"], each["added"]) for each in listed}


def report(results: Sequence[tuple[Mutant, Outcome]], equivalent: set[tuple[str, str, str]]) -> float:
    """
    Show what survived, and the score of each folder.

    :return: the score of all together, in per cent
    """
    counts: Counter[tuple[str, str]] = Counter()
    for mutant, outcome in results:
        same = outcome.alive and mutant.key in equivalent
        counts[str(Path(mutant.path).parent), "equivalent" if same else outcome.kind] += 1
        if outcome.alive and not same:
            print(f"\n{mutant.path}:{mutant.line} {outcome.kind}, {outcome.tests} tests")
            print(f"  - {mutant.removed}\n  + {mutant.added}")
    columns = ["killed", "hung", "survived", "unreached", "equivalent", "not run"]
    print(f"\n{'':40}{''.join(f'{column:>12}' for column in columns)}{'score':>9}")
    for folder in [*sorted({folder for folder, _ in counts}), ""]:
        row = [
            sum(n for (of, kind), n in counts.items() if of.startswith(folder) and kind == each)
            for each in columns
        ]
        found, all_of = sum(row[:2]), sum(row[:4])
        score = 100 * found / all_of if all_of else 100.0
        print(f"{folder or 'together':40}{''.join(f'{n:>12}' for n in row)}{score:>7.1f} %")
    return score


def main() -> int:
    """Return 0 if the score is good enough."""
    parser = argparse.ArgumentParser(prog="mutants", description="Which faults do the tests not find?")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="draws the same again")  # noqa: S311
    parser.add_argument("--number", type=int, default=150, help="of mutants (150)")
    parser.add_argument(
        "--modules", nargs="+", choices=MODULES, default=MODULES, help="folders of the package"
    )
    parser.add_argument("--minutes", type=float, default=60, help="after which no more are tried (60)")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried at a time (2)")
    parser.add_argument("--again", action="store_true", help="only those that survived the last time")
    options = parser.parse_args()
    mutants = draw(ROOT, [f"{PACKAGE}/{each}" for each in options.modules], options.number, options.seed)
    if options.again:
        last = keys(SURVIVORS)
        mutants = [mutant for mutant in mutants if mutant.key in last]
    print(f"{len(mutants)} mutants of seed {options.seed}", flush=True)
    with Runner(ROOT, PACKAGE, TESTS, options.jobs, options.minutes * 60) as runner:
        results = []
        for mutant, outcome in zip(mutants, runner.run(mutants), strict=True):
            results.append((mutant, outcome))
            print(f"{len(results):4} {outcome.kind:10} {mutant.path}:{mutant.line}", flush=True)
    alive = [mutant for mutant, outcome in results if outcome.alive]
    SURVIVORS.parent.mkdir(exist_ok=True)
    named = [dict(zip(("path", "removed", "added"), mutant.key, strict=True)) for mutant in alive]
    SURVIVORS.write_text(json.dumps(named, indent=1), encoding="utf-8")
    return int(report(results, keys(EQUIVALENT)) < GOAL_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
