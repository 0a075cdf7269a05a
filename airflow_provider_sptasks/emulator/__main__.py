"""The emulator from a shell: ``python -m airflow_provider_sptasks.emulator --port 8787``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from airflow_provider_sptasks.emulator import Emulator, RateLimit, Scenario, ScenarioError, load_scenario
from airflow_provider_sptasks.emulator.gateway import ADMIN_PREFIX
from airflow_provider_sptasks.emulator.scenario_file import builtin_scenarios

# The same at every start, so that a connection that was exported once stays good.
_CLIENT_ID = "emulator"
_CLIENT_SECRET = "emulator-secret"  # noqa: S105 - opens nothing but the emulator
_LISTED = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Serve until interrupted, and return the exit code.

    The first line on standard output is the URI of the Airflow connection; the server accepts requests then.

    :param arguments: the command line, without the program's name.
    """
    options = _parser().parse_args(arguments)
    if options.list_scenarios:
        for name in builtin_scenarios():
            sys.stdout.write(f"{name:10}{load_scenario(name).description}\n")
        return 0
    try:
        scenario = load_scenario(options.scenario)
    except ScenarioError as error:
        return _refuse(str(error))
    emulator = Emulator(
        scenario,
        port=options.port,
        rate_limit=None if options.no_rate_limit else RateLimit(),
        client_id=_CLIENT_ID,
        client_secret=_CLIENT_SECRET,
    )
    interrupted = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        emulator.start()
    except OSError as error:
        return _refuse(f"--port {options.port}: {error.strerror}; choose another, or 0 for any that is free")
    try:
        sys.stdout.write(f"{emulator.connection_uri}\n\n{_summary(emulator, scenario)}\n")
        sys.stdout.flush()
        interrupted.wait()
    finally:
        emulator.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_sptasks.emulator",
        description="A SailPoint tenant on 127.0.0.1, for development and for tests.",
    )
    parser.add_argument(
        "--port", type=_port, default=8787, help="where to listen, 0 for any (default: %(default)s)"
    )
    parser.add_argument(
        "--scenario",
        default="demo",
        metavar="NAME|FILE",
        help=f"what the tenant holds: {', '.join(builtin_scenarios())}, or a file (default: %(default)s)",
    )
    parser.add_argument("--no-rate-limit", action="store_true", help="accept any number of requests")
    parser.add_argument(
        "--list-scenarios", action="store_true", help="say what each scenario holds, and exit"
    )
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; use a number from 0 to 65535")
    return int(text)


def _summary(emulator: Emulator, scenario: Scenario) -> str:
    tasks, sources = emulator.tasks(), emulator.sources
    admin = f"{emulator.url}{ADMIN_PREFIX}"
    lines = [
        "The line above is an Airflow connection: export it as AIRFLOW_CONN_SAILPOINT_DEFAULT.",
        f"Scenario {scenario.name}: {len(tasks)} tasks",
    ]
    for task in tasks[:_LISTED]:
        status = task["completionStatus"] or f"{task['percentComplete']} %"
        lines.append(f"  {task['id']}  {status:10}  {task['description']}")
    if len(tasks) > _LISTED:
        lines.append(f"  and {len(tasks) - _LISTED} more: curl {admin}/tasks")
    lines.append(f"of {len(sources)} sources")
    lines += [f"  {source.id}  {source.name}" for source in sources[:_LISTED]]
    if len(sources) > _LISTED:
        lines.append(f"  and {len(sources) - _LISTED} more: curl {admin}/sources")
    lines += [
        "Change it while it runs, for example:",
        f'  curl --json \'{{"source": "SAP HR", "duration": "90s"}}\' {admin}/tasks',
        f'  curl --json \'{{"outcome": "ERROR"}}\' {admin}/tasks/ID/complete',
        f'  curl --json \'{{"source": "SAP HR", "every": "5m", "duration": "90s"}}\' {admin}/schedules',
        f'  curl --json \'{{"name": "HR export", "delimited_file": true}}\' {admin}/sources',
        f'  curl --json \'{{"advance": "1h"}}\' {admin}/clock',
        f'  curl --json \'{{"status": 503, "times": 3}}\' {admin}/faults',
        "Ctrl-C ends it.",
    ]
    return "\n".join(lines)


def _refuse(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
