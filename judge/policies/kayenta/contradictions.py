"""What is of its type, and nobody can have meant: refused from who writes a file for us. Pure.

Kayenta itself judges most of it, and so does the remote judge, which answers as Kayenta would.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from judge.policies.kayenta.pairs import MetricPair
from judge.policies.kayenta.remarks import FULL_SCORE
from judge.policies.kayenta.settings import CanaryConfig, ConfigError, Thresholds
from judge.policies.kayenta.shapes import named_twice


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
