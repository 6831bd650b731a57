"""Kayenta's judge ``NetflixACAJudge-v1.0``: clean, describe, compare and score. Pure.

Written from the public source of spinnaker/kayenta (commit a69573be) and held to the real judge's answers by the golden
cases under ``tests/golden/kayenta``. What it does is theirs, weaknesses included: it is here to compare with, and for
those who come from there. davylamp itself decides by :mod:`judge.policies.sequential`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from judge.policies.kayenta.classifiers import classify
from judge.policies.kayenta.pairs import MetricPair
from judge.policies.kayenta.preprocessing import clean
from judge.policies.kayenta.scorers import MetricResult, Score, score
from judge.policies.kayenta.settings import CanaryConfig, Thresholds
from judge.policies.kayenta.statistics import summary

NAME = "NetflixACAJudge-v1.0"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge says of one canary."""

    score: Score
    results: tuple[MetricResult, ...]
    """One a pair, in their order; metrics of the config without a pair are left out."""


def judge(config: CanaryConfig, thresholds: Thresholds, pairs: Sequence[MetricPair]) -> Judgement:
    """Judge the pairs. Raises :class:`judge.policies.kayenta.settings.ConfigError` where Kayenta throws.

    One mistake in one metric's settings then costs the whole judgement, as it does there.
    """
    results = tuple(judge_metric(config, pair) for pair in pairs)
    return Judgement(score(results, config.group_weights, thresholds), results)


def judge_metric(config: CanaryConfig, pair: MetricPair) -> MetricResult:
    """Judge one metric. Sums beyond what 64 bits hold are infinite, as in Java."""
    settings = config.settings(pair.name)
    with np.errstate(over="ignore", invalid="ignore"):
        control, experiment = clean(pair.control, settings), clean(pair.experiment, settings)
        return MetricResult(
            name=pair.name,
            verdict=classify(control, experiment, settings),
            groups=settings.groups,
            muted=settings.muted,
            control=summary(control),
            experiment=summary(experiment),
            id=pair.id,
            tags=pair.tags,
        )
