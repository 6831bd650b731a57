"""Puts together what a page is drawn from."""

from dataclasses import dataclass

from schemas.ledger import Ledger
from status.feed import Feed
from status.lately import Lately
from status.page.snapshot import Snapshot, Viewer
from status.problems import Unknown
from status.views import RolloutStatus
from transport.clock import Clock


@dataclass(frozen=True, slots=True)
class Pictures:
    """Snapshots of services, as of now."""

    feed: Feed
    lately: Lately | None
    clock: Clock

    def of(self, service: str, viewer: Viewer, refused: str | None = None) -> Snapshot:
        """One service. Raises :class:`Unknown`."""
        status = self.feed.overview.status(service)
        if status is None:
            raise Unknown(f"Service {service} is not known: davylamp service apply FILE first.")
        return self._draw(status, viewer, refused)

    def all(self, viewer: Viewer) -> list[Snapshot]:
        """Every service, by name."""
        return [self._draw(status, viewer, None) for status in self.feed.overview.all()]

    def _draw(self, status: RolloutStatus, viewer: Viewer, refused: str | None) -> Snapshot:
        lately, now_ms, overview = self.lately, self.clock.now_ms(), self.feed.overview
        fleet = overview.fleets.get(status.service)
        return Snapshot(
            status=status,
            now_ms=now_ms,
            viewer=viewer,
            proxies=fleet.picture(overview.ledger.of(status.service).head_id, now_ms) if fleet else (),
            recent=lately.services.get(status.service) if lately else None,
            proxied=lately.proxied.get(status.service) if lately else None,
            away_s=self.feed.away_s,
            refused=refused,
        )


def cohorts(ledger: Ledger, service: str) -> tuple[int, str, str]:
    """The newest rollout, and the baseline and canary that it was started with."""
    standing = ledger.of(service).standing
    return standing.rollout, standing.own_baseline or "", standing.canary or ""
