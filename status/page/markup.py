"""Small pieces of markup that several regions share. Whatever comes from outside is escaped by `Markup.format`."""

from collections.abc import Iterable
from functools import cache
from string import Formatter
from typing import Literal

from markupsafe import Markup, escape

from status.page import figures

Glyph = Literal["within", "breached", "held", "undecided", "nodata", "collecting", "next"]


class Template:
    """Markup with named holes, each filled with escaped text or markup; ``{{`` is no hole.

    What `Markup.format` does, but taken apart once: rows are drawn by the hundred.
    """

    def __init__(self, text: str) -> None:
        self._parts = tuple((literal, name) for literal, name, _, _ in Formatter().parse(text))

    def __call__(self, **values: object) -> Markup:
        """The markup. Raises ``KeyError`` for a hole without a value."""
        said: list[str] = []
        for literal, name in self._parts:
            said.append(literal)
            if name is not None:
                said.append(escape(values[name]))
        return Markup("".join(said))  # noqa: S704 - literals are ours, values are escaped


def joined(parts: Iterable[Markup]) -> Markup:
    """One after the other."""
    return Markup("").join(parts)


@cache
def glyph(name: Glyph, style: str = "") -> Markup:
    """A sign that never stands alone: a word beside it says the same."""
    return Markup('<svg class="g {}" viewBox="0 0 12 12" aria-hidden="true"><use href="#g-{}"/></svg>').format(
        style, name
    )


_MOMENT = Template('<time datetime="{iso}">{clock}</time>')
_AGO = Template('<span class="nb" data-since="{since}">{age} ago</span>')


def moment(unix_ms: float, now_ms: float | None = None) -> Markup:
    """A time of day, UTC."""
    return _MOMENT(iso=figures.iso(unix_ms), clock=figures.clock(unix_ms, now_ms))


def ago(unix_ms: float, now_ms: float) -> Markup:
    """`4 min 11 s ago`; where script runs, it counts on."""
    return _AGO(since=int(unix_ms), age=figures.duration((now_ms - unix_ms) / 1000))


def until(unix_ms: float, now_ms: float) -> Markup:
    """`in 10 min 49 s`; where script runs, it counts down."""
    return Markup('<span class="nb" data-until="{}">in {}</span>').format(
        int(unix_ms), figures.duration((unix_ms - now_ms) / 1000)
    )


def code(text: str) -> Markup:
    """Something to type, or a name from outside."""
    return Markup("<code>{}</code>").format(text)


def region(name: str, on: str, title: str, about: str | Markup, matter: Markup) -> Markup:
    """A question in the margin, its answer at the right. `on`: the events that may change it."""
    return Markup(
        '<section class="region" id="{name}" data-region="{name}" data-on="{on}"><header><h2>{title}</h2><p>{about}</p></header>'
        "<div>{matter}</div></section>"
    ).format(name=name, on=on, title=title, about=about, matter=matter)


def small(text: str | Markup) -> Markup:
    """A line of less weight."""
    return Markup('<p class="small">{}</p>').format(text)


def none(text: str) -> Markup:
    """No data: hatched, never a number."""
    return Markup('<span class="none">{}</span>').format(text)
