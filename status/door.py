"""The door of the API: says who is asking, before a route sees anything."""

import re
from urllib.parse import parse_qs

from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.names import ActorName
from status.problems import Forbidden, Nameless, Problem, Wrong, problem
from status.settings import LOOPBACK
from status.tokens import Token, find_token

_PROBES = frozenset({"/healthz", "/readyz"})
_READS = frozenset({"GET", "HEAD"})
_PORT = re.compile(r":\d+$")
_ACTOR: TypeAdapter[str] = TypeAdapter(ActorName)


class Door:
    """ASGI middleware: everything but the probes needs a token, and whatever is no read needs an operator's.

    It looks at the method and never at the route, so that no new route can be left open. Without configured tokens
    (the settings allow that on loopback only) the caller says who it is in the query parameter `actor`, and must have
    called a loopback name: a web page whose own name was rebound to 127.0.0.1 has not. Routes find the name as
    ``request.state.actor``.
    """

    def __init__(self, app: ASGIApp, tokens: tuple[Token, ...] = ()) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] == "http" and scope["path"] not in _PROBES:
            try:
                scope.setdefault("state", {})["actor"] = self._actor(scope)
            except Problem as refusal:
                await problem(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _actor(self, scope: Scope) -> str:
        if not self._tokens:
            _require_local(scope)
            return _claimed(scope)
        token = find_token(self._tokens, _presented(scope))
        if token is None:
            raise Nameless("Send a token that this API knows (Authorization: Bearer …; davylamp reads DAVYLAMP_TOKEN).")
        if token.role != "operator" and scope["method"] not in _READS:
            raise Forbidden(f"{token.name} is a {token.role}: only an operator may change anything.")
        return token.name


def _presented(scope: Scope) -> bytes:
    """The bearer token (RFC 6750); empty if there is none, or more than one header that could hold it."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1:
        return b""
    scheme, _, token = values[0].partition(b" ")
    return bytes(token.strip()) if scheme.lower() == b"bearer" else b""


def _require_local(scope: Scope) -> None:
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 or _PORT.sub("", hosts[0]).strip("[]") not in LOOPBACK:
        raise Forbidden(f"Without tokens this API answers to {', '.join(sorted(LOOPBACK))} only.")


def _claimed(scope: Scope) -> str:
    names = parse_qs(scope["query_string"].decode("latin-1")).get("actor", ["api"])
    try:
        return _ACTOR.validate_python(names[-1])
    except ValidationError as error:
        raise Wrong(f"actor: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from error
