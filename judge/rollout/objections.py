"""Why a person's word is not carried out: sentences that say what to do instead. Pure."""

from collections.abc import Iterator

from judge.rollout.state import ServiceState
from schemas.control import Command
from schemas.decisions import Cut, EntryKind
from schemas.plan import Plan
from schemas.service import Era, Service
from schemas.standing import Phase

LOOK_AGAIN = "look again with davylamp status, then decide"

_INSTEAD: dict[Phase | None, str] = {
    None: "davylamp start PLAN begins a rollout",
    "pending": "davylamp approve {name} start lets it begin, davylamp rollback {name} ends it",
    "running": "only what is held is resumed",
    "held": "davylamp resume {name} lets it go on",
    "rolled_back": "davylamp start PLAN begins a new rollout",
    "drained": "davylamp start PLAN begins a new rollout",
    "completed": "davylamp undo {name} takes it back, davylamp start PLAN begins the next rollout",
    "retired": "davylamp start PLAN begins the next rollout",
}


def impossible(state: ServiceState, kind: str) -> str:
    """Where a rollout stands, and what can be said there."""
    phase = state.chain.standing.phase
    instead = _INSTEAD[phase].format(name=state.name)
    return f"{kind} is not possible: {state.name} is {(phase or 'without a rollout').replace('_', ' ')}: {instead}"


def unknown(state: ServiceState) -> str:
    """Nobody has said where the service listens."""
    return f"service {state.name} is not known: davylamp service apply FILE first"


def starting(state: ServiceState, service: Service, plan: Plan, command: Command) -> str | None:
    """Everything that stands in the way of a start, in one sentence; None if nothing does."""
    return "; ".join(_starting(state, service, plan, command)) or None


def _starting(state: ServiceState, service: Service, plan: Plan, command: Command) -> Iterator[str]:
    name, standing, canary = state.name, state.chain.standing, plan.canary
    if canary not in service.versions:
        known = ", ".join(sorted(service.versions))
        yield f"version {canary} is not among the versions of {name} ({known}): add it with davylamp service apply FILE"
    if canary == state.serving:
        yield f"version {canary} is the baseline already, it serves everybody: name another canary"
    yield from _incomparable(service, state.serving, canary)
    if standing.frozen:
        yield f"{name} is frozen: davylamp unfreeze {name} first"
    if canary in standing.rejected and not command.again:
        yield f"version {canary} was rolled back before: fix it, or start it with --again"
    if standing.live and not command.replace:
        yield f"a rollout of {name} is running: wait for its end, roll it back, or start with --replace"
    if standing.live and command.replace and canary == standing.canary and not command.again:
        yield f"version {canary} is the running canary, which --replace rolls back: add --again if it is to start anew"


def _incomparable(service: Service, serving: str, canary: str) -> Iterator[str]:
    """Clients are led to the eras that both versions speak: without one, or with nobody assigned there, none is drawn."""
    if canary not in service.versions or serving not in service.versions:
        return
    ours, theirs = (set(service.versions[version].eras) for version in (canary, serving))
    if not ours & theirs:
        yield (
            f"versions {canary} ({_only(ours)}) and {serving} ({_only(theirs)}) share no era of the protocol, so no client "
            f"could meet either: release a version that speaks both first, or mend eras with davylamp service apply FILE"
        )
    elif ours & theirs == {"stateless"} and service.assign == ("session",):
        yield (
            f"versions {canary} and {serving} share only the era without sessions, and {service.service} assigns by session "
            f"alone, so nobody would be drawn: let assign name principal with davylamp service apply FILE"
        )


def _only(eras: set[Era]) -> str:
    return ", ".join(sorted(eras))


def approving(state: ServiceState, what: str) -> str | None:
    """Why an approval is of no use."""
    wanted = state.plan.approve
    if what not in wanted:
        asked = f"it asks for {', '.join(wanted)}" if wanted else "it asks for none, the judge goes on by itself"
        return f"the plan asks for no approval of {what}: {asked}"
    if what in state.chain.standing.approved:
        return f"{what} is approved already: davylamp status {state.name} says what it waits for"
    return None


def promoting(state: ServiceState) -> str | None:
    """Whoever observes is told of a breach and nothing is applied: the way up is closed all the same."""
    breach = next((e for e in state.rollout if e.reason.code == "would_rollback"), None)
    if breach is None:
        return None
    return (
        f"promote is not possible after a breach ({breach.reason.sentence}): davylamp rollback {state.name}, "
        f"then start a version that is mended"
    )


def freezing(state: ServiceState, *, frozen: bool) -> str | None:
    """Why there is nothing to freeze, or to thaw."""
    if state.chain.standing.frozen is not frozen:
        return None
    if frozen:
        return f"{state.name} is frozen already: davylamp unfreeze {state.name} lets rollouts start again"
    return f"{state.name} is not frozen: davylamp start PLAN begins a rollout"


def unacknowledged(state: ServiceState, cut: Cut, what: str) -> str:
    """Which proxies are missing."""
    proxies = state.fleet.picture(state.chain.head_id, cut.now)
    missing = [p.proxy for p in proxies if p.state != "acknowledged"]
    who = f"not every proxy ({', '.join(missing)} is missing)" if missing else "no proxy"
    return f"{who} has acknowledged {what}"


def illegal(state: ServiceState, kind: EntryKind, word: str) -> str | None:
    """The chain's own rule, told before anything is written."""
    return None if state.chain.standing.may_follow(kind) else impossible(state, word)
