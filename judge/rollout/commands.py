"""People's words to the judge: each becomes an entry, or a refusal with a sentence that says what to do. Pure."""

from collections.abc import Callable

from judge.rollout.drafts import Drafts
from judge.rollout.objections import (
    LOOK_AGAIN,
    approving,
    freezing,
    illegal,
    promoting,
    starting,
    unacknowledged,
    unknown,
)
from judge.rollout.state import Asked, ServiceState
from judge.rollout.wording import started_sentence
from schemas.control import Command, CommandKind, Outcome
from schemas.decisions import RESUMES_ITSELF, Cut, EntryKind, LedgerEntry, Reason

COMMAND_EXPIRES_S = 10.0
"""An older command is not carried out: nobody expects a release to start by itself after an outage. So long the status API
waits for an answer."""

TOLD_S = 60.0
"""So long after it was given people are told that a command has expired."""

_REPLACED = "replaced"


class RefusedError(Exception):
    """The command is not carried out; its text is a sentence that says what to do.

    A refusal is final: what it rests on can only change by an entry of the ledger, and then the command is refused
    because the ledger has moved.
    """


class NotYetError(Exception):
    """What the command waits for may still come before it expires; its text says what."""


def answer(drafts: Drafts) -> tuple[LedgerEntry | None, tuple[Outcome, ...]]:
    """The entry of the oldest command that can be carried out, and refusals of those that cannot."""
    refused: list[Outcome] = []
    for asked in unanswered(drafts.state, drafts.cut):
        try:
            entry = _ANSWERS[asked.command.kind](drafts, asked)
        except RefusedError as refusal:
            refused.append(_no(asked.command, str(refusal)))
        except NotYetError as missing:
            if _expired(asked, drafts.cut):
                refused.append(_no(asked.command, f"{missing} within {COMMAND_EXPIRES_S:.0f} s: ask again"))
        else:
            if not _expired(asked, drafts.cut):
                return entry, tuple(refused)
            refused.append(_no(asked.command, f"it came more than {COMMAND_EXPIRES_S:.0f} s ago: ask again"))
    return None, tuple(refused)


def unanswered(state: ServiceState, cut: Cut) -> list[Asked]:
    """The newest commands that were not carried out, oldest first."""
    done = {e.command for e in state.chain.entries if e.kind != "rollback"}
    oldest = cut.now - TOLD_S * 1000
    return [a for a in state.asked if a.command.id not in done and a.at_ms >= oldest]


def _expired(asked: Asked, cut: Cut) -> bool:
    return asked.at_ms < cut.now - COMMAND_EXPIRES_S * 1000


def _no(command: Command, sentence: str) -> Outcome:
    return Outcome(command=command.id, accepted=False, sentence=sentence)


def _refuse(objection: str | None) -> None:
    if objection is not None:
        raise RefusedError(objection)


def _start(drafts: Drafts, asked: Asked) -> LedgerEntry:
    command, state, standing = asked.command, drafts.state, drafts.state.chain.standing
    if command.opening is None or state.service is None:
        raise RefusedError(unknown(state))
    plan = command.opening.plan
    _refuse(starting(state, state.service, plan, command))
    _seen(state, command)
    if standing.live:  # the same command starts the next one, once the proxies have acknowledged this one's end
        return drafts.back(Reason(code=_REPLACED, sentence=_by(command, "replaced it")), command)
    if state.chain.head is not None and not state.route_acknowledged(drafts.cut.now):
        last = f"the last decision ({state.chain.head.kind} of rollout {standing.rollout})"
        raise NotYetError(unacknowledged(state, drafts.cut, last))
    reason = Reason(code="started", sentence=started_sentence(plan, state.serving))
    return drafts.start(reason, command, state.serving)


def _approve(drafts: Drafts, asked: Asked) -> LedgerEntry:
    command, state, what = asked.command, drafts.state, asked.command.approves or ""
    _legal(drafts, command, "approve")
    _refuse(approving(state, what))
    reason = Reason(code="approved", sentence=_by(command, f"approved {what}"))
    return drafts.stay("approve", reason, command, approves=what)


def _promote(drafts: Drafts, asked: Asked) -> LedgerEntry:
    command, state = asked.command, drafts.state
    _legal(drafts, command, "proceed")
    _refuse(promoting(state))
    if not state.route_acknowledged(drafts.cut.now):
        raise NotYetError(unacknowledged(state, drafts.cut, "the present route"))
    reason = Reason(code="promoted", sentence=_by(command, "promoted it to 100 %" if command.full else "promoted it"))
    return drafts.forward(reason, command, full=command.full)


def _retry(drafts: Drafts, asked: Asked) -> LedgerEntry:
    _legal(drafts, asked.command, "retry")
    reason = Reason(code="retried", sentence=_by(asked.command, "began the stage anew"))
    return drafts.stay("retry", reason, asked.command)


def _hold(drafts: Drafts, asked: Asked) -> LedgerEntry:
    """Whatever the person saw; but not if somebody has decided since: then what to stop is no longer there."""
    chain = drafts.state.chain
    held = drafts.state.clock.held if chain.standing.phase == "held" else None
    if held is not None and held.reason.code not in RESUMES_ITSELF:  # that one would resume by itself
        raise RefusedError(f"it is held already: davylamp resume {drafts.state.name} lets it go on")
    _refuse(illegal(drafts.state, "hold", "hold"))
    if chain.head is not None and chain.head.decided_at > asked.at_ms and chain.head.command is not None:
        raise RefusedError(f"meanwhile {chain.head.actor} decided ({chain.head.reason.sentence}): {LOOK_AGAIN}")
    return drafts.stay("hold", Reason(code="person", sentence=_by(asked.command, "held it")), asked.command)


def _resume(drafts: Drafts, asked: Asked) -> LedgerEntry:
    _legal(drafts, asked.command, "resume")
    reason = Reason(code="person", sentence=_by(asked.command, "resumed it"))
    return drafts.stay("resume", reason, asked.command)


def _freeze(drafts: Drafts, asked: Asked) -> LedgerEntry:
    return _freezing(drafts, asked.command, frozen=True)


def _unfreeze(drafts: Drafts, asked: Asked) -> LedgerEntry:
    return _freezing(drafts, asked.command, frozen=False)


def _freezing(drafts: Drafts, command: Command, *, frozen: bool) -> LedgerEntry:
    state, word = drafts.state, "frozen" if frozen else "unfrozen"
    if state.service is None:
        raise RefusedError(unknown(state))
    _seen(state, command)
    _refuse(freezing(state, frozen=frozen))
    reason = Reason(
        code=word,
        sentence=_by(command, f"has {word} it: " + ("no rollout may start" if frozen else "rollouts may start")),
    )
    return drafts.stay("freeze" if frozen else "unfreeze", reason, command)


def _legal(drafts: Drafts, command: Command, kind: EntryKind) -> None:
    """The chain's own rule, told before anything is written."""
    _refuse(illegal(drafts.state, kind, command.kind))
    _seen(drafts.state, command)


def _seen(state: ServiceState, command: Command) -> None:
    """Nobody acts on a picture that has changed, unless by this very command."""
    head = state.chain.head
    own = head is not None and head.command == command.id and head.reason.code == _REPLACED
    if command.seen != state.chain.head_id and not own:
        raise RefusedError(f"the ledger has moved since you looked: {LOOK_AGAIN}")


def _by(command: Command, did: str) -> str:
    return f"{command.actor} {did}" + (f": {command.reason}" if command.reason else ".")


_ANSWERS: dict[CommandKind, Callable[[Drafts, Asked], LedgerEntry]] = {
    "start": _start,
    "approve": _approve,
    "promote": _promote,
    "retry": _retry,
    "hold": _hold,
    "resume": _resume,
    "freeze": _freeze,
    "unfreeze": _unfreeze,
}
