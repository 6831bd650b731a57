"""The answer in the first lines: the state in a word, who is affected, why, by whom, and the score. Pure."""

from dataclasses import dataclass

from markupsafe import Markup

from schemas.control import RolloutState
from schemas.decisions import RESUMES_ITSELF, EntryKind, LedgerEntry
from status.page import figures
from status.page.markup import Glyph, ago, glyph, joined, moment
from status.page.shown import Row
from status.page.snapshot import BACK, PROMOTED, Snapshot

PASS, MARGINAL = 95.0, 75.0
"""Marks of the score, which is for people and decides nothing."""

SIGNS: dict[str, str] = {
    "within": "✔",
    "breached": "✖",
    "held": "‖",
    "undecided": "?",
    "nodata": "–",
    "collecting": "…",
    "next": "→",
}
"""The glyphs, where only text fits."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The state in a word."""

    glyph: Glyph
    style: str
    text: str

    @property
    def brief(self) -> str:
        """For lists and titles, after the name of a service."""
        return self.text[:1].lower() + self.text[1:]


_HEADLINES: dict[RolloutState | None, tuple[Glyph, str, str]] = {
    None: ("nodata", "muted", "No rollout"),
    "pending": ("undecided", "", "Waiting for approval"),
    "shifting": ("collecting", "", "Shifting to {share}"),
    "collecting": ("collecting", "", "Collecting at {share}"),
    "held": ("held", "", "Held at {share}"),
    "rolled_back": ("breached", "bad", "Rolled back"),
    "drained": ("breached", "bad", "Rolled back"),
    "completed": ("within", "good", "Promoted to {canary}"),
    "retired": ("within", "good", "Promoted to {canary}"),
}


def headline(snapshot: Snapshot) -> Headline:
    """Green only for what ended well, and for nothing that is not proven."""
    share = figures.share(snapshot.view.share)
    if snapshot.no_data:
        return Headline("nodata", "muted", f"No data, held at {share}")
    sign, style, text = _HEADLINES[snapshot.state]
    return Headline(sign, style, text.format(share=share, canary=snapshot.canary))


def title(snapshot: Snapshot) -> str:
    """Of the browser's tab."""
    found = headline(snapshot)
    return f"{SIGNS[found.glyph]} {snapshot.service} {found.brief}"


def answer(snapshot: Snapshot) -> Markup:
    """The region."""
    found = headline(snapshot)
    return Markup(
        '<div class="answer" id="answer" data-region="answer" data-on="snapshot view entry route" data-title="{}" data-icon="{}">'
        '<div><h1 class="{}">{}{}</h1><p class="now">{}</p><div aria-live="polite"><p class="why">{}</p></div>{}</div>{}</div>'
    ).format(
        title(snapshot),
        found.glyph,
        found.style,
        glyph(found.glyph),
        found.text,
        now(snapshot),
        why(snapshot),
        who(snapshot),
        score(snapshot),
    )


def now(snapshot: Snapshot) -> str:
    """Is anyone still hurt? One sentence on where sessions go, or on what is proven."""
    canary, baseline, (running, known) = snapshot.canary, snapshot.baseline, snapshot.acknowledged
    words: dict[RolloutState | None, str] = {
        None: f"{baseline} serves everybody.",
        "pending": f"Nobody reaches {canary} before a person approves the start.",
        "shifting": f"{running} of {known} proxies have acknowledged {figures.share(snapshot.view.share)} so far.",
    }
    if snapshot.state in words:
        return words[snapshot.state]
    if snapshot.state in BACK:
        return _after_rollback(snapshot, confirmed=known > 0 and running == known)
    if snapshot.state in PROMOTED:
        moved = f"Sessions that began on {baseline} stay there until they end; nothing is moved."
        return f"All new sessions reach {canary}. {moved}"
    return _undecided(snapshot)


def _after_rollback(snapshot: Snapshot, *, confirmed: bool) -> str:
    back = next((e for e in reversed(snapshot.entries) if e.kind == "rollback"), None)
    reached = f"Nobody new reaches {snapshot.canary}."
    if not confirmed:
        reached = f"Not every proxy has acknowledged the rollback yet: {snapshot.canary} may still get sessions."
    if snapshot.state == "drained" or back is None:
        return f"{reached} Its last sessions have ended or were closed."
    if back.hold_mode == "rehome":
        return f"{reached} Its sessions were moved to {snapshot.baseline}."
    if back.hold_mode == "evict":
        return f"{reached} Its sessions were closed."
    end = drain_ends_ms(snapshot, back)
    return (
        f"{reached} Sessions that began on it may run there until {figures.clock(end, snapshot.now_ms)} at the latest."
    )


def drain_ends_ms(snapshot: Snapshot, back: LedgerEntry) -> float:
    """When the last session of a drained canary is closed."""
    deadline_s = snapshot.plan.rollback.deadline_s if snapshot.plan else 0.0
    return back.decided_at + 1000 * deadline_s


def _undecided(snapshot: Snapshot) -> str:
    if snapshot.no_data:
        return f"Nobody can say whether {snapshot.canary} hurts anyone: requests are no longer counted."
    if snapshot.blind_s is not None:
        return (
            f"Nobody judges {snapshot.canary} now: the judge has not looked for {figures.duration(snapshot.blind_s)}."
        )
    person = snapshot.state == "held" and snapshot.held_by not in RESUMES_ITSELF
    decide = " A person must decide." if person else ""
    return _so_far(snapshot.rows) + decide


def _so_far(shown: tuple[Row, ...]) -> str:
    rows = [r for r in shown if r.decides]
    breached = [r for r in rows if r.verdict == "breached"]
    if breached:
        return f"{breached[0].name} is past its limit."
    gates = [r for r in rows if r.gates]
    if not gates:
        return "Nothing has been compared yet."
    proven, open_ = (
        [r for r in gates if r.verdict == "within"],
        [r.within_a_sentence for r in gates if r.verdict != "within"],
    )
    if not open_:
        return "No promise is broken, and every one that must be proven is."
    listed = open_[0] if len(open_) == 1 else f"{', '.join(open_[:-1])} and {open_[-1]}"
    verb = "is" if len(open_) == 1 else "are"
    so_far = f"{len(proven)} of the {len(gates)} that must be proven {'is' if len(proven) == 1 else 'are'}"
    return f"No promise is broken. {so_far}; {listed} {verb} still undecided."


def why(snapshot: Snapshot) -> Markup:
    """What happened or is waited for, with both values, difference, interval and limit."""
    view, decision = snapshot.view, snapshot.decision
    if snapshot.live and not snapshot.no_data:
        nearest = _nearest(snapshot.rows)
        parts = [_in_numbers(nearest)] if nearest else []
        parts += [Markup("{}").format(text) for text in (view.held_because, view.waiting_for) if text]
        return Markup(" ").join(parts)
    if decision is None:
        return Markup("{}").format(view.waiting_for or "No rollout has been started for this service.")
    culprit = next((c for c in decision.checks if c.check == decision.culprit), None)
    found = next((r for r in snapshot.rows if culprit and r.check == culprit.check), None)
    if found is None and decision.kind == "rollback":
        found = next((r for r in snapshot.rows if decision.reason.code == "breach" and r.verdict == "breached"), None)
    return (
        _in_numbers(found) if found and found.verdict == "breached" else Markup("{}").format(decision.reason.sentence)
    )


def _nearest(rows: tuple[Row, ...]) -> Row | None:
    """What is shown of a rollout that goes on: a breach, else the open gate that is farthest from its proof."""
    known = [r for r in rows if r.decides and r.verdict != "no_data"]
    order = [
        [r for r in known if r.verdict == "breached"],
        [r for r in known if r.gates and r.verdict == "undecided"],
        known,
    ]
    group = next((g for g in order if g), [])
    return max(group, key=lambda r: r.places.high if r.places.high is not None else -9.0, default=None)


def _in_numbers(found: Row | None) -> Markup:
    if found is None:
        return Markup("")
    interval = (
        Markup(' (interval\u00a0<span class="nb">{}</span>)').format(found.interval) if found.interval else Markup("")
    )
    sentence = Markup(
        '{} {} on the canary against {} on the baseline: <b class="nb">{}</b>{}, limit\u00a0<span class="nb">{}</span>.'
    ).format(found.name, found.canary, found.baseline, found.difference, interval, found.limit)
    if found.verdict == "undecided" and "more sessions" in found.note:
        return Markup("{} About {} settle it if it stays as it is.").format(sentence, found.note)
    return sentence


_DONE: dict[EntryKind, str] = {
    "start": "Started",
    "proceed": "Went on",
    "retry": "Begun anew",
    "hold": "Held",
    "resume": "Resumed",
    "rollback": "Rolled back",
    "drained": "Drained",
    "complete": "Promoted",
    "retire": "Retired",
}


def who(snapshot: Snapshot) -> Markup:
    """By whom, when, and what the proxies say."""
    entry = snapshot.decision
    if entry is None:
        return Markup("")
    by = "the judge" if entry.actor == "judge" else entry.actor
    text = Markup("{} by {} at {}, {}. {}").format(
        _DONE.get(entry.kind, entry.kind.capitalize()),
        by,
        moment(entry.decided_at, snapshot.now_ms),
        ago(entry.decided_at, snapshot.now_ms),
        _confirmed(snapshot, entry),
    )
    notes = []
    if snapshot.view.observe:
        notes.append(" Observing only: it decides and alerts, and applies nothing.")
    if snapshot.view.frozen:
        notes.append(" Frozen: no new rollout may start.")
    return Markup('<p class="who small muted">{}{}</p>').format(text, joined(Markup("{}").format(n) for n in notes))


def _confirmed(snapshot: Snapshot, entry: LedgerEntry) -> str:
    told = snapshot.confirmation(entry)
    if told is None:
        running, known = snapshot.acknowledged
        return f"{running} of {known} proxies run the newest route." if known else "No proxy is known."
    later = f" {figures.brief(told.took_ms / 1000)} later" if told.took_ms is not None else ""
    every = "the only proxy" if told.proxies == 1 else f"{told.proxies} of {told.proxies} proxies"
    return f"Confirmed by {every}{later}."


def score(snapshot: Snapshot) -> Markup:
    """0 to 100, or that there is none."""
    value = snapshot.frozen_at.score if snapshot.frozen_at else snapshot.view.score
    if value is None or snapshot.no_data or not snapshot.rows:
        return Markup(
            '<div class="score"><b>–</b><svg aria-hidden="true"><rect class="void" width="100%" height="12"/></svg>'
            "<span>no score without evidence</span></div>"
        )
    return Markup(
        '<div class="score"><b>{shown}<i>of 100</i></b><svg role="img" aria-label="Score {shown} of 100, pass at 95">'
        '<line class="seg" x2="100%" y1="6" y2="6"/><line class="seg {style}" x2="{width}%" y1="6" y2="6"/>'
        '<line class="tick done" x1="95%" x2="95%" y1="0" y2="12" stroke-width="1.5"/>'
        '<text x="100%" y="23" text-anchor="end">pass 95</text>'
        '<line class="tick" x1="75%" x2="75%" y1="2" y2="10" stroke-width="1.5"/></svg><span>{words}</span></div>'
    ).format(
        shown=f"{value:.0f}",
        width=f"{max(0.6, value):g}",
        style="x" if value == 0 else "done",
        words=_score_words(snapshot, value),
    )


def _score_words(snapshot: Snapshot, value: float) -> str:
    if value == 0:
        return "a breach is 0"
    if snapshot.live:
        return "the gate decides, not the score"
    return "pass" if value >= PASS else "marginal" if value >= MARGINAL else "below marginal"
