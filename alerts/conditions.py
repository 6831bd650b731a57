"""Which causes a watched service gives, and how they end. One row each; the severities are the policy."""

from collections.abc import Callable, Iterator

from alerts.cause import Cause, CauseKind, ConditionKind, FactKind, Limits, Severity
from alerts.watch import Watch
from alerts.wording import lasted, proxies_sentence, sessions_sentence, shortened
from schemas.control import ProxyRoute
from schemas.decisions import EntryKind, LedgerEntry
from schemas.standing import Standing
from schemas.units import format_share

JUDGE = "judge"
SERVICES = frozenset({JUDGE, "router"})
"""Actors that are no people."""

_FACTS: dict[EntryKind, tuple[FactKind, Severity]] = {
    "rollback": ("rollback", "page"),
    "drained": ("drained", "info"),
    "complete": ("complete", "info"),
    "retire": ("retire", "info"),
}


def fact(entry: LedgerEntry, before: Standing, at_s: float) -> Cause | None:
    """What an accepted entry states, `before` being the standing that it met; None if on-call need not know."""
    if entry.kind not in _FACTS:
        return None
    kind, severity = _FACTS[entry.kind]
    if kind == "rollback" and before.phase == "completed":
        kind = "undo"
    by = "" if entry.actor == JUDGE else f" (by {entry.actor})"
    sessions = f" {sessions_sentence(entry, before.opening)}" if entry.kind == "rollback" else ""
    return Cause(
        key=f"{entry.service}/{entry.rollout}/{kind}/{entry.id}",
        kind=kind,
        severity=severity,
        service=entry.service,
        rollout=entry.rollout,
        since_s=at_s,
        sentence=shortened(entry.reason.sentence) + by + sessions,
    )


def conditions(watch: Watch, now_s: float, limits: Limits) -> Iterator[Cause]:
    """What lasts at `now_s`; the watch is settled."""
    yield from _holds(watch, now_s, limits)
    yield from _approvals(watch, now_s)
    yield from _proxies(watch, now_s, limits)
    yield from _silences(watch, now_s, limits)


def ending(cause: Cause, watch: Watch) -> str:
    """How a condition that no longer holds ended."""
    head = watch.chain.head
    if cause.kind in _HOLDS:
        return f"The hold is over: {head.kind} by {head.actor}." if head else "The hold is over."
    if cause.kind == "approval":
        return f"It waits no longer: {head.kind} by {head.actor}." if head else "It waits no longer."
    if not watch.chain.standing.live and cause.kind in _SILENCES and head is not None:
        return f"Rollout {head.rollout} no longer runs: {head.kind} by {head.actor}."
    return _ENDINGS[cause.kind]


_HOLD_KINDS: dict[str, tuple[ConditionKind, Severity]] = {
    "stale": ("no_data", "page"),
    "baseline_silent": ("no_data", "page"),
    "canary_silent": ("no_data", "page"),
    "incomplete": ("no_data", "page"),
    "telemetry_lost": ("telemetry_lost", "page"),
    "mismatch": ("mismatch", "page"),
    "sample_ratio": ("sample_ratio", "page"),
    "would_rollback": ("would_rollback", "page"),
    "blind": ("blind", "page"),
    "sick_baseline": ("sick_baseline", "notice"),
}
"""By a hold's code. A page: what is compared is not what people think, or nothing is. Any other hold waits for working
hours: nothing gets worse, and a rollback stays armed."""

_SILENCES: frozenset[CauseKind] = frozenset({"router_silent", "blind"})
_HOLDS: frozenset[CauseKind] = frozenset({"held", "hold_too_long", *(k for k, _ in _HOLD_KINDS.values())}) - _SILENCES
_ENDINGS: dict[CauseKind, str] = {
    "route_rejected": "The proxy no longer rejects this route: it accepted it, or was asked for another one.",
    "drift": "Every proxy runs the newest route, or the canary gets no sessions any more.",
    "router_silent": "A router speaks again.",
    "blind": "The judge looks again.",
    "unreadable": "By now everything that comes can be read.",
}


def _holds(watch: Watch, now_s: float, limits: Limits) -> Iterator[Cause]:
    hold = next((e for e in reversed(watch.chain.entries) if e.kind == "hold"), None)
    if watch.held_s is None or hold is None:
        return
    kind, severity = _hold_kind(hold)
    which = () if kind in _SILENCES else (hold.id,)  # a router that held for it and our own ears: one cause
    yield _cause(watch, kind, severity, watch.held_s, shortened(hold.reason.sentence), *which)
    if now_s - watch.held_s >= limits.hold_too_long_s:
        sentence = f"Held for {lasted(now_s - watch.held_s)}: {shortened(hold.reason.sentence)}"
        yield _cause(watch, "hold_too_long", "page", watch.held_s, sentence, hold.id)


def _hold_kind(hold: LedgerEntry) -> tuple[ConditionKind, Severity]:
    """A person's own hold is no news to people."""
    if hold.actor not in SERVICES:
        return "held", "info"
    return _HOLD_KINDS.get(hold.reason.code, ("held", "notice"))


def _approvals(watch: Watch, now_s: float) -> Iterator[Cause]:
    standing, approval = watch.chain.standing, watch.awaits
    if approval is None or standing.opening is None:
        return
    share = format_share(standing.opening.plan.next_share(standing.stage))
    sentence = f"{standing.canary} gets {share} of new sessions once a person approves it, and no more before."
    yield _cause(watch, "approval", "notice", now_s, sentence, approval)


def _proxies(watch: Watch, now_s: float, limits: Limits) -> Iterator[Cause]:
    proxies = watch.proxies(now_s, limits)
    for proxy in proxies:
        if proxy.state == "rejected":
            yield _rejection(watch, proxy, now_s)
    if watch.diverged_s is not None and now_s - watch.diverged_s >= limits.drift_s and watch.exposed:
        sentence = proxies_sentence(watch.chain.head, proxies, now_s - watch.diverged_s)
        yield _cause(watch, "drift", "page", watch.diverged_s, sentence, name=watch.drift)


def _rejection(watch: Watch, proxy: ProxyRoute, now_s: float) -> Cause:
    asked = max(v.change.version for v in watch.voices.values() if proxy in v.change.proxies)
    sentence = f"Proxy {proxy.proxy} rejected its route: {shortened(proxy.detail or 'it did not say why')}"
    return Cause(
        key=f"{watch.service}/route_rejected/{proxy.proxy}/{asked}",
        kind="route_rejected",
        severity="page",
        service=watch.service,
        rollout=watch.chain.standing.rollout,
        since_s=now_s,
        sentence=sentence,
    )


def _silences(watch: Watch, now_s: float, limits: Limits) -> Iterator[Cause]:
    if not watch.chain.standing.live:
        return
    rows: tuple[tuple[ConditionKind, float, float, Callable[[str], str]], ...] = (
        ("router_silent", watch.router_heard_s, limits.router_silent_s, _router_silent),
        ("blind", watch.judge_heard_s, watch.blind_after_s(limits), _blind),
    )
    for kind, heard_s, limit_s, sentence in rows:
        if now_s - heard_s >= limit_s:
            yield _cause(watch, kind, "page", heard_s, sentence(lasted(now_s - heard_s)))


def _router_silent(silence: str) -> str:
    return f"No router has been heard for {silence}: it is down, or Kafka is out of reach. Proxies keep their routes."


def _blind(silence: str) -> str:
    return f"The judge has not looked for {silence}: it is down, or Kafka is out of reach. Nobody watches the canary."


def _cause(
    watch: Watch, kind: ConditionKind, severity: Severity, since_s: float, sentence: str, *more: str, name: str = ""
) -> Cause:
    return Cause(
        key=watch.key(name or kind, *more),
        kind=kind,
        severity=severity,
        service=watch.service,
        rollout=watch.chain.standing.rollout,
        since_s=since_s,
        sentence=sentence,
    )
