"""Flagger's rule: a value in a range at every tick, and a count of failed checks over the whole rollout. Pure.

True to fluxcd/flagger v1.44.0 (commit 15bd6ad); places are named below. A tick does one thing
(``advanceCanary`` in ``pkg/controller/scheduler.go``):

1. If the failed checks have reached the threshold, roll back. This comes *before* the analysis, so a rollback happens one
   tick after the check that filled the count.
2. Where the canary has no traffic yet, give it the first step, unchecked.
3. Otherwise check every metric. One that fails, or cannot be measured, costs one failed check and the step is not taken.
4. Otherwise take the next step, or promote after the last one.

The count is never taken back: it is of failures in the whole rollout, not in a row (``SetStatusFailedChecks`` is called with one
more, and ``setStatusWeight`` in ``pkg/canary/status.go`` leaves it). Only another revision of the canary begins anew. A webhook
of type ``rollout`` costs a failed check like a metric, one that waits for a person (``confirm-…``) costs none: neither is known
here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

MIN_INTERVAL_S = 10.0
"""A shorter interval is taken for this one (``GetAnalysisInterval`` in ``pkg/apis/flagger/v1beta1/canary.go``)."""
DEFAULT_INTERVAL_S = 60.0
ITERATIONS_ON_KUBERNETES = 10
"""Without a mesh nothing shifts traffic: fewer than one are so many."""
FULL_WEIGHT = 100

Action = Literal["started", "advanced", "halted", "promoting", "rolled_back"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and the range in which it passes, ends included; without a range it always passes.

    ``runBuiltinMetricChecks`` and ``runMetricChecks`` in ``pkg/controller/scheduler_metrics.go``: below ``min`` or above ``max`` fails.
    """

    name: str
    minimum: float | None = None
    maximum: float | None = None
    interval_s: float = 60.0
    """The time over which it is measured (``MetricInterval``)."""
    whole: bool = False
    """Compared without its fraction, as Flagger does with ``request-duration`` in milliseconds (``GetRequestDuration`` in
    ``pkg/metrics/observers``).
    """

    def complaint(self, value: float | None) -> str | None:
        """What is wrong with a value; None and NaN are "no values found", which fails like any other (``RunQuery`` in
        ``pkg/metrics/providers/prometheus.go``).
        """
        if value is None or math.isnan(value):
            return f"no values found for {self.name}"
        value = float(int(value)) if self.whole and math.isfinite(value) else value
        if self.minimum is not None and value < self.minimum:
            return f"{self.name} {value:g} < {self.minimum:g}"
        if self.maximum is not None and value > self.maximum:
            return f"{self.name} {value:g} > {self.maximum:g}"
        return None


@dataclass(frozen=True, slots=True)
class Analysis:
    """What of a Canary's ``spec.analysis`` decides."""

    metrics: tuple[Metric, ...]
    steps: tuple[int, ...]
    """The canary's weights in percent, in order; 0 where it has mirrored traffic, or none but tests."""
    threshold: int = 1
    """Failed checks at which the canary is rolled back (``GetAnalysisThreshold``: 1 unless it is more than 0)."""
    interval_s: float = DEFAULT_INTERVAL_S


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did."""

    action: Action
    step: int
    """How many steps the canary has taken, 0 after a rollback."""
    failed_checks: int
    metric: str | None = None
    """Which one failed."""
    reason: str | None = None

    @property
    def ended(self) -> bool:
        """The analysis is over."""
        return self.action in {"promoting", "rolled_back"}


def run(analysis: Analysis, measured: Sequence[Mapping[str, float | None]]) -> tuple[Tick, ...]:
    """The ticks of a rollout until it ends or the measurements do.

    The first tick only starts the canary; each later one consumes a measurement of every metric (metric → value), but
    a rollback needs none. Ticks are ``interval_s`` apart.
    """
    ticks = [Tick("started", 1, 0)]
    for values in measured:
        if ticks[-1].ended or is_spent(analysis, ticks[-1]):
            break
        ticks.append(_checked(analysis, ticks[-1], values))
    if is_spent(analysis, ticks[-1]):
        last = ticks[-1]
        ticks.append(Tick("rolled_back", 0, last.failed_checks, last.metric, last.reason))
    return tuple(ticks)


def is_spent(analysis: Analysis, tick: Tick) -> bool:
    """The next tick will roll back, whatever is measured then."""
    return not tick.ended and tick.failed_checks >= analysis.threshold


def iterated(iterations: int, *, is_matched: bool) -> tuple[int, ...]:
    """The canary's weights in A/B testing of what is matched (``runAB``), else in blue-green (``runBlueGreen``).

    Blue-green tests the canary beside the traffic, and has a step more, checked like the others: then all is routed to it.
    """
    return (FULL_WEIGHT,) * iterations if is_matched else (*(0,) * iterations, FULL_WEIGHT)


def weights(step_weight: int, step_weights: Sequence[int], max_weight: int) -> tuple[int, ...]:
    """The canary's weights from ``stepWeight``, ``stepWeights`` and ``maxWeight`` (``nextStepWeight``, ``maxWeight``).

    The last entry of `step_weights` overrules `max_weight`, and a `step_weight` overrules how they are reached. A
    `max_weight` that is not above 0 is 100. Raises ``ValueError`` where Flagger would never move, or never promote.
    """
    if any(weight < 0 for weight in step_weights):
        raise ValueError(f"stepWeights: {min(step_weights)} is below 0")
    if not step_weights and max_weight > FULL_WEIGHT:
        raise ValueError(
            f"maxWeight: {max_weight} is never reached, for weights end at {FULL_WEIGHT}: Flagger never promotes"
        )
    highest = _highest(step_weights, max_weight)
    if highest <= 0:
        raise ValueError("stepWeights: ends with 0: Flagger promotes at its first tick, and checks nothing")
    if step_weight <= 0 and not step_weights:
        raise ValueError("write stepWeight, stepWeights or iterations: without any Flagger never moves")
    reached = [0]
    while reached[-1] < highest:
        reached.append(reached[-1] + _next_step(step_weight, step_weights, reached[-1]))
    _next_step(step_weight, step_weights, reached[-1])  # it promotes only where it would take another
    return tuple(reached[1:])


def _next_step(step_weight: int, step_weights: Sequence[int], weight: int) -> int:
    """By how much the weight rises (``nextStepWeight``): after the last of `step_weights`, or one not among them, to all."""
    left = FULL_WEIGHT - weight
    if step_weight > 0:
        return min(left, step_weight)
    if left == 0:
        return 1
    following = dict(reversed([*zip((0, *step_weights[:-1]), step_weights, strict=True)])).get(weight)
    step = left if following is None else min(left, following - weight)
    if step <= 0:
        raise ValueError(f"stepWeights: from {weight} the next is {following}: Flagger stays there for ever")
    return step


def _highest(step_weights: Sequence[int], max_weight: int) -> int:
    if step_weights:
        return min(FULL_WEIGHT, step_weights[-1])
    return max_weight if max_weight > 0 else FULL_WEIGHT


def _checked(analysis: Analysis, before: Tick, values: Mapping[str, float | None]) -> Tick:
    for metric in analysis.metrics:
        complaint = metric.complaint(values.get(metric.name))
        if complaint is not None:
            return Tick("halted", before.step, before.failed_checks + 1, metric.name, complaint)
    if before.step >= len(analysis.steps):
        return Tick("promoting", before.step, before.failed_checks)
    return Tick("advanced", before.step + 1, before.failed_checks)
