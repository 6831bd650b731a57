"""The status API and page: what people and the command line ask, and the only door for their words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from davylamp_sdk import __version__
from davylamp_sdk._message import Message
from schemas.control import RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from schemas.service import Service
from status import definitions, openapi, pages, proxies, reads, stream, words
from status.desk import ANSWER_WITHIN_S, Desk
from status.documents import Documents
from status.door import Door
from status.ending import Ending
from status.feed import Feed, Followed
from status.lately import Lately
from status.metrics import Counted, tell
from status.news import News
from status.picture import Pictures, cohorts
from status.problems import AT_THE_DOOR, answer_problems
from status.rows import Rows
from status.sessions import Sessions, new_key
from status.tokens import Token
from transport.bodies import Bounded
from transport.clock import Clock, SystemClock
from transport.log import Reader, Record, Writer


def create_app(
    reader: Followed,
    writer: Writer,
    *,
    telemetry: Reader | None = None,
    tokens: tuple[Token, ...] = (),
    clock: Clock | None = None,
    answer_within_s: float = ANSWER_WITHIN_S,
    signs_by: bytes | None = None,
) -> FastAPI:
    """The application over a log. Its lifespan follows `reader` and `telemetry`, and closes everything at the end.

    `reader` reads :data:`status.feed.TOPICS`, `telemetry` :data:`status.lately.TOPICS`; without it there are no charts.
    Without `tokens` everybody may do everything: the settings allow that on loopback only. `signs_by` is
    the key of browsers' sessions; without one they end with the process.
    """
    clock = clock or SystemClock()
    news, counted, ending = News(), Counted(), Ending()
    feed = Feed(
        reader,
        (
            lambda message, _: _publish(news, message),
            lambda message, record: _count(counted, feed, message, record),
            lambda message, _: _draw(rows, message),
        ),
    )
    lately = _lately(telemetry, clock, feed, news, counted) if telemetry is not None else None
    pictures = Pictures(feed, lately, clock)
    rows = Rows(pictures)
    sessions = Sessions(tokens, signs_by or new_key(), clock) if tokens else None
    app = FastAPI(lifespan=lambda _: _following(feed, lately, reader, writer, ending), **_DESCRIBED)
    app.state.desk = Desk(feed, writer, clock, answer_within_s)
    app.state.news, app.state.pictures, app.state.ending = news, pictures, ending
    app.state.rows, app.state.documents = rows, Documents()
    app.state.tokens, app.state.sessions, app.state.counted = tokens, sessions, counted
    app.add_middleware(Bounded)
    app.add_middleware(Door, tokens=tokens, sessions=sessions)
    app.include_router(reads.probes)
    for part in (reads, stream, definitions, words, proxies, pages):
        app.include_router(part.routes, responses=AT_THE_DOOR)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")
    answer_problems(app)
    openapi.describe(app)
    return app


_DESCRIBED: dict[str, Any] = {
    "title": "davylamp",
    "version": __version__,
    "description": openapi.DESCRIPTION,
    "docs_url": None,  # its script would come from somebody else's server
    "redoc_url": None,
}


def _lately(telemetry: Reader, clock: Clock, feed: Feed, news: News, counted: Counted) -> Lately:
    return Lately(
        telemetry,
        clock,
        lambda service: cohorts(feed.overview.ledger, service),
        feed.overview.telemetry,
        lambda told: news.publish("window", told.service, told),
        lambda record: counted.window(f"{record.topic}-{record.partition}", record.offset, record.timestamp_ms),
    )


@contextlib.asynccontextmanager
async def _following(
    feed: Feed, lately: Lately | None, reader: Reader, writer: Writer, ending: Ending
) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(feed.run())]
    tasks[0].add_done_callback(lambda task: _no_longer_followed(task, ending))
    if lately is not None:
        tasks.append(asyncio.create_task(lately.run(feed.read_once)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await reader.close()
        if lately is not None:
            await lately.close()
        await writer.close()


def _no_longer_followed(feed: "asyncio.Task[None]", ending: Ending) -> None:
    if not feed.cancelled():
        ending.because(str(feed.exception() or "the log is no longer followed"))


def _publish(news: News, message: Message) -> None:
    if isinstance(message, LedgerEntry):
        news.publish("entry", message.service, message)
    elif isinstance(message, RolloutView):
        news.publish("view", message.service, message)
    elif isinstance(message, RouteChange):
        news.publish("route", message.service, message)
    elif isinstance(message, Service):
        news.publish("service", message.service, message)


def _draw(rows: Rows, message: Message) -> None:
    if isinstance(message, RolloutView):
        rows.heard(message.service)


def _count(counted: Counted, feed: Feed, message: Message, record: Record) -> None:
    tell(counted, message, record.timestamp_ms, feed.overview.confirmed)
