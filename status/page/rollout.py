"""The page of one service: every region in its place. Pure."""

from collections.abc import Callable

from markupsafe import Markup

from status.page.actions import dialogs, direct_command
from status.page.answer import answer, headline, title
from status.page.charts import charts
from status.page.facts import facts
from status.page.forest import forest
from status.page.health import health
from status.page.ledger import ledger
from status.page.markup import code, joined
from status.page.shell import document, lost, top
from status.page.snapshot import BACK, Snapshot
from status.page.tools import tools
from status.page.track import track

AWAY_S = 15.0
"""A log that has not answered for so long: the page is stale, whoever asks for it."""


def about(snapshot: Snapshot) -> Markup:
    """Which versions, which rollout."""
    words = [Markup("<b>{}</b>").format(snapshot.service)]
    if snapshot.state is not None:
        back = f", back on {snapshot.baseline}" if snapshot.state in BACK else ""
        words.append(Markup("<span>{} → {}{}</span>").format(snapshot.baseline, snapshot.canary, back))
        words.append(Markup("<span>rollout {}</span>").format(snapshot.view.rollout))
    return Markup('<span class="about" id="about" data-region="about" data-on="snapshot entry">{}</span>').format(
        joined(words)
    )


def footer(snapshot: Snapshot) -> Markup:
    """Where else the same numbers are, and what to type."""
    api = f"/api/rollouts/{snapshot.service}"
    plan = snapshot.head.plan_hash[:8] if snapshot.head else ""
    return Markup(
        '<footer id="footer" data-region="footer" data-on="snapshot entry"><span>Same numbers as <a href="{api}/text">text</a>, '
        '<a href="{api}">JSON</a>, <a href="{api}/facts">facts</a>, <a href="{api}/series">series</a>, '
        '<a href="{api}/stream">stream</a>, <a href="{api}/history">history</a></span>'
        "<span>{explain}</span><span>{verify}</span><span>{plan}all times UTC</span></footer>"
    ).format(
        api=api,
        explain=code(f"davylamp explain {snapshot.service}"),
        verify=code(f"davylamp verify {snapshot.service}"),
        plan=Markup("plan {} · ").format(code(plan)) if plan else "",
    )


REGIONS: dict[str, Callable[[Snapshot], Markup]] = {
    "about": about,
    "answer": answer,
    "track": track,
    "facts": facts,
    "promises": forest,
    "charts": charts,
    "tools": tools,
    "ledger": ledger,
    "health": health,
    "footer": footer,
    "dialogs": dialogs,
}

_MAIN = [name for name in REGIONS if name not in ("about", "footer", "dialogs")]


def page(snapshot: Snapshot) -> Markup:
    """The whole document."""
    stale = snapshot.away_s > AWAY_S
    root = Markup(
        ' data-stream="/api/rollouts/{s}/stream" data-regions="/rollouts/{s}/regions" data-service="{s}"{}'
    ).format(Markup(" data-stale") if stale else "", s=snapshot.service)
    shown = title(snapshot)
    icon = "stale" if stale else headline(snapshot).glyph
    return document(f"? {snapshot.service}" if stale else shown, icon, _body(snapshot), root)


def regions(snapshot: Snapshot, names: list[str]) -> Markup:
    """Some of them, one after the other; a name that is not known is left out."""
    return joined(REGIONS[name](snapshot) for name in names if name in REGIONS)


def _body(snapshot: Snapshot) -> Markup:
    command = direct_command(snapshot.service)
    away_s = snapshot.away_s if snapshot.away_s > AWAY_S else 0.0
    return Markup('<div class="page">{}{}{}<main>{}</main>{}{}</div>').format(
        top(about(snapshot), snapshot.now_ms, snapshot.viewer, home=False),
        lost(away_s, snapshot.now_ms, command),
        _refused(snapshot),
        regions(snapshot, _MAIN),
        footer(snapshot),
        dialogs(snapshot),
    )


def _refused(snapshot: Snapshot) -> Markup:
    if snapshot.refused is None:
        return Markup("")
    return Markup('<p class="refused" role="alert"><b>Not done.</b> {}</p>').format(snapshot.refused)
