"""Both cohorts over time, ready to draw: one value, its interval and the limit a span. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from davylamp_sdk._message import Message
from schemas.control import RolloutView
from schemas.names import ServiceName
from schemas.plan import Plan
from schemas.windows import COARSE_PER_FINE
from status.page.tail import BINS_PER_OCTAVE, Distribution
from status.recent import Recent, Tally

Z = 1.96
"""Intervals of a span: 95 %, at one look, widened by the check's dispersion. They describe; the checks decide."""

POINTS = 32
"""At most: a point of few requests says little, and its interval fills the picture."""

_PER_OCTAVE = BINS_PER_OCTAVE // COARSE_PER_FINE
_P99 = 0.01
_FEWEST = 100
"""Requests of a span below which it has no p99: its largest value says little."""
_FEWEST_COUNTED = 5
"""Below so many it has no rate: one failure would fill the picture."""


class Line(Message):
    """One cohort, a number a span; null: nothing was counted, drawn as a gap."""

    value: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


class Chart(Message):
    """One quantity of both cohorts on one axis."""

    name: Literal["error_rate", "tool_failures", "latency_p99"]
    unit: Literal["part", "ms"]
    baseline: Line
    canary: Line
    limit: tuple[float | None, ...] = Field(description="What the plan allows; it follows the baseline.")


class Series(Message):
    """The newest rollout of a service over time, as far back as this process keeps it."""

    service: ServiceName
    rollout: int
    step_ms: int = Field(description="Length of a span; 0 without any.")
    starts: tuple[int, ...] = Field(description="Unix milliseconds, ascending; a span without any request is missing.")
    charts: tuple[Chart, ...]


def series(service: str, recent: Recent, view: RolloutView | None, plan: Plan | None) -> Series:
    """What the page draws."""
    step_ms, spans = grouped(recent)
    starts = tuple(sorted(spans))
    baseline, canary = (
        [spans[start].get(version or "", Tally()) for start in starts]
        for version in ((view.baseline, view.canary) if view else (None, None))
    )
    checks = (plan or Plan(service=service, canary="v")).checks
    spread = {check.check: max(1.0, check.dispersion) for check in view.checks} if view else {}
    errors = _rates("error_rate", baseline, canary, _errors, spread.get("error_rate", 1.0), checks.error_rate.within)
    tools = _rates(
        "tool_failures", baseline, canary, _tools, spread.get("tool_success", 1.0), checks.tool_success.within
    )
    latency = _latencies(baseline, canary, 1 + checks.latency_p99.within)
    shown = (errors, *((tools,) if any(t.tool_calls for t in baseline + canary) else ()), latency)
    return Series(service=service, rollout=recent.rollout, step_ms=step_ms, starts=starts, charts=shown)


def grouped(recent: Recent) -> tuple[int, Mapping[int, Mapping[str, Tally]]]:
    """The spans, twice as long as often as needed to be at most :data:`POINTS`, and their length."""
    step_ms, spans = recent.step_ms, recent.spans
    while len(spans) > POINTS:
        step_ms *= 2
        longer: dict[int, dict[str, Tally]] = {}
        for start, versions in spans.items():
            span = longer.setdefault(start // step_ms * step_ms, {})
            for version, tally in versions.items():
                span.setdefault(version, Tally()).add(tally)
        spans = longer
    return step_ms, spans


def _errors(tally: Tally) -> tuple[int, int]:
    return tally.errors, tally.requests


def _tools(tally: Tally) -> tuple[int, int]:
    return tally.tool_failures, tally.tool_calls


def _rates(
    name: Literal["error_rate", "tool_failures"],
    baseline: Sequence[Tally],
    canary: Sequence[Tally],
    counted: Callable[[Tally], tuple[int, int]],
    dispersion: float,
    margin: float,
) -> Chart:
    lines = [_line([_rate(*counted(tally), dispersion) for tally in cohort]) for cohort in (baseline, canary)]
    limit = tuple(None if value is None else value + margin for value in lines[0].value)
    return Chart(name=name, unit="part", baseline=lines[0], canary=lines[1], limit=limit)


def _latencies(baseline: Sequence[Tally], canary: Sequence[Tally], limit: float) -> Chart:
    lines = [_line([p99(tally) for tally in cohort]) for cohort in (baseline, canary)]
    allowed = tuple(None if value is None else value * limit for value in lines[0].value)
    return Chart(name="latency_p99", unit="ms", baseline=lines[0], canary=lines[1], limit=allowed)


_Found = tuple[float, float, float] | None
"""(value, low, high)."""


def _line(found: Sequence[_Found]) -> Line:
    columns = [tuple(None if f is None else float(f"{f[i]:.6g}") for f in found) for i in range(3)]
    return Line(value=columns[0], low=columns[1], high=columns[2])


def _rate(bad: int, n: int, dispersion: float) -> _Found:
    return wilson(bad, n, dispersion) if n >= _FEWEST_COUNTED else None


def wilson(bad: int, n: int, dispersion: float = 1.0) -> _Found:
    """A rate with Wilson's interval (1927), over `n / dispersion` independent requests; None without any."""
    if not n:
        return None
    p, size = bad / n, n / dispersion
    centre = (p + Z * Z / (2 * size)) / (1 + Z * Z / size)
    half = Z * math.sqrt(p * (1 - p) / size + Z * Z / (4 * size * size)) / (1 + Z * Z / size)
    return p, max(0.0, centre - half), min(1.0, centre + half)


def p99(tally: Tally) -> _Found:
    """The latency that one request in a hundred exceeds, between the ranks that bound it; None of too few."""
    lies = Distribution.of(tally.latency, _PER_OCTAVE)
    if lies.n < _FEWEST:
        return None
    off = Z * math.sqrt(_P99 * (1 - _P99) / lies.n)
    values = [lies.exceeded_by(part) for part in (_P99, _P99 + off, max(0.0, _P99 - off))]
    value, low, high = (0.0 if v is None else v for v in values)
    return value, low, high
