"""What happened? The ledger of the newest rollout with the proxies' confirmations, newest first. Pure."""

from markupsafe import Markup

from schemas.decisions import EntryKind, LedgerEntry
from status.page import figures
from status.page.markup import Glyph, glyph, joined, moment, none, region
from status.page.snapshot import Snapshot
from status.views import Confirmation

SHOWN = 40
"""Entries; the whole ledger is at `history`."""

_SIGNS: dict[EntryKind, tuple[Glyph, str]] = {
    "rollback": ("breached", "bad"),
    "complete": ("within", "good"),
    "hold": ("held", ""),
}
_MOVES: frozenset[EntryKind] = frozenset({"start", "proceed", "complete", "rollback"})
_KEY: frozenset[EntryKind] = frozenset({"rollback", "hold", "complete"})

_ROW = Markup(
    '<tr class="{style}"><td>{at}</td><td class="seq r muted">{number}</td><td class="who muted">{by}</td>'
    '<td class="who">{what}</td><td>{why}</td></tr>'
)


def ledger(snapshot: Snapshot) -> Markup:
    """The region."""
    return region(
        "ledger",
        "snapshot entry route",
        "What happened?",
        "The ledger and its confirmations, newest first.",
        _matter(snapshot),
    )


def _matter(snapshot: Snapshot) -> Markup:
    if not snapshot.entries:
        return none("Nothing has been decided yet.")
    rows = [row for number, entry in enumerate(snapshot.entries, start=1) for row in _rows(snapshot, number, entry)]
    body = joined(reversed(rows[-2 * SHOWN :]))
    return Markup(
        '<div class="ledger"><table><thead><tr><th scope="col">time, UTC</th><th scope="col" class="seq r">no.</th>'
        '<th scope="col">by</th><th scope="col">decision</th><th scope="col">why</th></tr></thead><tbody>{}</tbody></table></div>'
    ).format(body)


def _rows(snapshot: Snapshot, number: int, entry: LedgerEntry) -> list[Markup]:
    before = snapshot.entries[number - 2].share if number > 1 else 0
    newest_key = entry is snapshot.decision and entry.kind in _KEY
    row = _ROW.format(
        style="key-row" if newest_key else "",
        at=moment(entry.decided_at, snapshot.now_ms),
        number=number,
        by=entry.actor,
        what=_what(entry, before),
        why=entry.reason.sentence,
    )
    told = snapshot.confirmation(entry)
    return [row, _confirmed(snapshot, entry, told)] if told is not None and entry.kind in _MOVES else [row]


def _what(entry: LedgerEntry, before: int) -> Markup:
    name, style = _SIGNS.get(entry.kind, ("next", ""))
    word = Markup('<span class="{}">{} {}</span>').format(style, glyph(name), entry.kind)
    if entry.kind in _MOVES:
        return Markup('{} <span class="nb">{} → {}</span>').format(word, _bare(before), figures.share(entry.share))
    if entry.kind == "hold":
        return Markup("{} at {}").format(word, figures.share(entry.share))
    return Markup("{} {}").format(word, entry.approves) if entry.approves else word


def _bare(share: int) -> str:
    return figures.share(share).partition(figures.NB)[0]


def _confirmed(snapshot: Snapshot, entry: LedgerEntry, told: Confirmation) -> Markup:
    later = f", {figures.brief(told.took_ms / 1000)} after the decision" if told.took_ms is not None else ""
    every = "The only proxy" if told.proxies == 1 else f"All {told.proxies} proxies"
    return _ROW.format(
        style="",
        at=moment(told.at, snapshot.now_ms),
        number="",
        by="router",
        what=f"confirmed {figures.share(entry.share)}",
        why=f"{every} acknowledged the route{later}.",
    )
