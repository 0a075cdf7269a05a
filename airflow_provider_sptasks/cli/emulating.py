"""The verb that serves a tenant on loopback."""

from __future__ import annotations

import argparse

from airflow_provider_sptasks.cli.codes import ExitCode
from airflow_provider_sptasks.cli.printing import note


def serve(options: argparse.Namespace) -> int:
    """Serve a SailPoint tenant until interrupted, as ``python -m airflow_provider_sptasks.emulator`` does."""
    arguments = [f"--{name}={value}" for name in ("port", "scenario") if (value := getattr(options, name))]
    arguments += [
        f"--{name.replace('_', '-')}"
        for name in ("no_rate_limit", "list_scenarios")
        if getattr(options, name)
    ]
    try:
        from airflow_provider_sptasks.emulator.__main__ import main
    except ImportError as error:
        note(f"Error: {error}")
        return ExitCode.USAGE
    return main(arguments)
