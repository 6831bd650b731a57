"""Kayenta in the place of davylamp's own policy, to compare decisions over the same windows. Pure.

Windows become series of one value a slot (a minute, as Kayenta's step), which lose what Kayenta never sees: how many
requests a value is made of. Looks are not corrected for, here as there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from judge.policies.cohort_series import VALUES, CohortSeries
from judge.policies.kayenta.judge import Judgement, judge
from judge.policies.kayenta.pairs import MetricPair
from judge.policies.kayenta.scorers import MetricResult
from judge.policies.kayenta.settings import CanaryConfig, ConfigError, Thresholds
from judge.policies.port import Assessment, StageTimes
from judge.policies.series_comparison import SeriesComparison
from judge.trial import Trial
from schemas.checks import CustomCheck, LatencyCheck
from schemas.decisions import CheckResult
from schemas.plan import Plan

SLOT_MS = 60_000
USUAL_THRESHOLDS = Thresholds(95, 75)
_BREACHED = frozenset({"High", "Low"})


@dataclass(frozen=True, slots=True)
class Kayenta:
    """Kayenta's judge over windows. Metrics are named as windows name them (:data:`VALUES`, and custom metrics)."""

    config: CanaryConfig | None = None
    """None: :func:`config_of` the plan."""
    thresholds: Thresholds = USUAL_THRESHOLDS
    slot_ms: int = SLOT_MS

    def begin(self, trial: Trial) -> SeriesComparison:
        """See :class:`judge.policies.port.Policy`."""
        return SeriesComparison(self, trial)

    def assess_series(self, series: CohortSeries, plan: Plan, times: StageTimes) -> Assessment:
        """What the judge says at the end of `series`.

        Kayenta takes a metric without data, and one that cannot be computed, for good news; a canary is not within its
        limits for either.
        """
        if not times.started_ms:
            return Assessment(score=75.0, checks=(), breached_by=None, within=False, suspicious=False)
        config = self.config or config_of(plan)
        found = judge(config, self.thresholds, pairs(series, config, self.slot_ms))
        out = _culprit(found) if found.score.label == "Fail" else None
        return Assessment(
            score=0.0 if out else found.score.score,
            checks=tuple(_check(result, series) for result in found.results),
            breached_by=out,
            within=found.score.label == "Pass" and all(_passed(r) for r in found.results if not r.muted),
            suspicious=found.score.label == "Marginal",
            sentence=_sentence(found, out) if out else None,
        )


def config_of(plan: Plan) -> CanaryConfig:
    """The canary config that says what a plan says, as far as Kayenta can.

    Every check is critical, for each of them alone costs a canary its release. A relative margin is the allowed effect;
    one in percentage points has no counterpart, so there any rise that the test sees counts.
    """
    names = [name for name in plan.checks.enabled if name in VALUES or name in plan.checks.metrics]
    return CanaryConfig(tuple(_metric_of(name, plan) for name in names), {})


def _metric_of(name: str, plan: Plan) -> dict[str, Any]:
    check = plan.checks.metrics.get(name) or getattr(plan.checks, name)
    within = check.within.ratio if isinstance(check, CustomCheck) else check.within
    relative = within if isinstance(check, CustomCheck | LatencyCheck) else None
    falls = isinstance(check, CustomCheck) and check.worse == "lower"
    canary: dict[str, Any] = {"direction": "decrease" if falls else "increase", "critical": True}
    if relative is not None:
        side, limit = ("Decrease", 1 - relative) if falls else ("Increase", 1 + relative)
        canary["effectSize"] = {f"{kind}{side}": limit for kind in ("allowed", "critical")}
    return {"name": name, "groups": [name], "analysisConfigurations": {"canary": canary}}


def pairs(series: CohortSeries, config: CanaryConfig, slot_ms: int = SLOT_MS) -> list[MetricPair]:
    """One pair a metric of `config`, a value each slot, NaN where nothing was counted."""
    slots = series.coarser(slot_ms).slots
    names = [str(metric.get("name")) for metric in config.metrics]
    return [
        MetricPair(
            name,
            np.array([slot.baseline.value(name) for slot in slots], np.float64),
            np.array([slot.canary.value(name) for slot in slots], np.float64),
        )
        for name in names
    ]


def refuse_unknown(series: CohortSeries, config: CanaryConfig) -> None:
    """Raises :class:`ConfigError` for a metric that these windows cannot give."""
    custom = sorted({*series.total.baseline.metrics, *series.total.canary.metrics})
    for index, metric in enumerate(config.metrics):
        name = metric.get("name")
        if name not in {*VALUES, *custom}:
            listed = ", ".join([*VALUES, *custom])
            raise ConfigError(f"config.metrics[{index}].name", f"{name!r} is none of what windows give: {listed}")


def _culprit(found: Judgement) -> str | None:
    """A critical metric before any other; None where the canary fails for want of data."""
    bad = [result for result in found.results if not result.muted and result.verdict.label in _BREACHED]
    return min(bad, key=lambda result: not result.verdict.critical).name if bad else None


def _sentence(found: Judgement, culprit: str) -> str:
    result = next(result for result in found.results if result.name == culprit)
    return f"Kayenta's judge, score {found.score.score:g}: {result.verdict.reason}."


def _passed(result: MetricResult) -> bool:
    return result.verdict.label == "Pass" and result.control.count > 0 and result.experiment.count > 0


def _check(result: MetricResult, series: CohortSeries) -> CheckResult:
    """For people: both cohorts over the whole time. Kayenta's interval is of values, not of rates, so it stays out."""
    total = series.total
    breached, passed = result.verdict.label in _BREACHED, _passed(result)
    return CheckResult(
        check=result.name,
        verdict="breached" if breached else "within" if passed else "undecided",
        baseline=total.baseline.count(result.name),
        canary=total.canary.count(result.name),
        margin=0.0,
        log_e_breach=0.0,
        log_e_within=0.0,
        why_undecided=None if breached or passed else "no_data",
    )
