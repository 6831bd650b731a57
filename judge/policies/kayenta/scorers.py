"""The last stage: from the metrics' verdicts to group scores, one score and its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from judge.policies.kayenta.classifiers import Classification, Label
from judge.policies.kayenta.settings import Thresholds
from judge.policies.kayenta.statistics import EMPTY, Summary

ScoreLabel = Literal["Pass", "Marginal", "Fail"]

NODATA_PERCENT = 50
"""From so many metrics without data on the canary fails."""

_ALL_WHOLE = 2.0**53
"""From here on no number has a fraction."""

_SCORED: frozenset[Label] = frozenset({"Pass", "High", "Low", "NodataFailMetric"})
"""`Nodata` and `Error` do not count, for or against."""


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric's verdict, with what a report says beside it."""

    name: str
    verdict: Classification
    groups: tuple[str, ...] = ()
    muted: bool = False
    """Listed, and not scored."""
    control: Summary = EMPTY
    experiment: Summary = EMPTY
    id: str = ""
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class GroupScore:
    """The share of a group's metrics that pass."""

    name: str
    score: float
    """0 to 100; 0 without data too, as Kayenta reports it."""
    has_data: bool


@dataclass(frozen=True, slots=True)
class Score:
    """What the groups' scores add up to."""

    score: float
    label: ScoreLabel
    reason: str | None
    """None where no rule overruled the sum."""
    groups: tuple[GroupScore, ...]


def score(results: Sequence[MetricResult], weights: Mapping[str, float], thresholds: Thresholds) -> Score:
    """Score the metrics that are not muted. A critical failure, or too little data, overrules the sum."""
    counted = [result for result in results if not result.muted]
    groups = group_scores(counted)
    reason = _overruled(counted)
    total = 0.0 if reason is not None else weighted_sum(groups, weights)
    return Score(total, classify_score(total, thresholds), reason, groups)


def group_scores(results: Sequence[MetricResult]) -> tuple[GroupScore, ...]:
    """One a group, in the order in which groups appear; a metric counts in each of its groups."""
    labels: dict[str, list[Label]] = {}
    for result in results:
        for group in result.groups:
            labels.setdefault(group, []).append(result.verdict.label)
    return tuple(_group_score(name, found) for name, found in labels.items())


def weighted_sum(groups: Sequence[GroupScore], weights: Mapping[str, float]) -> float:
    """Weights are taken as they are, never normalised; groups that have none share what the listed ones leave of 100.

    Hence a listed group without metrics costs its points, and weights above 100 give scores above 100. A group without
    data counts as 100.
    """
    unlisted = sum(group.name not in weights for group in groups)
    left = (100 - sum(weights.values())) / unlisted if unlisted else 0.0
    total = sum((g.score if g.has_data else 100.0) * (weights.get(g.name, left) / 100) for g in groups)
    return _rounded(total)


def classify_score(total: float, thresholds: Thresholds) -> ScoreLabel:
    """Equal to a threshold is enough. (A standalone analysis of Kayenta takes a score equal to `marginal` for a failure.)"""
    if total >= thresholds.passing:
        return "Pass"
    return "Marginal" if total >= thresholds.marginal else "Fail"


def _group_score(name: str, labels: Sequence[Label]) -> GroupScore:
    counted = [label for label in labels if label in _SCORED]
    if not counted:
        return GroupScore(name, 0.0, has_data=False)
    return GroupScore(name, counted.count("Pass") / len(counted) * 100, has_data=True)


def _overruled(results: Sequence[MetricResult]) -> str | None:
    failed = next((r.verdict for r in results if r.verdict.critical and r.verdict.label != "Pass"), None)
    if failed is not None:
        return f"Canary Failed: {failed.reason}"
    empty = sum(r.verdict.label == "Nodata" for r in results)
    if results and empty / len(results) * 100 >= NODATA_PERCENT:
        return f"Canary Failed: {NODATA_PERCENT}% or more metrics returned NODATA"
    return None


def _rounded(value: float) -> float:
    """Half up, to two places, of the shortest decimal that names the number (``Precision.round`` of commons-math3).

    Java's decimals have as many digits as it takes, ours 28; numbers that are all whole are what they are.
    """
    if not abs(value) < _ALL_WHOLE:  # nor what is no number
        return value
    return float(Decimal(repr(value)).quantize(Decimal("0.01"), ROUND_HALF_UP))
