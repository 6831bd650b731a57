"""The series that are judged: control (baseline) and experiment (canary) of one metric."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judge.policies.kayenta.settings import ConfigError
from judge.policies.kayenta.shapes import TEXT, Keys, MapOf

Floats = NDArray[np.float64]

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How JSON writers spell what JSON has no numbers for."""
_BESIDE = Keys({"id": TEXT, "tags": MapOf(TEXT)})
"""What of a `MetricSetPair` goes back as it came."""


@dataclass(frozen=True, slots=True, eq=False)
class MetricPair:
    """One metric's values, a time slot each; NaN where a slot holds none. The two may differ in length."""

    name: str
    control: Floats
    experiment: Floats
    id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def read_pair(raw: Any, path: str) -> MetricPair:
    """From ``{"name", "control", "experiment"}``. Raises :class:`ConfigError` with the place."""
    if not isinstance(raw, Mapping):
        raise ConfigError(path, "is not an object")
    return MetricPair(_name(raw, path), _series(raw, "control", path), _series(raw, "experiment", path))


def read_metric_set_pair(raw: Any, path: str) -> MetricPair:
    """From a Kayenta ``MetricSetPair``, whose series lie under ``values``. Raises :class:`ConfigError`."""
    if not isinstance(raw, Mapping):
        raise ConfigError(path, "is not an object")
    for wrong in _BESIDE.wrong({key: value for key, value in raw.items() if value is not None}, path):
        raise wrong
    values, tags = raw.get("values"), raw.get("tags") or {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}.values", "is not an object with `control` and `experiment`")
    inside = f"{path}.values"
    control, experiment = _series(values, "control", inside), _series(values, "experiment", inside)
    return MetricPair(_name(raw, path), control, experiment, raw.get("id") or "", {**tags})


def _name(raw: Mapping[str, Any], path: str) -> str:
    name = raw.get("name")
    if not isinstance(name, str):
        raise ConfigError(f"{path}.name", "is missing")
    return name


def _series(sides: Mapping[str, Any], side: str, path: str) -> Floats:
    found = sides.get(side)
    if not isinstance(found, list):
        raise ConfigError(f"{path}.{side}", "is not a list of numbers")
    return np.array([_value(item, f"{path}.{side}[{i}]") for i, item in enumerate(found)], np.float64)


def _value(item: Any, path: str) -> float:
    if isinstance(item, str) and item in _WORDS:
        return _WORDS[item]
    if not isinstance(item, int | float) or isinstance(item, bool):
        raise ConfigError(path, f"{item!r} is neither a number nor one of {', '.join(_WORDS)}")
    try:
        return float(item)
    except OverflowError as error:
        raise ConfigError(path, "is beyond what a number of 64 bits holds") from error
