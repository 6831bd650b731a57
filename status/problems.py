"""Why a request was not carried out, as exceptions inside and RFC 9457 problems outside."""

from collections.abc import Mapping
from typing import Any, ClassVar, get_type_hints

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from status.mistakes import Mistake, mistakes
from status.page.shell import message
from transport.log import ClientLostError, LogError


class Problem(Exception):  # noqa: N818 - the tree's root is what RFC 9457 calls it
    """The request was not carried out."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Failed"
    headers: ClassVar[Mapping[str, str]] = {}


class Nameless(Problem):
    """Nobody knows who is asking."""

    status = 401
    title = "Who are you?"
    headers: ClassVar[Mapping[str, str]] = {"www-authenticate": "Bearer"}


class Forbidden(Problem):
    """Whoever asks may not do this."""

    status = 403
    title = "Not allowed"


class Unknown(Problem):
    """Nobody has heard of the service."""

    status = 404
    title = "Unknown"


class Refused(Problem):
    """Understood, and not possible as things stand."""

    status = 409
    title = "Refused"


class Wrong(Problem):
    """The request contradicts itself."""

    status = 422
    title = "Not understood"


class NotReady(Problem):
    """The log has not been read to its end."""

    status = 503
    title = "Not ready"


class Unanswered(Problem):
    """Written, and nobody has said yet what became of it."""

    status = 504
    title = "Unanswered"


class NoText(Problem):
    """The body is no text that could be read."""

    status = 400
    title = "Not understood"


Responses = dict[int | str, dict[str, Any]]
"""What a route may answer beside what it says itself, in FastAPI's words."""


def refuses(*kinds: type[Problem]) -> Responses:
    """The refusals of a route, for its description."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        kind.status: {"description": (kind.__doc__ or kind.title).strip().removesuffix("."), "content": content}
        for kind in kinds
    }


AT_THE_DOOR = refuses(Nameless, Forbidden, Wrong)
"""Of every route but the probes: also a name that nobody may have is no name (422)."""
A_WORD = AT_THE_DOOR | refuses(NoText, Unknown, Refused, NotReady, Unanswered)
"""Of whatever changes something."""


def answer_problems(app: FastAPI) -> None:
    """Every error that leaves `app` is `application/problem+json`."""
    app.add_exception_handler(Problem, _of_ours)
    app.add_exception_handler(LogError, _of_the_log)
    app.add_exception_handler(ClientLostError, _of_the_lost_client)
    app.add_exception_handler(RequestValidationError, _of_the_body)
    app.add_exception_handler(HTTPException, _of_the_framework)


def problem(error: Problem) -> JSONResponse:
    """The response to one of ours."""
    return _problem(error.status, error.title, str(error), headers=error.headers)


async def _of_ours(request: Request, error: Exception) -> Response:
    known = error if isinstance(error, Problem) else Problem(str(error))
    return _told(request, known.status, known.title, str(known)) or problem(known)


async def _of_the_log(_: Request, error: Exception) -> JSONResponse:
    detail = (
        f"The log did not acknowledge it ({error}). It may be there or not: look at the status before you repeat it."
    )
    return _problem(503, "The log did not take it", detail)


async def _of_the_lost_client(request: Request, error: Exception) -> Response:
    """Nothing that this process writes will be taken any more."""
    request.app.state.ending.because(str(error))
    title, detail = (
        "The log did not take it",
        f"{error}. This service starts anew: look at the status, then say it again.",
    )
    return _told(request, 503, title, detail) or _problem(503, title, detail)


async def _of_the_framework(request: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return _told(request, status, detail, "") or _problem(status, detail, detail)


def _told(request: Request, status: int, title: str, detail: str) -> Response | None:
    """A page for whoever looks at one; programs get problems."""
    if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return None
    return HTMLResponse(message(title, detail), status)


async def _of_the_body(request: Request, error: Exception) -> JSONResponse:
    errors = error.errors() if isinstance(error, RequestValidationError) else ()
    found = mistakes([{**e, "loc": _inside(e["loc"])} for e in errors], _body_model(request))
    return _problem(422, "Not understood", "; ".join(map(str, found)), errors=found)


def _inside(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where in the body, if it is there: a malformed body names only an offset."""
    return loc[1:] if loc[0] == "body" and not (len(loc) == 2 and isinstance(loc[1], int)) else loc  # noqa: PLR2004


def _body_model(request: Request) -> type[BaseModel] | None:
    """What the route takes as its body: the one message among its parameters."""
    hints = get_type_hints(request.scope["endpoint"])
    taken = (hint for name, hint in hints.items() if name != "return" and isinstance(hint, type))
    return next((hint for hint in taken if issubclass(hint, BaseModel)), None)


def _problem(
    status: int,
    title: str,
    detail: str,
    errors: tuple[Mistake, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        body["errors"] = [mistake.model_dump() for mistake in errors]
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")
