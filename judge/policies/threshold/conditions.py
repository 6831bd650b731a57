"""The conditions of an Argo AnalysisTemplate, as far as they compare one value with numbers. Pure.

Argo evaluates ``successCondition`` and ``failureCondition`` in the language of expr-lang/expr. Known here: ``result`` and
``result[0]`` (one value either way), ``len(result)``, ``default(result, NUMBER)``, ``isNaN(…)``, ``isInf(…)``, numbers,
``< <= > >= == !=``, ``&& || !`` (also as words) and parentheses. Anything else is refused rather than guessed, and so is what
Argo answers with an error at every measurement: a condition that is no truth, or a number where a truth belongs
(``EvalCondition`` and ``defaultFunc`` in ``utils/evaluate/evaluate.go``).

A provider that had no value answers with an empty list (Prometheus) or with nil (Datadog): ``len(result)`` is then 0,
``default`` gives its number, and whatever else looks at the value is an error.
"""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Evaluate = Callable[[float | None], Any]
"""From the measured value (None: the provider had none) to a number or a truth."""
Kind = Literal["number", "truth"]

MOST_TOKENS = 200
"""A longer condition is refused: nobody writes one, and parentheses are read by recursion."""
_TOKEN = re.compile(
    r"\s*(result\[0\]|len\(result\)|(?:result|default|isNaN|isInf|and|or|not)(?!\w)"
    r"|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?!\w)|&&|\|\||[<>=!]=|[<>!(),-])"
)
_ASKS: dict[str, Callable[[float], bool]] = {"isNaN": math.isnan, "isInf": math.isinf}
"""Functions from a number to a truth."""
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
        return self.evaluate(value) is True


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a condition, and what it gives."""

    kind: Kind
    evaluate: Evaluate


def parse_condition(text: str) -> Condition:
    """Raises ``ValueError`` with what is not understood."""
    parser = _Parser(_tokens(text), text)
    whole = parser.either()
    if parser.next is not None:
        raise parser.stuck()
    return Condition(text, parser.given("truth", whole))


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"condition {text!r}: {text[at:].strip()!r} is not understood here")
        found.append(_SAME.get(match[1], match[1]))
        at = match.end()
        if len(found) > MOST_TOKENS:
            raise ValueError(f"condition {text[:40]!r}…: has more than {MOST_TOKENS} words and signs")
    return found


class _Parser:
    """Recursive descent; each method returns the part that it has read."""

    def __init__(self, tokens: Sequence[str], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._at = 0

    @property
    def next(self) -> str | None:
        """The token to read; None at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def stuck(self) -> ValueError:
        """What to raise where nothing fits."""
        what = "it ends too early" if self.next is None else f"{self.next!r} does not belong there"
        return ValueError(f"condition {self._text!r}: {what}")

    def given(self, kind: Kind, part: _Part) -> Evaluate:
        """The part's evaluator, if it gives what is asked for."""
        if part.kind != kind:
            wrong = f"gives a {part.kind} where a {kind} belongs, which Argo answers with an error"
            raise ValueError(f"condition {self._text!r}: {wrong}")
        return part.evaluate

    def either(self) -> _Part:
        """`a || b || …`, or less."""
        left = self.both()
        while self._take("||"):
            left = _Part("truth", _or(self.given("truth", left), self.given("truth", self.both())))
        return left

    def both(self) -> _Part:
        """`a && b && …`, or less."""
        left = self.comparison()
        while self._take("&&"):
            left = _Part("truth", _and(self.given("truth", left), self.given("truth", self.comparison())))
        return left

    def comparison(self) -> _Part:
        """`a < b`, or a mere operand."""
        left = self.operand()
        sign = self.next
        if sign not in _COMPARE:
            return left
        self._at += 1
        right = self.operand()
        kind = left.kind if sign in {"==", "!="} else "number"
        return _Part("truth", _compare(_COMPARE[sign], self.given(kind, left), self.given(kind, right)))

    def operand(self) -> _Part:
        """A number, the result, a call, a negation, or something in brackets."""
        token = self.next
        if token is None:
            raise self.stuck()
        self._at += 1
        if token == "!":  # noqa: S105 - a token of the language
            return _Part("truth", _not(self.given("truth", self.operand())))
        if token == "-":  # noqa: S105
            return _Part("number", _minus(self.given("number", self.operand())))
        if token == "(":  # noqa: S105
            return self._closed(self.either())
        if token[0] in ".0123456789":
            return _Part("number", _constant(float(token)))
        return self._named(token)

    def _named(self, token: str) -> _Part:
        """The result, or a function of it. A function's name alone does not belong anywhere."""
        if token in _OPERANDS:
            return _Part("number", _OPERANDS[token])
        if token in _ASKS and self._take("("):
            return _Part("truth", _asked(_ASKS[token], self.given("number", self._closed(self.either()))))
        if token == "default" and all(map(self._take, ("(", "result", ","))):  # noqa: S105
            return _Part("number", _default(self.given("number", self._closed(self.either()))))
        self._at -= 1
        raise self.stuck()

    def _closed(self, inside: _Part) -> _Part:
        if not self._take(")"):
            raise self.stuck()
        return inside

    def _take(self, token: str) -> bool:
        if self.next != token:
            return False
        self._at += 1
        return True


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


def _asked(ask: Callable[[float], bool], inside: Evaluate) -> Evaluate:
    return lambda value: ask(inside(value))


def _default(otherwise: Evaluate) -> Evaluate:
    return lambda value: otherwise(value) if value is None else value


def _constant(number: float) -> Evaluate:
    return lambda _: number


def _compare(how: Callable[[Any, Any], bool], left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda value: how(left(value), right(value))
