"""
Drives a tenant with SailPoint's official SDK, and writes what the SDK read to standard output, as JSON.

Runs in a virtual environment of the SDK's own, where there is neither this package nor pytest. The calls are
those of the SDK's documentation; nothing of the SDK is changed. What to drive, and with which tasks, comes
on standard input: see ``test_official_sdk.py``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

PATCH = [
    {"op": "replace", "path": "/completionStatus", "value": "Error"},
    {"op": "replace", "path": "/completed", "value": "2024-05-17T19:33:16.470Z"},
]


class Api:
    """The Task Management API of one version, under the names that it has in versions 1 and 2 of the SDK."""

    def __init__(self, version: str, url: str, client_id: str, client_secret: str) -> None:
        configuration = import_module("sailpoint.configuration")
        parameters = configuration.ConfigurationParams()
        parameters.base_url = url
        parameters.client_id = client_id
        parameters.client_secret = client_secret
        settings = configuration.Configuration(parameters)
        settings.experimental = True
        package = "sailpoint.task_management" if version == "v1" else f"sailpoint.{version}"
        self.suffix = "_v1" if version == "v1" else ""
        self.client = import_module(f"{package}.api_client").ApiClient(settings)
        self.api = import_module(f"{package}.api.task_management_api").TaskManagementApi(self.client)
        self.operation = import_module(f"{package}.models.json_patch_operation").JsonPatchOperation

    def call(self, name: str, *args: Any, info: bool = False, **kwargs: Any) -> Any:
        return getattr(self.api, f"{name}{self.suffix}{'_with_http_info' if info else ''}")(*args, **kwargs)


def plain(value: Any) -> Any:
    """What the SDK's documentation prints of a model."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    return json.loads(value.model_dump_json(by_alias=True))


def counted(answer: Any) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return {"status": answer.status_code, "count": headers.get("x-total-count")}


def failure(function: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"read": plain(function())}
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what is asked for
        return {"error": type(error).__name__, "status": getattr(error, "status", None)}


def drive(given: dict[str, Any]) -> dict[str, Any]:
    version, has, ids = given["version"], given["has"], given["ids"]
    api = Api(version, **given["tenant"])
    listed = "get_task_status_list"
    names = ("done", "failed", "running", "stuck")
    seen: dict[str, Any] = {name: plain(api.call("get_task_status", ids[name])) for name in names}
    seen["unknown"] = failure(lambda: api.call("get_task_status", ids["unknown"]))
    seen["list"] = plain(api.call(listed))
    seen["by_id"] = plain(api.call(listed, filters=f'id in ("{ids["done"]}","{ids["running"]}")'))
    seen["by_status"] = plain(api.call(listed, filters='completionStatus eq "ERROR"'))
    seen["newest_first"] = plain(api.call(listed, sorters="-created"))
    seen["second_page"] = plain(api.call(listed, limit=1, offset=1, sorters="created"))
    seen["count"] = counted(api.call(listed, limit=1, count=True, info=True))
    seen["bad_filter"] = failure(lambda: api.call(listed, filters='progress eq "x"'))
    if "pending_endpoint" in has:
        seen["pending"] = plain(api.call("get_pending_tasks"))
        seen["pending_headers"] = counted(
            api.call("get_pending_task_headers", limit=1, count=True, info=True)
        )
    if "lists_pending" in has:
        seen["isnull"] = plain(api.call(listed, filters="completionStatus isnull"))
    operations = [api.operation.from_json(json.dumps(operation)) for operation in PATCH]
    seen["updated"] = plain(api.call("update_task_status", ids["to_clear"], operations))
    sparse = Api(version, **given["sparse_tenant"])
    seen["sparse"] = failure(lambda: sparse.call("get_task_status", ids["sparse"]))
    return seen


def main() -> None:
    with redirect_stdout(sys.stderr):  # the SDK prints warnings
        seen = drive(json.load(sys.stdin))
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
