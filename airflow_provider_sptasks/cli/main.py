"""Runs a verb, and ends with its exit code."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import NoReturn

from airflow_provider_sptasks.cli.codes import ExitCode, code_of
from airflow_provider_sptasks.cli.parser import make_parser
from airflow_provider_sptasks.cli.printing import note, output_stream
from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.waiting.errors import WaitError

PACKAGE = "airflow_provider_sptasks"


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line, and return the exit code.

    :param arguments: without the program's name; ``None`` for those of the process
    """
    options = make_parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.ERROR)
    return run_verb(options)


def run_verb(options: argparse.Namespace) -> int:
    """
    Run a verb, and return the exit code.

    :param options: its arguments, and the verb itself as ``verb``
    """
    is_verbose = getattr(options, "verbose", False)
    logging.getLogger(PACKAGE).setLevel(logging.INFO if is_verbose else logging.WARNING)
    logging.getLogger(f"{PACKAGE}.client.retry").setLevel(logging.INFO if is_verbose else logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    module, _, name = options.verb.run.partition(":")
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        code = int(getattr(import_module(f"{PACKAGE}.cli.{module}"), name)(options))
        output_stream().flush()
    except BrokenPipeError:
        # Or the interpreter complains when it flushes the stream at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output_stream().fileno())
        return ExitCode.BROKEN_PIPE
    except KeyboardInterrupt:
        note("\nInterrupted.")
        return ExitCode.INTERRUPTED
    except _TerminatedError:
        note("Terminated.")
        return ExitCode.TERMINATED
    except Exception as error:  # noqa: BLE001 - raised again unless it is known
        return _reported(error)
    finally:
        signal.signal(signal.SIGTERM, before)
    return code


class _TerminatedError(BaseException):
    """SIGTERM came."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _TerminatedError


def _reported(error: Exception) -> ExitCode:
    """Say what is wrong in one line; no traceback where that says all."""
    from airflow_provider_sptasks.cli.session import NotConfirmedError, SignalledError

    if isinstance(error, NotConfirmedError):
        note(str(error))
        return ExitCode.FAILED
    if isinstance(error, SignalledError):
        return ExitCode(128 + error.number)
    if isinstance(error, (SailPointError, WaitError, ValueError, TimeoutError)):
        late = "The timeout has passed: " if isinstance(error, TimeoutError) else ""
        note(f"Error: {late}{error}")
        return code_of(error)
    raise error
