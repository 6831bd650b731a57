"""The list of every service, those that need a person first. Pure."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from status.page.answer import Headline, headline
from status.page.health import Health, Item, items, station
from status.page.listed import Draw, row
from status.page.markup import glyph, joined, none, region
from status.page.plot import axis
from status.page.shell import document, lost, top
from status.page.snapshot import BACK, PROMOTED, Snapshot, Viewer

AWAY_S = 15.0

_HEAD = Markup(
    '<thead role="rowgroup"><tr role="row"><th role="columnheader">service</th><th role="columnheader">state</th>'
    '<th role="columnheader" class="r">share, run by</th><th role="columnheader">nearest check</th>'
    '<th role="columnheader" class="axis plot">{}</th><th role="columnheader" class="r">canary sessions</th>'
    '<th role="columnheader" class="r">score</th><th role="columnheader">next, by itself</th></tr></thead>'
)


def page(snapshots: Sequence[Snapshot], now_ms: int, viewer: Viewer, away_s: float, draw: Draw = row) -> Markup:
    """The whole document. `draw` may have rows ready."""
    stale = away_s > AWAY_S
    root = Markup(' data-stream="/api/stream" data-regions="/regions"{}').format(Markup(" data-stale") if stale else "")
    body = Markup('<div class="page">{}{}<main>{}</main>{}</div>').format(
        top(Markup("<span>rollouts</span>"), now_ms, viewer, home=True),
        lost(away_s if stale else 0.0, now_ms, "davylamp status"),
        regions(snapshots, list(REGIONS), draw),
        Markup(
            '<footer><span>Same numbers as <a href="/api/rollouts">JSON</a>, <a href="/api/stream">stream</a>, '
            '<a href="/metrics">metrics</a>; <a href="/openapi.json">API</a></span><span><code>davylamp status</code></span>'
            "<span>all times UTC</span></footer>"
        ),
    )
    icon = "stale" if stale else worst(snapshots).glyph if snapshots else "nodata"
    return document("? davylamp" if stale else title(snapshots), icon, body, root)


def regions(snapshots: Sequence[Snapshot], names: list[str], draw: Draw = row) -> Markup:
    """Some regions; a name that is not known is left out."""
    return joined(REGIONS[name](snapshots, draw) for name in names if name in REGIONS)


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


def tally(snapshots: Sequence[Snapshot], _: Draw = row) -> Markup:
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


def table(snapshots: Sequence[Snapshot], draw: Draw = row) -> Markup:
    """A row a service."""
    if not snapshots:
        return Markup(
            '<div id="list" data-region="list" data-on="snapshot entry view route window service">{}</div>'
        ).format(none("No service is known: davylamp service apply FILE."))
    return Markup(
        '<div class="list" id="list" data-region="list" data-on="snapshot entry view route window service">'
        '<table role="table" aria-label="Rollouts">{}<tbody role="rowgroup">{}</tbody></table></div>'
    ).format(_HEAD.format(axis(narrow=True)), joined(map(draw, urgent_first(snapshots))))


def shared_health(snapshots: Sequence[Snapshot], _: Draw = row) -> Markup:
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


REGIONS: dict[str, Callable[[Sequence[Snapshot], Draw], Markup]] = {
    "tally": tally,
    "list": table,
    "health": shared_health,
}
