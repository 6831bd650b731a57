"""The third stage: one metric's verdict."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from judge.policies.kayenta.mann_whitney import AllTiedError, Shift, shift
from judge.policies.kayenta.pairs import Floats
from judge.policies.kayenta.settings import MetricSettings
from judge.policies.kayenta.statistics import cles, mean_ratio

Label = Literal["Pass", "High", "Low", "Nodata", "NodataFailMetric", "Error"]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Constants in Kayenta: its properties of these names are never read."""

    tolerance: float = 0.25
    """The interval must lie so far from 0, as a part of the estimated shift."""
    confidence: float = 0.98


@dataclass(frozen=True, slots=True)
class Comparison:
    """The numbers behind a verdict; Kayenta reports only the first."""

    mean_ratio: float
    cles: float
    shift: Shift
    noise_added: bool


@dataclass(frozen=True, slots=True)
class Classification:
    """The verdict on one metric."""

    label: Label
    reason: str | None = None
    ratio: float | None = 1.0
    """Of the means, experiment over control; None after an error, 1.0 where nothing was compared."""
    critical: bool = False
    """It fails the canary by itself."""
    comparison: Comparison | None = None
    """None: it was decided without a test."""


def classify(
    control: Floats, experiment: Floats, settings: MetricSettings, sensitivity: Sensitivity = Sensitivity()
) -> Classification:
    """Compare two cleaned series.

    What cannot be computed is an `Error`, which is never critical and never scored: Kayenta fails open here.
    """
    try:
        return _without_a_test(control, experiment, settings) or _by_test(control, experiment, settings, sensitivity)
    except AllTiedError:
        return Classification("Error", "Metric Classification Failed", ratio=None)


def _without_a_test(control: Floats, experiment: Floats, settings: MetricSettings) -> Classification | None:
    if not len(experiment) or not len(control):
        return _no_data(settings)
    if np.array_equal(np.sort(experiment), np.sort(control)):
        return Classification("Pass", "The Canary and Baseline data are identical")
    if len(np.unique(np.concatenate((experiment, control)))) == 1:
        return Classification("Pass")
    return None


def _no_data(settings: MetricSettings) -> Classification:
    """With `replace` even a side that has no slots at all passes."""
    if settings.nan_strategy == "replace":
        return Classification("Pass")
    reason = f"Missing data for {settings.name}"
    if settings.must_have_data and not settings.critical:
        return Classification("NodataFailMetric", reason)
    return Classification("Nodata", reason, critical=settings.critical)


def _by_test(control: Floats, experiment: Floats, settings: MetricSettings, sensitivity: Sensitivity) -> Classification:
    compared = _compare(control, experiment, sensitivity.confidence)
    effect = compared.cles if settings.measure == "cles" else compared.mean_ratio
    changed = _changed(compared.shift, effect, settings, sensitivity.tolerance)
    if changed is None:
        return Classification("Pass", None, compared.mean_ratio, comparison=compared)
    critical = settings.critical and settings.criticals.reached(changed, effect)
    reason = f"{settings.name} was classified as {changed}"
    reason = f"The metric {reason} (Critical)" if critical else reason
    return Classification(changed, reason, compared.mean_ratio, critical, compared)


def _compare(control: Floats, experiment: Floats, confidence: float) -> Comparison:
    constant = len(np.unique(experiment)) == 1 and len(np.unique(control)) == 1
    if constant:
        experiment, control = with_noise(experiment), with_noise(control)
    return Comparison(
        mean_ratio(control, experiment), cles(control, experiment), shift(experiment, control, confidence), constant
    )


def _changed(found: Shift, effect: float, settings: MetricSettings, tolerance: float) -> Literal["High", "Low"] | None:
    """The interval must clear a part of the estimate, and the effect its limit: both are a matter of the same shift."""
    bound = tolerance * abs(found.estimate)
    if settings.direction != "decrease" and found.lower > bound and settings.allowed.reached("High", effect):
        return "High"
    if settings.direction != "increase" and found.upper < -bound and settings.allowed.reached("Low", effect):
        return "Low"
    return None


def with_noise(values: Floats) -> Floats:
    """Constant values, spread by a hundred-thousandth of themselves so that they can be ranked.

    Kayenta draws the noise anew each time, so that a judgement may differ from its repetition. These are the quantiles
    of the same distribution: the same spread, and the same answer every time.
    """
    n = len(values)
    scores = np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
    noisy: Floats = values + 1e-5 * values[0] * scores
    return noisy
