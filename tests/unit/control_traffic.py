"""Clients in virtual time: sessions that are born by the proxies' weights and come back by the id that they were given."""

import asyncio
from dataclasses import dataclass, field
from itertools import count

from router.rollouts import Pair
from router.snapshot import ServiceRoute
from schemas.units import FULL_SHARE
from tests.telemetry import event
from tests.unit.control_world import World

EVERY_S = 0.25
BORN = 3
"""Sessions a round."""
SHORT, LONG, LONG_EACH = 2, 40, 15
"""Requests of a session: most end soon, each fifteenth lives through several stages."""


@dataclass
class Session:
    """What a client holds: its connection to one proxy, and the id that it was given."""

    number: int
    proxy: str
    version: str
    label: str
    left: int
    requests: int = 0


@dataclass
class Traffic:
    """Some sessions are born each round, through one proxy after the other."""

    world: World
    bad: frozenset[str] = frozenset()
    """Versions whose every request fails."""
    dead: frozenset[str] = frozenset()
    """Versions of which no process is alive: whoever is sent there gets 503, and nobody counts it."""
    silent: bool = False
    sessions: list[Session] = field(default_factory=list)
    born: dict[str, int] = field(default_factory=dict)
    ended: int = 0
    """Sessions that got 404 or were moved: their rollout was rolled back and its drain is over."""
    _owed: dict[tuple[str, str], float] = field(default_factory=dict)
    _sequence: "count[int]" = field(default_factory=count)
    _numbers: "count[int]" = field(default_factory=count)

    async def run(self) -> None:
        """For ever."""
        for turn in count():
            await asyncio.sleep(EVERY_S)
            names = sorted(self.world.proxies)
            if names and not self.silent:
                self._begin(names[turn % len(names)])
                for session in list(self.sessions):
                    await self._request(self._route(session.proxy), session)

    def _route(self, proxy: str) -> ServiceRoute | None:
        runs = self.world.proxies[proxy].runs
        return runs.routes.get("orders") if runs else None

    def _begin(self, proxy: str) -> None:
        """By the weights, to the session: whoever is furthest behind its share is next."""
        route = self._route(proxy)
        if route is None:
            return
        for _ in range(BORN):
            for weight in route.weights:
                owed = self._owed.get((weight.version, weight.label), 0.0)
                self._owed[weight.version, weight.label] = owed + weight.weight / FULL_SHARE
            version, label = max(((w.version, w.label) for w in route.weights), key=lambda k: self._owed[k])
            self._owed[version, label] -= 1
            number = next(self._numbers)
            left = LONG if number % 8 < 2 else SHORT
            self.sessions.append(Session(number, proxy, version, label, left))
            self.born[version] = self.born.get(version, 0) + 1

    async def _request(self, route: ServiceRoute | None, session: Session) -> None:
        served = served_by(route, session) if route else None
        if served != session.version:
            self.sessions.remove(session)
            self.ended += 1
            self._may_end(session)
            return
        await self._emit(session)
        session.requests, session.left = session.requests + 1, session.left - 1
        if not session.left:
            self.sessions.remove(session)

    def _may_end(self, session: Session) -> None:
        """Invariant 7: a session leaves its version only as its canary was rolled back, or its old baseline retired."""
        entries = self.world.entries
        let_go = {e.canary for e in entries if e.kind in ("drained", "rollback")}
        let_go |= {e.baseline for e in entries if e.kind == "retire"}
        if session.version not in let_go:
            self.world.wrongs.append(f"session {session.number} of {session.version} was not served by it any more")

    async def _emit(self, session: Session) -> None:
        if self.world.log.away_s or session.version in self.dead:
            return  # what the SDK cannot send is dropped and counted
        failed = session.version in self.bad
        said = event(
            next(self._sequence),
            version=session.version,
            session=f"{session.number:016x}",
            assignment=f"{session.label};{session.version}",
            outcome="server_error" if failed else "ok",
            first_of_session=session.requests == 0,
        )
        await self.world.log.put("mcp-requests", 0, said.dump(), b"orders-1/1")


def served_by(route: ServiceRoute, session: Session) -> str | None:
    """Which version a proxy sends the session's next request to; None: 404."""
    pair = Pair(session.version, session.label)
    if pair in route.pairs or session.version in route.unlabelled:
        return session.version
    return route.home if pair in route.rehomed else None
