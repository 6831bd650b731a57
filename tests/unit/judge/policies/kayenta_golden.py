"""The golden cases of the real Kayenta judge: those carried here, and those that repeat upstream's test numbers."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judge.policies.kayenta.pairs import Floats

CARRIED = Path(__file__).parents[3] / "golden" / "kayenta"
UPSTREAM = "KAYENTA_UPSTREAM_GOLDEN"
"""Names a folder with `01-unit-classifier.json` to `04-unit-stats.json`: they repeat the numbers of Kayenta's own test
suites, so they are not carried. Without it the tests that need them are skipped."""

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def carried(file: str, level: str) -> list[Any]:
    return _params(json.loads((CARRIED / file).read_text(encoding="utf-8"))["cases"], level)


def upstream(file: str, level: str) -> list[Any]:
    """Of the folder that :data:`UPSTREAM` names; one skipped parameter without it."""
    folder = os.environ.get(UPSTREAM)
    if folder is None:
        return [pytest.param({}, marks=pytest.mark.skip(f"{UPSTREAM} names no folder"), id=file)]
    return _params(json.loads((Path(folder) / file).read_text(encoding="utf-8"))["cases"], level)


def series(values: list[Any]) -> Floats:
    return np.array([number(value) for value in values], np.float64)


def number(value: Any) -> float:
    return _WORDS[value] if isinstance(value, str) else float(value)


def close(value: Any, tolerance: float = 1e-9) -> Any:
    """Equal to what the real judge printed, NaN included."""
    return pytest.approx(number(value), rel=tolerance, abs=tolerance, nan_ok=True)


def _params(cases: list[dict[str, Any]], level: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in cases if case["level"] == level]
