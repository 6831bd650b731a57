"""What surrounds the regions: the document, its head line, and what is shown when nothing is heard. Pure."""

from markupsafe import Markup

from status.page.figures import duration
from status.page.markup import code, moment
from status.page.snapshot import Viewer

_SYMBOLS = Markup(
    '<svg class="defs" aria-hidden="true"><defs>'
    '<symbol id="g-within" viewBox="0 0 12 12" overflow="visible"><path d="M1.5 6.8 L4.7 10 L10.5 2.2"/></symbol>'
    '<symbol id="g-breached" viewBox="0 0 12 12" overflow="visible"><path d="M2 2 L10 10 M10 2 L2 10"/></symbol>'
    '<symbol id="g-held" viewBox="0 0 12 12" overflow="visible"><path d="M3.6 1.5 V10.5 M8.4 1.5 V10.5"/></symbol>'
    '<symbol id="g-undecided" viewBox="0 0 12 12" overflow="visible"><path d="M1.3 6 h.01 M6 6 h.01 M10.7 6 h.01"/></symbol>'
    '<symbol id="g-nodata" viewBox="0 0 12 12" overflow="visible"><path d="M2 6 H10"/></symbol>'
    '<symbol id="g-collecting" viewBox="0 0 12 12" overflow="visible"><path d="M6 1 A5 5 0 1 1 1 6"/></symbol>'
    '<symbol id="g-next" viewBox="0 0 12 12" overflow="visible"><path d="M2 6 H10 M6.5 2.5 L10 6 L6.5 9.5"/></symbol>'
    '<symbol id="lamp" viewBox="0 0 12 16"><path d="M4.2 2.6 a1.8 1.8 0 1 1 3.6 0 M2.5 4.5 h7 M3.2 4.5 v7.5 M8.8 4.5 v7.5 '
    'M1.8 12 h8.4 v3 h-8.4 z M6 6.6 c1.6 2 1.3 3.6 0 3.6 s-1.6 -1.6 0 -3.6"/></symbol>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line class="hatchline" y2="6"/></pattern></defs></svg>'
)
_LAMP = Markup('<svg class="g lamp" viewBox="0 0 12 16" aria-hidden="true"><use href="#lamp"/></svg>')

_DOCUMENT = Markup(
    '<!doctype html>\n<html lang="en"{root}>\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
    '<link rel="icon" href="/static/icons/{icon}.svg" type="image/svg+xml">\n'
    '<link rel="stylesheet" href="/static/vendor/uPlot.min.css">\n<link rel="stylesheet" href="/static/page.css">\n{scripts}'
    "</head>\n<body>\n{symbols}\n{body}\n</body>\n</html>\n"
)
_SCRIPTS = Markup(
    '<script src="/static/vendor/uPlot.iife.min.js" defer></script>\n<script src="/static/live.js" type="module"></script>\n'
)


def document(title: str, icon: str, body: Markup, root: Markup, *, live: bool = True) -> Markup:
    """A whole page. `root` are attributes of `<html>`; without `live` no script is loaded."""
    scripts = _SCRIPTS if live else Markup("")
    return _DOCUMENT.format(root=root, title=title, icon=icon, scripts=scripts, symbols=_SYMBOLS, body=body)


def top(about: Markup, now_ms: int, viewer: Viewer, *, home: bool) -> Markup:
    """The head line. Without script nothing is live: it says as of when it is true."""
    name = Markup("<b>davylamp</b>") if home else Markup('<a href="/">davylamp</a>')
    leave = (
        Markup(
            '<form method="post" action="/logout" class="leave"><button type="submit">Log out {}</button></form>'
        ).format(viewer.actor)
        if viewer.known
        else Markup("")
    )
    return Markup(
        '<header class="top"><span>{}{}</span>{}<span class="live"><span class="dot"></span>'
        "<span data-live>as of {} UTC; reload for newer</span></span>{}</header>"
    ).format(_LAMP, name, about, moment(now_ms), leave)


def lost(away_s: float, now_ms: int, command: str) -> Markup:
    """Stands above everything when nothing is heard; hidden while something is."""
    stale = away_s > 0
    text = f"Kafka has not answered for {duration(away_s)}." if stale else "Nothing is heard."
    below = Markup(
        "<small>Everything below was true at {} and may be wrong now. <span data-trying>Reload to try again.</span> "
        "If nothing answers: {}</small>"
    ).format(moment(now_ms), code(command))
    return Markup('<p class="lost" role="alert"{}><span data-lost>{}</span> {}</p>').format(
        Markup("") if stale else Markup(" hidden"), text, below
    )


def message(title: str, text: str, more: Markup | None = None) -> Markup:
    """A page that says one thing."""
    body = Markup(
        '<div class="page plain"><header class="top"><span>{}<a href="/">davylamp</a></span></header><main><h1>{}</h1><p>{}</p>{}</main></div>'
    )
    return document(title, "stale", body.format(_LAMP, title, text, more or ""), Markup(""), live=False)


def login(following: str, *, refused: bool = False) -> Markup:
    """Where a browser shows its token."""
    told = (
        Markup('<p class="refused" role="alert"><b>Not known.</b> No token like this is configured.</p>')
        if refused
        else Markup("")
    )
    form = Markup(
        '{}<form method="post" action="/login" class="login"><input type="hidden" name="next" value="{}">'
        '<label>Token <input type="password" name="token" required autocomplete="current-password" autofocus></label>'
        '<div class="row"><button type="submit" class="strong">Log in</button></div></form>'
    ).format(told, following)
    return message(
        "Log in", "Show the token that davylamp token new printed. The session ends after twelve hours.", form
    )
