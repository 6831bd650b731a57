"""Snapshot → text, at most 80 columns wide on every terminal and in every pipe. Pure: no terminal, no clock.

Programs that want a sentence on one line ask for JSON.
"""

import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.control import ProxyRoute, RolloutState, RolloutView
from schemas.decisions import CheckResult, LedgerEntry
from schemas.service import Service
from schemas.units import format_share
from status.page import figures, shown

WIDTH = 80
_LABELLED = 12
"""Where the text begins behind a label."""
_COMPARED = 17
"""Where a check's figures begin."""

_STATES: dict[RolloutState, tuple[str, str]] = {
    "pending": ("?", "pending"),
    "shifting": ("…", "shifting"),
    "collecting": ("…", "collecting"),
    "held": ("‖", "held"),
    "rolled_back": ("✖", "rolled back"),
    "drained": ("✖", "rolled back, drained"),
    "completed": ("✔", "completed"),
    "retired": ("✔", "completed, retired"),
}
"""The glyph never stands alone: the word says the same without colour or font."""

_OVER: frozenset[RolloutState] = frozenset({"rolled_back", "drained", "completed", "retired"})

_VERDICTS = {"breached": "✖", "within": "✔", "undecided": "…"}


def view_of(found: Mapping[str, Any]) -> RolloutView:
    """The judge's view in what the status API says of a service; without one, that there was no rollout.

    Of a rollout that is over the checks are those that the ledger quotes, whatever the judge sees later, and the baseline is
    the version it was compared with.
    """
    none = {"service": found["service"], "rollout": 0, "looked_at": 0}
    said = found.get("rollout") or {**none, "baseline": (found.get("definition") or {}).get("baseline")}
    view = RolloutView.model_validate(said, extra="ignore")
    ledger = found.get("ledger", ())
    quoted = next((e["checks"] for e in reversed(ledger) if e["checks"]), None)
    if view.state not in _OVER:
        return view
    update: dict[str, Any] = {"baseline": ledger[0]["baseline"]} if ledger else {}
    if quoted is not None:
        update["checks"] = tuple(CheckResult.model_validate(check, extra="ignore") for check in quoted)
    return view.model_copy(update=update)


def render_view(view: RolloutView, reason: str | None = None) -> str:
    """A rollout in a few lines."""
    if view.state is None:
        lines = [_fitting(f"– {view.service} has no rollout yet; baseline {view.baseline or 'unknown'}")]
        return "\n".join(lines + _remarks(view))
    glyph, word = _STATES[view.state]
    lines = [
        _fitting(f"{glyph} {view.service} {word}  {view.baseline} → {view.canary}"),
        f"  share     {format_share(view.share)} of new sessions, {_stage(view)}",
        f"  sessions  {view.canary_sessions} canary, {view.baseline_sessions} baseline",
    ]
    lines += _remarks(view)
    lines += [line for check in view.checks for line in _check(check)]
    if view.waiting_for:
        lines += _labelled("next", view.waiting_for)
    if reason and reason != view.held_because:
        lines += _labelled("because", reason)
    return "\n".join(lines)


def render_line(view: RolloutView) -> str:
    """A rollout in one line if it fits, for lists and for progress."""
    frozen = ["frozen"] if view.frozen else []
    if view.state is None:
        return _fitting("  ".join([f"– {view.service}", "no rollout", *frozen]))
    glyph, word = _STATES[view.state]
    parts = [
        f"{glyph} {view.service}",
        word,
        f"{view.baseline} → {view.canary}",
        _stage(view),
        format_share(view.share),
        f"{view.canary_sessions} canary sessions",
        *(["observes only"] if view.observe else []),
        *frozen,
    ]
    return _fitting("  ".join(parts))


def render_history(entries: Sequence[LedgerEntry]) -> str:
    """The ledger of one service: of each entry when (UTC), who, what, the canary's share; and why, below it."""
    if not entries:
        return "– no entry yet"
    rows = [(_time(e.decided_at), e.actor, e.kind, format_share(e.share)) for e in entries]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines: list[str] = []
    for entry, row in zip(entries, rows, strict=True):
        first = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        lines += [_fitting(first), *_wrapped(entry.reason.sentence, "  ", "  ")]
    return "\n".join(lines)


def _wrapped(text: str, first: str, further: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=further, break_on_hyphens=False)


def _labelled(label: str, text: str) -> list[str]:
    return _wrapped(text, f"  {label}".ljust(_LABELLED), " " * _LABELLED)


def _fitting(line: str) -> str:
    return "\n".join(_wrapped(line, "", "    "))


def _remarks(view: RolloutView) -> list[str]:
    """What people must not overlook."""
    lines = _labelled("held", view.held_because) if view.held_because else []
    if view.observe:
        lines.append("  observes  it decides and alerts, and applies nothing")
    if view.frozen:
        lines.append("  frozen    no new rollout may start")
    return lines


def _stage(view: RolloutView) -> str:
    if view.state == "pending":
        return f"before stage 1 of {view.stages}"
    return f"stage {view.stage} of {view.stages}" if view.stage <= view.stages else "all stages passed"


def _check(check: CheckResult) -> list[str]:
    """Baseline → canary, as the page shows them. The limit of a latency is the plan's, which `davylamp explain` knows."""
    row = shown.row(check)
    arms = " → ".join(
        f"{value} of {arm.n}" if arm.n else "no data"
        for value, arm in ((row.baseline, check.baseline), (row.canary, check.canary))
    )
    limit = "" if check.kind == "latency" else f"limit {_limit(row)}  "
    compared = figures.plain(f"{_VERDICTS[check.verdict]} {check.check:<13}  {arms}")
    found = figures.plain(f"{limit}{check.verdict}")
    if len(compared) + 2 + len(found) <= WIDTH:
        return [f"{compared}  {found}"]
    return [*_wrapped(compared, "", " " * _COMPARED), " " * _COMPARED + found]


def _limit(row: shown.Row) -> str:
    """With its unit. That it is drawn turned is the page's business."""
    text, turned, _ = row.limit.partition(", turned")
    return f"{text} points" if turned and "×" not in text else text


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def render_service(service: Service) -> str:
    """A registered service, in one line if it fits. Its baseline is the initial one: afterwards the ledger owns it."""
    where = ", ".join(f"{host}{service.path}" for host in service.hosts)
    versions = ", ".join(sorted(service.versions))
    return _fitting(f"{service.service}: baseline {service.baseline}, versions {versions}, at {where}")


_ROUTES = {
    "acknowledged": ("✔", "runs the newest route"),
    "rejected": ("✖", "rejected the newest route"),
    "pending": ("…", "has not acknowledged the newest route"),
}


def render_proxy(service: str, route: ProxyRoute) -> str:
    """What one proxy runs of one service, in one line if it fits."""
    glyph, word = _ROUTES[route.state]
    if not route.connected:
        glyph, word = "?", "unknown: no router hears it"
    detail = f": {route.detail}" if route.detail else ""
    return _fitting(f"{glyph} {service}  {route.proxy}  {word}{detail}")
