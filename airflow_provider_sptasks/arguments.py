"""Checks of operator arguments, at the earliest moment that they can be made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

Check = Callable[[object, str], str]


def check_literals(value: object, name: str, check: Check) -> None:
    """
    Check what stands in the DAG file already; templates and other tasks' results come later.

    :param value: an argument that takes one or several texts
    :param name: the argument's name, for the error
    :param check: checks one text, and gets the name too
    :raises ValueError: a literal can't be right
    """
    if isinstance(value, (list, tuple, set, frozenset)):
        literals = list(value)
    elif isinstance(value, (str, int, float, Mapping, type(None))):
        literals = [value]
    else:
        return
    for literal in literals:
        if isinstance(literal, str) and ("{{" in literal or "{%" in literal):
            continue
        if isinstance(literal, (str, int, float, Mapping, type(None))):
            check(literal, name)


def texts(value: object, name: str, check: Check) -> list[str]:
    """
    Read a rendered argument that takes one or several texts.

    :param value: the argument
    :param name: the argument's name, for the error
    :param check: checks one text, and gets the name too
    :return: the texts, each once, in the order given
    :raises ValueError: one can't be right
    """
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        return list(dict.fromkeys(check(each, name) for each in value))
    return [check(value, name)]


def check_text(value: object, name: str) -> str:
    """
    Refuse what is no text, or an empty one.

    :param value: what should be a text
    :param name: the field that it came from, for the error
    :return: the text without surrounding white space
    :raises ValueError: it is something else
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} {value!r} is not a text with something in it.")
    return value.strip()
