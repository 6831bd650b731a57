"""A check as people see it: numbers with units, and where its marks lie on the forest plot's scale. Pure.

Everything comes from the ledger's own :class:`CheckResult`; nothing is computed anew but the scale. Of a latency the
result holds shares of slow requests; what ratio they stand for needs the baseline's distribution (see `tail`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal

from schemas.checks import SUCCESSES
from schemas.decisions import CheckResult, Count
from schemas.plan import Plan
from status.page import figures
from status.page.figures import NB
from status.page.scale import by_difference, by_ratio
from status.page.tail import Distribution, latency_ratio

Verdict = Literal["breached", "within", "undecided", "no_data"]

NAMES = {
    "error_rate": "Error rate",
    "tool_success": "Tool success",
    "latency_p99": "p99 latency",
    "latency_p90": "p90 latency",
    "session_loss": "Session loss",
    "tools": "Worst tool",
    "availability": "Availability",
    "cancel_rate": "Cancelled requests",
    "rejected_rate": "Rejected requests",
}

_UNKNOWN = Distribution()
_UNITS = {"loss": "sessions", "latency": "requests", "tools": "calls"}


@dataclass(frozen=True, slots=True)
class Places:
    """Where the marks lie, in limits (1 is the limit, more is worse); None: nothing to draw."""

    point: float | None = None
    low: float | None = None
    high: float | None = None
    gate: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One check in words and places."""

    check: str
    name: str
    limit: str
    baseline: str
    canary: str
    difference: str
    interval: str
    verdict: Verdict
    note: str
    turned: bool = False
    """Higher is better: shown with its natural sign, drawn with worse at the right."""
    gates: bool = False
    """A stage is passed only on its proof; without, a breach rolls back and proof is not asked."""
    decides: bool = True
    """Whether a breach rolls back; a check that the plan has switched off is shown all the same."""
    culprits: tuple[str, ...] = ()
    places: Places = field(default_factory=Places)

    @property
    def within_a_sentence(self) -> str:
        """Its name, as it stands after other words."""
        return self.name[:1].lower() + self.name[1:]

    @property
    def sentence(self) -> str:
        """For whoever cannot see the plot."""
        if self.verdict == "no_data":
            return f"{self.name}: no data, limit {self.limit}"
        interval = f", interval {self.interval}" if self.interval else ""
        return f"{self.name}: {self.difference}{interval}, limit {self.limit}: {self.verdict}"


def row(check: CheckResult, plan: Plan | None = None, tail: Distribution | None = None) -> Row:
    """One check. `plan` knows the limit of a latency, `tail` how the baseline's latencies lie."""
    measure = _measure(check, plan, tail or _UNKNOWN)
    verdict = _verdict(check)
    known = verdict != "no_data"
    return Row(
        check=check.check,
        name=name_of(check.check),
        limit=measure.limit,
        baseline=_value(check, check.baseline),
        canary=_value(check, check.canary),
        difference=measure.point_text if known else "–",
        interval=measure.interval_text if known else "",
        verdict=verdict,
        note=_note(check, verdict, measure),
        turned=measure.turned,
        gates=check.gate_margin is not None,
        decides=decides(check, plan),
        culprits=check.culprits,
        places=measure.places if known else Places(),
    )


def nearest(checks: tuple[CheckResult, ...], plan: Plan | None = None) -> CheckResult | None:
    """The one to show where there is room for one: nearest to its limit, or the farthest past it.

    One without data where there is no other; None without any.
    """
    known = [(at, check) for check in checks if decides(check, plan) and (at := _point(check, plan)) is not None]
    breached = [(at, check) for at, check in known if check.verdict == "breached"]
    found = max(breached or known, key=itemgetter(0), default=None)
    return found[1] if found else checks[0] if checks else None


def decides(check: CheckResult, plan: Plan | None) -> bool:
    """Whether a breach of it rolls back: not of one that the plan has switched off."""
    return check.share > 0 and (plan is None or plan.checks.decides(check.check))


def _point(check: CheckResult, plan: Plan | None) -> float | None:
    """Where its mark lies, in limits. It needs no distribution: only the ends of a latency's interval do."""
    return None if _verdict(check) == "no_data" else _measure(check, plan, _UNKNOWN).in_limits


def name_of(check: str) -> str:
    """A check's name; a custom metric's own."""
    return NAMES.get(check, check.replace("_", " ").capitalize())


def _verdict(check: CheckResult) -> Verdict:
    if check.verdict == "undecided" and (check.why_undecided == "no_data" or check.difference is None):
        return "no_data"
    return check.verdict


def _value(check: CheckResult, count: Count) -> str:
    value = count.value if check.kind in ("latency", "mean") else count.rate
    if value is None or not count.n:
        return "–"
    if check.kind == "latency":
        return figures.milliseconds(value)
    if check.kind == "mean":
        return figures.mean(value)
    return figures.percent(1 - value if check.check in SUCCESSES else value)


@dataclass(frozen=True, slots=True)
class _Measure:
    """How one kind of check is written and placed."""

    check: CheckResult
    limit: str
    turned: bool
    point: float | None
    """In what people compare: a difference, or a ratio, worse upwards."""
    of_difference: Callable[[float], float | None]
    """The same, of a bound of the difference as the result holds it."""
    to_limits: Callable[[float], float]
    text: Callable[[float], str]
    """With its unit."""
    bare: Callable[[float], str]
    """Without."""

    @property
    def low(self) -> float | None:
        return None if self.check.low is None else self.of_difference(self.check.low)

    @property
    def high(self) -> float | None:
        return None if self.check.high is None else self.of_difference(self.check.high)

    @property
    def gate(self) -> float | None:
        return None if self.check.gate_margin is None else self.of_difference(self.check.gate_margin)

    @property
    def point_text(self) -> str:
        return "–" if self.point is None else self.text(self.point)

    @property
    def interval_text(self) -> str:
        """Both ends, or the one that is known."""
        first, second = (self.high, self.low) if self.turned else (self.low, self.high)
        if first is not None and second is not None:
            return f"{self.bare(first)} … {self.bare(second)}"
        if first is not None:
            return f"≥{NB}{self.bare(first)}"
        return "" if second is None else f"≤{NB}{self.bare(second)}"

    @property
    def places(self) -> Places:
        return Places(*(self._in_limits(at) for at in (self.point, self.low, self.high, self.gate)))

    @property
    def in_limits(self) -> float | None:
        """Where the point lies."""
        return self._in_limits(self.point)

    def _in_limits(self, at: float | None) -> float | None:
        return None if at is None else self.to_limits(at)


def _measure(check: CheckResult, plan: Plan | None, tail: Distribution) -> _Measure:
    if check.kind == "latency":
        return _latency(check, plan, tail)
    if check.ratio != 1 and check.kind != "tools":
        return _ratio(check)
    return _difference(check)


def _difference(check: CheckResult) -> _Measure:
    turned = check.check in SUCCESSES or check.worse == "lower"
    sign = -1 if turned else 1
    more = ", turned" if turned else f"{NB}points"
    return _Measure(
        check=check,
        limit=figures.signed(sign * check.margin) + more,
        turned=turned,
        point=check.difference,
        of_difference=lambda at: at,
        to_limits=by_difference(check.margin),
        text=lambda at: figures.points(sign * at),
        bare=lambda at: figures.signed(sign * at),
    )


def _ratio(check: CheckResult) -> _Measure:
    """`ratio × p + margin` where `p` is the better cohort's value: a bound of the difference over `p` is one of the ratio."""
    turned = check.worse == "lower"
    base = check.canary if turned else check.baseline
    value = (base.value if base.value is not None else base.rate) or math.nan

    def as_ratio(difference: float) -> float | None:
        return None if math.isnan(value) else max(0.0, check.ratio + difference / value)

    def natural(at: float) -> float:
        return (1 / at if at else math.inf) if turned else at

    limit = as_ratio(check.margin) or check.ratio
    return _Measure(
        check=check,
        limit=figures.limit_ratio(natural(limit)) + (", turned" if turned else ""),
        turned=turned,
        point=None if check.difference is None else as_ratio(check.difference),
        of_difference=as_ratio,
        to_limits=by_ratio(limit),
        text=lambda at: figures.ratio(natural(at)),
        bare=lambda at: f"{natural(at):.3f}",
    )


def _latency(check: CheckResult, plan: Plan | None, tail: Distribution) -> _Measure:
    limit = 1 + _latency_within(plan, check.check)
    ours, theirs = check.canary.value, check.baseline.value
    baseline_part = check.baseline.rate or 0.0
    return _Measure(
        check=check,
        limit=figures.limit_ratio(limit),
        turned=False,
        point=ours / theirs if ours is not None and theirs else None,
        of_difference=lambda at: latency_ratio(tail, baseline_part + at, baseline_part, limit),
        to_limits=by_ratio(limit),
        text=figures.ratio,
        bare=lambda at: f"{at:.3f}",
    )


def _latency_within(plan: Plan | None, check: str) -> float:
    checks = plan.checks if plan is not None else Plan.model_fields["checks"].default
    return float(checks.latency_p90.within if check == "latency_p90" else checks.latency_p99.within)


def _note(check: CheckResult, verdict: Verdict, measure: _Measure) -> str:
    """What else to know, in a few words."""
    if check.kind == "tools" and check.culprits:
        return ", ".join(check.culprits[:2])
    if verdict == "breached":
        unit = _UNITS.get(check.kind, "calls" if check.check == "tool_success" else "requests")
        return f"{figures.count(check.canary.bad)} of {figures.count(check.canary.n)} {unit}"
    if verdict == "undecided" and check.needed:
        return f"{figures.count(check.needed)} more sessions"
    if verdict == "within" and measure.gate is not None and measure.high is not None:
        most = "worst" if measure.turned else "most"
        return f"{most} {measure.bare(measure.high)}, gate {measure.bare(measure.gate)}"
    return _WHY.get(check.why_undecided or "", "") if verdict in ("undecided", "no_data") else ""


_WHY: Mapping[str, str] = {
    "few_buckets": "too few sessions yet",
    "more_needed": "more data needed",
}
