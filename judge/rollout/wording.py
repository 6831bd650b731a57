"""Sentences with numbers, for people at 3 AM."""

from judge.policies.port import Assessment
from schemas.decisions import CheckResult, Count
from schemas.plan import Plan
from schemas.units import format_share

_NAMES = {"error_rate": "Error rate"}


def percent(part: float) -> str:
    """0.0123 → ``1.23 %``: three significant digits."""
    return f"{float(f'{100 * part:.3g}'):g} %"


def points(difference: float) -> str:
    """0.0123 → ``+1.23``: percentage points, three significant digits, always with a sign."""
    return f"{float(f'{100 * difference:.3g}'):+g}"


def check_sentence(check: CheckResult) -> str:
    """One check in one sentence: both rates, the difference with its bound, the limit, and what it rests on."""
    name = _NAMES.get(check.check, check.check)
    if check.difference is None:
        return f"{name}: no data."
    bound = f" (at least {points(check.low)})" if check.low is not None else ""
    return (
        f"{name} {_rate(check.canary)} against {_rate(check.baseline)}: {points(check.difference)} points{bound}, "
        f"limit {points(check.margin)}; {check.canary.bad} of {check.canary.n} canary requests failed, "
        f"{check.baseline.bad} of {check.baseline.n} baseline requests."
    )


def breach_sentence(assessment: Assessment) -> str:
    """Why a canary is rolled back; empty without a breach."""
    culprit = next((c for c in assessment.checks if c.check == assessment.breached_by), None)
    return check_sentence(culprit) if culprit is not None else ""


def started_sentence(plan: Plan, baseline: str) -> str:
    """What a start does."""
    first = plan.stages[0]
    return (
        f"Canary {plan.canary} of {plan.service} gets {format_share(first.share)} of new sessions, "
        f"compared with baseline {baseline}."
    )


def _rate(count: Count) -> str:
    return percent(count.bad / count.n) if count.n else "no data"
