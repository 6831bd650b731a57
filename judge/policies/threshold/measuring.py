"""What Flagger and Argo would have measured, from cohort windows. Pure.

Metrics are named like what windows give (:data:`judge.policies.cohort_series.VALUES`, and custom metrics), of the canary
alone; with ``.difference`` (canary - baseline) or ``.ratio`` (canary / baseline) at the end, compared with the baseline as
users of Flagger write it into their queries. Flagger's own two names are known too.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from judge.policies.cohort_series import VALUES, CohortSeries, Slot, Tally
from judge.policies.threshold import argo, flagger
from judge.policies.threshold.fields import RuleError

_AGAINST_BASELINE: Mapping[str, Callable[[float, float], float]] = {
    "difference": lambda canary, baseline: canary - baseline,
    "ratio": lambda canary, baseline: canary / baseline if baseline else math.nan,
}
_FLAGGERS_OWN: Mapping[str, Callable[[Tally], float]] = {
    "request-success-rate": lambda canary: 100 * (1 - canary.value("error_rate")),
    "request-duration": lambda canary: canary.value("latency_p99"),
}
SHORTEST_S = 1.0
"""Between two measurements over windows."""
_COUNTED_AS = {"request-success-rate": "error_rate", "request-duration": "latency_p99"}


def value(name: str, slot: Slot) -> float | None:
    """What a query would give; None where there was no traffic."""
    own = _FLAGGERS_OWN.get(name)
    if own is not None:
        return _found(own(slot.canary))
    base, _, against = name.partition(".")
    if against in _AGAINST_BASELINE:
        return _found(_AGAINST_BASELINE[against](slot.canary.value(base), slot.baseline.value(base)))
    return _found(slot.canary.value(name))


def counted_as(name: str) -> str:
    """The name under which windows count what a metric is made of."""
    return _COUNTED_AS.get(name, name.partition(".")[0])


def refuse_unknown(names: tuple[str, ...], series: CohortSeries) -> None:
    """Raises :class:`RuleError` for a metric that these windows cannot give."""
    custom = {*series.total.baseline.metrics, *series.total.canary.metrics}
    known = {*VALUES, *custom}
    for name in names:
        against = name.partition(".")[2]
        if counted_as(name) not in known or (against and against not in _AGAINST_BASELINE):
            listed = ", ".join([*_FLAGGERS_OWN, *VALUES, *sorted(custom)])
            raise RuleError(f"{name}: these windows give {listed}; with .difference or .ratio against the baseline")


def refuse_restless(metrics: Sequence[argo.Metric | flagger.Metric]) -> None:
    """Raises :class:`RuleError` for a metric that is asked for more often than windows can tell anything new."""
    for metric in metrics:
        if metric.interval_s is not None and metric.interval_s < SHORTEST_S:
            raise RuleError(f"{metric.name}: interval is below {SHORTEST_S:g} s: windows tell nothing new so soon")


def for_flagger(series: CohortSeries, analysis: flagger.Analysis, start_ms: int) -> list[dict[str, float | None]]:
    """One measurement of every metric each tick after the first, each over the metric's own interval."""
    if not series.slots:
        return []
    step_ms, end_ms = int(analysis.interval_s * 1000), series.slots[-1].end_ms
    return [
        {m.name: value(m.name, series.over(at - int(m.interval_s * 1000), at)) for m in analysis.metrics}
        for at in range(start_ms + step_ms, end_ms + 1, step_ms)
    ]


def for_argo(series: CohortSeries, start_ms: int, over_s: float) -> argo.Provider:
    """Whatever is asked for, over the `over_s` seconds before it is asked."""

    def provider(metric: argo.Metric, _: int, at_s: float) -> float | None:
        at_ms = start_ms + int(at_s * 1000)
        if not series.slots or at_ms > series.slots[-1].end_ms:
            raise argo.OutOfDataError
        return value(metric.name, series.over(at_ms - int(over_s * 1000), at_ms))

    return provider


def _found(number: float) -> float | None:
    return None if math.isnan(number) else number
