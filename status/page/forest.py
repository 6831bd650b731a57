"""Which promise? The checks, each scaled to its own limit. Pure."""

from markupsafe import Markup

from status.page.figures import share
from status.page.markup import Glyph, code, glyph, joined, moment, none, region
from status.page.plot import axis, empty_plot, plot
from status.page.shown import Row, Verdict
from status.page.snapshot import Snapshot

HEIGHT = 41
_GROUP_HEIGHT = 28

GLYPHS: dict[Verdict, Glyph] = {
    "breached": "breached",
    "within": "within",
    "undecided": "undecided",
    "no_data": "nodata",
}
WORDS: dict[Verdict, str] = {"no_data": "no data"}

_HEAD = Markup(
    '<thead role="rowgroup"><tr role="row"><th role="columnheader" class="w1">check</th>'
    '<th role="columnheader" class="r w2">baseline</th><th role="columnheader" class="r w2">canary</th>'
    '<th role="columnheader" class="axis plot">{}</th>'
    '<th role="columnheader" class="r w3">difference, interval</th><th role="columnheader">verdict</th></tr></thead>'
)
_ROW = Markup(
    '<tr role="row" class="{verdict}"><th role="rowheader" scope="row">{name}<small>limit {limit}</small></th>'
    '<td role="cell" class="r num vb">{baseline}</td><td role="cell" class="r num vc">{canary}</td>'
    '<td role="cell" class="plot">{plot}</td>'
    '<td role="cell" class="r num diff">{difference}{interval}</td><td role="cell" class="verdict">{word}{note}</td></tr>'
)
_GROUP = Markup(
    '<tr role="row" class="group"><th role="rowheader" scope="rowgroup" colspan="3">{}</th>'
    '<td role="cell" class="plot">{}</td><td role="cell" colspan="2"></td></tr>'
)
_KEY = Markup(
    '<p class="key">'
    '<span><svg class="k m-within" aria-hidden="true"><line class="iv" x1="1" x2="29" y1="6" y2="6"/>'
    '<circle class="pt" cx="15" cy="6" r="5"/></svg>within</span> '
    '<span><svg class="k m-undecided" aria-hidden="true"><line class="iv" x1="1" x2="29" y1="6" y2="6"/>'
    '<circle class="pt" cx="15" cy="6" r="5"/></svg>undecided</span> '
    '<span><svg class="k m-breached" aria-hidden="true"><line class="iv" x1="1" x2="29" y1="6" y2="6"/>'
    '<path class="pt" d="M15 -1.5 L22.5 6 L15 13.5 L7.5 6 Z"/></svg>breached: the left end is past the limit</span> '
    '<span><svg class="k" aria-hidden="true"><rect class="void" width="29" height="12"/></svg>no data</span> '
    '<span><svg class="k" aria-hidden="true"><path class="gate" d="M10 2 h9 L14.5 9 Z"/></svg>'
    "this stage’s gate: a right end left of it is proof</span> "
    "<span>Right is worse. Linear to the limit, logarithmic beyond it.</span></p>"
)


def forest(snapshot: Snapshot) -> Markup:
    """The region."""
    rows = snapshot.rows
    matter = Markup("{}{}").format(_table(rows, snapshot), _KEY) if rows else _nothing(snapshot)
    return region("promises", "snapshot view entry", "Which promise?", _about(snapshot), matter)


def word(verdict: Verdict) -> Markup:
    """A verdict by glyph and word."""
    return Markup("{}<b>{}</b>").format(glyph(GLYPHS[verdict]), WORDS.get(verdict, verdict))


def table_row(row: Row) -> Markup:
    """One check."""
    return _ROW.format(
        verdict=row.verdict.replace("_", ""),
        name=row.name,
        limit=row.limit,
        baseline=row.baseline,
        canary=row.canary,
        plot=plot(row, HEIGHT),
        difference=row.difference,
        interval=Markup('<small class="num">{}</small>').format(row.interval) if row.interval else "",
        word=word(row.verdict),
        note=Markup("<small>{}</small>").format(code(row.note) if row.culprits else row.note) if row.note else "",
    )


def _about(snapshot: Snapshot) -> Markup:
    if not snapshot.rows:
        return Markup("Every check on its own limit.")
    if snapshot.frozen_at is not None:
        at = moment(snapshot.frozen_at.decided_at, snapshot.now_ms)
        return Markup("Every check on its own limit, frozen at {}.").format(at)
    return Markup("Every check on its own limit, as of {}.").format(moment(snapshot.view.looked_at, snapshot.now_ms))


def _table(rows: tuple[Row, ...], snapshot: Snapshot) -> Markup:
    gates = [r for r in rows if r.decides and r.gates]
    guards = [r for r in rows if r.decides and not r.gates]
    others = [r for r in rows if not r.decides]
    body = []
    if gates:
        body += [_group(f"Gate: must be within before {_next_share(snapshot)}"), *map(table_row, gates)]
    if guards:
        body += [_group("Guards: a breach rolls back, proof is not asked"), *map(table_row, guards)]
    if others:
        body += [_group("Shown only: the plan has them switched off"), *map(table_row, others)]
    return Markup(
        '<div class="forest"><table role="table" aria-label="Checks, each scaled to its own limit">{}'
        '<tbody role="rowgroup">{}</tbody></table></div>'
    ).format(_HEAD.format(axis()), joined(body))


def _group(text: str) -> Markup:
    return _GROUP.format(text, empty_plot(_GROUP_HEIGHT))


def _next_share(snapshot: Snapshot) -> str:
    """What the stage's proof would open, at the moment that is shown."""
    entry = snapshot.frozen_at
    stage = snapshot.view.stage
    if entry is not None:
        stage = entry.stage - 1 if entry.kind in ("proceed", "complete") else entry.stage
    return share(snapshot.plan.next_share(max(stage, 1))) if snapshot.plan else "the next stage"


def _nothing(snapshot: Snapshot) -> Markup:
    if snapshot.state is None:
        return none("Nothing is compared: there is no rollout.")
    return none("Nothing has been compared yet.")
