"""Reads parsed JSON as it stands, without turning one type into another. Pure.

Everything here raises :class:`UnusualError` for what is not exactly of the type and range asked for.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class UnusualError(Exception):
    """Not of the type and range that was asked for."""


def must(condition: object) -> None:
    """Go on only if so."""
    if not condition:
        raise UnusualError


def text(fields: Mapping[str, Any], field: str, longest: int) -> str:
    """A string that is neither absent nor empty."""
    value = fields.get(field)
    if type(value) is str and 0 < len(value) <= longest:
        return value
    raise UnusualError


def whole(fields: Mapping[str, Any], field: str, end: int, absent: int | None = None) -> int:
    """A whole number in [0, end)."""
    value = fields.get(field, absent)
    if type(value) is int and 0 <= value < end:
        return value
    raise UnusualError


def texts(value: object, longest: int, most: int) -> list[str]:
    """At most so many strings, which may be empty."""
    if isinstance(value, list | tuple) and len(value) <= most and set(map(type, value)) <= {str}:
        must(max(map(len, value), default=0) <= longest)
        return list(value)
    raise UnusualError


@overload
def numbers(column: object, kind: Literal["q"], low: float, end: float, n: int | None = None) -> Ints: ...
@overload
def numbers(column: object, kind: Literal["d"], low: float, end: float, n: int | None = None) -> Floats: ...
def numbers(column: object, kind: Literal["q", "d"], low: float, end: float, n: int | None = None) -> Any:
    """So many numbers in [low, end), whole ones (``q``) or any (``d``); NaN is in no range."""
    if not isinstance(column, list | tuple) or n not in (None, len(column)):
        raise UnusualError
    try:
        read = np.frombuffer(array(kind, column), np.int64 if kind == "q" else np.float64)
    except (TypeError, OverflowError):  # no number, a fraction among whole ones, or too large for 64 bits
        raise UnusualError from None
    must(not len(read) or (read.min() >= low and read.max() < end))
    return read


@overload
def table(
    fields: Mapping[str, Any], columns: Sequence[str], kind: Literal["q"], low: float, end: float, n: int
) -> dict[str, Ints]: ...
@overload
def table(
    fields: Mapping[str, Any], columns: Sequence[str], kind: Literal["d"], low: float, end: float, n: int
) -> dict[str, Floats]: ...
def table(
    fields: Mapping[str, Any], columns: Sequence[str], kind: Literal["q", "d"], low: float, end: float, n: int
) -> Any:
    """Columns of one range, in one go; those that are empty or missing are left out."""
    present = [name for name in columns if not empty(fields.get(name, ()))]
    flat: list[Any] = []
    for name in present:
        must(isinstance(fields[name], list | tuple) and len(fields[name]) == n)
        flat += fields[name]
    return dict(zip(present, numbers(flat, kind, low, end).reshape(-1, n), strict=True))


def empty(column: object) -> bool:
    """Whether it is a column without values."""
    return isinstance(column, list | tuple) and not column


def positions(column: object, n: int) -> Ints:
    """Ascending positions of ``n`` rows."""
    read = numbers(column, "q", 0, n)
    must(len(read) < 2 or (np.diff(read) > 0).all())  # noqa: PLR2004 - two are in an order
    return read
