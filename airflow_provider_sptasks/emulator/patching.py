"""What a PATCH may do to a task: JSON Patch (RFC 6902) on ``completionStatus`` and ``completed``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import jsonpatch
from jsonpointer import JsonPointerException

from airflow_provider_sptasks.emulator.clock import timestamp

CHANGEABLE = ("completionStatus", "completed")
COMPLETION_STATUSES = frozenset({"SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR"})


class InvalidPatchError(ValueError):
    """A PATCH that the tenant doesn't accept."""


def patched(document: Mapping[str, object], operations: object) -> dict[str, object]:
    """
    Return a task's JSON after a PATCH.

    :param document: the task's JSON.
    :param operations: the decoded body of the request.
    """
    try:
        result = jsonpatch.apply_patch(dict(document), _checked(operations))
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError) as error:
        # A path through something that has no members is a TypeError in some versions of jsonpatch.
        raise InvalidPatchError(f"The JSON Patch can't be applied: {error}") from error
    if not isinstance(result, dict):
        raise InvalidPatchError("The JSON Patch replaces the whole task.")
    keys = document.keys() | result.keys()
    changed = [key for key in sorted(keys) if result.get(key) != document.get(key)]
    came_or_went = document.keys() ^ result.keys()
    refused = sorted({key for key in changed if key not in CHANGEABLE} | came_or_went)
    if refused:
        raise InvalidPatchError(f"Only {' and '.join(CHANGEABLE)} can be changed, not {', '.join(refused)}.")
    if "completionStatus" in changed:
        _check_status(result["completionStatus"])
    if "completed" in changed:
        result["completed"] = _instant(result["completed"])
    return result


def _checked(operations: object) -> list[dict[str, object]]:
    if not isinstance(operations, list):
        raise InvalidPatchError("The body is not a JSON Patch: it must be an array of operations.")
    for operation in operations:
        if not isinstance(operation, dict):
            raise InvalidPatchError("An operation of a JSON Patch must be an object.")
        for key in ("op", "path"):
            if not isinstance(operation.get(key), str):
                raise InvalidPatchError(f"An operation of a JSON Patch needs the text {key!r}.")
        if not isinstance(operation.get("from", ""), str):
            raise InvalidPatchError("The 'from' of a JSON Patch operation must be a text.")
    return operations


def _check_status(value: object) -> None:
    if not isinstance(value, str) or value.upper() not in COMPLETION_STATUSES:
        raise InvalidPatchError(
            f"Invalid completionStatus {value!r}: it must be one of {', '.join(sorted(COMPLETION_STATUSES))}."
        )


def _instant(value: object) -> str:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise InvalidPatchError(
            f"Invalid completed {value!r}: it must be a date and time with its offset from UTC."
        )
    return timestamp(instant.timestamp())
