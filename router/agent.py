"""The router's edge: follows the ledger and the services, asks the proxies, and tells what they say they run."""

import asyncio
import logging
from collections.abc import Mapping

from router.answers import Knowledge
from router.blindness import Blindness, word
from router.disk import NoDisk
from router.errors import IncapableError
from router.fold import COMMANDS, VIEWS, Fold
from router.keeper import Keeper
from router.latch import Word, rollback
from router.ports import NEEDED, LoadBalancer
from router.proxies import Forgetting, Told
from router.proxy_reports import ProxyReports
from router.reports import ROUTES, Pictures, Publisher
from router.scribe import Scribe
from router.snapshot import Routes
from router.witness import Witness
from schemas.control import Command, ProxyRoute, RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from schemas.ledger import Accepted, Void
from transport.clock import Clock
from transport.log import Batch, Position, Record, WatchedReader, Writer
from transport.process import run_together
from transport.skipping import skipping

logger = logging.getLogger(__name__)

RECONCILE_S = 1.0
AWAY_S = 3.0
"""A log that has not answered for so long is not in reach: what is not heard then is nobody's silence."""
_VERSIONS_KNOWN = 64
"""Of the routes: a proxy that runs an older one gives a share that nobody here knows."""
CUT_OFF_S = 10.0
"""A router that has not heard the log for so long lets its proxies go: another one may know better."""


class Router:
    """One router over every service of the log. Its reader reads :data:`router.fold.TOPICS`.

    Proxies are asked for nothing until the log has been read to its end, and then always for the newest. Publishing
    runs beside: neither the log's acknowledgements nor the proxies' hold up a route. Cut off from the log it serves
    nobody, except while a rollback that was said to it directly is in force.
    """

    def __init__(
        self,
        name: str,
        reader: WatchedReader,
        writer: Writer,
        balancer: LoadBalancer,
        clock: Clock,
        keeper: Keeper | None = None,
        witness: Witness | None = None,
    ) -> None:
        self._name = name
        self._reader = reader
        self._balancer = balancer
        self._clock = clock
        self._keeper = keeper or Keeper(NoDisk(), writer)
        self._fold = self._keeper.acknowledged
        self._read_fold = Fold()
        self._caught_up = False
        self._serving = False
        self._forgetting: list[Forgetting] = []
        self._told = Told()
        self._routes = Routes()
        self._pictures = Pictures(name)
        self._publisher = Publisher(writer, self._appended)
        self._proxy_reports = ProxyReports(writer, witness or Witness(name, clock.now_ms()))
        self._blindness = Blindness()
        self._scribe = Scribe(writer, clock)
        self._asked: dict[str, Mapping[str, int]] = {}
        balancer.remember(self._keeper.proxies.names)

    @property
    def serving(self) -> bool:
        """Whether proxies are served now."""
        return self._serving

    @property
    def away_s(self) -> float:
        """How long the log has not answered."""
        return self._reader.away_s

    @property
    def latched(self) -> int:
        """Rollbacks that were said to this router directly and that are not in the ledger yet."""
        return len(self._keeper.latches.entries)

    def shares(self) -> dict[str, int]:
        """By service that has had a rollout: the share of new sessions that its canary should get, of 10,000."""
        return {name: chain.standing.share for name, chain in self._keeper.over(self._fold.ledger).services.items()}

    def share_of(self, version: str | None, service: str) -> int | None:
        """The canary's share in a version of the routes; None if this router has not asked for that one lately."""
        return self._asked.get(version or "", {}).get(service)

    async def run(self) -> None:
        """Follow the log until it ends or fails: :class:`transport.log.LogError`, :class:`router.errors.RouterError`."""
        if missing := NEEDED - self._balancer.capabilities:
            raise IncapableError(f"These proxies lack {', '.join(sorted(missing))}: no rollout can rest on them.")
        beside = self._publisher.run(), self._proxy_reports.run(), self._keeper.run(), self._scribe.run()
        await run_together(self._follow(), self._watch(), self._tick(), *beside)

    async def handle(self, batch: Batch) -> None:
        """Fold a batch; ask the proxies for what follows from it."""
        for record in batch.records:
            self._read(record)
        self._caught_up = self._caught_up or batch.caught_up
        if self._caught_up:
            self._fold = self._read_fold
        await self.reconcile()

    async def reconcile(self) -> None:
        """Ask for the newest routes, again if need be, look, and tell what the log has not taken yet."""
        self._publisher.retry()
        self._proxy_reports.retry()
        if self._caught_up:
            ledger = self._fold.ledger
            self._keeper.known(ledger, frozenset(self._fold.services.keys() | ledger.services.keys()))
            self._forget()
            self._look_after_judge()
        if self._may_serve():
            await self._serve()
        else:
            await self._let_go()

    def look(self) -> None:
        """Tell what is new about the proxies."""
        for service in self._pictures.services:
            proxies = self._balancer.observe(service)
            self._keeper.meet(proxy.proxy for proxy in proxies)
            live = self._fold.ledger.of(service).standing.live
            forgotten = self._told.of(service, self._clock.monotonic_s())
            change = self._pictures.draw(service, proxies, self._clock.now_ms(), live=live, forgotten=forgotten)
            if change is None:
                continue
            self._publisher.offer(change)
            if any(proxy.state == "acknowledged" for proxy in proxies):
                self._keeper.keep(self._fold, service)

    async def roll_back(self, word: Word) -> LedgerEntry:
        """Give a rollout's canary no more sessions, now and whatever happens to log and disk; once, however often it is said.

        Raises :class:`router.errors.NothingToRollBackError`; :class:`router.errors.DiskError` if it is in force but
        would not outlive this process.
        """
        known = self._keeper.latches.entries.get(word.service)
        if known is not None and known.rollout == word.rollout:
            await self._keeper.safe()  # the disk may have been full when it was said first
            return known
        chain = self._fold.ledger.of(word.service)
        if (written := next((e for e in chain.rollout(word.rollout) if e.kind == "rollback"), None)) is not None:
            return written
        entry = rollback(chain, word, self._clock.now_ms())
        self._pictures.decided(entry)
        self._keeper.latch(entry)
        logger.warning("rollback latched", extra={"action": "latched", "service": word.service, "entry": entry.id})
        try:
            await self.reconcile()  # first: a disk that hangs holds up no rollback
        finally:
            await self._keeper.safe()
        return entry

    def knowledge(self, service: str) -> Knowledge:
        """What this router knows of a service's newest rollout; nobody's word but its own."""
        latched = self._keeper.latches.entries.get(service)
        standing = self._keeper.over(self._fold.ledger).of(service).standing
        return Knowledge(
            router=self._name,
            service=service,
            rollout=standing.rollout,
            phase=standing.phase,
            share=standing.share,
            canary=standing.canary,
            latched=latched is not None and latched.rollout == standing.rollout,
            away_s=round(self._reader.away_s, 1),
            proxies=self._balancer.observe(service),
        )

    def observe(self, service: str) -> tuple[ProxyRoute, ...]:
        """What the proxies say of a service's newest route."""
        return self._balancer.observe(service)

    def _may_serve(self) -> bool:
        if self._keeper.latches:
            return bool(self._fold.services or self._fold.ledger.services)
        return self._caught_up and self._reader.away_s < CUT_OFF_S

    async def _serve(self) -> None:
        ledger = self._keeper.over(self._fold.ledger)
        newest = self._routes.snapshot(ledger, self._fold.services, self._fold.offsets)
        self._pictures.asked(newest)
        await self._balancer.apply(newest)
        self._note(newest.version)  # on no rollback's way
        self._serving = True
        self.look()

    def _note(self, version: str) -> None:
        """Under a latch, which is in no offset, one version means two shares: then none is known."""
        shares = self.shares()
        known = self._asked.get(version, shares)
        self._asked[version] = {service: n for service, n in shares.items() if known.get(service) == n}
        self._asked = dict([*self._asked.items()][-_VERSIONS_KNOWN:])

    async def _let_go(self) -> None:
        if self._serving:
            self._serving = False
            extra = {"action": "cut_off", "away_s": round(self._reader.away_s, 1)}
            logger.error("Kafka has not answered: letting the proxies go, which keep their routes", extra=extra)
            await self._balancer.close()

    def _forget(self) -> None:
        """Carry out what people said of proxies that will not come back."""
        for forgetting in self._forgetting:
            if self._keeper.proxies.is_new(forgetting):
                self._balancer.forget(forgetting.proxy)
                left = {proxy.proxy for proxy in self._balancer.observe(forgetting.service)}
                self._keeper.forgot(forgetting, left)
                self._told.add(forgetting, self._clock.monotonic_s())
                about = {"service": forgetting.service, "proxy": forgetting.proxy, "lives": forgetting.proxy in left}
                logger.info("proxy forgotten, unless it lives", extra={"action": "proxy_forgotten", **about})
        self._forgetting.clear()

    def _read(self, record: Record) -> None:
        with skipping(record):
            self._take(record)

    def _look_after_judge(self) -> None:
        """Where nobody looks, do what the plan says: the judge goes on from there when it comes back."""
        now_s = self._clock.monotonic_s()
        self._blindness.tick(now_s, reachable=self._reader.away_s < AWAY_S)
        for service, chain in self._keeper.over(self._fold.ledger).services.items():
            said = word(chain, self._blindness.lasts_s(service, now_s), self._clock.now_ms())
            if said is not None:
                self._scribe.propose(said)

    def _appended(self, change: RouteChange, position: Position) -> None:
        now_s = self._clock.monotonic_s()
        self._blindness.told(change.service, ROUTES, position.partition, position.offset, now_s)

    def _take(self, record: Record) -> None:
        if record.topic == VIEWS:
            self._blindness.view(RolloutView.read(record.value or b""), self._clock.monotonic_s())
            return
        if record.topic == COMMANDS:
            command = Command.read(record.value or b"")
            forgetting = Forgetting.of(command, record.partition, record.offset)
            self._forgetting += [forgetting] if forgetting is not None else []
            return
        self._read_fold, result = self._read_fold.read(record)
        if isinstance(result, Accepted) and self._caught_up:
            self._pictures.decided(result.entry)
            self._blindness.decided(result.entry, self._clock.monotonic_s())
        if isinstance(result, Void):
            about = {"service": result.entry.service, "entry": result.entry.id, "why": result.reason}
            logger.warning("void entry", extra={"action": "entry_void", **about})

    async def _follow(self) -> None:
        async for batch in self._reader.batches():
            await self.handle(batch)

    async def _watch(self) -> None:
        while True:
            await self._balancer.changed()
            self.look()

    async def _tick(self) -> None:
        while True:
            await self.reconcile()
            self._proxy_reports.tell(self._pictures.routes, self._fold.ledger, self._clock.now_ms())
            await asyncio.sleep(RECONCILE_S)
