"""One service's row of the list. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from status.page import figures
from status.page.answer import drain_ends_ms, headline
from status.page.facts import counted_sessions
from status.page.markup import Template, ago, glyph, moment
from status.page.plot import empty_plot, plot
from status.page.shown import Row
from status.page.snapshot import BACK, PROMOTED, Snapshot
from status.page.track import mini

HEIGHT = 58
_DAY_MS = 86_400_000

_BEFORE = Template(
    '<tr role="row" class="{style}"><th role="rowheader" scope="row"><a href="/rollouts/{service}">{service}</a><small>{versions}</small></th>'
    '<td role="cell" class="state">{state}'
)
_AFTER = Template(
    '</td><td role="cell" class="num r l-share">{share}</td>'
    '<td role="cell" class="l-chk">{check}</td><td role="cell" class="plot">{plot}</td>'
    '<td role="cell" class="num r l-sess">{sessions}</td><td role="cell" class="num r l-score">{score}</td>'
    '<td role="cell" class="l-next">{next}</td></tr>'
)

_SHARE = Template("{share}<small>{track} {proxies}</small>")
_STATE = Template('<span class="{style}">{glyph}{word}</span>')
_CHECK = Template('{name} <b class="nb">{difference}</b><small>limit {limit}</small>')
_SESSIONS = Template('{n}<span class="unit"> canary sessions</span>')
_SMALL = Template("<small>{text}</small>")

Draw = Callable[[Snapshot], Markup]
"""Makes a service's row."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A row but for its age: what holds until something happens."""

    before: Markup
    after: Markup
    by_latencies: bool
    """It shows a latency, whose interval is drawn by how the baseline's lie."""

    def at(self, snapshot: Snapshot) -> Markup:
        """The row, as of the snapshot."""
        since = snapshot.decision
        age = _SMALL(text=ago(since.decided_at, snapshot.now_ms)) if since else Markup("")
        return self.before + age + self.after


def row(snapshot: Snapshot) -> Markup:
    """One service."""
    return drawn(snapshot).at(snapshot)


def rests_on(snapshot: Snapshot) -> tuple[object, ...]:
    """What a drawn row depends on, beside the judge's view and latencies: while these are the same, so is the row.

    The entries are those up to the head; a time of day has its date where that is another than today's.
    """
    return (
        snapshot.head.id if snapshot.head else "",
        snapshot.baseline,
        snapshot.acknowledged,
        counted_sessions(snapshot),
        snapshot.now_ms // _DAY_MS,
    )


def latencies_counted(snapshot: Snapshot) -> int:
    """Of the baseline: while there are no more, they lie as they lay."""
    total = snapshot.recent.totals.get(snapshot.baseline) if snapshot.recent else None
    return total.requests if total else 0


def drawn(snapshot: Snapshot) -> Drawn:
    """A row but for its age."""
    over = snapshot.state in PROMOTED or snapshot.state is None or snapshot.state == "drained"
    check = snapshot.nearest if snapshot.state not in PROMOTED else None
    running, known = snapshot.acknowledged
    score = snapshot.frozen_at.score if snapshot.frozen_at else snapshot.view.score
    back = f", back on {snapshot.baseline}" if snapshot.state in BACK else ""
    before = _BEFORE(
        style="ended" if over else "",
        service=snapshot.service,
        versions=f"{snapshot.baseline} → {snapshot.canary}{back}" if snapshot.state else snapshot.baseline,
        state=_state(snapshot),
    )
    after = _AFTER(
        share=_SHARE(
            share=figures.share(snapshot.view.share),
            track=mini(snapshot),
            proxies=f"{running} of {known}" if known else "no proxy",
        ),
        check=_check(check, snapshot),
        plot=plot(check, HEIGHT) if check else empty_plot(HEIGHT),
        sessions=_sessions(snapshot),
        score="–" if score is None or snapshot.no_data else f"{score:.0f}",
        next=_next(snapshot),
    )
    return Drawn(before, after, by_latencies=check is not None and check.check.startswith("latency"))


def _state(snapshot: Snapshot) -> Markup:
    found = headline(snapshot)
    word = found.brief.partition(" at ")[0].partition(" to ")[0].partition(",")[0]
    return _STATE(style=found.style, glyph=glyph(found.glyph), word=word)


def _check(row: Row | None, snapshot: Snapshot) -> Markup:
    if row is None:
        words = "comparison ended" if snapshot.state in PROMOTED else "nothing compared"
        return Markup('<span class="muted">{}</span>').format(words)
    return _CHECK(name=row.name, difference=row.difference, limit=row.limit)


def _sessions(snapshot: Snapshot) -> Markup:
    """The unit is for phones, where no heading stands above."""
    n = counted_sessions(snapshot)[1]
    if snapshot.state is None or (snapshot.no_data and not n):
        return Markup("–")
    return _SESSIONS(n=figures.count(n))


def _next(snapshot: Snapshot) -> Markup:
    view = snapshot.view
    back = next((e for e in reversed(snapshot.entries) if e.kind == "rollback"), None)
    if snapshot.state == "rolled_back" and back is not None and back.hold_mode == "drain":
        return Markup("<span>Drain ends {}</span><small>then nothing by itself</small>").format(
            moment(drain_ends_ms(snapshot, back), snapshot.now_ms)
        )
    if snapshot.state == "held":
        word = "Waits for telemetry" if snapshot.no_data else "Waits for a person"
        return Markup("<span>{}</span><small>{}</small>").format(word, view.held_because or "")
    if snapshot.live:
        return _SMALL(text=view.waiting_for or "")
    return Markup('<span class="muted">Nothing</span>')
