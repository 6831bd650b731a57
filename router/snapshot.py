"""What the proxies are asked for: a pure function of the ledger and the services, in no proxy's own words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from schemas.decisions import LedgerEntry, Opening
from schemas.labels import UNJUDGED, Label
from schemas.ledger import Ledger, ServiceLedger
from schemas.service import Service, Version
from schemas.units import FULL_SHARE

_OVER = frozenset({"complete", "retire", "drained"})
"""Kinds after which a rollout's canary has no sessions of its own to drain."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """How far the records in force reach: offset + 1 of the newest, summed over partitions; 0 without any."""

    ledger: int = 0
    services: int = 0


@dataclass(frozen=True, slots=True)
class Weight:
    """How many of 10,000 new sessions a version gets, and the label they are born with."""

    version: str
    label: str
    weight: int


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A version and a label that a living session may carry together."""

    version: str
    label: str


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
    """For requests without a session. The canary first, none without weight; they sum to 10,000."""
    pairs: tuple[Pair, ...]
    """Sessions that go to their version and keep their label."""
    unlabelled: tuple[str, ...]
    """Versions that also serve sessions with any other label, or none: stamped `-`, never judged."""

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
        named = [w.version for w in self.weights] + [p.version for p in self.pairs] + list(self.unlabelled)
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


def snapshot(ledger: Ledger, services: Mapping[str, Service], offsets: Offsets) -> Snapshot:
    """The route of every service that has a file, or at least a rollout that embeds one."""
    names = sorted(services.keys() | ledger.services.keys())
    routes = (service_route(ledger.of(name), services.get(name)) for name in names)
    return Snapshot(
        version=f"{offsets.ledger:020d}-{offsets.services:020d}",
        clusters_version=f"{offsets.services:020d}",
        routes={route.service: route for route in routes if route is not None},
    )


def service_route(chain: ServiceLedger, current: Service | None) -> ServiceRoute | None:
    """The route of one service, None if nobody has said where it listens.

    `current` is the service's file. While a rollout runs, a version that was edited out of the file keeps the place
    that `start` embeds.
    """
    service = current or (chain.opening.service if chain.opening else None)
    if service is None:
        return None
    kept = chain.opening.service.versions if chain.running and chain.opening else {}
    versions = {**kept, **service.versions}
    rollouts = _rollouts(chain.entries)
    baseline = chain.baseline or service.baseline
    return ServiceRoute(
        service=service.service,
        entry=chain.head_id,
        path=service.path,
        hosts=service.hosts,
        versions=dict(sorted(versions.items())),
        weights=_weights(chain, rollouts, baseline),
        pairs=_pairs(chain, rollouts, versions),
        unlabelled=_unlabelled(rollouts, baseline, versions),
    )


@dataclass(frozen=True, slots=True)
class _Rollout:
    """The consecutive entries of one rollout."""

    last: LedgerEntry
    opening: Opening | None
    completed: bool
    """It reached 100 %, whatever came then."""
    highest: int

    @property
    def stage(self) -> int:
        """The highest stage that sessions were born in, from 1 to the plan's last."""
        return self._bounded(self.highest)

    def label(self, version: str, stage: int) -> str:
        """The label of sessions that `stage` assigned to `version`; `-` without the seed that `start` holds."""
        if self.opening is None:
            return UNJUDGED
        return str(Label.make(self.opening.seed, self.last.rollout, self._bounded(stage), version, "session"))

    def pairs(self, *versions: str) -> list[Pair]:
        """Every stage up to the highest, with each of `versions`."""
        stages = range(1, self.stage + 1) if self.opening else ()
        return [Pair(version, self.label(version, stage)) for stage in stages for version in versions]

    def _bounded(self, stage: int) -> int:
        last = len(self.opening.plan.stages) if self.opening else 1
        return max(1, min(stage, last))


def _rollouts(entries: Iterable[LedgerEntry]) -> list[_Rollout]:
    groups = (list(group) for _, group in groupby(entries, key=lambda e: e.rollout))
    return [
        _Rollout(
            last=group[-1],
            opening=next((e.opening for e in reversed(group) if e.opening), None),
            completed=any(e.kind == "complete" for e in group),
            highest=max(e.stage for e in group),
        )
        for group in groups
    ]


def _weights(chain: ServiceLedger, rollouts: list[_Rollout], baseline: str) -> tuple[Weight, ...]:
    """Sessions are only comparable if both cohorts are being born: without a canary's share none gets a label.

    A rollout whose `start` nobody has seen has no labels either, so its canary gets no sessions.
    """
    head = chain.head
    if head is None or not chain.running or head.share == 0 or rollouts[-1].opening is None:
        return (Weight(baseline, UNJUDGED, FULL_SHARE),)
    shares = ((head.canary, head.share), (head.baseline, FULL_SHARE - head.share))
    return tuple(Weight(v, rollouts[-1].label(v, head.stage), share) for v, share in shares if share)


def _pairs(chain: ServiceLedger, rollouts: list[_Rollout], versions: Mapping[str, Version]) -> tuple[Pair, ...]:
    """Both cohorts of the running rollout; of those that ended without a promotion, the canary, which drains."""
    pairs: list[Pair] = []
    for rollout in rollouts:
        if chain.running and rollout is rollouts[-1]:
            pairs += rollout.pairs(rollout.last.canary, rollout.last.baseline)
        elif rollout.last.kind not in _OVER and rollout.last.canary in versions:
            pairs += rollout.pairs(rollout.last.canary)
            if rollout.completed:  # and undone: sessions were born on it at 100 %, too
                pairs.append(Pair(rollout.last.canary, UNJUDGED))
    return tuple(dict.fromkeys(pairs))


def _unlabelled(rollouts: list[_Rollout], baseline: str, versions: Mapping[str, Version]) -> tuple[str, ...]:
    """The baseline of today, and those of completed rollouts until they are retired or leave the service."""
    baking = [r.last.baseline for r in rollouts if r.last.kind == "complete" and r.last.baseline in versions]
    return tuple(dict.fromkeys((baseline, *reversed(baking))))
