"""Checks of operator arguments, at the earliest moment that they can be made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from enum import Enum
from functools import cache
from typing import Final

from airflow_provider_sptasks.client.kinds import CompletionStatus

Check = Callable[[object, str], str]


class NotGiven(Enum):
    """
    The default of an argument for which ``None`` must not mean that it was left out.

    A mapped task's value, or one that was computed, may turn out to be ``None``.
    """

    NOT_GIVEN = "not given"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN


def check_literals(value: object, name: str, check: Check) -> None:
    """
    Check what stands in the DAG file already; templates and other tasks' results come later.

    :param value: an argument that takes one or several texts
    :param name: the argument's name, for the error
    :param check: checks one text, and gets the name too
    :raises ValueError: a literal is invalid
    """
    if isinstance(value, (Iterator, Set)):
        raise ValueError(f"{name} is a {type(value).__name__}, which has no lasting order. Give a list.")
    if isinstance(value, (list, tuple)):
        literals = list(value)
    elif isinstance(value, (str, int, float, Mapping, type(None))):
        literals = [value]
    else:
        return
    for literal in literals:
        if isinstance(literal, str) and is_template(literal):
            continue
        if isinstance(literal, (str, int, float, Mapping, type(None))):
            check(literal, name)


def is_template(text: str) -> bool:
    """Whether Airflow will render a text before the task runs."""
    return "{{" in text or "{%" in text


def is_rendered_later(value: object) -> bool:
    """Whether an argument is known only when the task runs: a template, or another task's result."""
    if isinstance(value, str):
        return is_template(value)
    return hasattr(value, "resolve")


def check_flag(value: object, name: str) -> bool:
    """
    Refuse what is neither ``True`` nor ``False``: any text would count as true.

    :raises ValueError: it is something else
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} {value!r} is neither True nor False. It can't be a template.")
    return value


def check_choice(value: object, name: str, choices: Sequence[str]) -> str:
    """
    Refuse what is none of some names.

    :raises ValueError: it is something else
    """
    if value not in choices:
        raise ValueError(
            f"{name} {value!r} is unknown. Use one of {', '.join(choices)}. It can't be a template."
        )
    return str(value)


def completion_statuses(names: object) -> frozenset[CompletionStatus] | None:
    """
    Read ``accepted_statuses``: names of completion statuses, or one of them.

    :return: ``None`` for ``None``, which stands for any status
    :raises ValueError: one of them is unknown, or there is none
    """
    if names is None:
        return None
    known = [status for status in CompletionStatus if status is not CompletionStatus.UNKNOWN]
    remedy = f"Use {', '.join(known)}, or None for any."
    if not isinstance(names, Iterable):
        raise ValueError(f"accepted_statuses must be names, not {type(names).__name__}. {remedy}")
    statuses: set[CompletionStatus] = set()
    for name in [names] if isinstance(names, str) else names:
        status = CompletionStatus.parse(name) if isinstance(name, str) else CompletionStatus.UNKNOWN
        if status not in known:
            raise ValueError(f"accepted_statuses holds {name!r}. {remedy}")
        statuses.add(status)
    if not statuses:
        raise ValueError(f"accepted_statuses is empty. {remedy}")
    return _shared(frozenset(statuses))


@cache
def _shared(statuses: frozenset[CompletionStatus]) -> frozenset[CompletionStatus]:
    """Return an equal set, the same for all who wait: in a triggerer they are thousands."""
    return statuses


def check_clearing_status(value: object, name: str, allow_success: bool, remedy: str) -> str:
    """
    Refuse a status that a task can't be cleared with, or not without more ado.

    :param value: the completion status to set
    :param name: the argument, for the error
    :param allow_success: whether it may be one with which all sensors on the task succeed
    :param remedy: how that is allowed, for the error
    :raises ValueError: it is something else
    """
    text = check_text(value, name)
    status = CompletionStatus.parse(text)
    if status is CompletionStatus.UNKNOWN:
        raise ValueError(f"{name} {text!r} is unknown to SailPoint. The documented one is 'Error'.")
    if status in (CompletionStatus.SUCCESS, CompletionStatus.WARNING) and not allow_success:
        raise ValueError(
            f"{name} {text!r} would let all sensors on the task succeed. "
            f"Use 'Error', or {remedy} if that is meant."
        )
    return text


def status_names(statuses: Iterable[CompletionStatus] | None) -> list[str] | None:
    """
    Write down what :func:`completion_statuses` reads, as plain JSON.

    :param statuses: completion statuses; ``None`` for any
    """
    return None if statuses is None else sorted(status.value for status in statuses)


def texts(value: object, name: str, check: Check) -> list[str]:
    """
    Read a rendered argument that takes one or several texts.

    :param value: the argument
    :param name: the argument's name, for the error
    :param check: checks one text, and gets the name too
    :return: the texts, each once, in the order given
    :raises ValueError: one is invalid
    """
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        return list(dict.fromkeys(check(each, name) for each in value))
    return [check(value, name)]


def cut_list(items: Iterable[str], separator: str = ", ") -> str:
    """
    Join the first ten of some texts, and say how many more there are.

    :param items: the texts
    :param separator: what stands between them
    """
    listed = list(items)
    more = [f"and {len(listed) - 10} more"] if len(listed) > 10 else []
    return separator.join(listed[:10] + more)


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


def check_name(value: object, name: str) -> str:
    """
    Refuse what is no name of a source; a whole number, which native rendering makes of one, is taken.

    :param value: what should be a name
    :param name: the field that it came from, for the error
    :return: the name without surrounding white space
    :raises ValueError: it is something else
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return check_text(value, name)


def check_api_version(value: object) -> None:
    """
    Check an API version that stands in the DAG file.

    :param value: the argument: ``None``, a name or a template
    :raises ValueError: there is no such version
    """
    if value is not None and not (isinstance(value, str) and is_template(value)):
        from airflow_provider_sptasks.client.versions import api_version  # few DAG files have to pay for it

        api_version(value)
