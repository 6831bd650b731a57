"""What is said on `route-changes`: a new picture of a service's proxies, the newest one only, without holding up routes."""

import logging
from collections.abc import Callable, Mapping

from router.newest import Newest
from router.snapshot import ServiceRoute, Snapshot
from schemas.control import ProxyRoute, RouteChange
from schemas.decisions import LedgerEntry
from schemas.topics import Topic
from transport.log import LogError, Position, Writer

logger = logging.getLogger(__name__)

ROUTES: Topic = "route-changes"

HEARTBEAT_MS = 900
"""While a rollout may go up, a picture is told again after this long: looked for each second, it is told each second."""


class Pictures:
    """Knows which picture of each service was drawn last, so that only new ones are told."""

    def __init__(self, router: str) -> None:
        self._router = router
        self._snapshot: Snapshot | None = None
        self._since: dict[str, str] = {}
        self._decided: dict[str, LedgerEntry] = {}
        self._took: dict[str, float] = {}
        self._drawn: dict[str, tuple[object, int]] = {}

    def asked(self, snapshot: Snapshot) -> None:
        """The proxies are asked for `snapshot`. A service's version is that of the first one with its present route."""
        before = self._snapshot.routes if self._snapshot else {}
        changed = [name for name, route in snapshot.routes.items() if before.get(name) != route]
        self._since |= dict.fromkeys(changed, snapshot.version)
        self._snapshot = snapshot

    def decided(self, entry: LedgerEntry) -> None:
        """An entry arrived as it was written: its way to the proxies is timed. History is not."""
        self._decided[entry.service] = entry
        self._took.pop(entry.service, None)

    @property
    def services(self) -> tuple[str, ...]:
        """Services with a route."""
        return tuple(self._snapshot.routes) if self._snapshot else ()

    @property
    def routes(self) -> tuple[ServiceRoute, ...]:
        """What the proxies are asked for."""
        return tuple(self._snapshot.routes.values()) if self._snapshot else ()

    def draw(
        self,
        service: str,
        proxies: tuple[ProxyRoute, ...],
        now_ms: int,
        *,
        live: bool = False,
        forgotten: Mapping[str, int] | None = None,
    ) -> RouteChange | None:
        """The picture of `service`, None if nothing about it is new and, while it is `live`, the last one is fresh."""
        entry = self._snapshot.routes[service].entry if self._snapshot else ""
        forgotten = dict(forgotten or {})
        gist = (entry, live, forgotten, tuple((p.proxy, p.state, p.connected, p.detail) for p in proxies))
        drawn, at = self._drawn.get(service, (None, 0))
        if drawn == gist and not (live and not 0 <= now_ms - at < HEARTBEAT_MS):
            return None
        self._drawn[service] = gist, now_ms
        acknowledged = bool(proxies) and all(p.state == "acknowledged" for p in proxies)
        return RouteChange(
            service=service,
            router=self._router,
            entry=entry,
            version=self._since.get(service, ""),
            proxies=proxies,
            acknowledged=acknowledged,
            live=live,
            forgotten=forgotten,
            at=now_ms,
            took_ms=self._took_ms(service, entry, now_ms) if acknowledged else None,
        )

    def _took_ms(self, service: str, entry: str, now_ms: int) -> float | None:
        """Measured once an entry: a proxy that comes later acknowledges it again."""
        decided = self._decided.get(service)
        if decided is None or decided.id != entry:
            return None
        return self._took.setdefault(service, float(max(0, now_ms - decided.decided_at)))


class Publisher(Newest[RouteChange]):
    """Appends route changes, of each service the newest. `appended` is told what the log took, and where it lies."""

    def __init__(self, writer: Writer, appended: Callable[[RouteChange, Position], None]) -> None:
        super().__init__(self._publish, key=lambda change: change.service)
        self._writer = writer
        self._appended = appended
        self._said: dict[str, RouteChange] = {}

    async def _publish(self, change: RouteChange) -> bool:
        about = {"service": change.service, "entry": change.entry, "acknowledged": change.acknowledged}
        try:
            position = await self._writer.append(ROUTES, change.service, change.dump())
        except LogError:
            logger.exception("route change not written", extra={"action": "route_change_unwritten", **about})
            return False
        if not _says_the_same(change, self._said.get(change.service)):
            logger.info("route change", extra={"action": "route_change", "took_ms": change.took_ms, **about})
        self._said[change.service] = change
        self._appended(change, position)
        return True


def _says_the_same(change: RouteChange, before: RouteChange | None) -> bool:
    return before is not None and change == before.model_copy(update={"at": change.at})
