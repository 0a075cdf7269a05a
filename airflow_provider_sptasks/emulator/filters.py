r"""
The filter expressions of SailPoint's lists: ``sourceId eq "2c9180" and not (completionStatus isnull)``.

The grammar, operators in lower case::

    expression := conjunction ("or" conjunction)*
    conjunction := negation ("and" negation)*
    negation := "not" negation | "(" expression ")" | comparison
    comparison := FIELD OPERATOR STRING | FIELD "in" "(" STRING ("," STRING)* ")" | FIELD "isnull"

A string is quoted with ``"``; inside, ``\`` escapes ``"`` and itself. Comparisons ignore case, those with
``ge gt le lt`` too. A field that is null matches ``isnull`` only.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

MAX_DEPTH = 50
_TOKEN = re.compile(r'\s*(?:(?P<word>[A-Za-z_][\w.]*)|(?P<string>"(?:[^"\\]|\\["\\])*")|(?P<mark>[(),]))')
_ESCAPE = re.compile(r'\\(["\\])')
_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
    "sw": str.startswith,
    "co": operator.contains,
}
_KEYWORDS = frozenset({"and", "or", "not", "in", "isnull", *_OPERATORS})

Lookup = Callable[[str], str | None]
"""Gives the value of a field of the record at hand, ``None`` for null."""


class FilterError(ValueError):
    """A filter expression that the API doesn't support."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    A field against values; no values for ``isnull``.

    :param field: the field, as written.
    :param operator: ``eq``, ``in``, ``isnull``, or another one of the module's grammar.
    :param values: the values to compare with, as written.
    :param folded: the same values, for a comparison that ignores case.
    """

    field: str
    operator: str
    values: tuple[str, ...]
    folded: frozenset[str]

    def matches(self, lookup: Lookup) -> bool:
        """
        Return whether a record matches.

        :param lookup: the record.
        """
        value = lookup(self.field)
        if self.operator == "isnull":
            return value is None
        if value is None:
            return False
        if self.operator in ("eq", "in"):
            return value.casefold() in self.folded
        return all(_OPERATORS[self.operator](value.casefold(), operand) for operand in self.folded)


@dataclass(frozen=True, slots=True)
class And:
    """
    Every part matches.

    :param parts: the expressions joined by ``and``.
    """

    parts: tuple[Expression, ...]

    def matches(self, lookup: Lookup) -> bool:
        """
        Return whether a record matches.

        :param lookup: the record.
        """
        return all(part.matches(lookup) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """
    At least one part matches.

    :param parts: the expressions joined by ``or``.
    """

    parts: tuple[Expression, ...]

    def matches(self, lookup: Lookup) -> bool:
        """
        Return whether a record matches.

        :param lookup: the record.
        """
        return any(part.matches(lookup) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """
    The part doesn't match.

    :param part: the expression after ``not``.
    """

    part: Expression

    def matches(self, lookup: Lookup) -> bool:
        """
        Return whether a record matches.

        :param lookup: the record.
        """
        return not self.part.matches(lookup)


Expression = Comparison | And | Or | Not


def parse(text: str, fields: Mapping[str, frozenset[str]]) -> Expression:
    """
    Parse a filter expression.

    :param text: the expression.
    :param fields: the fields that may be used, each with its operators.
    """
    return _Parser(text, fields).parse()


def comparisons(expression: Expression) -> Iterable[Comparison]:
    """
    Yield the comparisons of an expression, from left to right.

    :param expression: the expression.
    """
    match expression:
        case Comparison():
            yield expression
        case Not():
            yield from comparisons(expression.part)
        case _:
            for part in expression.parts:
                yield from comparisons(part)


def bound(expression: Expression, field: str) -> frozenset[str] | None:
    """
    Return values, case folded, outside of which a field can't match; ``None`` when it could be any.

    A tenant with many records looks these up in an index instead of testing every record.

    :param expression: the expression.
    :param field: the field.
    """
    match expression:
        case Comparison():
            exact = expression.field == field and expression.operator in ("eq", "in")
            return expression.folded if exact else None
        case And():
            bounds = [part for part in (bound(part, field) for part in expression.parts) if part is not None]
            return frozenset.intersection(*bounds) if bounds else None
        case Or():
            union: frozenset[str] = frozenset()
            for part in expression.parts:
                values = bound(part, field)
                if values is None:
                    return None
                union |= values
            return union
        case Not():
            return None


class _Parser:
    def __init__(self, text: str, fields: Mapping[str, frozenset[str]]) -> None:
        self._fields = fields
        self._tokens = list(_tokenize(text))
        self._next = 0
        self._depth = 0

    def parse(self) -> Expression:
        expression = self._expression()
        if self._peek():
            raise FilterError(f"Unexpected {self._peek()} after the expression.")
        return expression

    def _expression(self) -> Expression:
        parts = [self._conjunction()]
        while self._accept("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self) -> Expression:
        parts = [self._negation()]
        while self._accept("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negation(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError(f"The expression is nested more than {MAX_DEPTH} levels deep.")
        try:
            if self._accept("not"):
                return Not(self._negation())
            if self._accept("("):
                expression = self._expression()
                self._expect(")")
                return expression
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Comparison:
        field = self._take()
        if not re.match(r"[A-Za-z_]", field) or field in _KEYWORDS:
            raise FilterError(f"Expected a field, found {field or 'the end of the expression'}.")
        word = self._take()
        operators = self._fields.get(field)
        if operators is None:
            raise FilterError(f"Filtering by {field} is not supported.")
        if word not in operators:
            raise FilterError(f"The operator {word or '(none)'} is not supported for {field}.")
        values: list[str] = []
        if word == "in":
            self._expect("(")
            values.append(self._string())
            while self._accept(","):
                values.append(self._string())
            self._expect(")")
        elif word != "isnull":
            values.append(self._string())
        return Comparison(field, word, tuple(values), frozenset(value.casefold() for value in values))

    def _string(self) -> str:
        token = self._take()
        if not token.startswith('"'):
            raise FilterError(
                f"Expected a string in double quotes, found {token or 'the end of the expression'}."
            )
        inner = token[1:-1]
        return _ESCAPE.sub(r"\1", inner) if "\\" in inner else inner

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _accept(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._next += 1
        return True

    def _expect(self, token: str) -> None:
        found = self._take()
        if found != token:
            raise FilterError(f"Expected {token}, found {found or 'the end of the expression'}.")


def _tokenize(text: str) -> Iterable[str]:
    text = text.rstrip()
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise FilterError(f"Invalid syntax at character {position + 1}: {text[position : position + 20]}")
        yield match.group().lstrip()
        position = match.end()
