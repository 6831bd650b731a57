"""What people look at."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, Response

from davylamp_sdk._message import Message
from schemas.decisions import LedgerEntry
from status.desk import AtDesk, unknown
from status.documents import Documents
from status.facts import ServiceFacts, facts_of
from status.metrics import Counted, render
from status.page.figures import plain
from status.page.health import Health, items
from status.page.snapshot import Viewer
from status.page.text import explanation
from status.picture import Pictures
from status.problems import NotReady, Unknown, refuses
from status.series import Series
from status.views import RolloutStatus

probes = APIRouter()
"""Open to everybody."""
routes = APIRouter()

_PROGRAM = Viewer(actor="api")


def _pictures(request: Request) -> Pictures:
    pictures: Pictures = request.app.state.pictures
    return pictures


AtPictures = Annotated[Pictures, Depends(_pictures)]


@probes.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process serves."""
    return {"status": "ok"}


@probes.get("/readyz", responses=refuses(NotReady))
async def readyz(desk: AtDesk) -> dict[str, str]:
    """The log has been read to its end and is being followed: what is shown is what holds."""
    desk.require_ready()
    return {"status": "ok"}


@routes.get("/api/rollouts", response_model=list[RolloutStatus])
async def rollouts(request: Request, desk: AtDesk) -> Response:
    """Every service with its newest rollout."""
    documents: Documents = request.app.state.documents
    return Response(documents(desk.feed.overview.all()), media_type="application/json")


@routes.get("/api/rollouts/{service}", responses=refuses(Unknown))
async def rollout(service: str, desk: AtDesk) -> RolloutStatus:
    """One service with its newest rollout."""
    status = desk.feed.overview.status(service)
    if status is None:
        raise Unknown(unknown(service))
    return status


@routes.get("/api/rollouts/{service}/series", responses=refuses(Unknown, NotReady))
async def series(service: str, desk: AtDesk, pictures: AtPictures) -> Series:
    """Both cohorts of the newest rollout over time, as the page draws them; empty where nobody follows the telemetry."""
    desk.require(service)
    found = pictures.of(service, _PROGRAM).series
    return found or Series(service=service, rollout=0, step_ms=0, starts=(), charts=())


@routes.get("/api/rollouts/{service}/text", response_class=PlainTextResponse, responses=refuses(Unknown, NotReady))
async def text(service: str, desk: AtDesk, pictures: AtPictures) -> str:
    """The page as plain text for a terminal: the last decision in full, every check with interval and limit."""
    desk.require(service)
    return explanation(pictures.of(service, _PROGRAM))


@routes.get("/api/rollouts/{service}/facts", responses=refuses(Unknown, NotReady))
async def facts(service: str, desk: AtDesk, pictures: AtPictures) -> ServiceFacts:
    """What the page says beside checks and charts: sessions counted, asked and left, requests under way, tools worst first."""
    desk.require(service)
    return facts_of(pictures.of(service, _PROGRAM))


class Station(Message):
    """One place on the way of a request's event, or of a decision."""

    name: str
    health: Health
    value: str
    detail: str


class ServiceHealth(Message):
    """Whether the pipeline is well, as far as one service tells."""

    service: str
    stations: tuple[Station, ...]


@routes.get("/api/health", responses=refuses(NotReady))
async def health(desk: AtDesk, pictures: AtPictures) -> list[ServiceHealth]:
    """What the page's last region says: telemetry, judge, proxies and log, by service."""
    desk.require_ready()
    return [
        ServiceHealth(
            service=snapshot.service,
            stations=tuple(
                Station(name=i.name, health=i.health, value=plain(i.value), detail=plain(i.detail))
                for i in items(snapshot)
            ),
        )
        for snapshot in pictures.all(_PROGRAM)
    ]


@routes.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request, desk: AtDesk, pictures: AtPictures) -> PlainTextResponse:
    """For Prometheus, in its text format; the names are listed in docs/reference/metrics.md."""
    counted: Counted = request.app.state.counted
    shown = render(pictures.all(_PROGRAM), counted, followed=desk.feed.caught_up, away_s=desk.feed.away_s)
    return PlainTextResponse(shown, media_type="text/plain; version=0.0.4")


@routes.get("/api/rollouts/{service}/history", responses=refuses(Unknown))
async def history(service: str, desk: AtDesk) -> list[LedgerEntry]:
    """Every accepted entry of a service, of all its rollouts, oldest first."""
    if not desk.feed.overview.knows(service):
        raise Unknown(unknown(service))
    return list(desk.feed.overview.ledger.of(service).entries)
