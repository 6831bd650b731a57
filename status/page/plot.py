"""One row of the forest plot as an SVG: x in %, y in px, so that it scales without script and without distortion. Pure."""

from markupsafe import Markup

from status.page.scale import place
from status.page.shown import Places, Row, Verdict

_OFF = 60
"""Lines run so far beyond a row, clipped by its cell: so they run through the whole table."""

_FRAME = Markup(
    '<rect class="beyond" x="{limit}" width="{rest}" y="-{off}" height="{tall}"/>'
    '<line class="zero" x1="{zero}" x2="{zero}" y1="-{off}" y2="{end}"/>'
    '<line class="limit" x1="{limit}" x2="{limit}" y1="-{off}" y2="{end}"/>'
)


def plot(row: Row, height: int) -> Markup:
    """A row's interval and point, its limit and, where the stage asks for less than the limit, the gate."""
    marks = _no_data(height) if row.verdict == "no_data" else _marks(row.places, row.verdict, height)
    return Markup('<svg role="img" aria-label="{}">{}{}</svg>').format(row.sentence, frame(height), marks)


def empty_plot(height: int) -> Markup:
    """The lines alone, where nothing is compared."""
    return Markup('<svg aria-hidden="true">{}</svg>').format(frame(height))


def frame(height: int) -> Markup:
    """No change, limit, and what lies beyond."""
    return _FRAME.format(
        off=_OFF,
        tall=height + 2 * _OFF,
        end=height + _OFF,
        zero=_at(place(0)),
        limit=_at(place(1)),
        rest=_at(100 - place(1)),
    )


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
    parts = [_gate(places, middle), _interval(places, middle), _point(places, verdict, middle)]
    return Markup('{}<g class="m-{}">{}{}</g>').format(parts[0], verdict, parts[1], parts[2])


def _gate(places: Places, middle: float) -> Markup:
    """Only where it differs from the limit: at the last stage they are one."""
    if places.gate is None or not 0 <= place(places.gate) <= 100 or round(places.gate, 3) == 1:  # noqa: PLR2004 - percent
        return Markup("")
    top = middle - 15
    return Markup('<svg x="{}" overflow="visible"><path class="gate" d="M-4.5 {} h9 L0 {} Z"/></svg>').format(
        _at(place(places.gate)), _px(top), _px(top + 7)
    )


def _interval(places: Places, middle: float) -> Markup:
    """An end off the plot becomes an arrowhead; an unknown end has no cap."""
    if places.low is None and places.high is None:
        return Markup("")
    anchor = places.point if places.point is not None else 0.0
    left = place(places.low) if places.low is not None else place(anchor)
    right = place(places.high) if places.high is not None else place(anchor)
    line = Markup('<line class="iv" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
        _at(_clamped(left)), _at(_clamped(right)), y=_px(middle)
    )
    ends = [_end(left, middle, known=places.low is not None), _end(right, middle, known=places.high is not None)]
    return Markup("{}{}{}").format(line, *ends)


def _end(at: float, middle: float, *, known: bool) -> Markup:
    if not known:
        return Markup("")
    if at < 0:
        return Markup(
            '<svg x="0" y="{}" overflow="visible"><path class="head" d="M6 -4.5 L-1 0 L6 4.5 Z"/></svg>'
        ).format(_px(middle))
    if at > 100:  # noqa: PLR2004 - percent
        return Markup(
            '<svg x="100%" y="{}" overflow="visible"><path class="head" d="M-6 -4.5 L1 0 L-6 4.5 Z"/></svg>'
        ).format(_px(middle))
    return Markup('<line class="cap" x1="{x}" x2="{x}" y1="{}" y2="{}"/>').format(
        _px(middle - 5), _px(middle + 5), x=_at(at)
    )


def _point(places: Places, verdict: Verdict, middle: float) -> Markup:
    if places.point is None or not 0 <= place(places.point) <= 100:  # noqa: PLR2004 - percent
        return Markup("")
    at = _at(place(places.point))
    if verdict == "breached":
        return Markup(
            '<svg x="{}" y="{}" overflow="visible"><path class="pt" d="M0 -7.5 L7.5 0 L0 7.5 L-7.5 0 Z"/></svg>'
        ).format(at, _px(middle))
    return Markup('<circle class="pt" cx="{}" cy="{}" r="5"/>').format(at, _px(middle))


def _clamped(percent: float) -> float:
    return min(max(percent, 0.0), 100.0)


def _at(percent: float) -> str:
    return f"{percent:.2f}%"


def _px(value: float) -> str:
    return f"{value:g}"
