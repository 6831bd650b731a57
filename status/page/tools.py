"""Which tool? Calls of each on both cohorts, worst first, on the scale of the check "Worst tool". Pure."""

from dataclasses import dataclass

from markupsafe import Markup

from schemas.windows import ToolCount
from status.page import figures
from status.page.markup import code, joined, none, region
from status.page.plot import plot
from status.page.scale import by_difference
from status.page.shown import Places, Row
from status.page.snapshot import Snapshot
from status.series import wilson

HEIGHT = 36
SHOWN = 10

_ROW = Markup(
    '<tr role="row" class="{style}"><th role="rowheader" scope="row">{name}</th><td role="cell" class="r num vn">{calls}</td>'
    '<td role="cell" class="r num vb">{baseline}</td><td role="cell" class="r num vc">{canary}</td>'
    '<td role="cell" class="plot">{plot}</td><td role="cell" class="r num diff">{difference}</td>'
    '<td role="cell" class="verdict">{word}</td></tr>'
)
_HEAD = Markup(
    '<thead role="rowgroup"><tr role="row"><th role="columnheader">tool</th><th role="columnheader" class="r">calls on canary</th>'
    '<th role="columnheader" class="r">baseline failed</th><th role="columnheader" class="r">canary failed</th>'
    '<th role="columnheader" class="plot"><span class="vh">difference on the limit’s scale</span></th>'
    '<th role="columnheader" class="r">difference</th><th role="columnheader">the judge says</th></tr></thead>'
)


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool on both cohorts. Rates are None without calls."""

    name: str
    baseline: ToolCount
    canary: ToolCount
    culprit: bool = False

    @property
    def difference(self) -> float | None:
        """Of the shares of calls that failed; None where a cohort has not called it."""
        if not self.baseline.n or not self.canary.n:
            return None
        return self.canary.bad / self.canary.n - self.baseline.bad / self.baseline.n


def tools_of(snapshot: Snapshot) -> tuple[Tool, ...]:
    """Every tool of the newest rollout: what the judge names, then by difference, then what cannot be compared."""
    if snapshot.recent is None:
        return ()
    baseline, canary = (snapshot.recent.tools.get(v, {}) for v in (snapshot.baseline, snapshot.canary))
    named = next((c.culprits for c in snapshot.checks if c.kind == "tools"), ())
    found = [
        Tool(name, baseline.get(name, ToolCount()), canary.get(name, ToolCount()), name in named)
        for name in baseline.keys() | canary.keys()
    ]
    return tuple(sorted(found, key=lambda t: (not t.culprit, t.difference is None, -(t.difference or 0.0), t.name)))


def tools(snapshot: Snapshot) -> Markup:
    """The region."""
    found = tools_of(snapshot)
    limit = snapshot.plan.checks.tools.within if snapshot.plan else 0.05
    if not found:
        return _region(none("No call of a tool has been counted in this rollout."), "Worst first.")
    rows = joined(_row(tool, limit) for tool in found[:SHOWN])
    rest = len(found) - SHOWN
    more = Markup('<p class="small muted">and {} more</p>').format(rest) if rest > 0 else Markup("")
    table = Markup(
        '<div class="tools"><table role="table" aria-label="Tools, worst first">{}<tbody role="rowgroup">{}</tbody></table></div>{}'
    ).format(_HEAD, rows, more)
    return _region(
        table,
        f"Worst first, limit {figures.points(limit)} each. Interval: 95{figures.NB}% at one look; the judge decides by its own.",
    )


def _region(matter: Markup, about: str) -> Markup:
    return region("tools", "snapshot window entry", "Which tool?", about, matter)


def _row(tool: Tool, limit: float) -> Markup:
    row = _as_row(tool, limit)
    return _ROW.format(
        style="lead" if tool.culprit else "",
        name=code(tool.name),
        calls=figures.count(tool.canary.n),
        baseline=row.baseline,
        canary=row.canary,
        plot=plot(row, HEIGHT),
        difference=row.difference,
        word="fails" if tool.culprit else Markup('<span class="muted">not named</span>'),
    )


def _as_row(tool: Tool, limit: float) -> Row:
    difference = tool.difference
    low, high = _interval(tool)
    to_limits = by_difference(limit)
    interval = f"{figures.signed(low)} … {figures.signed(high)}" if difference is not None else ""
    return Row(
        check=tool.name,
        name=tool.name,
        limit=figures.points(limit),
        baseline=_rate(tool.baseline),
        canary=_rate(tool.canary),
        difference="–" if difference is None else figures.points(difference),
        interval=interval,
        verdict="no_data" if difference is None else "undecided",
        note="",
        places=Places() if difference is None else Places(to_limits(difference), to_limits(low), to_limits(high)),
    )


def _rate(count: ToolCount) -> str:
    return figures.percent(count.bad / count.n) if count.n else "–"


def _interval(tool: Tool) -> tuple[float, float]:
    """Newcombe's hybrid score interval of a difference (1998, method 10), of Wilson's intervals of both rates."""
    ours, theirs = wilson(tool.canary.bad, tool.canary.n), wilson(tool.baseline.bad, tool.baseline.n)
    if ours is None or theirs is None:
        return 0.0, 0.0
    (p, p_low, p_high), (q, q_low, q_high) = ours, theirs
    off_low = ((p - p_low) ** 2 + (q_high - q) ** 2) ** 0.5
    off_high = ((p_high - p) ** 2 + (q - q_low) ** 2) ** 0.5
    return p - q - off_low, p - q + off_high
