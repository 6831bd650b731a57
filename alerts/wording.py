"""What on-call reads: what happened with numbers, and what to type next. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, assert_never

from alerts.cause import Again, Began, Cause, CauseKind, Ended, Event, Happened, Severity
from schemas.control import ProxyRoute
from schemas.decisions import LedgerEntry, Opening
from schemas.units import format_duration_s, format_share

Step = Literal["happened", "began", "again", "ended"]

LONGEST = 500
"""Characters of what others wrote: a proxy's words or a person's reason must not fill a pager."""

_NAMES: dict[CauseKind, str] = {
    "rollback": "rolled back",
    "undo": "release undone",
    "drained": "canary drained",
    "complete": "canary at 100%",
    "retire": "rollout over, old baseline retired",
    "test": "a test",
    "held": "rollout held",
    "no_data": "held: no data",
    "telemetry_lost": "held: telemetry is lost",
    "mismatch": "held: servers are not the version they should be",
    "sample_ratio": "held: sessions do not fit the share",
    "sick_baseline": "held: the baseline is sick",
    "would_rollback": "observed: would roll back",
    "hold_too_long": "held too long",
    "approval": "waits for a person's approval",
    "route_rejected": "a proxy rejects its route",
    "drift": "a proxy does not run the newest route",
    "router_silent": "no router is heard",
    "blind": "the judge does not look",
    "unreadable": "telemetry that nobody can read",
}

_NEXT: dict[CauseKind, str] = {
    "rollback": "davylamp history {service}",
    "undo": "davylamp history {service}",
    "drained": "davylamp history {service}",
    "complete": "davylamp history {service}",
    "retire": "davylamp history {service}",
    "test": "davylamp status {service}",
    "held": 'davylamp resume {service} --reason "…"',
    "no_data": "davylamp status {service}",
    "telemetry_lost": "davylamp status {service}",
    "mismatch": "davylamp status {service}",
    "sample_ratio": "davylamp status {service}",
    "sick_baseline": "davylamp status {service}",
    "would_rollback": 'davylamp rollback {service} --reason "…"',
    "hold_too_long": "davylamp status {service}",
    "approval": 'davylamp approve {service} --reason "…"',
    "route_rejected": "davylamp status {service}",
    "drift": "davylamp status {service}",
    "router_silent": "davylamp status {service}",
    "blind": 'davylamp rollback {service} --reason "…"',
    "unreadable": "davylamp dlq list --topic {service}",
}


@dataclass(frozen=True, slots=True)
class Message:
    """An alert on its way. Times are Unix milliseconds."""

    step: Step
    cause: Cause
    at_ms: int
    """When it happened, began or ended."""
    since_ms: int
    """When its cause began."""
    title: str
    body: str

    @property
    def key(self) -> str:
        """Of its cause."""
        return self.cause.key

    @property
    def severity(self) -> Severity:
        """Of its cause: who heard of the beginning hears of the end."""
        return self.cause.severity


def message(event: Event, at_ms: int, since_ms: int, status_url: str | None = None) -> Message:
    """An event in words; the times are those of :class:`Message`."""
    cause, step = event.cause, _step(event)
    over = f"{event.how} It lasted {lasted(event.at_s - cause.since_s)}." if isinstance(event, Ended) else ""
    lines = [over or cause.sentence, "", f"Next: {_NEXT[cause.kind].format(service=cause.service)}"]
    if over:
        lines = [over, f"It was: {cause.sentence}"]
    lines.append(f"At: {datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC")
    if status_url:
        page = "" if cause.kind == "unreadable" else f"/rollouts/{cause.service}"
        lines.append(f"Status: {status_url.rstrip('/')}{page}")
    return Message(step, cause, at_ms, since_ms, _title(step, cause), "\n".join(lines))


def lasted(seconds: float) -> str:
    """754.3 → ``12m 34s``: the two largest units that count, whole."""
    whole = max(0, round(seconds))
    for unit, part, size in (("d", "h", 86400), ("h", "m", 3600), ("m", "s", 60)):
        if whole >= size:
            rest = whole % size // {"h": 3600, "m": 60, "s": 1}[part]
            return f"{whole // size}{unit} {rest}{part}" if rest else f"{whole // size}{unit}"
    return format_duration_s(whole) if whole else "0s"


def shortened(text: str) -> str:
    """Others' words on one line, bounded."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def sessions_sentence(back: LedgerEntry, opening: Opening | None) -> str:
    """What becomes of the living sessions of a canary that is rolled back."""
    if back.hold_mode == "rehome":
        became = f"Its living sessions are moved to {back.baseline} at once"
    elif back.hold_mode == "evict":
        became = f"Its living sessions end at once and begin anew on {back.baseline}"
    else:
        within = f" within {lasted(opening.plan.rollback.deadline_s)}" if opening else ""
        became = f"Its living sessions end by themselves{within}"
    policy = opening.plan.rollback if opening else None
    severe = policy is not None and back.hold_mode == policy.severe != policy.mode
    return f"{became}, as after a severe breach." if severe else f"{became}."


def proxies_sentence(head: LedgerEntry | None, proxies: Sequence[ProxyRoute], seconds: float) -> str:
    """Which proxies do not run the head's route."""
    behind = [p.proxy for p in proxies if p.state != "acknowledged"]
    named = ", ".join(behind[:5]) + (f" and {len(behind) - 5} more" if len(behind) > 5 else "")  # noqa: PLR2004
    who = f"{len(behind)} of {len(proxies)} proxies ({named})" if proxies else "No proxy is known that"
    asked = f"{format_share(head.share)} for {head.canary} ({head.kind})" if head else "the newest route"
    verb = "have not acknowledged" if proxies else "has acknowledged"
    return f"{who} {verb} {asked} for {lasted(seconds)}."


def _title(step: Step, cause: Cause) -> str:
    mark = {
        "happened": cause.severity,
        "began": cause.severity,
        "again": f"still {cause.severity}",
        "ended": "resolved",
    }
    return f"[{mark[step]}] {cause.service}: {_NAMES[cause.kind]}"


def _step(event: Event) -> Step:
    match event:
        case Happened():
            return "happened"
        case Began():
            return "began"
        case Again():
            return "again"
        case Ended():
            return "ended"
        case _:
            assert_never(event)
