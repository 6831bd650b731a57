"""A plan's outlook in words. Pure."""

import math
from collections.abc import Iterator, Sequence

from cli.plan_outlook import LIKELY, CheckOutlook, StageOutlook, slowdown
from cli.plan_traffic import Traffic
from schemas.plan import Plan
from schemas.units import format_duration_s, format_share

_NAMES = {"error_rate": "errors", "tool_success": "tool failures", "latency_p99": "p99"}
_ALMOST_ALL = 0.9
"""A rise of so much of all requests is called an outage."""
_MINUTE_S = 60.0
_HOUR_S = 3600.0
_DAY_S = 86_400.0


def render_outlook(plan: Plan, traffic: Traffic, stages: Sequence[StageOutlook]) -> str:
    """The traffic, then each stage: what it catches and how fast, what it rules out, what it cannot prove."""
    lines = [*_traffic(plan, traffic), ""]
    for stage in stages:
        lines += [*_stage(plan, traffic, stage), ""]
    lines.append(
        f"Caught, ruled out and proved: in {100 * LIKELY:.0f} of 100 such rollouts; times of faults: by then half are rolled back."
    )
    return "\n".join(lines)


def warnings(stages: Sequence[StageOutlook]) -> Iterator[str]:
    """One sentence for each stage that will not prove what its gate asks for."""
    for stage in stages:
        if stage.unproven or stage.min_sessions_s > stage.planned_s:
            yield _warning(stage)


def _warning(stage: StageOutlook) -> str:
    what, caught = _head(stage), [c for c in stage.checks if math.isfinite(c.caught)]
    catches = ", ".join(f"{_NAMES[c.check]} from {_size(c, c.caught)}" for c in caught)
    names = ", ".join(_NAMES[c.check] for c in stage.unproven)
    does = f"catches only {catches}" if catches else "can catch nothing for certain"
    proves = f" and does not prove its limits of {names}" if names else ""
    return f"{what}: at this traffic it sees {_many(stage.calls)} canary calls, {does}{proves}; {_advice(stage)}."


def _advice(stage: StageOutlook) -> str:
    if math.isinf(stage.suggested_s):
        return "no stage of a day would at this share: take a larger one"
    return f"`for: {format_duration_s(stage.suggested_s)}` would"


def _traffic(plan: Plan, traffic: Traffic) -> Iterator[str]:
    yield (
        f"{plan.service} → {plan.canary} at {_number(traffic.sessions_per_minute)} sessions a minute of "
        f"{_number(traffic.calls_per_session)} calls, {_time(traffic.session_s)} long"
    )
    said = {
        "error_rate": f"{100 * traffic.error_rate:.2g}% of calls fail",
        "error_dispersion": f"in clumps of {traffic.error_dispersion:.2g}",
        "tool_share": f"{100 * traffic.tool_share:.2g}% of calls are tools'",
        "tool_failure_rate": f"{100 * traffic.tool_failure_rate:.2g}% of these fail",
        "tool_dispersion": f"in clumps of {traffic.tool_dispersion:.2g}",
        "latency_dispersion": f"slow calls come in clumps of {traffic.latency_dispersion:.2g}",
        "latency_spread": f"latency spreads by {traffic.latency_spread:.2g}",
        "session_s": "the length of sessions",
    }
    known = [words for name, words in said.items() if name in traffic.measured]
    guessed = [words for name, words in said.items() if name not in traffic.measured]
    if known:
        yield f"  measured: {', '.join(known)}"
    if guessed:
        yield f"  assumed:  {', '.join(guessed)}"


def _stage(plan: Plan, traffic: Traffic, stage: StageOutlook) -> Iterator[str]:
    yield f"{_head(stage)}: {_many(stage.sessions)} canary sessions, {_many(stage.calls)} calls"
    if stage.min_sessions_s > stage.planned_s:
        yield f"  waits for {stage.min_sessions} canary sessions: {_time(stage.min_sessions_s)}"
    for check in stage.checks:
        yield f"  {_NAMES[check.check]:<14} {_check(plan, traffic, check, stage.planned_s)}"
    if stage.unproven:
        yield f"  {'':<14} cannot prove {', '.join(_NAMES[c.check] for c in stage.unproven)}: {_advice(stage)}"


def _check(plan: Plan, traffic: Traffic, check: CheckOutlook, planned_s: float) -> str:
    caught = f"catches {_size(check, check.caught)}"
    speeds = [f"{_size(check, rise)} in {_time(s)}" for rise, s in check.speeds if s <= planned_s]
    out = _size(check, _as_rise(plan, traffic, check, check.ruled_out))
    gate = _size(check, _as_rise(plan, traffic, check, check.gate))
    proof = f"proves {gate}" if check.proof_s <= planned_s else f"cannot prove {gate}"
    parts = [caught, *([", ".join(speeds)] if speeds else []), f"rules out {out}"]
    return "; ".join([*parts, f"{proof} (takes {_time(check.proof_s)})"])


def _as_rise(plan: Plan, traffic: Traffic, check: CheckOutlook, margin: float) -> float:
    """Of a latency, the factor that such an excess of slow requests means."""
    if check.check == "latency_p99" and math.isfinite(margin):
        return slowdown(traffic, margin, plan.checks.latency_p99.within)
    return margin


def _size(check: CheckOutlook, rise: float) -> str:
    if math.isinf(rise):
        return "nothing"
    if check.check == "latency_p99":
        return f"×{rise:.3g}"
    return "an outage" if rise > _ALMOST_ALL else f"+{100 * rise:.2g}pp"


def _head(stage: StageOutlook) -> str:
    return f"Stage {stage.number} ({format_share(stage.share)} for {format_duration_s(stage.planned_s)})"


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"  # noqa: PLR2004 - three digits either way


def _many(number: float) -> str:
    return f"about {number:,.0f}" if number >= 1 else "less than 1"


def _time(seconds: float) -> str:
    if math.isinf(seconds):
        return "for ever"
    for unit, length in (("d", _DAY_S), ("h", _HOUR_S), ("min", _MINUTE_S)):
        if seconds >= length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.0f} s"
