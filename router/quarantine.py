"""Edits of services that a proxy refused: what it is asked to run in place of them, so that ledgers go on. Pure.

All services share one resource, so one bad edit would otherwise keep every later route from the proxy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from router.snapshot import ServiceRoute, Snapshot
from schemas.service import Version

Edit = tuple[str, tuple[str, ...], Mapping[str, Version]] | None
"""What a service's file says about its route: path, hosts, places of the versions; None without a route."""


@dataclass(frozen=True, slots=True)
class Held:
    """An edit that is kept from a proxy."""

    refused: Edit
    words: str
    """The proxy's own, when it refused."""
    before: ServiceRoute | None
    """The service's route that the proxy accepted last."""
    services: str
    """Services offset of the configuration which that was part of."""


Quarantine = Mapping[str, Held]
"""By service."""


def edit(snapshot: Snapshot, service: str) -> Edit:
    """What the service's file says in a snapshot."""
    route = snapshot.routes.get(service)
    return (route.path, route.hosts, route.versions) if route else None


def refused(held: Quarantine, offered: Snapshot, accepted: Snapshot, words: str) -> Quarantine:
    """A proxy that runs `accepted` refused `offered`: every edit between the two is under suspicion.

    None where only ledgers went on: then there is nothing to fall back to.
    """
    names = offered.routes.keys() | accepted.routes.keys()
    suspects = [name for name in names if edit(offered, name) != edit(accepted, name)]
    before = accepted.clusters_version
    kept = {n: Held(edit(offered, n), words, accepted.routes.get(n), before) for n in suspects}
    return {**held, **kept}


def still(held: Quarantine, newest: Snapshot) -> Quarantine:
    """What is left of a quarantine: a service that was edited again is tried again."""
    return {name: one for name, one in held.items() if edit(newest, name) == one.refused}


def without(newest: Snapshot, held: Quarantine) -> Snapshot:
    """`newest` with the last accepted path, hosts and places where an edit is held, and everybody's ledger.

    Its version names the newest ledger offset and the oldest services offset that it rests on.
    """
    if not held:
        return newest
    routes = {n: _route(newest, n, held.get(n)) for n in sorted(newest.routes.keys() | held.keys())}
    services = min(one.services for one in held.values())
    return Snapshot(
        version=f"{newest.version.partition('-')[0]}-{services}",
        clusters_version=services,
        routes={name: route for name, route in routes.items() if route is not None},
    )


def _route(newest: Snapshot, service: str, held: Held | None) -> ServiceRoute | None:
    wanted = newest.routes.get(service)
    if held is None:
        return wanted
    before = held.before
    if wanted is None or before is None:
        return before
    kept = replace(wanted, path=before.path, hosts=before.hosts, versions=before.versions)
    return kept if kept.referenced <= kept.clusters.keys() else before
