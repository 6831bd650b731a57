"""The second stage: what describes one series, and the size of an effect between two."""

import math
from dataclasses import dataclass

import numpy as np

from judge.policies.kayenta.pairs import Floats


@dataclass(frozen=True, slots=True)
class Summary:
    """Of a cleaned series; all 0 if it is empty."""

    min: float = 0.0
    max: float = 0.0
    mean: float = 0.0
    std: float = 0.0
    """With n - 1; 0 for one value."""
    count: int = 0


EMPTY = Summary()


def summary(values: Floats) -> Summary:
    """Describe one series."""
    if not len(values):
        return EMPTY
    return Summary(float(values.min()), float(values.max()), mean(values), _std(values), len(values))


def mean(values: Floats) -> float:
    """In two passes, as Commons Math does: the second corrects what the first rounded."""
    with np.errstate(invalid="ignore"):
        first = _sum(values) / len(values)
        return first + _sum(values - first) / len(values)


def percentile(values: Floats, p: float) -> float:
    """The R-7 estimate of the `p`-th percentile (numpy's `linear`, with Commons Math's arithmetic); NaN if empty."""
    if not len(values):
        return math.nan
    ordered = np.sort(values)
    position = (len(values) - 1) * (p / 100)
    below = math.floor(position)
    low, high = float(ordered[below]), float(ordered[min(below + 1, len(values) - 1)])
    return low + (position - below) * (high - low)


def mean_ratio(control: Floats, experiment: Floats) -> float:
    """Experiment's mean over control's; NaN if either is 0. Below 1 for a rise of negative values."""
    below, above = mean(control), mean(experiment)
    return math.nan if below == 0 or above == 0 else above / below


def cles(control: Floats, experiment: Floats) -> float:
    """The probability that a value of the experiment exceeds one of the control, ties counted half (Vargha & Delaney 2000)."""
    m, n = len(experiment), len(control)
    of_experiment, _ = ranks(np.concatenate((experiment, control)))
    return float((2 * of_experiment[:m].sum() - m * (m + 1)) / (2 * m * n))


def ranks(values: Floats) -> tuple[Floats, Floats]:
    """Average ranks from 1, and the sizes of the groups of ties. NaN ranks highest, with infinity."""
    _, group, sizes = np.unique(np.where(np.isnan(values), np.inf, values), return_inverse=True, return_counts=True)
    averages = np.cumsum(sizes) - (sizes - 1) / 2
    return averages[group], sizes.astype(np.float64)


def _std(values: Floats) -> float:
    if len(values) == 1:
        return 0.0
    with np.errstate(invalid="ignore"):
        around = values - mean(values)
        return math.sqrt((_sum(around**2) - _sum(around) ** 2 / len(values)) / (len(values) - 1))


def _sum(values: Floats) -> float:
    """In the order of the values: numpy's own sum adds in pairs, and differs in the last digits."""
    return float(np.cumsum(values)[-1])
