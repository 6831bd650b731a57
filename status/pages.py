"""The page: HTML of the rollouts, the plain forms by which people act on it, and the way in for browsers."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from status import words
from status.desk import Actor, AtDesk, Desk
from status.page import listing, rollout
from status.page.actions import NEEDS_TICK, Act
from status.page.shell import login
from status.page.snapshot import Viewer
from status.picture import Pictures
from status.problems import Forbidden, NotReady, Refused, Unanswered, Wrong
from status.reads import AtPictures
from status.rows import Rows
from status.sessions import COOKIE, LASTS_S, Sessions
from status.tokens import Token, find_token
from transport.log import LogError

STATIC = Path(__file__).parent / "page" / "static"

routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def _viewer(request: Request) -> Viewer:
    state = request.state
    return Viewer(state.actor, state.may_change, state.known)


def _rows(request: Request) -> Rows:
    rows: Rows = request.app.state.rows
    return rows


AtRows = Annotated[Rows, Depends(_rows)]
AsViewer = Annotated[Viewer, Depends(_viewer)]
Names = Annotated[list[str], Query()]
Typed = Annotated[str, Form()]


@routes.get("/")
async def everything(desk: AtDesk, pictures: AtPictures, rows: AtRows, viewer: AsViewer) -> HTMLResponse:
    """Every service, those that need a person first."""
    desk.require_ready()
    found, now_ms = pictures.all(viewer), desk.clock.now_ms()
    return HTMLResponse(listing.page(found, now_ms, viewer, desk.feed.away_s, rows))


@routes.get("/regions")
async def list_regions(
    desk: AtDesk, pictures: AtPictures, rows: AtRows, viewer: AsViewer, names: Names
) -> HTMLResponse:
    """Regions of the list, as they are now."""
    desk.require_ready()
    return HTMLResponse(listing.regions(pictures.all(viewer), names, rows))


@routes.get("/rollouts/{service}")
async def one(service: str, desk: AtDesk, pictures: AtPictures, viewer: AsViewer) -> HTMLResponse:
    """One service with its newest rollout."""
    desk.require_ready()
    return HTMLResponse(rollout.page(pictures.of(service, viewer)))


@routes.get("/rollouts/{service}/regions")
async def regions(service: str, desk: AtDesk, pictures: AtPictures, viewer: AsViewer, names: Names) -> HTMLResponse:
    """Regions of the page, as they are now."""
    desk.require_ready()
    return HTMLResponse(rollout.regions(pictures.of(service, viewer), names))


class Said(BaseModel):
    """What a dialog sends: fields that do not belong to its word are empty or missing."""

    model_config = ConfigDict(frozen=True)

    reason: str = ""
    seen: str = ""
    sure: str = ""
    mode: str = ""
    approves: str = ""

    def fields(self, *names: str) -> dict[str, str]:
        """Those of `names` that were given, the reason in one line."""
        given = self.model_dump() | {"reason": " ".join(self.reason.split())}
        return {name: given[name] for name in names if given[name]}


@routes.post("/rollouts/{service}/{act}")
async def act_on(
    service: str,
    act: Act,
    said: Annotated[Said, Form()],
    desk: AtDesk,
    actor: Actor,
    pictures: AtPictures,
    viewer: AsViewer,
) -> Response:
    """What a dialog of the page sends; back to the page when it was done, and when not, the page with the reason."""
    pictures.of(service, viewer)
    try:
        await _say(desk, actor, service, act, said)
    except (Forbidden, Refused, Unanswered, Wrong, NotReady) as refusal:
        return _not_done(pictures, service, viewer, refusal.status, str(refusal))
    except LogError as error:
        told = f"The log did not acknowledge it ({error}). It may be there or not: look below before you repeat it."
        return _not_done(pictures, service, viewer, 503, told)
    return RedirectResponse(f"/rollouts/{service}", 303)


async def _say(desk: Desk, actor: str, service: str, act: Act, said: Said) -> None:
    """The same words as the API's, with the same checks."""
    if act in NEEDS_TICK and said.sure != "yes":
        raise Wrong("Tick what is skipped: this word takes a safeguard away.")
    try:
        word = _WORDS[act].model_validate(said.fields("reason", "seen", *_MORE.get(act, ())))
    except ValidationError as error:
        first = error.errors()[0]
        what = "Say why: the reason is written to the ledger." if first["loc"] == ("reason",) else first["msg"]
        raise Wrong(what) from error
    match word:
        case words.Return():
            await (words.rollback if act == "rollback" else words.undo)(service, word, desk, actor)
        case words.Approving():
            await words.approve(service, word, desk, actor)
        case words.Promotion():
            await words.promote(service, word, desk, actor)
        case _:
            await words.say(service, "hold" if act == "hold" else "resume", word, desk, actor)


_WORDS: dict[Act, type[words.Word]] = {
    "hold": words.Word,
    "resume": words.Word,
    "promote": words.Promotion,
    "approve": words.Approving,
    "rollback": words.Return,
    "undo": words.Return,
}
_MORE: dict[Act, tuple[str, ...]] = {"approve": ("approves",), "rollback": ("mode",), "undo": ("mode",)}


def _not_done(pictures: Pictures, service: str, viewer: Viewer, status: int, why: str) -> HTMLResponse:
    return HTMLResponse(rollout.page(pictures.of(service, viewer, refused=why)), status)


@routes.get("/login")
async def way_in(next: str = "/") -> HTMLResponse:  # noqa: A002 - the query parameter's usual name
    """Where a browser shows a token."""
    return HTMLResponse(login(_inside(next)))


@routes.post("/login")
async def enter(request: Request, token: Typed = "", next: Annotated[str, Form()] = "/") -> Response:  # noqa: A002
    """A session for a token that is known."""
    tokens: tuple[Token, ...] = request.app.state.tokens
    sessions: Sessions | None = request.app.state.sessions
    found = find_token(tokens, token.strip().encode()) if tokens else None
    if found is None or sessions is None:
        return HTMLResponse(login(_inside(next), refused=True), 401)
    answer = RedirectResponse(_inside(next), 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, sessions.begin(found), LASTS_S, httponly=True, samesite="strict", secure=secure)
    return answer


@routes.post("/logout")
async def leave() -> Response:
    """End the session in this browser."""
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _inside(path: str) -> str:
    """A path of ours; anything that a browser could take for another site is the list."""
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if inside else "/"
