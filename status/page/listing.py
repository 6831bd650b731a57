"""The list of every service, those that need a person first. Pure."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from status.page import figures
from status.page.answer import Headline, drain_ends_ms, headline
from status.page.facts import counted_sessions
from status.page.health import Health, Item, items, station
from status.page.markup import Template, ago, glyph, joined, moment, none, region
from status.page.plot import axis, empty_plot, plot
from status.page.shell import document, lost, top
from status.page.shown import Row
from status.page.snapshot import BACK, PROMOTED, Snapshot, Viewer
from status.page.track import mini

HEIGHT = 58
AWAY_S = 15.0

_HEAD = Markup(
    '<thead role="rowgroup"><tr role="row"><th role="columnheader">service</th><th role="columnheader">state</th>'
    '<th role="columnheader" class="r">share, run by</th><th role="columnheader">nearest check</th>'
    '<th role="columnheader" class="axis plot">{}</th><th role="columnheader" class="r">canary sessions</th>'
    '<th role="columnheader" class="r">score</th><th role="columnheader">next, by itself</th></tr></thead>'
)
_ROW = Template(
    '<tr role="row" class="{style}"><th role="rowheader" scope="row"><a href="/rollouts/{service}">{service}</a><small>{versions}</small></th>'
    '<td role="cell" class="state">{state}</td><td role="cell" class="num r l-share">{share}</td>'
    '<td role="cell" class="l-chk">{check}</td><td role="cell" class="plot">{plot}</td>'
    '<td role="cell" class="num r l-sess">{sessions}</td><td role="cell" class="num r l-score">{score}</td>'
    '<td role="cell" class="l-next">{next}</td></tr>'
)

_SHARE = Template("{share}<small>{track} {proxies}</small>")
_STATE = Template('<span class="{style}">{glyph}{word}</span>{when}')
_CHECK = Template('{name} <b class="nb">{difference}</b><small>limit {limit}</small>')
_SESSIONS = Template('{n}<span class="unit"> canary sessions</span>')
_SMALL = Template("<small>{text}</small>")


def page(snapshots: Sequence[Snapshot], now_ms: int, viewer: Viewer, away_s: float) -> Markup:
    """The whole document."""
    stale = away_s > AWAY_S
    root = Markup(' data-stream="/api/stream" data-regions="/regions"{}').format(Markup(" data-stale") if stale else "")
    body = Markup('<div class="page">{}{}<main>{}</main>{}</div>').format(
        top(Markup("<span>rollouts</span>"), now_ms, viewer, home=True),
        lost(away_s if stale else 0.0, now_ms, "davylamp status"),
        regions(snapshots, list(REGIONS)),
        Markup(
            '<footer><span>Same numbers as <a href="/api/rollouts">JSON</a>, <a href="/api/stream">stream</a>, '
            '<a href="/metrics">metrics</a>; <a href="/openapi.json">API</a></span><span><code>davylamp status</code></span>'
            "<span>all times UTC</span></footer>"
        ),
    )
    icon = "stale" if stale else worst(snapshots).glyph if snapshots else "nodata"
    return document("? davylamp" if stale else title(snapshots), icon, body, root)


def regions(snapshots: Sequence[Snapshot], names: list[str]) -> Markup:
    """Some regions; a name that is not known is left out."""
    return joined(REGIONS[name](snapshots) for name in names if name in REGIONS)


def title(snapshots: Sequence[Snapshot]) -> str:
    """Of the browser's tab."""
    back = sum(s.state in BACK for s in snapshots)
    return f"✖ {back} rolled back · davylamp" if back else "davylamp rollouts"


def worst(snapshots: Sequence[Snapshot]) -> Headline:
    """What the tab's icon shows."""
    return headline(urgent_first(snapshots)[0])


def urgent_first(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Rolled back, without data, held, waiting, running, ended."""
    return sorted(snapshots, key=lambda s: (_urgency(s), s.service))


def _urgency(snapshot: Snapshot) -> int:
    if snapshot.no_data:
        return 1
    order = {"rolled_back": 0, "held": 2, "pending": 3, "shifting": 4, "collecting": 4, "drained": 5, "completed": 6}
    return order.get(snapshot.state or "", 7)


def tally(snapshots: Sequence[Snapshot]) -> Markup:
    """The first line: how many in which state."""
    words = [
        ("rolled back", sum(s.state in BACK for s in snapshots)),
        ("without data", sum(s.no_data for s in snapshots)),
        ("held", sum(s.state == "held" and not s.no_data for s in snapshots)),
        ("waiting for approval", sum(s.state == "pending" for s in snapshots)),
        ("collecting", sum(s.state in ("shifting", "collecting") for s in snapshots)),
        ("promoted", sum(s.state in PROMOTED for s in snapshots)),
    ]
    shown = [(word, n) for word, n in words if n]
    parts = [_part(word, n, last=i == len(shown) - 1) for i, (word, n) in enumerate(shown)]
    text = Markup(" ").join(parts) if parts else Markup("No rollout yet.")
    return Markup(
        '<div id="tally" data-region="tally" data-on="snapshot entry view" data-title="{}" data-icon="{}"><h1 class="tally">{}</h1>'
        '<p class="muted small">Those that need a person first. The plot shows the check nearest to its limit, on the same '
        "scale for everyone: solid line no change, dotted line limit, right is worse.</p></div>"
    ).format(title(snapshots), worst(snapshots).glyph if snapshots else "nodata", text)


def _part(word: str, n: int, *, last: bool) -> Markup:
    end = "." if last else ","
    if word == "rolled back":
        return Markup('<span class="nb"><span class="bad">{} {} {}</span>{}</span>').format(
            glyph("breached"), n, word, end
        )
    return Markup('<span class="nb">{} {}{}</span>').format(n, word, end)


def table(snapshots: Sequence[Snapshot]) -> Markup:
    """A row a service."""
    if not snapshots:
        return Markup(
            '<div id="list" data-region="list" data-on="snapshot entry view route window service">{}</div>'
        ).format(none("No service is known: davylamp service apply FILE."))
    return Markup(
        '<div class="list" id="list" data-region="list" data-on="snapshot entry view route window service">'
        '<table role="table" aria-label="Rollouts">{}<tbody role="rowgroup">{}</tbody></table></div>'
    ).format(_HEAD.format(axis(narrow=True)), joined(map(_row, urgent_first(snapshots))))


def _row(snapshot: Snapshot) -> Markup:
    over = snapshot.state in PROMOTED or snapshot.state is None or snapshot.state == "drained"
    row = snapshot.nearest if snapshot.state not in PROMOTED else None
    running, known = snapshot.acknowledged
    score = snapshot.frozen_at.score if snapshot.frozen_at else snapshot.view.score
    back = f", back on {snapshot.baseline}" if snapshot.state in BACK else ""
    return _ROW(
        style="ended" if over else "",
        service=snapshot.service,
        versions=f"{snapshot.baseline} → {snapshot.canary}{back}" if snapshot.state else snapshot.baseline,
        state=_state(snapshot),
        share=_SHARE(
            share=figures.share(snapshot.view.share),
            track=mini(snapshot),
            proxies=f"{running} of {known}" if known else "no proxy",
        ),
        check=_check(row, snapshot),
        plot=plot(row, HEIGHT) if row else empty_plot(HEIGHT),
        sessions=_sessions(snapshot),
        score="–" if score is None or snapshot.no_data else f"{score:.0f}",
        next=_next(snapshot),
    )


def _state(snapshot: Snapshot) -> Markup:
    found = headline(snapshot)
    word = found.brief.partition(" at ")[0].partition(" to ")[0].partition(",")[0]
    since = snapshot.decision
    when = _SMALL(text=ago(since.decided_at, snapshot.now_ms)) if since else ""
    return _STATE(style=found.style, glyph=glyph(found.glyph), word=word, when=when)


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


def shared_health(snapshots: Sequence[Snapshot]) -> Markup:
    """The worst of each station, over the services whose rollouts run; over all where none does."""
    snapshots = [s for s in snapshots if s.state in ("shifting", "collecting", "held")] or snapshots
    lists = [items(s) for s in snapshots]
    rank: dict[Health, int] = {"bad": 0, "unknown": 1, "good": 2, "idle": 3}
    worst_ones = [
        (min(range(len(column)), key=lambda i: rank[column[i].health]), column)
        for column in (zip(*lists, strict=True) if lists else ())
    ]
    matter = joined(_station(column[i], snapshots[i].service, len(snapshots)) for i, column in worst_ones)
    return region(
        "health",
        "snapshot view window route",
        "Is the pipeline well?",
        "The least well service of each station.",
        Markup('<dl class="health">{}</dl>').format(matter) if lists else none("Nothing runs yet."),
    )


def _station(item: Item, service: str, services: int) -> Markup:
    named = services > 1 and item.health in ("bad", "unknown")
    return station(item, f"{service}: {item.detail}" if named else None)


REGIONS: dict[str, Callable[[Sequence[Snapshot]], Markup]] = {"tally": tally, "list": table, "health": shared_health}
