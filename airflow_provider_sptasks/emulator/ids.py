"""Ids that are the same in every run."""

from __future__ import annotations

import uuid


def stable_id(name: str) -> str:
    """
    Return the same 32 hexadecimal digits for the same name.

    :param name: any text.
    """
    return uuid.uuid5(uuid.NAMESPACE_URL, f"sailpoint:{name}").hex
