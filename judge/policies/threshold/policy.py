"""Flagger's and Argo's rules in the place of davylamp's own policy, to compare decisions over the same windows. Pure.

Both know no statistics: a value beyond its limit is bad news, however few requests it is made of. What they make of a
missing value (bad news, too) is theirs; a canary is never within its limits for it.
"""

from dataclasses import dataclass

from judge.policies.cohort_series import CohortSeries
from judge.policies.port import Assessment, StageTimes
from judge.policies.series_comparison import SeriesComparison
from judge.policies.threshold import argo, flagger
from judge.policies.threshold.measuring import counted_as, for_argo, for_flagger
from judge.trial import Trial
from schemas.checks import LatencyCheck, RateCheck
from schemas.decisions import CheckResult
from schemas.plan import Plan

UNKNOWN = Assessment(score=75.0, checks=(), breached_by=None, within=False, suspicious=False)
"""Before anything was measured."""


@dataclass(frozen=True, slots=True)
class Flagger:
    """Flagger's rule from the acknowledgement of the first stage on; its own weights are not looked at."""

    analysis: flagger.Analysis

    def begin(self, trial: Trial) -> SeriesComparison:
        """See :class:`judge.policies.port.Policy`."""
        return SeriesComparison(self, trial)

    def assess_series(self, series: CohortSeries, _: Plan, times: StageTimes) -> Assessment:
        """What the rule says at the end of `series`."""
        if not times.started_ms:
            return UNKNOWN
        measured = for_flagger(series, self.analysis, times.started_ms[0])
        ticks = flagger.run(self.analysis, measured)
        last = ticks[-1]
        if last.action == "started":
            return UNKNOWN
        out = last.metric if last.action == "rolled_back" else None
        passed = last.action in {"advanced", "promoting"}
        spent = last.failed_checks / self.analysis.threshold
        limits = {m.name: m.maximum if m.maximum is not None else m.minimum for m in self.analysis.metrics}
        return Assessment(
            score=0.0 if out else round(100 * max(0.0, 1 - spent), 1),
            checks=tuple(_check(name, limit, series, name == out, within=passed) for name, limit in limits.items()),
            breached_by=out,
            within=passed,
            suspicious=last.failed_checks > 0,
        )


@dataclass(frozen=True, slots=True)
class Argo:
    """A background analysis of Argo from the acknowledgement of the first stage on."""

    metrics: tuple[argo.Metric, ...]
    over_s: float = 60.0
    """How far each measurement looks back: the range in the user's query."""

    def begin(self, trial: Trial) -> SeriesComparison:
        """See :class:`judge.policies.port.Policy`."""
        return SeriesComparison(self, trial)

    def assess_series(self, series: CohortSeries, _: Plan, times: StageTimes) -> Assessment:
        """What the rule says at the end of `series`. Inconclusive pauses Argo: suspicious here."""
        if not times.started_ms:
            return UNKNOWN
        run = argo.run(self.metrics, for_argo(series, times.started_ms[0], self.over_s))
        counted = [m for m in run.metrics if not m.metric.dry_run]
        if not any(m.count + m.error for m in counted):
            return UNKNOWN
        bad = next((m for m in counted if m.phase in {"Failed", "Error"}), None)
        out = bad.metric.name if bad is not None else None
        good = {m.metric.name: out is None and m.phase != "Inconclusive" and m.consecutive_success > 0 for m in counted}
        return Assessment(
            score=0.0 if out else 100.0,
            checks=tuple(_check(name, None, series, name == out, within=ok) for name, ok in good.items()),
            breached_by=out,
            within=all(good.values()),
            suspicious=any(m.failed or m.inconclusive or m.error for m in counted),
        )


def relative_to_baseline(plan: Plan, *, threshold: int = 5, interval_s: float = 60.0) -> Flagger:
    """Flagger with the plan's own margins written into its queries: the fairest form of a threshold."""
    metrics = []
    for name in plan.checks.enabled:
        check = getattr(plan.checks, name, None)
        if isinstance(check, LatencyCheck):
            metrics.append(flagger.Metric(f"{name}.ratio", maximum=1 + check.within))
        elif isinstance(check, RateCheck) and name in {"error_rate", "tool_success"}:
            metrics.append(flagger.Metric(f"{name}.difference", maximum=check.within))
    steps = tuple(stage.share // 100 for stage in plan.stages)
    return Flagger(flagger.Analysis(tuple(metrics), steps, threshold, interval_s))


def _check(name: str, limit: float | None, series: CohortSeries, breached: bool, *, within: bool) -> CheckResult:  # noqa: FBT001
    """For people: both cohorts over the whole time, and the limit. The rule computes no interval and no evidence."""
    total = series.total
    return CheckResult(
        check=name,
        verdict="breached" if breached else "within" if within else "undecided",
        baseline=total.baseline.count(counted_as(name)),
        canary=total.canary.count(counted_as(name)),
        margin=limit or 0.0,
        log_e_breach=0.0,
        log_e_within=0.0,
    )
