"""The same page as plain text, for terminals: at most 80 columns, no colour, glyph and word together. Pure."""

import textwrap

from status.page import figures
from status.page.answer import SIGNS, headline, now
from status.page.forest import GLYPHS, WORDS
from status.page.shown import Row
from status.page.snapshot import Snapshot

WIDTH = 80
_NAME = 16
_COLUMNS = f"{{}} {{:<{_NAME}}} {{:>8}} {{:>8}} {{:>7}} {{:>15}} {{:>7}} {{}}"


def explanation(snapshot: Snapshot) -> str:
    """Where the newest rollout stands, the last decision in full, and every check with interval and limit."""
    parts = [_standing(snapshot), _decision(snapshot), _checks(snapshot), _next(snapshot)]
    text = figures.plain("\n\n".join("\n".join(part) for part in parts if part)) + "\n"
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)  # a terminal obeys what it is sent


def _standing(snapshot: Snapshot) -> list[str]:
    found, view = headline(snapshot), snapshot.view
    first = f"{SIGNS[found.glyph]} {snapshot.service} {found.brief}"
    if snapshot.state is not None:
        first += f"  {snapshot.baseline} → {snapshot.canary}, rollout {view.rollout}"
    running, known = snapshot.acknowledged
    share = f"{figures.share(view.share)} asked, {running} of {known} proxies run it"
    return [first, *_wrapped(now(snapshot), "  "), f"  {share}"]


def _decision(snapshot: Snapshot) -> list[str]:
    entry = snapshot.decision
    if entry is None:
        return []
    ago = figures.duration((snapshot.now_ms - entry.decided_at) / 1000)
    when = figures.clock(entry.decided_at, snapshot.now_ms)
    moved = "to" if entry.kind in ("start", "proceed", "complete", "rollback") else "at"
    lines = [f"{when}  {entry.actor}  {entry.kind} {moved} {figures.share(entry.share)}, {ago} ago"]
    lines += _wrapped(entry.reason.sentence, "  ")
    told = snapshot.confirmation(entry)
    if told is not None:
        later = f" {figures.brief(told.took_ms / 1000)} later" if told.took_ms is not None else ""
        every = "the only proxy" if told.proxies == 1 else f"{told.proxies} of {told.proxies} proxies"
        lines.append(f"  confirmed by {every}{later}")
    return lines


def _checks(snapshot: Snapshot) -> list[str]:
    rows = snapshot.rows
    if not rows:
        return []
    score = snapshot.frozen_at.score if snapshot.frozen_at else snapshot.view.score
    at = snapshot.frozen_at.decided_at if snapshot.frozen_at else snapshot.view.looked_at
    shown = "no score" if score is None or snapshot.no_data else f"score {score:.0f} of 100"
    head = _COLUMNS.format(" ", "CHECK", "BASELINE", "CANARY", "DIFF", "INTERVAL", "LIMIT", "VERDICT")
    lines = [f"as of {figures.clock(at, snapshot.now_ms)}, {shown}; differences in points, ratios as ×", head]
    for row in rows:
        lines.append(_check(row))
        lines += [f"    {note}" for note in [_note(row)] if note]
    return lines


def _check(row: Row) -> str:
    name = row.name if len(row.name) <= _NAME else f"{row.name[: _NAME - 1]}…"
    difference, limit = (_bare(text) for text in (row.difference, row.limit))
    word = WORDS.get(row.verdict, row.verdict)
    return _COLUMNS.format(
        SIGNS[GLYPHS[row.verdict]] if row.verdict != "undecided" else "…",
        name,
        row.baseline,
        row.canary,
        difference,
        row.interval,
        limit,
        word,
    )


def _bare(text: str) -> str:
    """Without its unit, which the head of the table names."""
    return text.partition(",")[0].removesuffix(f"{figures.NB}points").replace(f"×{figures.NB}", "×")


def _note(row: Row) -> str:
    more = ["higher is better"] if row.turned else []
    more += [] if row.decides else ["shown only: the plan has it switched off"]
    return "; ".join(part for part in (row.note, *more) if part)


def _next(snapshot: Snapshot) -> list[str]:
    service, view = snapshot.service, snapshot.view
    lines = _wrapped(f"next: {view.waiting_for}", "  ") if snapshot.live and view.waiting_for else []
    return [*lines, f"  verify it:   davylamp verify {service}", f"  all of it:   davylamp history {service}"]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
