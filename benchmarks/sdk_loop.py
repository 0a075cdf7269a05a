"""
Clears tasks with SailPoint's SDK 2.x as its documentation shows it: read, patch, and wait as the answer says.

Runs in the SDK's own environment. Input, on standard input: ``{"url", "client_id", "client_secret", "ids"}``;
output: the seconds that it took.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout
from datetime import UTC, datetime
from importlib import import_module
from typing import Any


class Loop:
    """The SDK's objects, imported by name: what checks this file's types has no SDK."""

    def __init__(self, url: str, client_id: str, client_secret: str) -> None:
        configuration = import_module("sailpoint.configuration")
        parameters = configuration.ConfigurationParams()
        parameters.base_url = url
        parameters.client_id = client_id
        parameters.client_secret = client_secret
        package = import_module("sailpoint.task_management")
        settings = configuration.Configuration(parameters)
        settings.experimental = True
        self._api = package.TaskManagementApi(package.ApiClient(settings))
        self._operation = package.JsonPatchOperation
        self._error: type[Exception] = package.ApiException

    def clear(self, task_id: str) -> None:
        status = self._patiently("get_task_status_v1", task_id)
        if status.completion_status is None:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            changes = {"/completionStatus": "Error", "/completed": now}
            operations = [
                self._operation.from_json(json.dumps({"op": "replace", "path": path, "value": value}))
                for path, value in changes.items()
            ]
            self._patiently("update_task_status_v1", task_id, operations)

    def _patiently(self, name: str, *args: object) -> Any:
        while True:
            try:
                return getattr(self._api, name)(*args)
            except self._error as error:
                if getattr(error, "status", None) != 429:
                    raise
                time.sleep(float(getattr(error, "headers", {})["Retry-After"]))


def main() -> None:
    given = json.load(sys.stdin)
    with redirect_stdout(sys.stderr):  # the SDK prints warnings
        loop = Loop(given["url"], given["client_id"], given["client_secret"])
        start = time.monotonic()
        for task_id in given["ids"]:
            loop.clear(task_id)
        seconds = time.monotonic() - start
    json.dump(seconds, sys.stdout)


if __name__ == "__main__":
    main()
