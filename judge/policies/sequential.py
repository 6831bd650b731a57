"""davylamp's own policy: one exact two-sample e-process a check, valid at every look."""

import math
from typing import Literal

import numpy as np

from judge.evidence import Counts, Evidence, Strata
from judge.policies.port import Assessment, StageTimes
from judge.stats.bounds import bounds
from judge.stats.dispersion import dispersion
from judge.stats.mixture import combine, needed_log_e
from judge.stats.process import RateProcess
from judge.stats.restarts import restart_schedule
from judge.stats.score import CheckEvidence, score
from judge.stats.within import is_within, whole_service_margin
from schemas.decisions import CheckResult, Count
from schemas.plan import Plan
from schemas.units import FULL_SHARE

SUSPICION = 3.0
"""Evidence from which a stage is extended rather than passed unproven."""

_ERROR_RATE = "error_rate"
_SHARES = {_ERROR_RATE: 1.0}
"""The checks' parts of alpha. A plan's checks share all of it; so far there is one."""


class Sequential:
    """Compares sessions born in the same stage, window by window, by a mixture of bets that restarts with each stage.

    Open windows are counted for a breach and for nothing else. Dispersion comes from the session buckets, so that a few
    broken clients are not a bad release.
    """

    def assess(self, evidence: Evidence, plan: Plan, times: StageTimes) -> Assessment:
        """See :class:`judge.policies.port.Policy`."""
        everything = evidence.final + evidence.open
        final = _result(evidence.final, plan, times)
        now = _result(everything, plan, times)
        combined = combine({_ERROR_RATE: now.log_e_breach}, _SHARES, plan.alpha)
        shown = now.model_copy(
            update={
                "verdict": _verdict(breached=combined.breached, within=final.verdict == "within"),
                "log_e_within": final.log_e_within,
                "high": final.high,
            }
        )
        scored = CheckEvidence(now.log_e_breach, final.log_e_within, _SHARES[_ERROR_RATE], weight=1.0)
        return Assessment(
            score=round(score([scored], plan.alpha, breached=combined.breached), 1),
            checks=(shown,),
            breached_by=combined.worst if combined.breached else None,
            within=final.verdict == "within",
            suspicious=final.log_e_breach >= math.log(SUSPICION),
        )


def _result(strata: Strata, plan: Plan, times: StageTimes) -> CheckResult:
    """The error rate over `strata`; `within` where this stage's margin is proved, breaches are for the caller."""
    margin = plan.checks.error_rate.within
    gate_margin = whole_service_margin(margin, plan.next_share(times.stage) / FULL_SHARE)
    process = _process(strata, plan, times)
    spread = dispersion(strata.canary_buckets, strata.baseline_buckets)
    found = bounds(process, spread, needed_log_e(plan.alpha, _SHARES[_ERROR_RATE]), margin, gate_margin)
    within = process.log_e_within(gate_margin, spread)
    baseline, canary = _count(strata.baseline), _count(strata.canary)
    return CheckResult(
        check=_ERROR_RATE,
        verdict=_verdict(breached=False, within=is_within(within)),
        baseline=baseline,
        canary=canary,
        difference=_rounded(canary.bad / canary.n - baseline.bad / baseline.n) if canary.n and baseline.n else None,
        low=_rounded(found.lower),
        high=_rounded(found.upper),
        margin=margin,
        gate_margin=_rounded(gate_margin),
        log_e_breach=_rounded(process.log_e_breach(margin, spread)) or 0.0,
        log_e_within=_rounded(within) or 0.0,
        dispersion=_rounded(spread.pooled) or 1.0,
    )


def _process(strata: Strata, plan: Plan, times: StageTimes) -> RateProcess:
    """Fold the windows in time order, starting afresh where the plan says; nothing before the first acknowledgement."""
    if not times.started_ms or not len(strata.window_end_ms):
        return RateProcess.empty()
    ends = strata.window_end_ms
    schedule = restart_schedule([stage.duration_s for stage in plan.stages])
    now_ms = max(
        int(ends[-1]), times.started_ms[-1]
    )  # a stage has begun when it was acknowledged, with data or without
    begun = schedule.begun([ms / 1000 for ms in times.started_ms], now_ms / 1000)
    process, done = RateProcess.empty(), 0
    for restart in begun:
        until = int(np.searchsorted(ends, restart.at_s * 1000, side="right"))
        process = process.add(strata.canary[done:until], strata.baseline[done:until]).restart(restart)
        done = until
    return process.add(strata.canary[done:], strata.baseline[done:])


def _verdict(*, breached: bool, within: bool) -> Literal["breached", "within", "undecided"]:
    return "breached" if breached else "within" if within else "undecided"


def _count(counts: Counts) -> Count:
    n, bad = counts.sum(axis=0).tolist()
    return Count(n=n, bad=bad)


def _rounded(value: float | None) -> float | None:
    """Six significant digits: what an entry carries must be the same on every machine."""
    return None if value is None else float(f"{value:.6g}")
