"""How many of the package's own functions a sensor's poll passes before its request is sent."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, cast

from airflow_provider_sptasks.emulator import Emulator
from benchmarks.tables import Cell, table

PACKAGE = "airflow_provider_sptasks"


class Sent(BaseException):
    """The request is on its way."""


def run(*, quick: bool) -> str:  # noqa: ARG001 - it is always quick
    """Count, and return the table."""
    first, steady = count()
    rows: list[list[Cell]] = [
        [what, sum(calls.values()), len({file for file, _ in calls})]
        for what, calls in (("first", first), ("each further", steady))
    ]
    return "### Calls\n\n" + table(["poll", "calls until the request is sent", "files"], rows)


def count() -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """
    Count the calls of a first poll, which reads the connection, and of one that comes later.

    :return: the calls of each, by file and function
    """
    with Emulator() as tenant, tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        os.environ["AIRFLOW_CONN_SAILPOINT_DEFAULT"] = tenant.connection_uri
        task_status_id = tenant.add_task(duration=None).id
        from airflow_provider_sptasks.sensors.sailpoint import SailPointTaskSensor

        def sensor() -> SailPointTaskSensor:
            return SailPointTaskSensor(task_id="wait", task_status_id=task_status_id)

        context = cast(Any, {"ti": None})
        # What is loaded once for all is loaded, and there is a token.
        sensor().poke(context)
        warm = sensor()
        first = _until_sent(warm, context)
        warm.poke(context)
        return first, _until_sent(warm, context)


def _until_sent(sensor: Any, context: Any) -> Counter[tuple[str, str]]:
    calls: Counter[tuple[str, str]] = Counter()
    root = str(Path(__file__).parent.parent / PACKAGE)

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        # Since Python 3.12 a comprehension is no call.
        ours = code.co_filename.startswith(root) and "/emulator/" not in code.co_filename
        if ours and not code.co_name.endswith("comp>"):
            calls[code.co_filename.removeprefix(root + "/"), code.co_qualname] += 1
        elif code.co_name == "request" and code.co_filename.endswith("requests/sessions.py"):
            raise Sent

    sys.setprofile(note)
    try:
        sensor.poke(context)
    except Sent:
        pass
    finally:
        sys.setprofile(None)
    return calls


if __name__ == "__main__":
    for calls in count():
        for (file, function), number in sorted(calls.items()):
            print(f"{number:4} {file} {function}")
        print(f"{sum(calls.values())} calls, {len({file for file, _ in calls})} files\n")
