"""The stages, and how each ended, in words. Pure."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from markupsafe import Markup

from schemas.decisions import LedgerEntry
from schemas.plan import Plan
from schemas.units import FULL_SHARE
from status.page import figures
from status.page.markup import joined
from status.page.snapshot import BACK, PROMOTED, Snapshot

StageState = Literal["done", "on", "bad", "todo"]

_SEGMENTS: dict[StageState, str] = {"done": "done", "on": "on", "bad": "x", "todo": ""}


@dataclass(frozen=True, slots=True)
class Step:
    """One stage."""

    share: int
    state: StageState
    part: float
    """How much of it is over, 0 to 1."""
    text: str


def steps(snapshot: Snapshot) -> tuple[Step, ...]:
    """The plan's stages and the 100 % that follow them; empty without a plan."""
    plan = snapshot.plan
    if plan is None:
        return ()
    stages = [_step(snapshot, plan, number) for number in range(1, len(plan.stages) + 1)]
    return (*stages, _last(snapshot, plan))


def track(snapshot: Snapshot) -> Markup:
    """The region."""
    shown = steps(snapshot)
    return Markup(
        '<ol class="track" id="track" data-region="track" data-on="snapshot view entry" aria-label="Stages" data-steps="{}">{}</ol>'
    ).format(len(shown), joined(map(_item, shown)))


def mini(snapshot: Snapshot) -> Markup:
    """The track in a line of a list."""
    plan = snapshot.plan
    if plan is None:
        return Markup("")
    stages = (_fate(snapshot.entries, number)[0] for number in range(1, len(plan.stages) + 1))
    return _mini((*stages, _last(snapshot, plan).state))


@lru_cache(256)
def _mini(states: tuple[StageState, ...]) -> Markup:
    at = next((i for i, state in enumerate(states, start=1) if state in ("on", "bad")), len(states))
    bars = joined(
        Markup('<svg aria-hidden="true"><line class="seg {}" x2="100%" y1="2.5" y2="2.5"/></svg>').format(
            _SEGMENTS[state]
        )
        for state in states
    )
    return Markup('<span class="mini" role="img" aria-label="stage {} of {}">{}</span>').format(at, len(states), bars)


def _item(step: Step) -> Markup:
    style = _SEGMENTS[step.state]
    grown = Markup('<line class="seg {}" x1="0" x2="{}%" y1="6" y2="6"/>').format(style, f"{100 * step.part:.1f}")
    return Markup(
        '<li class="{}"><svg aria-hidden="true"><line class="seg" x1="0" x2="100%" y1="6" y2="6"/>{}'
        '<line class="tick {}" y1="1" y2="11" x1=".5" x2=".5" stroke-width="1.5"/></svg><b>{}</b> {}</li>'
    ).format(
        step.state,
        grown if step.part else "",
        "" if step.state == "todo" else "done",
        figures.share(step.share),
        step.text,
    )


def _opened(entries: tuple[LedgerEntry, ...], stage: int) -> LedgerEntry | None:
    """The entry that began the stage, the newest where it was begun anew."""
    found = [e for e in entries if e.stage == stage and e.kind in ("start", "proceed", "retry", "complete")]
    return found[-1] if found else None


def _left(entries: tuple[LedgerEntry, ...], stage: int) -> LedgerEntry | None:
    """The entry that ended it."""
    opened = _opened(entries, stage)
    if opened is None:
        return None
    later = entries[entries.index(opened) + 1 :]
    return next((e for e in later if e.stage > stage or e.kind == "rollback"), None)


def _fate(entries: tuple[LedgerEntry, ...], number: int) -> tuple[StageState, LedgerEntry | None, LedgerEntry | None]:
    """How a stage stands, and the entries that began and ended it."""
    opened, left = _opened(entries, number), _left(entries, number)
    if opened is None:
        return "todo", None, None
    if left is None:
        return "on", opened, None
    return "bad" if left.kind == "rollback" else "done", opened, left


def _step(snapshot: Snapshot, plan: Plan, number: int) -> Step:
    stage, (state, opened, left) = plan.stages[number - 1], _fate(snapshot.entries, number)
    planned = figures.duration(stage.duration_s)
    if opened is None:
        ended = snapshot.state in BACK or snapshot.state in PROMOTED
        return Step(stage.share, state, 0.0, "not reached" if ended else planned)
    if left is None:
        return Step(stage.share, state, _part(snapshot, stage.duration_s), _under_way(snapshot, planned))
    lasted = (left.decided_at - opened.decided_at) / 1000
    part = min(1.0, lasted / stage.duration_s) if state == "bad" else 1.0
    word = _broken(left) if state == "bad" else _passed(left)
    return Step(stage.share, state, part, f"{word} after {figures.duration(lasted)}")


def _part(snapshot: Snapshot, planned_s: float) -> float:
    return min(1.0, (snapshot.view.stage_elapsed_s or 0.0) / planned_s)


def _under_way(snapshot: Snapshot, planned: str) -> str:
    elapsed = snapshot.view.stage_elapsed_s
    counted = f"{figures.duration(elapsed)} of {planned}" if elapsed is not None else f"0{figures.NB}s of {planned}"
    return f"held, {counted} counted" if snapshot.state == "held" else counted


def _broken(left: LedgerEntry) -> str:
    return "breached" if left.reason.code == "breach" else "rolled back"


def _passed(left: LedgerEntry) -> str:
    words = {"within": "within", "unproven": "went on unproven"}
    return words.get(left.reason.code, "promoted" if left.actor == "judge" else f"promoted by {left.actor}")


def _last(snapshot: Snapshot, plan: Plan) -> Step:
    if snapshot.state in PROMOTED:
        return Step(FULL_SHARE, "done", 1.0, f"{plan.canary} is the baseline")
    if snapshot.state in BACK:
        undone = any(e.kind == "complete" for e in snapshot.entries)
        return Step(
            FULL_SHARE, "bad" if undone else "todo", 1.0 if undone else 0.0, "undone" if undone else "not reached"
        )
    return Step(FULL_SHARE, "todo", 0.0, f"{plan.canary} becomes the baseline")
