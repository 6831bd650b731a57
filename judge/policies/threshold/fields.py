"""The fields of a document, each refused with its place where it is not what belongs there. Pure."""

import math
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from judge.policies.threshold.durations import parse_duration_s

_MOST = 2**31 - 1
"""Kubernetes' numbers of these fields have 32 bits."""
_WHOLE = re.compile(r"-?[0-9]{1,20}")


class RuleError(ValueError):
    """The rule or its measurements are not understood."""


def refuse_unknown_keys(raw: Mapping[str, Any], known: Collection[str], path: str) -> None:
    """A limit under a name that nobody reads would be a check that always passes."""
    for key in raw:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise RuleError(f"{path}{'.' if path else ''}{key}: is not known; {hint}")


def mapping(value: Any, path: str) -> Mapping[str, Any]:
    """An object."""
    if not isinstance(value, Mapping):
        raise RuleError(f"{path}: {value!r} is not an object")
    return value


def items(raw: Mapping[str, Any], key: str, path: str) -> list[Any]:
    """A list, empty where there is none."""
    value = raw.get(key)
    if value is not None and not isinstance(value, list):
        raise RuleError(f"{path}.{key}: is not a list")
    return value or []


def flag(raw: Mapping[str, Any], key: str, path: str) -> bool:
    """True or false; false where there is none."""
    value = raw.get(key)
    if value is not None and not isinstance(value, bool):
        raise RuleError(f"{path}.{key}: is neither true nor false")
    return bool(value)


def name_of(metric: Any, path: str) -> str:
    """What a metric is called."""
    name = mapping(metric, path).get("name")
    if not isinstance(name, str) or not name:
        raise RuleError(f"{path}.name: is missing" if name in (None, "") else f"{path}.name: {name!r} is not a text")
    return name


def text(raw: Mapping[str, Any], key: str, path: str) -> str:
    """A text, empty where there is none."""
    value = raw.get(key)
    if value is not None and not isinstance(value, str):
        raise RuleError(f"{path}.{key}: {value!r} is not a text")
    return value or ""


def whole(raw: Mapping[str, Any], key: str, path: str) -> int:
    """A whole number, in a string too (Kubernetes' IntOrString); 0 if absent."""
    value = raw.get(key)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise RuleError(f"{path}.{key}: {value!r} is not a whole number")
    if abs(value or 0) > _MOST:
        raise RuleError(f"{path}.{key}: is beyond {_MOST}")
    return value or 0


def limit(raw: Mapping[str, Any], key: str, path: str) -> float | None:
    """A finite number; None where there is none."""
    value = raw.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RuleError(f"{path}.{key}: {value!r} is not a number")
    found = number(value, f"{path}.{key}")
    if not math.isfinite(found):
        raise RuleError(f"{path}.{key}: {found} is no limit")
    return found


def number(value: float, path: str) -> float:
    """As 64 bits hold it."""
    try:
        return float(value)
    except OverflowError as error:
        raise RuleError(f"{path}: is beyond what a number of 64 bits holds") from error


def duration_s(raw: Mapping[str, Any], key: str, path: str) -> float | None:
    """Seconds; None where there is none."""
    value = raw.get(key)
    if value is None or value == "":
        return None
    try:
        return parse_duration_s(str(value))
    except ValueError as error:
        raise RuleError(f"{path}.{key}: {error}") from error
