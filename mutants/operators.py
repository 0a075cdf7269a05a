"""What a mutant changes: mutmut's operators that matter here, and four of our own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import libcst as cst
from libcst import matchers as m
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation import mutators

Operator = Callable[[cst.CSTNode], Iterable[cst.CSTNode]]

ALWAYS_NEVER = ((cst.Or(), "True"), (cst.And(), "False"))
NOTHING = m.Name("None") | m.Name("False")
DEBUG_LOG = m.SimpleStatementLine(body=[m.Expr(value=m.Call(func=m.Attribute(attr=m.Name("debug"))))])
LOG = m.Call(
    func=m.Attribute(
        value=m.Name("log") | m.Attribute(attr=m.Name("log")),
        attr=m.OneOf(*(m.Name(each) for each in ("debug", "info", "warning", "error", "exception", "log"))),
    )
)
# What only people read, or only type checkers.
UNREAD = m.OneOf(
    m.Annotation(),
    m.Decorator(),
    m.Import(),
    m.ImportFrom(),
    m.If(test=m.Name("TYPE_CHECKING")),
    m.FunctionDef(name=m.Name("__repr__") | m.Name("__str__")),
    m.Call(func=m.Name("cast") | m.Name("TypeVar")),
)
REMOVABLE = m.SimpleStatementLine(
    body=[
        m.OneOf(
            m.Expr(value=m.Call() | m.Await()),
            m.Raise(),
            m.Del(),
            m.AugAssign(),
            m.Assign(targets=[m.AssignTarget(target=m.Attribute() | m.Subscript())]),
        )
    ]
)


@dataclass(frozen=True)
class Mutant:
    """
    One change of one file.

    :param path: the file, relative to the project
    :param line: where the change begins
    :param nearest: the lines, from 1, that run when what is changed runs
    :param around: the lines of the function around it; of the whole module if it is in none
    :param code: the changed file
    :param removed: the lines that the change takes away, without indentation
    :param added: the lines that it puts there
    """

    path: str
    line: int
    nearest: range
    around: range
    code: str
    removed: str
    added: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is known by, wherever in its file it is."""
        return self.path, self.removed, self.added


def never_or_always(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Take a branch always, or never; a loop never."""
    if isinstance(node, (cst.If, cst.While, cst.CompIf)) and not m.matches(node.test, m.Name("True")):
        test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        for operator, value in ALWAYS_NEVER[isinstance(node, cst.While) :]:
            yield node.with_changes(test=cst.BooleanOperation(test, operator, cst.Name(value)))


def without_statement(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Leave a call, a raise or the setting of an attribute out."""
    if m.matches(node, REMOVABLE) and not m.matches(node, DEBUG_LOG):
        yield node.with_changes(body=[cst.Pass()])


def without_result(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Return nothing; what is false as it is counts as nothing."""
    if isinstance(node, cst.Return) and node.value is not None and not m.matches(node.value, NOTHING):
        yield node.with_changes(value=cst.Name("None"))


def without_keyword(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Leave an argument out that has a name: so its default holds."""
    if isinstance(node, cst.Call):
        for place, argument in enumerate(node.args):
            if argument.keyword is not None:
                yield node.with_changes(args=[*node.args[:place], *node.args[place + 1 :]])


OPERATORS: Sequence[tuple[Any, Operator]] = [
    *(
        (kind, operator)
        for kind, operator in mutators.mutation_operators
        if operator
        in (
            mutators.operator_number,
            mutators.operator_name,
            mutators.operator_augmented_assignment,
            mutators.operator_remove_unary_ops,
            mutators.operator_symmetric_string_methods_swap,
            mutators.operator_keywords,
            mutators.operator_swap_op,
            mutators.operator_match,
            mutators.operator_if_exp,
        )
    ),
    (cst.CSTNode, never_or_always),
    (cst.CSTNode, without_statement),
    (cst.CSTNode, without_result),
    (cst.CSTNode, without_keyword),
]


class Collector(cst.CSTVisitor):
    """
    Finds every change of a module.

    :ivar found: what may be replaced, and by what
    """

    METADATA_DEPENDENCIES = (ParentNodeProvider, PositionProvider)

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Note the changes of a node, and go on below it unless only people read that."""
        if m.matches(node, UNREAD):
            return False
        if m.matches(node, LOG) or isinstance(self.get_metadata(ParentNodeProvider, node, None), cst.Raise):
            return False
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                self.found.extend((node, changed) for changed in operator(node))
        return True


class Source:
    """
    A module, and its mutants.

    :param root: the project
    :param path: the module's file, relative to it
    """

    def __init__(self, root: Path, path: str) -> None:
        self._path = path
        self._code = (root / path).read_text(encoding="utf-8")
        wrapper = MetadataWrapper(cst.parse_module(self._code), unsafe_skip_copy=True)
        collector = Collector()
        wrapper.visit(collector)
        self._module = wrapper.module
        self._parents = wrapper.resolve(ParentNodeProvider)
        self._positions = wrapper.resolve(PositionProvider)
        self._found = collector.found

    def by_line(self) -> dict[int, list[int]]:
        """The numbers of the mutants, by the lines that they begin at."""
        lines: dict[int, list[int]] = {}
        for number, (node, _) in enumerate(self._found):
            lines.setdefault(self._positions[node].start.line, []).append(number)
        return lines

    def mutant(self, number: int) -> Mutant:
        """Return one of the mutants."""
        node, changed = self._found[number]
        code = cast("cst.Module", self._module.deep_replace(node, changed)).code
        difference = list(difflib.ndiff(self._code.splitlines(), code.splitlines()))
        nearest, around = self._reach(node)
        return Mutant(
            self._path,
            nearest.start,
            nearest,
            around,
            code,
            *(" ".join(line[2:].strip() for line in difference if line[0] == sign) for sign in "-+"),
        )

    def _reach(self, node: cst.CSTNode) -> tuple[range, range]:
        """Return the lines of what is changed, and those of what is around it."""
        position = self._positions[node]
        last = position.start.line if hasattr(node, "body") else position.end.line
        inner: cst.CSTNode | None = node
        while inner is not None and not isinstance(inner, cst.FunctionDef):
            if isinstance(inner, cst.Parameters):  # a default: what counts is that the function runs
                last = 0
            inner = self._parents.get(inner)
        if inner is None:
            return range(position.start.line, position.start.line), range(1, len(self._code.splitlines()) + 1)
        function = self._positions[inner.body]
        return range(position.start.line, last + 1), range(function.start.line, function.end.line + 1)
