"""Judging without a log: every policy by name, over a document or over a file of windows. For CI and comparisons. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from judge.policies.choice import sequential
from judge.policies.kayenta import policy as kayenta
from judge.policies.kayenta.contradictions import refuse_contradictions
from judge.policies.kayenta.settings import CanaryConfig, Thresholds, score_thresholds
from judge.policies.kayenta.shapes import refuse_wrong_types
from judge.policies.kayenta.wire import judge_document
from judge.policies.port import Assessment, StageTimes
from judge.policies.threshold import argo, flagger, measuring
from judge.policies.threshold import policy as threshold
from judge.policies.threshold.document import Document, read_document
from judge.policies.threshold.fields import RuleError
from judge.policies.threshold.wire import argo_report, flagger_report
from judge.recorded import Recorded, recorded_series, recorded_state
from schemas.plan import Plan
from schemas.policies import COMPARED, PolicyName

Verdict = Literal["pass", "fail", "undecided"]
Rule = Mapping[str, Any]
"""A configuration of a policy's own, as it was parsed: for Kayenta a canary config, or ``config`` with ``scoreThresholds``."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a policy says, and what that means for a pipeline."""

    verdict: Verdict
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OfflinePolicy:
    """One policy. Whatever it is given and cannot judge raises a ``ValueError`` that says where and why."""

    of_document: Callable[[Any], Report] | None
    """Judges what brings its own measurements; None: it judges windows alone."""
    of_windows: Callable[[Recorded, Rule | None], Report]
    """Judges a recorded rollout by a configuration of the policy's own, or by None: what says the same as the plan."""


def _kayenta_document(document: Any) -> Report:
    content = judge_document(document)
    verdict = _KAYENTA_VERDICTS[content["score"]["classification"]]
    return Report("undecided" if verdict == "pass" and content.get("unjudged") else verdict, content)


def _kayenta_windows(recorded: Recorded, rule: Rule | None) -> Report:
    series, policy = recorded_series(recorded), kayenta.Kayenta()
    if rule is None:
        _refuse_uncompared(recorded.plan, "kayenta")
    else:
        raw = rule.get("config", rule)
        refuse_wrong_types(raw)
        config = CanaryConfig.read(raw)
        kayenta.refuse_unknown(series, config)
        written = score_thresholds(raw, rule.get("scoreThresholds"))
        wanted = kayenta.USUAL_THRESHOLDS if written is None else Thresholds.read(written)
        refuse_contradictions(raw, wanted)
        policy = kayenta.Kayenta(config, wanted)
    times = StageTimes(1, (series.start_ms,) if series.slots else ())
    return _assessed(policy.assess_series(series, recorded.plan, times))


def _threshold_document(document: Any) -> Report:
    found = read_document(document)
    if found.measured is None:
        raise RuleError("measurements: is missing: metric → list of values, null where there was none")
    if isinstance(found.rule, flagger.Analysis):
        by_tick = [
            dict(zip(found.measured, values, strict=True)) for values in zip(*found.measured.values(), strict=True)
        ]
        return _flagger_run(found.rule, by_tick, found.ignored)
    return _argo_run(argo.run(found.rule, argo.listed(found.measured)), found.ignored)


def _threshold_windows(recorded: Recorded, rule: Rule | None) -> Report:
    series = recorded_series(recorded)
    if rule is None:
        _refuse_uncompared(recorded.plan, "threshold")
    found = (
        Document(threshold.relative_to_baseline(recorded.plan).analysis, None) if rule is None else read_document(rule)
    )
    if found.measured is not None:
        raise RuleError("measurements: the windows are what was measured: leave them out")
    metrics = found.rule.metrics if isinstance(found.rule, flagger.Analysis) else found.rule
    measuring.refuse_unknown(tuple(metric.name for metric in metrics), series)
    measuring.refuse_restless(metrics)
    if isinstance(found.rule, flagger.Analysis):
        measured = measuring.for_flagger(series, found.rule, series.start_ms)
        return _flagger_run(found.rule, measured, found.ignored)
    run = argo.run(found.rule, measuring.for_argo(series, series.start_ms, over_s=60.0))
    return _argo_run(run, found.ignored)


def _refuse_uncompared(plan: Plan, policy: PolicyName) -> None:
    """Nothing to compare would be nothing that fails."""
    compared = COMPARED[policy] or frozenset()
    if not set(plan.checks.enabled) & {*compared, *plan.checks.metrics}:
        listed = ", ".join(sorted(compared))
        raise ValueError(f"{policy} compares {listed} and custom metrics, and the plan has all of them off: add --rule")


def _sequential_windows(recorded: Recorded, rule: Rule | None) -> Report:
    if rule is not None:
        raise ValueError("sequential takes no configuration beside the plan")
    return _assessed(recorded_state(recorded).assess(sequential(recorded.plan)))


POLICIES: Mapping[str, OfflinePolicy] = {
    "kayenta": OfflinePolicy(_kayenta_document, _kayenta_windows),
    "threshold": OfflinePolicy(_threshold_document, _threshold_windows),
    "sequential": OfflinePolicy(None, _sequential_windows),
}
"""By name; the last one is what davylamp decides by."""

_KAYENTA_VERDICTS: Mapping[str, Verdict] = {"Pass": "pass", "Marginal": "undecided", "Fail": "fail"}
_ARGO_VERDICTS: Mapping[str, Verdict] = {"Successful": "pass", "Failed": "fail", "Error": "fail"}
_FLAGGER_VERDICTS: Mapping[str, Verdict] = {"promoting": "pass", "rolled_back": "fail"}


def _flagger_run(
    analysis: flagger.Analysis, measured: list[dict[str, float | None]], ignored: tuple[str, ...]
) -> Report:
    ticks = flagger.run(analysis, measured)
    return Report(_FLAGGER_VERDICTS.get(ticks[-1].action, "undecided"), flagger_report(analysis, ticks, ignored))


def _argo_run(run: argo.AnalysisRun, ignored: tuple[str, ...]) -> Report:
    return Report(_ARGO_VERDICTS.get(run.phase, "undecided"), argo_report(run, ignored))


def _assessed(found: Assessment) -> Report:
    content: dict[str, Any] = {
        "score": found.score,
        "breachedBy": found.breached_by,
        "within": found.within,
        "suspicious": found.suspicious,
        "checks": [check.model_dump(mode="json", exclude_none=True) for check in found.checks],
    }
    if found.unjudged:
        content["unjudged"] = list(found.unjudged)
    passed = found.within and not found.unjudged
    return Report("fail" if found.breached_by else "pass" if passed else "undecided", content)
