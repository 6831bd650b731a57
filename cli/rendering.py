"""Snapshot → text. Pure: no terminal, no clock."""

from schemas.control import RolloutView
from schemas.decisions import CheckResult
from schemas.units import format_share

_GLYPHS = {"rolled_back": "✖", "completed": "✔", "shifting": "…", "collecting": "…"}
_VERDICTS = {"breached": "✖", "within": "✔", "undecided": "…"}


def render_view(view: RolloutView, reason: str | None = None) -> str:
    """A rollout in a few lines, at most 80 columns wide where the sentences allow it."""
    if view.state is None:
        return f"– {view.service} has no rollout yet; baseline {view.baseline or 'unknown'}"
    lines = [
        f"{_GLYPHS[view.state]} {view.service} {view.state.replace('_', ' ')}  {view.baseline} → {view.canary}",
        f"  share     {format_share(view.share)} of new sessions, {_stage(view)}",
        f"  sessions  {view.canary_sessions} canary, {view.baseline_sessions} baseline",
    ]
    lines += [_check(check) for check in view.checks]
    if view.waiting_for:
        lines.append(f"  next      {view.waiting_for}")
    if reason:
        lines.append(f"  because   {reason}")
    return "\n".join(lines)


def render_line(view: RolloutView) -> str:
    """A rollout in one line, for lists and for progress."""
    if view.state is None:
        return f"– {view.service}  no rollout"
    parts = [
        f"{_GLYPHS[view.state]} {view.service}",
        view.state.replace("_", " "),
        f"{view.baseline} → {view.canary}",
        _stage(view),
        format_share(view.share),
        f"{view.canary_sessions} canary sessions",
    ]
    return "  ".join(parts)


def _stage(view: RolloutView) -> str:
    return f"stage {view.stage} of {view.stages}" if view.stage <= view.stages else "all stages passed"


def _check(check: CheckResult) -> str:
    rates = "  ".join(
        f"{name} {100 * count.bad / count.n:.2f} % of {count.n}" if count.n else f"{name} no data"
        for name, count in (("baseline", check.baseline), ("canary", check.canary))
    )
    return f"{_VERDICTS[check.verdict]} {check.check:<9} {rates}  limit {100 * check.margin:+g} points  {check.verdict}"
