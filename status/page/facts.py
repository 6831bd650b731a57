"""Five facts, each the answer to one question. Pure."""

from markupsafe import Markup

from schemas.decisions import RESUMES_ITSELF
from schemas.units import FULL_SHARE
from status.page import figures
from status.page.actions import buttons
from status.page.answer import drain_ends_ms
from status.page.markup import glyph, joined, moment, none, small, until
from status.page.snapshot import BACK, PROMOTED, Snapshot
from status.ratio import Sessions, born
from status.recent import Tally


def facts(snapshot: Snapshot) -> Markup:
    """The region."""
    shown = [_hurt, _believe, _sessions, _next]
    return Markup(
        '<section class="facts" id="facts" data-region="facts" data-on="snapshot view entry route window" aria-label="Facts">{}{}</section>'
    ).format(joined(fact(snapshot) for fact in shown), buttons(snapshot))


def _fact(question: str, first: str | Markup, *lines: str | Markup) -> Markup:
    return Markup("<div><h2>{}</h2><p>{}</p>{}</div>").format(
        question, first, joined(small(line) for line in lines if line)
    )


def _strong(text: str) -> Markup:
    return Markup("<strong>{}</strong>").format(text)


def _hurt(snapshot: Snapshot) -> Markup:
    canary = snapshot.canary
    if snapshot.state is None:
        return _fact("Is anyone hurt?", "No canary is out.", asked(snapshot))
    question = "Is anyone still hurt?" if snapshot.state in BACK else "Is anyone hurt?"
    errors = next((c for c in snapshot.checks if c.check == "error_rate" and c.canary.n), None)
    counted = (
        f"{figures.count(errors.canary.bad)} of {figures.count(errors.canary.n)} requests failed on {canary}"
        if errors
        else ""
    )
    if snapshot.no_data:
        return _fact(question, none("unknown"), asked(snapshot), counted)
    if snapshot.state in BACK:
        first = f"Nobody on {canary}." if is_empty(snapshot) else f"At most those still on {canary}."
        return _fact(question, first, asked(snapshot), counted)
    breached = [r.within_a_sentence for r in snapshot.rows if r.decides and r.verdict == "breached"]
    if breached:
        return _fact(question, Markup("Yes: {}.").format(", ".join(breached)), asked(snapshot), counted)
    first = "Nobody beyond a limit." if snapshot.rows else "Nothing has been compared."
    return _fact(question, first, asked(snapshot), counted)


def _mode(snapshot: Snapshot) -> str:
    back = next((e for e in reversed(snapshot.entries) if e.kind == "rollback"), None)
    return back.hold_mode if back else "drain"


def asked(snapshot: Snapshot) -> Markup:
    """The share that was asked for, and how many proxies say they run it."""
    share, (running, known) = figures.share(snapshot.view.share), snapshot.acknowledged
    if not known:
        return Markup("{} asked; no proxy is known").format(share)
    sign = glyph("within", "good") if running == known else glyph("undecided")
    return Markup("{} asked; {} of {} proxies run it {}").format(share, running, known, sign)


def _believe(snapshot: Snapshot) -> Markup:
    question = "May I believe it?"
    if snapshot.state is None:
        return _fact(question, "Nothing is compared.", _data_age(snapshot))
    sessions = counted_sessions(snapshot)
    first = Markup("{} canary, {} baseline sessions").format(
        _strong(figures.count(sessions[1])), _strong(figures.count(sessions[0]))
    )
    calls = next((c for c in snapshot.checks if c.check == "error_rate"), None)
    counted = (
        f"{figures.count(calls.canary.n)} and {figures.count(calls.baseline.n)} requests compared"
        if calls and calls.canary.n
        else ""
    )
    return _fact(
        question, none("no requests") if snapshot.no_data else first, counted, *ratio(snapshot), _data_age(snapshot)
    )


def counted_sessions(snapshot: Snapshot) -> tuple[int, int]:
    """Sessions of baseline and canary that are compared: by the judge while it looks, else by the telemetry."""
    view = snapshot.view
    if view.baseline_sessions or view.canary_sessions or snapshot.recent is None:
        return view.baseline_sessions, view.canary_sessions
    totals = snapshot.recent.totals
    return tuple(totals[v].sessions if v in totals else 0 for v in (snapshot.baseline, snapshot.canary))  # type: ignore[return-value]  # two


def ratio(snapshot: Snapshot) -> list[Markup]:
    """The share of new sessions that was asked for in the newest stage, and what telemetry and proxies counted."""
    found = born(snapshot.entries, snapshot.recent, snapshot.proxied)
    if found is None:
        return []
    by = [("counted", found.telemetry), ("assigned by the proxies", found.proxies)]
    return [_ratio_line(word, sessions, found.asked) for word, sessions in by if sessions.all]


def _ratio_line(word: str, sessions: Sessions, share: int) -> Markup:
    text = f"{figures.share(float(sessions.part * FULL_SHARE))} of sessions {word} for {figures.share(share)} asked"
    if sessions.fits(share):
        return Markup("{} {}").format(text, glyph("within", "good"))
    return Markup('<b class="bad">{} {}</b>').format(text, glyph("breached"))


def _data_age(snapshot: Snapshot) -> Markup:
    until_ms = snapshot.recent.complete_until_ms if snapshot.recent else None
    if until_ms is None:
        return none("no window has closed")
    age = figures.duration((snapshot.now_ms - until_ms) / 1000)
    return Markup('data complete to {}, <span class="nb" data-since="{}">{} ago</span>').format(
        moment(until_ms, snapshot.now_ms), until_ms, age
    )


def left_on(snapshot: Snapshot) -> str:
    """The version whose sessions end sooner or later: the canary, or after its promotion the old baseline."""
    return snapshot.baseline if snapshot.state in PROMOTED else snapshot.canary


def is_empty(snapshot: Snapshot) -> bool:
    """Whether nobody can be on a canary that was taken back."""
    return snapshot.state == "drained" or (snapshot.state in BACK and _mode(snapshot) != "drain")


def _sessions(snapshot: Snapshot) -> Markup:
    old = left_on(snapshot)
    question = f"Who is {'still ' if snapshot.state in BACK or snapshot.state in PROMOTED else ''}on {old}?"
    if snapshot.state is None:
        return _fact("Who is on a canary?", "Nobody.")
    began = snapshot.recent.totals.get(old) if snapshot.recent else None
    if is_empty(snapshot):
        first: str | Markup = "Nobody."
    elif began is not None and began.sessions:
        first = _living(began)
    else:
        first = none("not counted")
    return _fact(question, first, _under_way(snapshot, old), _deadline(snapshot))


def _living(began: Tally) -> Markup:
    """Nobody knows who is still there: sessions end by silence, unless their clients say so and their servers tell it."""
    sessions = figures.count(began.sessions)
    if began.at_most is None:
        return Markup("Some of {} sessions that began there").format(_strong(sessions))
    most = figures.count(began.at_most)
    return Markup("At most {} of {} sessions that began there").format(_strong(most), sessions)


def _under_way(snapshot: Snapshot, version: str) -> str:
    if snapshot.proxied is None or snapshot.proxied.heard_ms() is None:
        return ""
    active = snapshot.proxied.counts(version).active
    return f"{figures.count(active)} {'request' if active == 1 else 'requests'} under way now, by the proxies"


def _deadline(snapshot: Snapshot) -> Markup:
    back = next((e for e in reversed(snapshot.entries) if e.kind == "rollback"), None)
    if snapshot.state != "rolled_back" or back is None or back.hold_mode != "drain":
        return Markup("")
    end = drain_ends_ms(snapshot, back)
    return Markup("closed at {}, {}").format(moment(end, snapshot.now_ms), until(end, snapshot.now_ms))


def _next(snapshot: Snapshot) -> Markup:
    question, view, plan = "What happens next?", snapshot.view, snapshot.plan
    if snapshot.state is None:
        return _fact(question, "Nothing starts by itself.")
    if snapshot.state in BACK:
        return _fact(
            question,
            "Nothing starts by itself.",
            f"{snapshot.canary} stays at 0{figures.NB}% until somebody starts it again.",
        )
    if snapshot.state == "completed" and plan is not None:
        return _baking(snapshot, question, plan.bake_s)
    if snapshot.state == "retired":
        return _fact(
            question, f"Nothing; rollout {view.rollout} is complete.", f"{snapshot.baseline} may be taken down."
        )
    if snapshot.state == "held":
        by_itself = "A person decides."
        if snapshot.held_by in RESUMES_ITSELF:
            back = "both cohorts report" if snapshot.no_data else "the judge looks again"
            by_itself = f"It resumes by itself once {back}."
        return _fact(
            question, f"Stays at {figures.share(view.share)}.", by_itself, "A breach still rolls back at once."
        )
    return _fact(question, *_going_on(snapshot))


def _baking(snapshot: Snapshot, question: str, bake_s: float) -> Markup:
    done = next((e for e in reversed(snapshot.entries) if e.kind == "complete"), None)
    end = (done.decided_at if done else snapshot.now_ms) + 1000 * bake_s
    kept = Markup("{} is kept until {}, {}; until then it can be undone").format(
        snapshot.baseline, moment(end, snapshot.now_ms), until(end, snapshot.now_ms)
    )
    return _fact(question, "Nothing; nothing rolls back by itself any more.", kept)


def _going_on(snapshot: Snapshot) -> tuple[str | Markup, ...]:
    view, plan = snapshot.view, snapshot.plan
    waiting = view.waiting_for or ""
    if plan is None or view.state != "collecting":
        return (waiting or "It waits.", "A breach rolls back at once." if view.state != "pending" else "")
    stage = plan.stages[min(max(view.stage, 1), len(plan.stages)) - 1]
    left_s = stage.duration_s - (view.stage_elapsed_s or 0.0)
    following = figures.share(plan.next_share(max(view.stage, 1)))
    if left_s <= 0:
        return (
            Markup("{} as soon as its gate allows").format(_strong(following)),
            waiting,
            "A breach rolls back at once.",
        )
    at = snapshot.now_ms + 1000 * left_s
    first = Markup("{} at {}, {}").format(_strong(following), moment(at, snapshot.now_ms), until(at, snapshot.now_ms))
    return first, "if the gate allows. A breach rolls back at once."
