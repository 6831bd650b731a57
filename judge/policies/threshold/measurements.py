"""What was measured, beside a rule in its document: metric → values in order. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from judge.policies.threshold.fields import RuleError, number, refuse_unknown_keys

Measured = dict[str, list[float | None]]


def read_measurements(document: Mapping[str, Any], *, nan_is_a_value: bool = False) -> Measured | None:
    """None where the document holds none. Raises :class:`RuleError`."""
    if "measurements" not in document:
        return None
    raw = document["measurements"]
    if not isinstance(raw, Mapping):
        raise RuleError("measurements: is not an object of lists")
    nan = math.nan if nan_is_a_value else None
    return {str(name): _values(values, f"measurements.{name}", nan) for name, values in raw.items()}


def refuse_gaps(measured: Measured, names: Sequence[str], *, equally_long: bool) -> None:
    """What was measured is of the rule's metrics, of all of them and, where one tick asks for all, of all as often.

    A name with a letter wrong would else be a metric without any value.
    """
    refuse_unknown_keys(measured, names, "measurements")
    for name in names:
        if name not in measured:
            raise RuleError(f"measurements.{name}: is missing; write [] where nothing was measured")
        many, others = len(measured[name]), len(measured[names[0]])
        if equally_long and many != others:
            raise RuleError(
                f"measurements.{name}: has {many} values, {names[0]} has {others}; write null where it had none"
            )


def _values(values: Any, path: str, nan: float | None) -> list[float | None]:
    if not isinstance(values, list):
        raise RuleError(f"{path}: is not a list of values")
    return [_reading(value, f"{path}[{i}]", nan) for i, value in enumerate(values)]


def _reading(value: Any, path: str, nan: float | None) -> float | None:
    """A null is no value. NaN, which JSON may hold as a word, is none to Flagger, and a value like any other to Argo."""
    if value is None:
        return None
    if value == "NaN":
        return nan
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RuleError(f"{path}: {value!r} is neither a number nor null")
    return number(value, path)
