"""What people look at."""

from fastapi import APIRouter, Request

from schemas.decisions import LedgerEntry
from status.desk import AtDesk, unknown
from status.page.snapshot import Viewer
from status.picture import Pictures
from status.problems import Unknown
from status.series import Series
from status.views import RolloutStatus

routes = APIRouter()


@routes.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process serves."""
    return {"status": "ok"}


@routes.get("/readyz")
async def readyz(desk: AtDesk) -> dict[str, str]:
    """The log has been read to its end and is being followed: what is shown is what holds."""
    desk.require_ready()
    return {"status": "ok"}


@routes.get("/api/rollouts")
async def rollouts(desk: AtDesk) -> list[RolloutStatus]:
    """Every service with its newest rollout."""
    return desk.feed.overview.all()


@routes.get("/api/rollouts/{service}")
async def rollout(service: str, desk: AtDesk) -> RolloutStatus:
    """One service with its newest rollout."""
    status = desk.feed.overview.status(service)
    if status is None:
        raise Unknown(unknown(service))
    return status


@routes.get("/api/rollouts/{service}/series")
async def series(service: str, request: Request) -> Series:
    """Both cohorts of the newest rollout over time, as the page draws them; empty where nobody follows the telemetry."""
    pictures: Pictures = request.app.state.pictures
    found = pictures.of(service, Viewer(actor="api")).series
    return found or Series(service=service, rollout=0, step_ms=0, starts=(), charts=())


@routes.get("/api/rollouts/{service}/history")
async def history(service: str, desk: AtDesk) -> list[LedgerEntry]:
    """Every accepted entry of a service, of all its rollouts, oldest first."""
    if not desk.feed.overview.knows(service):
        raise Unknown(unknown(service))
    return list(desk.feed.overview.ledger.of(service).entries)
