"""What can be an id of SailPoint."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}")
_MAX_PADDED = 256  # with white space around it
_NO_ID = frozenset({"none", "null", "nan", "undefined", "true", "false"})


def usable_id(value: object) -> str | None:
    """
    Read an id from an answer.

    :param value: any JSON value; an integer counts as its digits
    :return: the id; ``None`` for what :func:`check_id` refuses
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return str(value)
    text = value.strip() if isinstance(value, str) and len(value) <= _MAX_PADDED else ""
    return text if _ID.fullmatch(text) and text.lower() not in _NO_ID else None


def check_id(value: object, name: str) -> str:
    """
    Refuse what can't be an id of SailPoint, before it is sent.

    :param value: what should be an id
    :param name: the field that it came from, for the error
    :return: the id without surrounding white space
    :raises ValueError: it is empty, no text, or has a form that no id has
    """
    if not isinstance(value, str):
        raise ValueError(
            f"{name} should be SailPoint's id as a string, not {type(value).__name__} {value!r:.80}."
        )
    text = value.strip()
    if not text:
        raise ValueError(f"{name} is empty. Give SailPoint's id, such as '00eebcf881994e419d72e757fd30dc0e'.")
    if text.lower() in _NO_ID:
        raise ValueError(
            f"{name} is {text!r}, which is what a template makes of a value that isn't there. "
            "Check that the task it is pulled from ran and returned the id."
        )
    if not _ID.fullmatch(text):
        raise ValueError(
            f"{name} {text[:80]!r} is not an id: letters, digits and . _ ~ : - only, up to 128. "
            "If a template made a list or a dict of it, pass the other task's .output instead."
        )
    return text


def check_ids(ids: Iterable[str], name: str) -> dict[str, str]:
    """
    Check the ids of an argument.

    :param ids: any number of them
    :param name: the argument, in the plural
    :return: the ids as they are to be sent, by how they were given
    :raises ValueError: it is one string, or an id can't be one
    """
    refuse_single(ids, name)
    return {each: check_id(each, name.removesuffix("s")) for each in ids}


def refuse_single(values: Iterable[str] | None, name: str) -> None:
    """
    Refuse one string where several are wanted: its characters would be taken for them.

    :param values: what was given
    :param name: the argument
    :raises ValueError: it is one string
    """
    if isinstance(values, str):
        raise ValueError(f"{name} is one string, {values[:80]!r}. Give a list.")
