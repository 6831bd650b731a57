"""Snapshots of the scenes, folded as the status service folds its topics."""

from dataclasses import replace
from functools import cache
from typing import Any

from schemas.control import ProxyReport
from schemas.windows import CohortWindow
from status.page.snapshot import Snapshot, Viewer
from status.picture import cohorts
from status.proxied import Proxied
from status.recent import Recent
from status.views import Overview
from tests.page_states import SERVICE, Name, Scene, scene


def snapshot_of(held: Scene, **changes: Any) -> Snapshot:
    """The page's snapshot of the scene's log at its moment."""
    overview, recent, proxied = Overview(), Recent(), Proxied()
    for offset, (topic, message) in enumerate(held.records):
        if isinstance(message, CohortWindow):
            recent.read(message, cohorts(overview.ledger, SERVICE)[0])
        elif isinstance(message, ProxyReport):
            proxied.read(message, cohorts(overview.ledger, SERVICE)[0])
        else:
            overview.read(topic, message.dump(), offset, getattr(message, "at", held.now_ms))
    status = overview.status(SERVICE)
    assert status is not None
    known: dict[str, Any] = {"status": status, "now_ms": held.now_ms, "viewer": Viewer("anna")}
    if SERVICE in overview.fleets:
        head = overview.ledger.of(SERVICE).head_id
        known["proxies"] = overview.fleets[SERVICE].picture(head, held.now_ms)
    return Snapshot(**{**known, "recent": recent, "proxied": proxied, **changes})


def snapshot(name: Name, **changes: Any) -> Snapshot:
    """One of the states."""
    return replace(_folded(name), **changes)


@cache
def _folded(name: Name) -> Snapshot:
    return snapshot_of(scene(name))
