"""The first stage: each side's values are cleaned on their own, NaNs first, then outliers."""

import numpy as np

from judge.policies.kayenta.pairs import Floats
from judge.policies.kayenta.settings import MetricSettings, NanStrategy
from judge.policies.kayenta.statistics import percentile


def clean(values: Floats, settings: MetricSettings) -> Floats:
    """What of one side's series is compared."""
    values = without_nans(values, settings.nan_strategy)
    return without_outliers(values, settings.outlier_factor) if settings.outliers == "remove" else values


def without_nans(values: Floats, strategy: NanStrategy) -> Floats:
    """`remove` drops them; `replace` makes each a 0.0, but a slot that was never there stays missing."""
    missing = np.isnan(values)
    return values[~missing] if strategy == "remove" else np.where(missing, 0.0, values)


def without_outliers(values: Floats, factor: float) -> Floats:
    """Drop what lies outside both Tukey's fences, `factor` above 0, and the 1st and 99th percentile.

    The percentiles weaken the fences (`reduceSensitivity` in Kayenta): up to 101 values at most one a side can go,
    however many are wild. Kayenta's own documentation describes the plain fences.
    """
    low, high = fences(values, factor)
    low, high = min(percentile(values, 1), low), max(percentile(values, 99), high)
    return values[~((values > high) | (values < low))]


def fences(values: Floats, factor: float) -> tuple[float, float]:
    """Tukey's: `factor` interquartile ranges below the first and above the third quartile."""
    p25, p75 = percentile(values, 25), percentile(values, 75)
    reach = factor * (p75 - p25)
    return p25 - reach, p75 + reach
