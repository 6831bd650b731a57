"""One row of the forest plot as an SVG: x in %, y in px, so that it scales without script and without distortion. Pure."""

from functools import cache

from markupsafe import Markup

from status.page.markup import Template
from status.page.scale import place
from status.page.shown import Places, Row, Verdict

_OFF = 60
"""Lines run so far beyond a row, clipped by its cell: so they run through the whole table."""

_FRAME = Template(
    '<rect class="beyond" x="{limit}" width="{rest}" y="-{off}" height="{tall}"/>'
    '<line class="zero" x1="{zero}" x2="{zero}" y1="-{off}" y2="{end}"/>'
    '<line class="limit" x1="{limit}" x2="{limit}" y1="-{off}" y2="{end}"/>'
)

_PLOT = Template('<svg role="img" aria-label="{sentence}">{frame}{marks}</svg>')


def plot(row: Row, height: int) -> Markup:
    """A row's interval and point, its limit and, where the stage asks for less than the limit, the gate."""
    marks = _no_data(height) if row.verdict == "no_data" else _marks(row.places, row.verdict, height)
    return _PLOT(sentence=row.sentence, frame=frame(height), marks=marks)


@cache
def empty_plot(height: int) -> Markup:
    """The lines alone, where nothing is compared."""
    return Markup('<svg aria-hidden="true">{}</svg>').format(frame(height))


@cache
def frame(height: int) -> Markup:
    """No change, limit, and what lies beyond."""
    return _FRAME(
        off=_OFF,
        tall=height + 2 * _OFF,
        end=height + _OFF,
        zero=_at(place(0)),
        limit=_at(place(1)),
        rest=_at(100 - place(1)),
    )


@cache
def axis(*, narrow: bool = False) -> Markup:
    """The scale's words; fewer where it is `narrow`."""
    words = [(0.0, "0" if narrow else "no change", ""), (1.0, "limit", "hot"), (2.0, "2 ×", "")]
    words += [] if narrow else [(5.0, "5 ×", "")]
    at = [
        Markup('<text class="{}" x="{}" y="12" text-anchor="middle">{}</text>').format(style, _at(place(u)), word)
        for u, word, style in words
    ]
    better = Markup("") if narrow else Markup('<text x="0" y="12">better</text>')
    return Markup(
        '<svg role="img" aria-label="Scale: better, no change, limit, 2, 5 and 10 times the limit">'
        '{}{}<text x="100%" y="12" text-anchor="end">10 ×</text></svg>'
    ).format(better, Markup("").join(at))


def _no_data(height: int) -> Markup:
    middle = height // 2
    return Markup('<rect class="void" x="0" y="{}" width="100%" height="20"/><text x="8" y="{}">no data</text>').format(
        middle - 10, middle + 4
    )


def _marks(places: Places, verdict: Verdict, height: int) -> Markup:
    middle = height / 2
    parts = _gate(places, middle), _interval(places, middle), _point(places, verdict, middle)
    return Markup(f'{parts[0]}<g class="m-{verdict}">{parts[1]}{parts[2]}</g>')  # noqa: S704 - numbers and words of ours


def _gate(places: Places, middle: float) -> str:
    """Only where it differs from the limit: at the last stage they are one."""
    if places.gate is None or not 0 <= (at := place(places.gate)) <= 100 or round(places.gate, 3) == 1:  # noqa: PLR2004 - percent
        return ""
    top = middle - 15
    drawn = f'<path class="gate" d="M-4.5 {_px(top)} h9 L0 {_px(top + 7)} Z"/>'
    return f'<svg x="{_at(at)}" overflow="visible">{drawn}</svg>'


def _interval(places: Places, middle: float) -> str:
    """An end off the plot becomes an arrowhead; an unknown end has no cap."""
    if places.low is None and places.high is None:
        return ""
    anchor = places.point if places.point is not None else 0.0
    left = place(places.low) if places.low is not None else place(anchor)
    right = place(places.high) if places.high is not None else place(anchor)
    ends = _end(left, middle) if places.low is not None else "", _end(right, middle) if places.high is not None else ""
    x1, x2, y = _at(_clamped(left)), _at(_clamped(right)), _px(middle)
    return f'<line class="iv" x1="{x1}" x2="{x2}" y1="{y}" y2="{y}"/>{ends[0]}{ends[1]}'


def _end(at: float, middle: float) -> str:
    if at < 0:
        return f'<svg x="0" y="{_px(middle)}" overflow="visible"><path class="head" d="M6 -4.5 L-1 0 L6 4.5 Z"/></svg>'
    if at > 100:  # noqa: PLR2004 - percent
        head = '<path class="head" d="M-6 -4.5 L1 0 L-6 4.5 Z"/>'
        return f'<svg x="100%" y="{_px(middle)}" overflow="visible">{head}</svg>'
    x = _at(at)
    return f'<line class="cap" x1="{x}" x2="{x}" y1="{_px(middle - 5)}" y2="{_px(middle + 5)}"/>'


def _point(places: Places, verdict: Verdict, middle: float) -> str:
    if places.point is None or not 0 <= (at := place(places.point)) <= 100:  # noqa: PLR2004 - percent
        return ""
    if verdict == "breached":
        diamond = '<path class="pt" d="M0 -7.5 L7.5 0 L0 7.5 L-7.5 0 Z"/>'
        return f'<svg x="{_at(at)}" y="{_px(middle)}" overflow="visible">{diamond}</svg>'
    return f'<circle class="pt" cx="{_at(at)}" cy="{_px(middle)}" r="5"/>'


def _clamped(percent: float) -> float:
    return min(max(percent, 0.0), 100.0)


def _at(percent: float) -> str:
    return f"{percent:.2f}%"


def _px(value: float) -> str:
    return f"{value:g}"
