"""Results as pictures, in SVG that needs nothing to be drawn. Pure."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from bench.judge.results import NAMES, Results
from bench.judge.rivals import OURS
from bench.judge.tables import CellOf, cells, heading

_COLOURS = (
    "#0b6e4f",
    "#6fbf9b",
    "#c1440e",
    "#e08e45",
    "#7b2d8b",
    "#b07aa1",
    "#1f5fa8",
    "#7fb0e0",
    "#8a8a00",
    "#c9c95a",
    "#555555",
)
_LEFT, _TOP, _ROW, _BOX = 250, 60, 30, 108
_FIRST_S, _LAST_S, _WIDTH = 3.0, 6000.0, 700
_UNTRUSTED = 0.2
"""Who rolls back so many healthy canaries is drawn hollow: its speed is worth nothing."""


def false_alarms(found: Results, rate: float) -> str:
    """A box a judge and a stream that is no canary's fault: the redder, the more often it rolled back."""
    every = [cell for cell in cells(found, rate) if not cell.fault.is_harmful]
    parts = [_text(_LEFT + i * _BOX + _BOX / 2, _TOP - 12, heading(name), "middle") for i, name in enumerate(NAMES)]
    for row, cell in enumerate(every):
        y = _TOP + row * _ROW
        parts.append(_text(_LEFT - 10, y + 20, f"{cell.fault.title} (n {len(cell.runs)})", "end"))
        for i, name in enumerate(NAMES):
            column = cell.column(name)
            if not column.runs:
                continue
            share = column.share("rolled_back")
            x = _LEFT + i * _BOX
            parts.append(
                f'<rect x="{x}" y="{y}" width="{_BOX - 3}" height="{_ROW - 3}" fill="#c1440e" '
                f'fill-opacity="{0.06 + 0.8 * share:.2f}"/>'
            )
            parts.append(_text(x + _BOX / 2, y + 20, f"{100 * share:.0f} %", "middle"))
    title = f"Rolled back with nothing beyond a margin, {rate:g} new sessions a second"
    return _svg(title, _LEFT + _BOX * len(NAMES) + 10, _TOP + _ROW * len(every) + 10, parts)


def times(found: Results, rate: float) -> str:
    """When half of the runs were rolled back, on a logarithmic axis; a bar where nobody could know earlier."""
    every = [cell for cell in cells(found, rate) if cell.fault.is_harmful]
    healthy = next((cell for cell in cells(found, rate) if cell.name == "none"), None)
    bottom = _TOP + _ROW * len(every)
    parts = [*_axis(bottom), *_legend(healthy, bottom + 40)]
    for row, cell in enumerate(every):
        parts += _row(cell, healthy, _TOP + row * _ROW + _ROW / 2)
    title = f"Time to rollback, {rate:g} new sessions a second"
    return _svg(title, _LEFT + _WIDTH + 30, bottom + 110, parts)


def _row(cell: CellOf, healthy: CellOf | None, y: float) -> Iterator[str]:
    yield _text(_LEFT - 10, y + 5, f"{cell.fault.title} (n {len(cell.runs)})", "end")
    if cell.bound_s is not None:
        x = _x(cell.bound_s)
        yield f'<line x1="{x:.1f}" y1="{y - 11}" x2="{x:.1f}" y2="{y + 11}" stroke="#000" stroke-width="2"/>'
    for i, name in enumerate(NAMES):
        column = cell.column(name)
        if column.runs and math.isfinite(column.median_s):
            yield _dot(_x(column.median_s), y + (i - len(NAMES) / 2) * 2, i, _is_trusted(name, healthy))


def _is_trusted(name: str, healthy: CellOf | None) -> bool:
    column = None if healthy is None else healthy.column(name)
    return column is None or not column.runs or column.share("rolled_back") <= _UNTRUSTED


def _axis(bottom: float) -> Iterator[str]:
    for at_s, words in ((5, "5 s"), (15, "15 s"), (60, "1 min"), (300, "5 min"), (900, "15 min"), (3600, "1 h")):
        x = _x(at_s)
        yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>'
        yield _text(x, bottom + 16, words, "middle")


def _legend(healthy: CellOf | None, y: float) -> Iterator[str]:
    for i, name in enumerate(NAMES):
        x, line = _LEFT + (i % 6) * 125, y + (i // 6) * 20
        yield _dot(x, line - 4, i, _is_trusted(name, healthy))
        yield _text(x + 10, line, heading(name), "start")
    yield _text(_LEFT, y + 44, "hollow: rolled back more than a fifth of healthy canaries; bar: Wald's bound", "start")


def _dot(x: float, y: float, number: int, trusted: bool) -> str:  # noqa: FBT001
    fill = _COLOURS[number] if trusted else "none"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{6 if NAMES[number] == OURS else 4}" fill="{fill}" stroke="{_COLOURS[number]}"/>'


def _x(at_s: float) -> float:
    part = math.log(max(at_s, _FIRST_S) / _FIRST_S) / math.log(_LAST_S / _FIRST_S)
    return _LEFT + _WIDTH * part


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="sans-serif" font-size="12"><title>{escape(title)}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>'
    )
    return "\n".join([head, f'<text x="10" y="22" font-size="15">{escape(title)}</text>', *parts, "</svg>"]) + "\n"
