"""The conditions of an Argo AnalysisTemplate, as far as they compare one value with numbers. Pure.

Argo evaluates ``successCondition`` and ``failureCondition`` in the language of expr-lang/expr. Known here: ``result`` and
``result[0]`` (one value either way), ``len(result)``, ``isNaN(…)``, numbers, ``< <= > >= == !=``, ``&& || !`` (also as
words) and parentheses. Anything else is refused rather than guessed.
"""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Evaluate = Callable[[float | None], Any]
"""From the measured value (None: the provider had none) to a number or a truth."""

_TOKEN = re.compile(
    r"\s*(result\[0\]|result|len\(result\)|isNaN|and|or|not|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|&&|\|\||[<>=!]=|[<>!()-])"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_SAME = {"and": "&&", "or": "||", "not": "!"}


class NoValueError(Exception):
    """The condition needs a value, and the provider had none."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was understood."""

    text: str
    evaluate: Evaluate = field(compare=False)

    def holds(self, value: float | None) -> bool:
        """Raises :class:`NoValueError` where the condition looks at a value that is not there."""
        return bool(self.evaluate(value))


def parse_condition(text: str) -> Condition:
    """Raises ``ValueError`` with what is not understood."""
    tokens = _tokens(text)
    parser = _Parser(tokens, text)
    evaluate = parser.either()
    if parser.next is not None:
        raise parser.stuck()
    return Condition(text, evaluate)


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"condition {text!r}: {text[at:].strip()!r} is not understood here")
        found.append(_SAME.get(match[1], match[1]))
        at = match.end()
    return found


class _Parser:
    """Recursive descent; each method returns the evaluator of what it has read."""

    def __init__(self, tokens: Sequence[str], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._at = 0

    @property
    def next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def stuck(self) -> ValueError:
        what = "it ends too early" if self.next is None else f"{self.next!r} does not belong there"
        return ValueError(f"condition {self._text!r}: {what}")

    def either(self) -> Evaluate:
        left = self.both()
        while self._take("||"):
            left = _or(left, self.both())
        return left

    def both(self) -> Evaluate:
        left = self.comparison()
        while self._take("&&"):
            left = _and(left, self.comparison())
        return left

    def comparison(self) -> Evaluate:
        left = self.operand()
        sign = self.next
        if sign not in _COMPARE:
            return left
        self._at += 1
        return _compare(_COMPARE[sign], left, self.operand())

    def operand(self) -> Evaluate:
        token = self.next
        if token is None:
            raise self.stuck()
        self._at += 1
        if token == "!":  # noqa: S105 - a token of the language
            return _not(self.operand())
        if token == "-":  # noqa: S105
            return _minus(self.operand())
        if token == "(":  # noqa: S105
            return self._closed(self.either())
        if token == "isNaN" and self._take("("):  # noqa: S105
            return _is_nan(self._closed(self.either()))
        if token in _OPERANDS:
            return _OPERANDS[token]
        if token[0].isdigit():
            return _constant(float(token))
        self._at -= 1
        raise self.stuck()

    def _closed(self, inside: Evaluate) -> Evaluate:
        if not self._take(")"):
            raise self.stuck()
        return inside

    def _take(self, token: str) -> bool:
        taken = self.next == token
        self._at += taken
        return taken


def _result(value: float | None) -> float:
    if value is None:
        raise NoValueError
    return value


_OPERANDS: dict[str, Evaluate] = {
    "result": _result,
    "result[0]": _result,
    "len(result)": lambda value: 0 if value is None else 1,
}


def _or(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda value: left(value) or right(value)


def _and(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda value: left(value) and right(value)


def _not(inside: Evaluate) -> Evaluate:
    return lambda value: not inside(value)


def _minus(inside: Evaluate) -> Evaluate:
    return lambda value: -inside(value)


def _is_nan(inside: Evaluate) -> Evaluate:
    return lambda value: math.isnan(inside(value))


def _constant(number: float) -> Evaluate:
    return lambda _: number


def _compare(how: Callable[[Any, Any], bool], left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda value: how(left(value), right(value))
