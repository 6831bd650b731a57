"""The door of the API and the page: says who is asking, before a route sees anything."""

import re
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import TypeAdapter, ValidationError
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.names import ActorName
from status.problems import Forbidden, Nameless, Problem, Wrong, problem
from status.reach import everywhere
from status.sessions import Sessions
from status.tokens import Token, find_token
from transport.loopback import LOOPBACK, is_loopback

PROBES = frozenset({"/healthz", "/readyz"})
"""Open to everybody."""
_WAY_IN = "/login"
_LOOKS = "/static/"
_READS = frozenset({"GET", "HEAD"})
_PORT = re.compile(r":\d+$")
_ACTOR: TypeAdapter[str] = TypeAdapter(ActorName)

HEADERS = (
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)
"""On every answer. `same-origin` keeps the `Origin` of the page's own forms, which `no-referrer` would blank."""


class Door:
    """ASGI middleware: everything but the probes, the login and the looks needs a token, and whatever is no read needs
    an operator's.

    It looks at the method and never at the route, so that no new route can be left open. A token comes as a bearer, or
    as the session cookie that `/login` gives for it. Without configured tokens (the settings allow that on loopback
    only) the caller says who it is in the query parameter `actor`, and must have called a loopback name: a web page
    whose own name was rebound to 127.0.0.1 has not. No other site's page may change anything in a visitor's name:
    browsers say with every change where it comes from (`Origin`). Routes find the name as ``request.state.actor`` and
    what it may change as ``request.state.may_change``, which :class:`status.desk.Desk` asks before anything is written.
    """

    def __init__(self, app: ASGIApp, tokens: tuple[Token, ...] = (), sessions: Sessions | None = None) -> None:
        self._app = app
        self._tokens = tokens
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}  # type: ignore[misc]  # ASGI's
            await send(message)

        await self._let_in(scope, receive, send_with_headers)  # type: ignore[arg-type]  # ASGI's messages are mappings

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] not in PROBES:
                self._know(scope)
        except Nameless as refusal:
            to_login = scope["method"] in _READS and b"text/html" in b",".join(_values(scope, b"accept"))
            answer = RedirectResponse(f"{_WAY_IN}?next={quote(scope['path'])}", 303) if to_login else problem(refusal)
            await answer(scope, receive, send)
        except Problem as refusal:
            await problem(refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _know(self, scope: Scope) -> None:
        """Leave the caller's name in the scope, or raise."""
        state = scope.setdefault("state", {})
        open_to_all = scope["path"] == _WAY_IN or scope["path"].startswith(_LOOKS)
        if not self._tokens:
            _require_local(scope)
            _require_own_origin(scope)
            state |= {"actor": _claimed(scope), "may_change": everywhere, "known": False}
            return
        if open_to_all:
            _require_own_origin(scope)
            return
        token, by_cookie = self._token(scope)
        if token is None:
            raise Nameless(
                "Send a token that this API knows (Authorization: Bearer …; davylamp reads DAVYLAMP_TOKEN), or log in at /login."
            )
        _require_own_origin(scope, always=by_cookie)
        leaves = scope["path"] == "/logout"
        if token.role != "operator" and scope["method"] not in _READS and not leaves:
            raise Forbidden(f"{token.name} is a {token.role}: only an operator may change anything.")
        state |= {"actor": token.name, "may_change": token.may_change, "known": by_cookie}

    def _token(self, scope: Scope) -> tuple[Token | None, bool]:
        """Whoever sends a bearer token is judged by that alone; whether it came by cookie."""
        bearers = _values(scope, b"authorization")
        if bearers or self._sessions is None:
            return find_token(self._tokens, _presented(bearers)), False
        return self._sessions.find(_values(scope, b"cookie")), True


def _values(scope: Scope, header: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == header]


def _presented(values: list[bytes]) -> bytes:
    """The bearer token (RFC 6750); empty if there is none, or more than one header that could hold it."""
    if len(values) != 1:
        return b""
    scheme, _, token = values[0].partition(b" ")
    return bytes(token.strip()) if scheme.lower() == b"bearer" else b""


def _require_local(scope: Scope) -> None:
    hosts = [value.decode("latin-1") for value in _values(scope, b"host")]
    if len(hosts) != 1 or not is_loopback(_PORT.sub("", hosts[0]).strip("[]")):
        raise Forbidden(f"Without tokens this API answers to {LOOPBACK} only.")


def _require_own_origin(scope: Scope, *, always: bool = False) -> None:
    """Of a change: that it comes from a page of ours. Programs send no origin; with a cookie there must be one (`always`)."""
    if scope["method"] in _READS:
        return
    origins = [value.decode("latin-1") for value in _values(scope, b"origin")]
    hosts = [value.decode("latin-1").lower() for value in _values(scope, b"host")]
    if not origins and not always:
        return
    if len(origins) != 1 or len(hosts) != 1 or urlsplit(origins[0]).netloc.lower() != hosts[0]:
        raise Forbidden("This change comes from a page of another site: nothing was done.")


def _claimed(scope: Scope) -> str:
    names = parse_qs(scope["query_string"].decode("latin-1")).get("actor", ["api"])
    try:
        return _ACTOR.validate_python(names[-1])
    except ValidationError as error:
        raise Wrong(f"actor: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from error
