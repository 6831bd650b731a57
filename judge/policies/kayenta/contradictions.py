"""What is of its type, and nobody can have meant: refused from who writes a file for us. Pure.

Kayenta itself judges most of it, and so does the remote judge, which answers as Kayenta would.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from judge.policies.kayenta.pairs import Floats, MetricPair
from judge.policies.kayenta.remarks import Remark
from judge.policies.kayenta.settings import CanaryConfig, ConfigError, Thresholds
from judge.policies.kayenta.shapes import named_twice

FULL_SCORE = 100


def refuse_contradictions(raw: Mapping[str, Any], thresholds: Thresholds) -> None:
    """Of a config whose types are right, and the scores that it is judged by. Raises :class:`ConfigError` with the place."""
    for wrong in named_twice(raw):
        raise wrong
    total = sum(CanaryConfig.read(raw).group_weights.values())
    if round(total) > FULL_SCORE:
        raise ConfigError(
            "config.classifier.groupWeights",
            f"add up to {total:g}, more than {FULL_SCORE}: Kayenta does not normalise them, and metrics that fail would still pass",
        )
    if thresholds.marginal > thresholds.passing:
        raise ConfigError(
            "scoreThresholds.marginal",
            f"{thresholds.marginal:g} lies above pass ({thresholds.passing:g}): a score cannot pass and be marginal",
        )


def refuse_nothing(pairs: Sequence[MetricPair]) -> None:
    """Of what was measured. Raises :class:`ConfigError` where that is nothing at all."""
    if not pairs:
        raise ConfigError("metrics", "is empty: nothing was measured, and nothing can be judged")


def odd_pairs(pairs: Sequence[MetricPair]) -> Iterator[Remark]:
    """What Kayenta judges all the same, and somebody should know: a metric twice, sides of different lengths, infinite values."""
    first: dict[str, int] = {}
    for i, pair in enumerate(pairs):
        if pair.name in first:
            yield Remark(f"metrics[{i}].name", f"{pair.name!r} is the name of metrics[{first[pair.name]}] too")
        first.setdefault(pair.name, i)
        many, others = len(pair.control), len(pair.experiment)
        if many and others and many != others:
            yield Remark(
                f"metrics[{i}]", f"control has {many} values, experiment {others}: write NaN for a slot that has none"
            )
        yield from _endless(pair.control, f"metrics[{i}].control")
        yield from _endless(pair.experiment, f"metrics[{i}].experiment")


def _endless(values: Floats, path: str) -> Iterator[Remark]:
    endless = np.flatnonzero(np.isinf(values))
    if len(endless):
        yield Remark(f"{path}[{endless[0]}]", "is infinite, which nothing measures: write NaN where there is no value")
