"""The live stream of one service, or of all: typed events by Server-Sent Events, resumable, with a pulse."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field

from davylamp_sdk._message import Message
from status.desk import AtDesk, Desk
from status.metrics import Counted
from status.news import News
from status.problems import NotReady, Unknown, refuses
from status.views import RolloutStatus

PULSE_S = 5.0
RETRY_MS = 2_000
_SOONEST_S = 0.2
"""Between two looks whether the log is followed again."""

ANSWERING_S = 10.0
"""A log that has not answered for so long gives no pulse: what is shown may be wrong."""

routes = APIRouter()


class Pulse(Message):
    """The stream lives, and the log behind it is followed. Without one for 15 s nothing that is shown may be believed."""

    at: Annotated[int, Field(description="Unix milliseconds, by the service's clock.")]


class Snapshots(Message):
    """Where everything stands: what a stream begins with, unless it resumes."""

    services: tuple[RolloutStatus, ...]


def _news(request: Request) -> News:
    news: News = request.app.state.news
    return news


AtNews = Annotated[News, Depends(_news)]
LastEventId = Annotated[str | None, Header(alias="last-event-id", description="Go on after this event.")]


async def _known(service: str, desk: AtDesk) -> str:
    desk.require(service)
    return service


async def _ready(desk: AtDesk) -> None:
    desk.require_ready()


_DESCRIPTION = """Events, each with JSON in `data` (its types: `x-events`): `snapshot` (Snapshots) at the beginning; then
`view` (RolloutView), `entry` (LedgerEntry), `route` (RouteChange), `window` (WindowNews) and `service` (Service) as they
happen, and `pulse` (Pulse) every five seconds while the log is followed. `id` is to be sent back as `Last-Event-ID`:
missed events follow, or a `snapshot` where they are no longer there."""


@routes.get(
    "/api/rollouts/{service}/stream",
    response_class=EventSourceResponse,
    description=_DESCRIPTION,
    responses=refuses(Unknown, NotReady),
)
async def stream(
    service: Annotated[str, Depends(_known)],
    request: Request,
    desk: AtDesk,
    news: AtNews,
    last_event_id: LastEventId = None,
) -> AsyncIterator[ServerSentEvent]:
    """What happens to one service."""
    with _open(request):
        async for event in events(desk, news, service, news.position(last_event_id)):
            yield event


@routes.get(
    "/api/stream",
    response_class=EventSourceResponse,
    description=_DESCRIPTION,
    dependencies=[Depends(_ready)],
    responses=refuses(NotReady),
)
async def stream_all(
    request: Request, desk: AtDesk, news: AtNews, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """What happens to every service."""
    with _open(request):
        async for event in events(desk, news, None, news.position(last_event_id)):
            yield event


@contextlib.contextmanager
def _open(request: Request) -> Iterator[None]:
    counted: Counted = request.app.state.counted
    counted.streams_open += 1
    try:
        yield
    finally:
        counted.streams_open -= 1


async def events(
    desk: Desk, news: News, service: str | None, position: int | None, pulse_s: float = PULSE_S
) -> AsyncIterator[ServerSentEvent]:
    """The stream's events, until the service stops; from `position` on where it is known."""
    at, beat = position, float("-inf")
    while not news.ended:
        missed = news.after(at) if at is not None else None
        if at is None or missed is None:
            at = news.last
            yield _event(news, at, "snapshot", _snapshots(desk, service))
        else:
            for item in missed:
                at = item.number
                if service in (None, item.service):
                    yield _event(news, at, item.kind, item.data)
        now = desk.clock.monotonic_s()
        if now - beat >= pulse_s and _followed(desk):
            beat = now
            yield _event(news, at, "pulse", Pulse(at=desk.clock.now_ms()))
        await news.wait_beyond(at, min(max(_SOONEST_S, beat + pulse_s - now), pulse_s))


def _followed(desk: Desk) -> bool:
    return desk.feed.caught_up and desk.feed.away_s < ANSWERING_S


def _snapshots(desk: Desk, service: str | None) -> Snapshots:
    overview = desk.feed.overview
    found = overview.all() if service is None else [overview.status(service)]
    return Snapshots(services=tuple(status for status in found if status is not None))


def _event(news: News, number: int, kind: str, data: Message) -> ServerSentEvent:
    return ServerSentEvent(event=kind, id=news.cursor(number), data=data, retry=RETRY_MS)
