"""Time charts as SVG: both cohorts on one axis that starts at zero, intervals as bands, decisions as verticals. Pure.

The picture that is there without script; where script runs, uPlot draws the same series.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from status.page import figures
from status.series import Chart, Line, Series

TITLES = {"error_rate": "Error rate", "tool_failures": "Failed tool calls", "latency_p99": "p99 latency"}

_TOP, _HEIGHT, _WIDTH = 30, 130, 1000
_FLOOR = _TOP + _HEIGHT
_EDGE = 0.005
_GAP_SPANS = 3
"""So many spans without a value are a gap, drawn as one; fewer are chance."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A decision on the time axis."""

    at_ms: int
    text: str
    style: str = ""
    """`x`: bad; `h`: a hold."""

    @property
    def width(self) -> float:
        """Of its words, about, in parts of a chart."""
        return 0.015 + 0.028 * len(self.text)


@dataclass(frozen=True, slots=True)
class Frame:
    """What a chart spans."""

    from_ms: int
    to_ms: int
    top: float
    """Highest value."""

    def x(self, at_ms: float) -> float:
        """0 to 1."""
        return (at_ms - self.from_ms) / max(1, self.to_ms - self.from_ms)

    def y(self, value: float) -> float:
        """Pixels from the top of the matter."""
        return _HEIGHT * (1 - min(value, self.top) / self.top)


def figure(
    chart: Chart,
    series: Series,
    marks: Sequence[Mark],
    versions: tuple[str, str],
    values: tuple[str, str],
    until_ms: int | None = None,
) -> Markup:
    """One chart with its caption; `versions` and `values` of baseline and canary, as the checks say them.

    `until_ms` is now, while requests should still be counted: a stretch without any is hatched.
    """
    caption = Markup(
        '<figcaption><b>{}</b><span class="at"></span><span class="keys">'
        '<span class="nb"><svg class="k" aria-hidden="true"><line class="c" x2="22" y1="4" y2="4"/></svg>canary {} {}</span> '
        '<span class="nb"><svg class="k" aria-hidden="true"><line class="b" x2="22" y1="4" y2="4"/></svg>baseline {} {}</span>'
        "</span></figcaption>"
    ).format(TITLES[chart.name], versions[1], values[1], versions[0], values[0])
    frame = _frame(chart, series, until_ms)
    shown = placed(marks, frame) if frame else []
    told = json.dumps([{"at": m.at_ms, "text": m.text, "style": m.style, "left": left} for m, _, left in shown])
    return Markup(
        '<figure data-chart="{}" data-marks="{}" data-end="{}" data-top="{}">{}<div class="drawn">{}</div></figure>'
    ).format(chart.name, told, until_ms or "", frame.top if frame else "", caption, _svg(chart, series, marks, frame))


def _svg(chart: Chart, series: Series, marks: Sequence[Mark], frame: Frame | None) -> Markup:
    title = f"{TITLES[chart.name]} over time, both cohorts on one axis"
    if frame is None:
        return Markup(
            '<svg class="chart" role="img" aria-label="{}: no data"><rect class="void" y="{}" width="100%" height="{}"/></svg>'
        ).format(title, _TOP, _HEIGHT)
    parts = [
        _silence(series, frame),
        _grid(chart, frame),
        _matter(chart, series, frame),
        _marks(marks, frame),
        _times(frame),
    ]
    return Markup('<svg class="chart" role="img" aria-label="{}">{}</svg>').format(title, Markup("").join(parts))


def _frame(chart: Chart, series: Series, until_ms: int | None) -> Frame | None:
    values = [v for line in (chart.baseline, chart.canary) for v in line.value if v is not None]
    if not values:
        return None
    bands = sorted(v for line in (chart.baseline, chart.canary) for v in line.high if v is not None)
    most = max([*values, *(v for v in chart.limit if v is not None)])
    usual = bands[int(0.9 * (len(bands) - 1))]
    end = series.starts[-1] + series.step_ms
    top = nice(max(1.1 * most, min(usual, 2.5 * most)))
    return Frame(series.starts[0], max(end, until_ms or end), min(top, 1.0) if chart.unit == "part" else top)


_STEPS = {1.0: 2, 1.5: 3, 2.0: 2, 3.0: 3, 4.0: 2, 5.0: 2, 6.0: 3, 8.0: 2}
"""The tops that a scale may have, times a power of ten, and how many lines divide it."""


def nice(value: float) -> float:
    """The smallest top that is not below `value`."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in _STEPS if step * power >= value * (1 - 1e-9)), 10 * power)


def _lines(top: float) -> int:
    power = 10.0 ** math.floor(math.log10(top) + 1e-9)
    return _STEPS.get(round(top / power, 1), 2)


def _silence(series: Series, frame: Frame) -> Markup:
    """From the last span to now, where that is too long for a window under way."""
    end = series.starts[-1] + series.step_ms
    if frame.to_ms - end <= _GAP_SPANS * series.step_ms:
        return Markup("")
    return Markup('<rect class="void" x="{}" y="{}" width="{}" height="{}"/>').format(
        f"{100 * frame.x(end):.2f}%", _TOP, f"{100 * (1 - frame.x(end)):.2f}%", _HEIGHT
    )


def _grid(chart: Chart, frame: Frame) -> Markup:
    lines = [Markup('<line class="floor" x2="100%" y1="{y}" y2="{y}"/>').format(y=_FLOOR)]
    count = _lines(frame.top)
    for number in range(1, count + 1):
        value = frame.top * number / count
        y = _TOP + frame.y(value)
        lines.append(Markup('<line class="grid" x2="100%" y1="{y}" y2="{y}"/>').format(y=f"{y:.1f}"))
        lines.append(Markup('<text x="0" y="{}">{}</text>').format(f"{y - 4:.1f}", _label(chart, value)))
    return Markup("").join(lines)


def _label(chart: Chart, value: float) -> str:
    if chart.unit == "part":
        return f"{100 * value:.3g}{figures.NB}%"
    return f"{value / 1000:g}{figures.NB}s" if value >= 1000 else f"{value:g}{figures.NB}ms"  # noqa: PLR2004 - a second


def _matter(chart: Chart, series: Series, frame: Frame) -> Markup:
    xs = [_WIDTH * frame.x(start + series.step_ms / 2) for start in series.starts]
    runs = _runs(series)
    parts = [
        _band("b", chart.baseline, xs, frame, runs),
        _band("c", chart.canary, xs, frame, runs),
        _path("lim", chart.limit, xs, frame, runs),
        _path("b line", chart.baseline.value, xs, frame, runs),
        _path("c line", chart.canary.value, xs, frame, runs),
    ]
    return Markup(
        '<svg y="{}" width="100%" height="{h}" viewBox="0 0 {} {h}" preserveAspectRatio="none">{}</svg>'
    ).format(_TOP, _WIDTH, Markup("").join(parts), h=_HEIGHT)


def _runs(series: Series) -> list[range]:
    """Stretches of spans without a gap."""
    runs, begin = [], 0
    for i in range(1, len(series.starts)):
        if series.starts[i] - series.starts[i - 1] > _GAP_SPANS * series.step_ms:
            runs.append(range(begin, i))
            begin = i
    return [*runs, range(begin, len(series.starts))]


def _pieces(values: Sequence[float | None], runs: Sequence[range]) -> list[list[int]]:
    """Stretches of known values: up to :data:`_GAP_SPANS` unknown ones are bridged."""
    pieces: list[list[int]] = []
    for run in runs:
        known = [i for i in run if values[i] is not None]
        for n, i in enumerate(known):
            if n == 0 or i - known[n - 1] > _GAP_SPANS:
                pieces.append([])
            pieces[-1].append(i)
    return pieces


def _path(
    style: str, values: Sequence[float | None], xs: Sequence[float], frame: Frame, runs: Sequence[range]
) -> Markup:
    moves = [
        f"{'L' if n else 'M'}{xs[i]:.0f} {frame.y(values[i] or 0.0):.1f}"
        for piece in _pieces(values, runs)
        for n, i in enumerate(piece)
    ]
    return Markup('<path class="{}" d="{}"/>').format(style, " ".join(moves)) if moves else Markup("")


def _band(style: str, line: Line, xs: Sequence[float], frame: Frame, runs: Sequence[range]) -> Markup:
    shapes = []
    for piece in _pieces(line.value, runs):
        there = [f"{xs[i]:.0f} {frame.y(line.high[i] or 0.0):.1f}" for i in piece]
        back = [f"{xs[i]:.0f} {frame.y(line.low[i] or 0.0):.1f}" for i in reversed(piece)]
        shapes.append(f"M{' L'.join(there + back)} Z")
    return Markup('<path class="{} band" d="{}"/>').format(style, " ".join(shapes)) if shapes else Markup("")


def placed(marks: Sequence[Mark], frame: Frame) -> list[tuple[Mark, float, bool]]:
    """Those that lie in the frame, where (0 to 1), and whether their words stand at the left so as not to collide.

    One with no room at either side keeps its line only.
    """
    found: list[tuple[Mark, float, bool]] = []
    free_until = 1.0
    for mark in sorted(marks, key=lambda m: m.at_ms, reverse=True):
        at = frame.x(mark.at_ms)
        if not -_EDGE <= at <= 1 + _EDGE:
            continue
        at = min(max(at, 0.0), 1.0)
        crowded = at + mark.width > free_until
        left = crowded and mark.width <= at <= free_until
        shown = replace(mark, text="") if crowded and not left else mark
        free_until = min(free_until, at - mark.width if left else at)
        found.append((shown, at, left))
    return found[::-1]


def _marks(marks: Sequence[Mark], frame: Frame) -> Markup:
    return Markup("").join(
        Markup(
            '<line class="mark {style}" x1="{x}" x2="{x}" y1="4" y2="{floor}"{dash}/><svg x="{x}" overflow="visible">'
            '<text class="{style}" x="{off}" y="12" text-anchor="{anchor}">{text}</text></svg>'
        ).format(
            style=mark.style,
            x=f"{100 * at:.2f}%",
            floor=_FLOOR,
            dash=Markup("") if mark.style else Markup(' stroke-dasharray="1 3"'),
            off=-5 if left else 5,
            anchor="end" if left else "start",
            text=mark.text,
        )
        for mark, at, left in placed(marks, frame)
    )


def _times(frame: Frame) -> Markup:
    texts = []
    for part, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = frame.from_ms + part * (frame.to_ms - frame.from_ms)
        text = figures.clock(at)
        brief = text if frame.to_ms - frame.from_ms < 300_000 else text[:5]  # noqa: PLR2004 - five minutes
        texts.append(
            Markup('<text x="{}" y="177" text-anchor="{}">{}</text>').format(f"{100 * part:g}%", anchor, brief)
        )
    return Markup("").join(texts)
