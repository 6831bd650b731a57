"""Sentences with numbers, for people at 3 AM. Every number in a sentence is of the same windows."""

from collections.abc import Callable
from datetime import UTC, datetime

from judge.policies.port import Assessment
from schemas.decisions import CheckKind, CheckResult, Count
from schemas.plan import Plan
from schemas.units import format_share

_NAMES = {
    "error_rate": "Error rate",
    "tool_success": "Failed tool calls",
    "latency_p99": "p99 latency",
    "latency_p90": "p90 latency",
    "session_loss": "Lost sessions",
    "tools": "Failed calls by tool",
    "availability": "Failures that the proxies saw",
    "cancel_rate": "Cancelled requests",
    "rejected_rate": "Rejected requests",
}
_COUNTED = {"tool_success": "tool calls failed", "cancel_rate": "requests were cancelled"}


def name_of(check: str) -> str:
    """What people call a check; a custom metric by its own name."""
    return _NAMES.get(check, check)


def percent(part: float) -> str:
    """0.0123 → ``1.23 %``: three significant digits."""
    return f"{float(f'{100 * part:.3g}'):g} %"


def points(difference: float) -> str:
    """0.0123 → ``+1.23``: percentage points, three significant digits, always with a sign."""
    return f"{float(f'{100 * difference:.3g}'):+g}"


def check_sentence(check: CheckResult) -> str:
    """One check in one sentence: both cohorts, what is allowed, and what it rests on."""
    if check.difference is None:
        return f"{name_of(check.check)}: no data."
    since = ""
    if check.since is not None:
        since = f" All since {datetime.fromtimestamp(check.since / 1000, UTC):%H:%M:%S} UTC."
    return f"{name_of(check.check)} {_SENTENCES[check.kind](check)}.{since}"


def breach_sentence(assessment: Assessment) -> str:
    """Why a canary is rolled back; empty without a breach."""
    if assessment.breached_by is None:
        return ""
    if assessment.sentence is not None:
        return assessment.sentence
    culprit = next((c for c in assessment.checks if c.check == assessment.breached_by), None)
    if culprit is None:
        return ""
    if culprit.low is None or culprit.low < culprit.margin:
        return f"{check_sentence(culprit)} No check alone is proof enough, all of them together are."
    return check_sentence(culprit)


def started_sentence(plan: Plan, baseline: str) -> str:
    """What a start does."""
    first = plan.stages[0]
    begins = "gets" if "start" not in plan.approve else "waits for a person's approval, then gets"
    return (
        f"Canary {plan.canary} of {plan.service} {begins} {format_share(first.share)} of new sessions, "
        f"compared with baseline {baseline}."
    )


def _rate(check: CheckResult) -> str:
    bound = f" (at least {points(check.low)})" if check.low is not None else ""
    limit = f"limit {points(check.margin)}"
    if check.ratio != 1:
        bound, limit = "", f"limit {check.ratio:g} times the baseline's"
    return (
        f"{_share(check.canary)} against {_share(check.baseline)}: "
        f"{points(_simple_difference(check))} points{bound}, {limit}; {_both(check)}"
    )


def _latency(check: CheckResult) -> str:
    return (
        f"{_ms(check.canary.value)} against {_ms(check.baseline.value)}: {_share(check.canary)} of {check.canary.n} canary "
        f"requests took longer than {_ms(check.canary_threshold)}, {_share(check.baseline)} of {check.baseline.n} baseline "
        f"requests longer than {_ms(check.threshold)}"
    )


def _mean(check: CheckResult) -> str:
    canary, baseline = check.canary.value or 0.0, check.baseline.value or 0.0
    times = f"{canary / baseline:.3g} times" if baseline else "more than"
    limit = check.ratio if check.worse == "higher" else 1 / check.ratio
    return (
        f"{_number(canary)} against {_number(baseline)} a request: {times} the baseline's, limit {limit:.3g} times; "
        f"{check.canary.n} canary requests, {check.baseline.n} baseline requests"
    )


def _tools(check: CheckResult) -> str:
    names = f"{', '.join(check.culprits)}; " if check.culprits else ""
    return f"({names}limit {points(check.margin)} points each): {_both(check)} of all tools"


def _loss(check: CheckResult) -> str:
    return (
        f"{_share(check.canary)} against {_share(check.baseline)} between two ages, limit {check.ratio:g} times the "
        f"baseline's; {check.canary.bad} of {check.canary.n} canary sessions fell silent, {check.baseline.bad} of "
        f"{check.baseline.n} baseline sessions, each counted at every age it reached"
    )


_SENTENCES: dict[CheckKind, Callable[[CheckResult], str]] = {
    "rate": _rate,
    "latency": _latency,
    "mean": _mean,
    "tools": _tools,
    "loss": _loss,
}


def _both(check: CheckResult) -> str:
    canary, baseline = check.canary, check.baseline
    did = _COUNTED.get(check.check, "requests failed" if check.check in _NAMES else "requests counted")
    noun = did.rpartition(" ")[0].removesuffix(" were")
    return f"{canary.bad:g} of {canary.n} canary {did}, {baseline.bad:g} of {baseline.n} baseline {noun}"


def _simple_difference(check: CheckResult) -> float:
    return (check.canary.rate or 0.0) - (check.baseline.rate or 0.0)


def _share(count: Count) -> str:
    return percent(count.bad / count.n) if count.n else "no data"


def _ms(value: float | None) -> str:
    return "no data" if value is None else f"{value:.3g} ms"


def _number(value: float) -> str:
    """1234.5 → ``1230``: three significant digits, never with an exponent."""
    return f"{float(f'{value:.3g}'):g}" if abs(value) < 1e6 else f"{float(f'{value:.3g}'):.0f}"  # noqa: PLR2004
