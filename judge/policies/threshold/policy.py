"""Flagger's and Argo's rules in the place of davylamp's own policy, to compare decisions over the same windows. Pure.

Both know no statistics: a value beyond its limit is bad news, however few requests it is made of. What they make of a
missing value (bad news, too) is theirs; a canary is never within its limits for it.
"""

from dataclasses import dataclass

from judge.policies.cohort_series import VALUES, CohortSeries
from judge.policies.port import Assessment, StageTimes
from judge.policies.series_comparison import SeriesComparison
from judge.policies.threshold import argo, flagger
from judge.policies.threshold.conditions import parse_condition
from judge.policies.threshold.measuring import counted_as, for_argo, for_flagger
from judge.trial import Trial
from schemas.checks import CustomCheck, LatencyCheck, RateCheck
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
            sentence=f"Flagger's rule: {last.failed_checks} failed checks, the last of {out}." if out else None,
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
            sentence=f"Argo's rule: {run.message}." if out else None,
        )


def relative_to_baseline(plan: Plan, *, threshold: int = 5, interval_s: float = 60.0) -> Flagger:
    """Flagger with the plan's own margins written into its queries: the fairest form of a threshold."""
    metrics = tuple(
        flagger.Metric(limit.metric, limit.minimum, limit.maximum, interval_s=interval_s) for limit in limits_of(plan)
    )
    steps = tuple(stage.share // 100 for stage in plan.stages)
    return Flagger(flagger.Analysis(metrics, steps, threshold, interval_s))


def argo_relative_to_baseline(plan: Plan, *, failure_limit: int = 0, interval_s: float = 60.0) -> Argo:
    """Argo with the plan's own margins as its conditions, each measured over one interval."""
    metrics = tuple(
        argo.Metric(
            limit.metric,
            failure=parse_condition(limit.broken),
            interval_s=interval_s,
            initial_delay_s=interval_s,
            failure_limit=failure_limit,
        )
        for limit in limits_of(plan)
    )
    return Argo(metrics, over_s=interval_s)


@dataclass(frozen=True, slots=True)
class Limit:
    """A plan's margin as a threshold on one value against the baseline's; one of both ends."""

    metric: str
    minimum: float | None = None
    maximum: float | None = None

    @property
    def broken(self) -> str:
        """As a condition of Argo's."""
        return f"result > {self.maximum!r}" if self.maximum is not None else f"result < {self.minimum!r}"


def limits_of(plan: Plan) -> tuple[Limit, ...]:
    """Of every check that a value over time can be compared by."""
    return tuple(limit for name in plan.checks.enabled if (limit := _limit_of(name, plan)) is not None)


def _limit_of(name: str, plan: Plan) -> Limit | None:
    check = plan.checks.metrics.get(name) or getattr(plan.checks, name)
    if isinstance(check, CustomCheck):
        return _custom_limit(name, check)
    if isinstance(check, LatencyCheck):
        return Limit(f"{name}.ratio", maximum=1 + check.within)
    if isinstance(check, RateCheck) and name in VALUES:
        return Limit(f"{name}.difference", maximum=check.within)
    return None


def _custom_limit(name: str, check: CustomCheck) -> Limit:
    against, still_well = ("ratio", 1.0) if check.within.points is None else ("difference", 0.0)
    margin = check.within.ratio if check.within.points is None else check.within.points
    if check.worse == "lower":
        return Limit(f"{name}.{against}", minimum=still_well - (margin or 0.0))
    return Limit(f"{name}.{against}", maximum=still_well + (margin or 0.0))


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
