"""
Does what the README says, as a stranger would: in an empty environment, with nothing but its own commands.

Its first section has blocks in this order: install, a DAG and the file to save it as, the emulator (which
runs until it is interrupted), and what to do in a second terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INSTALL_SECONDS, DAG_SECONDS = 900.0, 300.0
HELPFUL_LINES = 40


class StrangerError(Exception):
    """A stranger who follows the README does not get where it promises."""


@dataclass(frozen=True)
class Steps:
    """
    What the README says that a stranger has to do.

    :param install: the commands of the first terminal
    :param file: where the DAG is to be saved, from the home on
    :param dag: the DAG
    :param emulator: the command that then occupies the first terminal
    :param run: the commands of the second terminal
    :param promised: texts that the log shows in the end
    """

    install: str
    file: str
    dag: str
    emulator: str
    run: str
    promised: tuple[str, ...]


def steps(readme: str) -> Steps:
    """
    Read the steps from the README.

    :param readme: its text
    :return: the steps
    :raises StrangerError: its first section has other blocks than these
    """
    section = readme.partition("\n## A first DAG\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    file = re.search(r"Save this as `~/([^`]+)`", section)
    if [language for language, _ in blocks] != ["bash", "python", "bash", "bash"] or file is None:
        raise StrangerError("the section 'A first DAG' of README.md has other blocks than expected")
    install, dag, emulator, run = (code for _, code in blocks)
    promised = re.findall(r"`([^`]+)`", section.rpartition("the log says")[2].partition(". ")[0])
    return Steps(install, file[1], dag, emulator, run, tuple(promised))


def follow_the_readme(readme: str, packages: Path, version: str) -> None:
    """
    Follow the README in an empty home, and check that the first DAG run succeeds.

    :param readme: its text
    :param packages: the folder from which ``pip`` gets the package, as it would from an index
    :param version: the version of the package that must be the one installed
    :raises StrangerError: something else happens than the README says
    """
    guide = steps(readme)
    with tempfile.TemporaryDirectory(prefix="stranger-") as folder:
        home = Path(folder)
        environment = _environment(home, packages)
        print("  install", flush=True)
        _run(guide.install, environment, INSTALL_SECONDS)
        _check_version(home, environment, version)
        path = home / guide.file
        path.write_text(guide.dag, encoding="utf-8")
        with _first_terminal(guide, environment):
            print("  first DAG", flush=True)
            output = _run(guide.run, environment, DAG_SECONDS)
    missing = [each for each in guide.promised if each not in output]
    if missing or not guide.promised:
        raise StrangerError(f"the log lacks {missing}:\n{_end(output)}")
    for each in guide.promised:
        print(f"  the log says {each!r}", flush=True)


def _environment(home: Path, packages: Path) -> dict[str, str]:
    """Nothing of this process's environment but the way to the packages and this Python."""
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))
    }
    links = f"{packages} {kept.get('PIP_FIND_LINKS', '')}".strip()
    tools = home / "bin"
    tools.mkdir()
    (tools / "python3").symlink_to(Path(sys.base_prefix, "bin", "python3"))
    path = f"{tools}:/usr/local/bin:/usr/bin:/bin"
    return {**kept, "HOME": str(home), "PATH": path, "PIP_FIND_LINKS": links, "LANG": "C.UTF-8"}


@contextmanager
def _first_terminal(guide: Steps, environment: Mapping[str, str]) -> Iterator[None]:
    """Keep the emulator running, as the README says, until the second terminal has done its work."""
    home = Path(environment["HOME"])
    log = home / "emulator.log"
    with log.open("w", encoding="utf-8") as output:
        terminal = subprocess.Popen(
            [_bash(), "-e"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=dict(environment),
            start_new_session=True,
            text=True,
        )
        try:
            if terminal.stdin is not None:
                terminal.stdin.write(f". venv/bin/activate\n{guide.emulator}")
                terminal.stdin.close()
            _wait_for_connection(terminal, log, guide)
            yield
        finally:
            if terminal.poll() is None:
                os.killpg(terminal.pid, signal.SIGTERM)
            terminal.wait(timeout=30)


def _wait_for_connection(terminal: subprocess.Popen[str], log: Path, guide: Steps) -> None:
    give_up_at = time.monotonic() + 60
    while "\n" not in (text := log.read_text(encoding="utf-8")):
        if terminal.poll() is not None or time.monotonic() > give_up_at:
            raise StrangerError(f"the emulator doesn't start:\n{_end(text)}")
        time.sleep(0.2)
    connection = text.partition("\n")[0]
    if f"'{connection}'" not in guide.run:
        raise StrangerError(f"the emulator's connection is {connection}, not the README's")


def _check_version(home: Path, environment: Mapping[str, str], version: str) -> None:
    code = "import airflow_provider_sptasks as package; print(package.__version__, package.__file__)"
    output = _run(f"venv/bin/python -c '{code}'", environment, 60)
    if output.split()[:1] != [version] or str(home) not in output:
        raise StrangerError(f"another package than {version} was installed: {output}")


def _run(commands: str, environment: Mapping[str, str], timeout: float) -> str:
    """Run commands as a terminal does, but stop at the first that fails."""
    finished = subprocess.run(
        [_bash(), "-e"],
        input=commands,
        cwd=environment["HOME"],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if finished.returncode:
        raise StrangerError(f"these commands fail:\n{commands}\n{_end(finished.stdout)}")
    return finished.stdout


def _bash() -> str:
    bash = shutil.which("bash")
    if bash is None:
        raise StrangerError("there is no bash")
    return bash


def _end(output: str) -> str:
    return "\n".join(output.splitlines()[-HELPFUL_LINES:])
