"""What can I do now? Four buttons in fixed places, and the dialogs that say the consequence first. Pure.

A dialog is a plain form in a `popover`: it opens and posts without script.
"""

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from schemas.units import FULL_SHARE
from status.page import figures
from status.page.markup import code, joined
from status.page.snapshot import BACK, Snapshot

Act = Literal["hold", "resume", "promote", "approve", "rollback", "undo"]

_LABELS: dict[Act, str] = {
    "hold": "Hold…",
    "resume": "Resume…",
    "promote": "Promote…",
    "approve": "Approve…",
    "rollback": "Roll back…",
    "undo": "Undo…",
}

NEEDS_TICK: frozenset[Act] = frozenset({"resume", "promote", "approve"})
"""Words that take a safeguard away: the person ticks what is skipped."""

_MODES = (
    ("drain", "let them end (drain)", "They stay on {canary} until they end, {deadline} at most."),
    (
        "rehome",
        "move them (rehome)",
        "Their next request is answered by {baseline}; what {canary} remembers of them is lost.",
    ),
    ("evict", "close them (evict)", "They end now; clients must start a new session."),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A button."""

    act: Act
    possible: bool


def offers(snapshot: Snapshot) -> tuple[Offer, ...]:
    """The four, in their places; what is not possible now is disabled rather than gone."""
    state = snapshot.state
    running = state in ("shifting", "collecting", "held")
    forward: Act = "approve" if awaited(snapshot) else "promote"
    back: Act = "undo" if state in ("completed", "retired") else "rollback"
    possible: dict[Act, bool] = {
        "hold": state in ("shifting", "collecting"),
        "resume": state == "held",
        "promote": running,
        "approve": state == "pending" or running,
        "rollback": snapshot.live,
        "undo": state == "completed",
    }
    return tuple(
        Offer(act, possible[act] and snapshot.viewer.may_change(snapshot.service))
        for act in ("hold", "resume", forward, back)
    )


def awaited(snapshot: Snapshot) -> str | None:
    """The approval that the plan wants next and nobody has given: `start`, a stage's number or `promote`."""
    plan = snapshot.plan
    if plan is None or not snapshot.live:
        return None
    coming = plan.approval_after(snapshot.view.stage)
    given = {e.approves for e in snapshot.entries if e.kind == "approve"}
    return coming if coming in plan.approve and coming not in given else None


def buttons(snapshot: Snapshot) -> Markup:
    """The fifth fact."""
    return Markup('<div class="you"><h2>What can I do now?</h2><div class="acts">{}</div>{}</div>').format(
        joined(map(_button, offers(snapshot))), _remark(snapshot)
    )


def _button(offer: Offer) -> Markup:
    back = offer.act in ("rollback", "undo")
    strong = Markup(' class="strong"') if back and offer.possible else Markup("")
    state = Markup(' popovertarget="do-{}"').format(offer.act) if offer.possible else Markup(" disabled")
    return Markup('<button type="button" id="ask-{}" data-act="{}"{}{}>{}</button>').format(
        offer.act, offer.act, state, strong, _LABELS[offer.act]
    )


def _remark(snapshot: Snapshot) -> Markup:
    direct = Markup('<p class="small direct" hidden>Not live. If roll back gets no answer: {}</p>').format(
        code(direct_command(snapshot.service))
    )
    return Markup('{}<p class="small told">{}</p>').format(direct, _told(snapshot))


def direct_command(service: str) -> str:
    """What rolls back without Kafka and without this API."""
    return f'davylamp rollback {service} --direct --reason "…"'


def _told(snapshot: Snapshot) -> str:
    if not snapshot.viewer.may_change(snapshot.service):
        return f"{snapshot.viewer.actor} only looks here: a token that may change {snapshot.service} is needed to act."
    if snapshot.state in BACK:
        return f"Rolled back is final for rollout {snapshot.view.rollout}."
    if snapshot.state == "completed":
        return f"Undo: {snapshot.baseline} is still kept and takes new sessions at once."
    if snapshot.state in (None, "retired"):
        return "Nothing runs. davylamp start PLAN begins a rollout."
    return "Each asks for a reason and says first what it will do."


def dialogs(snapshot: Snapshot) -> Markup:
    """A form for everything that is possible."""
    forms = [_dialog(snapshot, offer.act) for offer in offers(snapshot) if offer.possible]
    return Markup('<div id="dialogs" data-region="dialogs" data-on="snapshot entry view">{}</div>').format(
        joined(forms)
    )


def _dialog(snapshot: Snapshot, act: Act) -> Markup:
    head, text, tick, button = _consequence(snapshot, act)
    ticked = (
        Markup('<label><input type="checkbox" name="sure" value="yes" required>{}</label>').format(tick)
        if act in NEEDS_TICK
        else Markup("")
    )
    return Markup(
        '<form popover id="do-{act}" method="post" action="/rollouts/{service}/{act}" aria-labelledby="title-{act}">'
        '<h2 id="title-{act}">{head}</h2><p>{text}</p>{modes}{ticked}'
        '<input type="hidden" name="seen" value="{seen}">{approves}'
        '<label>Reason, written to the ledger with your name<textarea name="reason" rows="2" required maxlength="500"></textarea></label>'
        '<div class="row"><button type="button" popovertarget="do-{act}" popovertargetaction="hide">Cancel</button>'
        '<button type="submit" class="strong">{button}</button></div></form>'
    ).format(
        act=act,
        service=snapshot.service,
        head=head,
        text=text,
        modes=_modes(snapshot) if act in ("rollback", "undo") else "",
        ticked=ticked,
        seen=snapshot.head.id if snapshot.head else "",
        approves=Markup('<input type="hidden" name="approves" value="{}">').format(awaited(snapshot))
        if act == "approve"
        else "",
        button=button,
    )


def _consequence(snapshot: Snapshot, act: Act) -> tuple[str, str, str, str]:
    """Heading, what it will do, what is ticked, and the last button."""
    service, canary, baseline = snapshot.service, snapshot.canary, snapshot.baseline
    share = figures.share(snapshot.view.share)
    if act == "hold":
        text = (
            f"New sessions stay at {share}, and no stage is passed until somebody resumes. A breach still rolls back."
        )
        return f"Hold {service} at {share}", text, "", "Hold"
    if act == "resume":
        text = f"The stage’s clock runs on at {share}; the gate may raise the share by itself once the stage is over."
        return f"Resume {service} at {share}", text, _why_held(snapshot), "Resume"
    if act == "approve":
        what = awaited(snapshot) or "what comes next"
        return f"Approve {what} of {service}", _approval_text(snapshot, what), f"I approve {what}", "Approve"
    if act == "promote":
        return _promotion(snapshot)
    kept = f"This rollout ends; {canary} needs a new one."
    text = f"New sessions go to {baseline} at once: {share} → 0{figures.NB}%, confirmed by the proxies. {kept}"
    return f"Roll back {service} to {baseline}", text, "", "Roll back now"


def _why_held(snapshot: Snapshot) -> str:
    return (
        f"I go on although: {snapshot.view.held_because}"
        if snapshot.view.held_because
        else "I go on although it is held"
    )


def _approval_text(snapshot: Snapshot, what: str) -> str:
    if what == "start":
        return f"The first sessions reach {snapshot.canary} once the proxies have the route."
    if what == "promote":
        return f"Once the last gate is passed, all new sessions go to {snapshot.canary}."
    return f"Stage {what} begins once the gate of the stage before it is passed."


def _promotion(snapshot: Snapshot) -> tuple[str, str, str, str]:
    service, canary, baseline = snapshot.service, snapshot.canary, snapshot.baseline
    following = snapshot.plan.next_share(max(snapshot.view.stage, 1)) if snapshot.plan else FULL_SHARE
    here, there = figures.share(snapshot.view.share), figures.share(following)
    unproven = [r.within_a_sentence for r in snapshot.rows if r.decides and r.gates and r.verdict != "within"]
    although = f" although {', '.join(unproven)} {'is' if len(unproven) == 1 else 'are'} unproven" if unproven else ""
    text = f"New sessions: {here} → {there} at once{although}."
    if following == FULL_SHARE:
        text += (
            f" At {there} no baseline is left: the comparison ends, and nothing rolls {canary} back by itself any more. "
            f"{baseline} stays up while its sessions run."
        )
    return f"Promote {service} to {there} now", text, f"I skip the gate{although}", "Promote"


def _modes(snapshot: Snapshot) -> Markup:
    plan = snapshot.plan
    deadline = figures.duration(plan.rollback.deadline_s) if plan else "as the plan says"
    default = plan.rollback.mode if plan else "drain"
    words = {"canary": snapshot.canary, "baseline": snapshot.baseline, "deadline": deadline}
    options = [
        Markup('<label><input type="radio" name="mode" value="{}"{}>{}<small>{}</small></label>').format(
            mode, Markup(" checked") if mode == default else "", label, text.format(**words)
        )
        for mode, label, text in _MODES
    ]
    return Markup("<fieldset><legend>Running sessions on {}</legend>{}</fieldset>").format(
        snapshot.canary, joined(options)
    )
