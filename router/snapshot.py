"""What the proxies are asked for: a pure function of the ledger and the services, in no proxy's own words."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.draws import Draw, Weight
from router.rollouts import Pair, Rollout, baking, living, rolled_back, rollouts
from schemas.ledger import Ledger, ServiceLedger
from schemas.service import Service, Version

__all__ = ["Offsets", "ServiceRoute", "Snapshot", "Weight", "is_later", "service_route", "snapshot"]


@dataclass(frozen=True, slots=True)
class Offsets:
    """How far the records in force reach: offset + 1 of the newest, summed over partitions; 0 without any."""

    ledger: int = 0
    services: int = 0


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """The route of one service. Two equal ones mean the same to every proxy."""

    service: str
    entry: str
    """Id of the ledger's head, which this route follows; empty before the first rollout."""
    path: str
    hosts: tuple[str, ...]
    versions: Mapping[str, Version]
    weights: tuple[Weight, ...]
    """For requests that begin a session; empty if the service does not assign by session.

    Of each kind: the canary first, none without weight; they sum to 10,000."""
    pairs: tuple[Pair, ...]
    """Sessions and cookies that go to their version and keep their label."""
    unlabelled: tuple[str, ...]
    """Versions that also serve sessions and cookies with any other label, or none: stamped `-`, never judged."""
    rehomed: tuple[Pair, ...] = ()
    """Sessions and cookies that `home` takes over from a canary that was rolled back: any of its servers, stamped `-`."""
    home: str = ""
    """The version that serves whoever has no other: today's baseline."""
    principals: tuple[Weight, ...] = ()
    """For requests without a session that name their principal; empty if the service does not assign by principal."""
    salt: str = ""
    """What principals are hashed with: one is in the canary while its hash, of 10,000, is below the canary's weight."""
    cookies: tuple[Weight, ...] = ()
    """For requests with neither, which are given a cookie; empty if the service does not assign by cookie."""
    stateless: bool = True
    """Whether requests of the protocol without sessions are served; else they are refused, so that clients of both
    eras begin a session instead."""

    def cluster(self, version: str) -> str:
        """What proxies call the servers of one version: by version, not by role, so nothing moves on promotion."""
        return f"{self.service}.{version}"

    @property
    def clusters(self) -> dict[str, Version]:
        """Where each cluster's servers listen."""
        return {self.cluster(name): version for name, version in self.versions.items()}

    @property
    def referenced(self) -> frozenset[str]:
        """The clusters that the route sends requests to."""
        named = [w.version for w in (*self.weights, *self.principals, *self.cookies)]
        named += [*(p.version for p in self.pairs), *self.unlabelled, *([self.home] if self.home else [])]
        return frozenset(self.cluster(version) for version in named)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every service's route, and the versions of the two resources that carry them."""

    version: str
    """Of the routes: zero-padded (ledger offset, services offset), so that later ones sort later."""
    clusters_version: str
    """Of the clusters: zero-padded services offset."""
    routes: Mapping[str, ServiceRoute] = field(default_factory=dict)
    """By service."""

    @property
    def clusters(self) -> dict[str, Version]:
        """Where each cluster of each service listens, sorted by name."""
        return dict(sorted(item for route in self.routes.values() for item in route.clusters.items()))

    @property
    def referenced(self) -> frozenset[str]:
        """The clusters that some route sends requests to."""
        return frozenset(name for route in self.routes.values() for name in route.referenced)


def is_later(version: str, than: str) -> bool:
    """Whether a version rests on a ledger or service offset beyond those of another; a foreign version does not."""
    parts, others = version.split("-"), than.split("-")
    if len(parts) != len(others) or not all(part.isdecimal() for part in (*parts, *others)):
        return False
    return any(int(part) > int(other) for part, other in zip(parts, others, strict=True))


@dataclass(slots=True)
class Routes:
    """Makes one snapshot after the other. A route is made anew only where ledger or file of the service is another object
    than before."""

    _made: dict[str, tuple[ServiceLedger | None, Service | None, ServiceRoute | None]] = field(default_factory=dict)

    def snapshot(self, ledger: Ledger, services: Mapping[str, Service], offsets: Offsets) -> Snapshot:
        """The route of every service that has a file, or at least a rollout that embeds one."""
        names = sorted(services.keys() | ledger.services.keys())
        self._made = {name: self._route(name, ledger.services.get(name), services.get(name)) for name in names}
        routes = [route for _, _, route in self._made.values() if route is not None]
        return Snapshot(
            version=f"{offsets.ledger:020d}-{offsets.services:020d}",
            clusters_version=f"{offsets.services:020d}",
            routes={route.service: route for route in routes},
        )

    def _route(
        self, name: str, chain: ServiceLedger | None, service: Service | None
    ) -> tuple[ServiceLedger | None, Service | None, ServiceRoute | None]:
        made = self._made.get(name)
        if made is not None and made[0] is chain and made[1] is service:
            return made
        return chain, service, service_route(chain or ServiceLedger(), service)


def snapshot(ledger: Ledger, services: Mapping[str, Service], offsets: Offsets) -> Snapshot:
    """One of its own."""
    return Routes().snapshot(ledger, services, offsets)


def service_route(chain: ServiceLedger, current: Service | None) -> ServiceRoute | None:
    """The route of one service, None if nobody has said where it listens.

    `current` is the service's file. While a rollout runs, a version that was edited out of the file keeps the place
    that `start` embeds.
    """
    service = current or (chain.opening.service if chain.opening else None)
    if service is None:
        return None
    kept = chain.opening.service.versions if chain.standing.live and chain.opening else {}
    versions = {**kept, **service.versions}
    told = rollouts(living(chain.entries))
    baseline = chain.baseline or service.baseline
    draw = Draw(chain.standing, told, service, versions, baseline)
    return ServiceRoute(
        service=service.service,
        entry=chain.head_id,
        path=service.path,
        hosts=service.hosts,
        versions=dict(sorted(versions.items())),
        weights=draw.weights("session"),
        pairs=_pairs(chain, told, versions),
        unlabelled=_unlabelled(told, baseline, versions),
        rehomed=_rehomed(told, baseline),
        home=baseline,
        principals=draw.weights("principal"),
        salt=draw.salt,
        cookies=draw.weights("cookie"),
        stateless=draw.all_speak("stateless"),
    )


def _pairs(chain: ServiceLedger, told: list[Rollout], versions: Mapping[str, Version]) -> tuple[Pair, ...]:
    """Of rollouts that were rolled back, the canary while it drains; of the running one both cohorts, in every stage to come too."""
    pairs = [p for r in rolled_back(told, "drain") if r.canary in versions for p in r.canary_pairs]
    if chain.standing.live:
        pairs += told[-1].announced_pairs
    return tuple(dict.fromkeys(pairs))


def _rehomed(told: list[Rollout], baseline: str) -> tuple[Pair, ...]:
    moved = [p for r in rolled_back(told, "rehome") if r.canary != baseline for p in r.canary_pairs]
    return tuple(dict.fromkeys(moved))


def _unlabelled(told: list[Rollout], baseline: str, versions: Mapping[str, Version]) -> tuple[str, ...]:
    """The baseline of today, and those of completed rollouts until they are retired or leave the service."""
    old = [r.baseline for r in reversed(baking(told)) if r.baseline in versions]
    return tuple(dict.fromkeys((baseline, *old)))
