"""Since when? Both cohorts over time, with the decisions. Pure."""

from markupsafe import Markup

from schemas.decisions import LedgerEntry
from status.page import figures
from status.page.chart import Mark, figure
from status.page.markup import joined, none, region
from status.page.snapshot import Snapshot

_CHECKS = {"error_rate": "error_rate", "tool_failures": "tool_success", "latency_p99": "latency_p99"}


def charts(snapshot: Snapshot) -> Markup:
    """The region."""
    series = snapshot.series
    if series is None or not series.starts:
        return _region(none("No window has been counted in this rollout."), "Both cohorts on one axis.")
    marks = marks_of(snapshot)
    until = snapshot.now_ms if snapshot.state in ("collecting", "held") else None
    versions = snapshot.baseline, snapshot.canary
    figs = joined(
        figure(chart, series, marks, versions, _values(snapshot, _CHECKS[chart.name]), until) for chart in series.charts
    )
    about = (
        f"One axis for both cohorts, a point each {figures.duration(series.step_ms / 1000)}. Band: its 95{figures.NB}% interval. "
        "Dotted: limit, which follows the baseline."
    )
    matter = Markup('<div class="charts" data-series="/api/rollouts/{}/series">{}</div>').format(snapshot.service, figs)
    return _region(matter, about)


def _region(matter: Markup, about: str) -> Markup:
    return region("charts", "snapshot window entry", "Since when?", about, matter)


def marks_of(snapshot: Snapshot) -> tuple[Mark, ...]:
    """What was decided, on the time axis."""
    return tuple(mark for entry in snapshot.entries if (mark := _mark(entry)) is not None)


def _mark(entry: LedgerEntry) -> Mark | None:
    if entry.kind in ("start", "proceed", "complete"):
        return Mark(entry.decided_at, figures.share(entry.share)) if entry.share else None
    words = {"rollback": ("rolled back", "x"), "hold": ("held", "h"), "resume": ("resumed", "")}
    text, style = words.get(entry.kind, ("", ""))
    return Mark(entry.decided_at, text, style) if text else None


def _values(snapshot: Snapshot, check: str) -> tuple[str, str]:
    """What the check says; of tool success the caption says failures, as the chart does."""
    found = next((r for r in snapshot.rows if r.check == check), None)
    return ("", "") if found is None or check == "tool_success" else (found.baseline, found.canary)
