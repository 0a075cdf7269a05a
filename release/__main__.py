"""Check version and changelog, build the packages, and use them as a stranger would."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from airflow_provider_sptasks import __version__
from release.stranger import StrangerError, follow_the_readme

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
# What the package needs besides its modules, and what its sources are not complete without.
IN_THE_WHEEL = ("py.typed", "emulator/scenarios/demo.toml")
IN_THE_SOURCES = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "constraints.txt",
    "docs/index.md",
    "tests/conftest.py",
)


def main() -> int:
    """Run all checks, in order, and stop at the first that fails."""
    try:
        check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)
        wheel, sources = build()
        check_contents(wheel, sources)
        run(sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sources))
        print(f"Following the README in an empty environment with {wheel.name}: some minutes", flush=True)
        follow_the_readme((ROOT / "README.md").read_text(encoding="utf-8"), DIST, __version__)
    except (CheckFailedError, StrangerError) as error:
        print(f"Not ready to be released: {error}", file=sys.stderr)
        return 1
    print(f"{__version__} is ready: {wheel.name} and {sources.name} in dist/")
    return 0


class CheckFailedError(Exception):
    """What is about to be released has a fault."""


def check_changelog(changelog: str, version: str) -> None:
    """
    Check that the changelog begins with the version, and holds nothing that is not released.

    :param changelog: its text
    :param version: the version that is about to be released
    :raises CheckFailedError: it doesn't
    """
    sections = re.findall(r"^## \[([^\]]+)\][^\n]*\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    names = [name for name, _ in sections]
    if names[:2] != ["Unreleased", version]:
        raise CheckFailedError(
            f"CHANGELOG.md should begin with [Unreleased] and [{version}], not with {names[:2]}"
        )
    if sections[0][1].strip():
        raise CheckFailedError(f"CHANGELOG.md has entries below [Unreleased]: move them below [{version}]")
    if not sections[1][1].strip():
        raise CheckFailedError(f"CHANGELOG.md has no entry below [{version}]")


def build() -> tuple[Path, Path]:
    """
    Build wheel and sdist.

    :return: their paths
    :raises CheckFailedError: they can't be built
    """
    shutil.rmtree(DIST, ignore_errors=True)
    uv = Path(sys.executable).with_name("uv")
    run(str(uv), "build", "--quiet", "--build-constraints", "constraints.txt", "--out-dir", str(DIST))
    (wheel,), (sources,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, sources


def check_contents(wheel: Path, sources: Path) -> None:
    """
    Check that nothing is missing in the packages.

    :param wheel: path of the wheel
    :param sources: path of the sdist
    :raises CheckFailedError: something is
    """
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    missing = [each for each in IN_THE_WHEEL if f"airflow_provider_sptasks/{each}" not in names]
    if alien := {each.partition("/")[0] for each in names if "dist-info" not in each} - {
        "airflow_provider_sptasks"
    }:
        raise CheckFailedError(f"the wheel installs {', '.join(sorted(alien))} too")
    with tarfile.open(sources) as archive:
        held = {each.partition("/")[2] for each in archive.getnames()}
    missing += [each for each in IN_THE_SOURCES if each not in held]
    if missing:
        raise CheckFailedError(f"the packages lack {', '.join(missing)}")


def run(*command: str) -> None:
    """
    Run a program, and show what it says if it fails.

    :param command: the program and its arguments
    :raises CheckFailedError: it fails
    """
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise CheckFailedError(f"{' '.join(command)}\n{finished.stdout}{finished.stderr}")


if __name__ == "__main__":
    sys.exit(main())
