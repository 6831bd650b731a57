"""The status API: what people and the command line ask, and the only door for their commands."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from davylamp_sdk import __version__
from davylamp_sdk._message import Message
from schemas.control import Command
from schemas.decisions import Opening
from schemas.plan import Plan
from schemas.service import Service
from status.feed import Feed
from status.views import RolloutStatus
from transport.log import LogError, Reader, Writer

ANSWER_WITHIN_S = 10.0
"""How long a command waits for the judge's answer before it is reported as open."""


class Started(Message):
    """A rollout that the judge has started."""

    command: str
    sentence: str


def _feed(request: Request) -> Feed:
    feed: Feed = request.app.state.feed
    return feed


def _writer(request: Request) -> Writer:
    writer: Writer = request.app.state.writer
    return writer


KnownFeed = Annotated[Feed, Depends(_feed)]
LogWriter = Annotated[Writer, Depends(_writer)]

routes = APIRouter()


def create_app(reader: Reader, writer: Writer) -> FastAPI:
    """The application over a log. Its lifespan follows `reader` and closes both at the end."""
    feed = Feed(reader)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(feed.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await reader.close()
            await writer.close()

    app = FastAPI(title="davylamp", version=__version__, lifespan=lifespan)
    app.state.feed, app.state.writer = feed, writer
    app.include_router(routes)
    app.add_exception_handler(LogError, _log_failed)
    app.add_exception_handler(HTTPException, _refused)
    return app


@routes.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process serves."""
    return {"status": "ok"}


@routes.get("/readyz")
async def readyz(feed: KnownFeed) -> dict[str, str]:
    """The log has been read to its end: what is shown is what holds."""
    if not feed.caught_up:
        raise HTTPException(503, "The log has not been read to its end yet.")
    return {"status": "ok"}


@routes.get("/api/rollouts")
async def rollouts(feed: KnownFeed) -> list[RolloutStatus]:
    """Every service with its newest rollout."""
    return feed.overview.all()


@routes.get("/api/rollouts/{service}")
async def rollout(service: str, feed: KnownFeed) -> RolloutStatus:
    """One service with its newest rollout."""
    status = feed.overview.status(service)
    if status is None:
        raise HTTPException(404, _unknown(service))
    return status


@routes.put("/api/services/{name}")
async def apply_service(name: str, service: Service, feed: KnownFeed, writer: LogWriter) -> Service:
    """Register a service, or change where its versions listen."""
    if name != service.service:
        raise HTTPException(422, f"The path says {name}, the file says {service.service}.")
    await writer.append("services", name, service.dump())
    await feed.wait_for(lambda o: o.services.get(name) == service or None, ANSWER_WITHIN_S)
    return service


@routes.post("/api/rollouts", status_code=201)
async def start(plan: Plan, feed: KnownFeed, writer: LogWriter, actor: str = "api") -> Started:
    """Start a rollout by its plan; answers once the judge has."""
    service = feed.overview.services.get(plan.service)
    if service is None:
        raise HTTPException(409, _unknown(plan.service))
    command = Command(
        id=secrets.token_hex(8),
        service=plan.service,
        kind="start",
        seen=feed.overview.ledger.of(plan.service).head_id,
        actor=actor,
        opening=Opening(plan=plan, service=service, seed=secrets.token_hex(16)),
    )
    await writer.append("rollout-commands", plan.service, command.dump())
    answer = await feed.wait_for(lambda o: o.answer(plan.service, command.id), ANSWER_WITHIN_S)
    if answer is None:
        raise HTTPException(504, f"The judge has not answered command {command.id} within {ANSWER_WITHIN_S:.0f} s.")
    accepted, sentence = answer
    if not accepted:
        raise HTTPException(409, sentence)
    return Started(command=command.id, sentence=sentence)


async def _log_failed(_: Request, error: Exception) -> JSONResponse:
    return _problem(503, "The log did not take it", str(error))


async def _refused(_: Request, error: Exception) -> JSONResponse:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return _problem(status, "Refused", detail)


def _unknown(service: str) -> str:
    return f"Service {service} is not known: davylamp service apply FILE first."


def _problem(status: int, title: str, detail: Any) -> JSONResponse:
    """RFC 9457."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")
