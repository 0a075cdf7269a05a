"""Docstrings of everything public: parameters, results and errors, so that the reference is complete."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from types import FunctionType
from typing import Any, NamedTuple

import pytest

from tests.conftest import ROOT

PACKAGE = "airflow_provider_sptasks"
# Modules of which all that is public is documented, and those that export names of others.
MODULES = (
    "assets",
    "client.errors",
    "exceptions",
    "hooks.sailpoint",
    "operators.sailpoint",
    "sensors.sailpoint",
    "triggers.completions",
    "triggers.sailpoint",
)
EXPORTING = ("client", "emulator")
# Names that lead there, and what is reached by attributes.
MORE = (
    ("operators.sailpoint", "SailPointClearPendingTasksOperator"),
    ("operators.sailpoint", "SailPointStartAggregationOperator"),
    ("client.launches", "AggregationQuery"),
    ("client.launches", "NewestAggregation"),
    ("client.pacing", "Pacer"),
    ("client.stopping", "StoppedError"),
    ("emulator.clock", "Clock"),
)
# Airflow's own methods, which do what Airflow says.
AIRFLOWS = {"resume_execution", "serialize"}
# Functions that raise what they say, so that who calls them with a caller's value raises it too.
RAISING = {
    "aware_datetime": "ValueError",
    "check_api_version": "ValueError",
    "check_choice": "ValueError",
    "check_flag": "ValueError",
    "check_id": "ValueError",
    "check_ids": "ValueError",
    "check_literals": "ValueError",
    "completion_statuses": "ValueError",
}


class Documented(NamedTuple):
    """A function or method, and the docstring that has to speak of it."""

    name: str
    function: Callable[..., Any]
    docstring: str
    is_property: bool = False


def public_objects() -> Iterator[tuple[str, Any]]:
    for module_name in MODULES:
        module = import_module(f"{PACKAGE}.{module_name}")
        for name, it in vars(module).items():
            is_own = getattr(it, "__module__", None) == module.__name__
            if is_own and name[0] != "_" and (inspect.isclass(it) or inspect.isfunction(it)):
                yield f"{module_name}.{name}", it
    for module_name in EXPORTING:
        module = import_module(f"{PACKAGE}.{module_name}")
        for name in module.__all__:
            yield f"{module_name}.{name}", getattr(module, name)
    for module_name, name in MORE:
        yield f"{module_name}.{name}", getattr(import_module(f"{PACKAGE}.{module_name}"), name)


def is_data(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) and "__dataclass_fields__" in vars(cls)


def own_members(cls: type) -> Iterator[tuple[str, Any]]:
    """Those of the class and of the package's classes above it, each once."""
    seen: set[str] = set()
    for each in cls.__mro__:
        if each.__module__.startswith(PACKAGE):
            yield from ((name, it) for name, it in vars(each).items() if name not in seen)
            seen |= vars(each).keys()


def documented() -> Iterator[Documented]:
    for name, it in public_objects():
        if inspect.isfunction(it):
            yield Documented(name, it, inspect.getdoc(it) or "")
            continue
        for member_name, member in own_members(it):
            yield from of_member(it, f"{name}.{member_name}", member_name, member)


def of_member(cls: type, path: str, name: str, member: Any) -> Iterator[Documented]:
    if name in AIRFLOWS or (name == "__init__" and is_data(cls)):
        return
    if isinstance(member, classmethod | staticmethod):
        member = member.__func__
    getter = getattr(member, "fget", None) or getattr(member, "func", None)
    if name == "__init__" and inspect.isfunction(member):
        classes = [each for each in cls.__mro__ if each.__module__.startswith(PACKAGE)]
        yield Documented(path, member, "\n".join(inspect.getdoc(each) or "" for each in classes))
    elif name[0] != "_" and inspect.isfunction(member):
        yield Documented(path, member, inspect.getdoc(member) or "")
    elif name[0] != "_" and inspect.isfunction(getter):
        yield Documented(path, getter, inspect.getdoc(getter) or "", is_property=True)


ALL = {each.name: each for each in documented() if each.function.__module__.startswith(PACKAGE)}
EVERYTHING = pytest.mark.parametrize("it", ALL.values(), ids=ALL)


def test_there_is_a_lot() -> None:
    assert len(ALL) > 150


@EVERYTHING
def test_docstring(it: Documented) -> None:
    assert it.docstring
    assert missing_parameters(it) == []
    assert says_what_it_returns(it)
    assert missing_errors(it) == set()


def missing_parameters(it: Documented) -> list[str]:
    parameters = list(inspect.signature(it.function).parameters.values())
    bound = parameters[:1] if parameters and parameters[0].name in ("self", "cls") else []
    named = [
        each.name
        for each in parameters
        if each not in bound
        and each.name[0] != "_"
        and (each.kind is not inspect.Parameter.VAR_KEYWORD or each.name != "kwargs")
    ]
    return [name for name in named if f":param {name}:" not in it.docstring]


def says_what_it_returns(it: Documented) -> bool:
    """By ``:return:``, or by its first words."""
    returned = str(inspect.signature(it.function).return_annotation)
    if it.is_property or returned in ("None", "NoReturn", "<class 'inspect._empty'>"):
        return True
    return ":return:" in it.docstring or it.docstring.startswith(("Return ", "Yield "))


def missing_errors(it: Documented) -> set[str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(it.function)))
    return {name for name in raised(tree) if f":raises {name}:" not in it.docstring}


def raised(tree: ast.AST) -> Iterator[str]:
    """The errors that a function raises itself, unless it catches them, and those of its checks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield ast.unparse(node.exc.func)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISING:
            yield RAISING[node.func.id]


@pytest.mark.parametrize(("name", "cls"), dict(public_objects()).items())
def test_fields_of_data(name: str, cls: Any) -> None:
    """A dataclass or a ``TypedDict`` says what each of its fields is."""
    fields = list(cls.__annotations__) if hasattr(cls, "__total__") else []
    if isinstance(cls, type) and is_data(cls) and cls.__module__.startswith(PACKAGE):
        fields = [each.name for each in dataclasses.fields(cls) if each.init and each.name[0] != "_"]
    docstring = inspect.getdoc(cls) or ""
    assert [each for each in fields if f":param {each}:" not in docstring] == []


def test_the_reference_has_them_all() -> None:
    pages = "".join(path.read_text() for path in (ROOT / "docs" / "reference").glob("*.md"))
    whole = re.findall(r"automodule:: ([\w.]+)\n   :members:\n", pages)
    for name, it in public_objects():
        module = f"{PACKAGE}.{name.rpartition('.')[0]}"
        short = name.rpartition(".")[2]
        assert module in whole or re.search(rf"\b{short}\b", pages), name
        assert isinstance(it, type | FunctionType) or callable(it)


def test_those_are_found() -> None:
    """Or the tests above find nothing."""

    def bad(first: int, second: str) -> int:
        """
        Do something.

        :param first: a number
        """
        if first:
            raise KeyError(second)
        return first

    it = Documented("bad", bad, inspect.getdoc(bad) or "")
    assert missing_parameters(it) == ["second"]
    assert not says_what_it_returns(it)
    assert missing_errors(it) == {"KeyError"}
