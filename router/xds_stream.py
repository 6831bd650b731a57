"""One proxy's xDS stream as a state machine without I/O: what to send next, and what the proxy runs.

State of the world over ADS: each response carries every resource of a type and a nonce; the proxy's next request of
the type names the nonce, with an error if it rejected the response (Envoy, "xDS REST and gRPC protocol").
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from router.quarantine import Quarantine, refused, still, without
from router.snapshot import ServiceRoute, Snapshot
from schemas.service import Version

Resource = Literal["clusters", "routes"]

State = Literal["acknowledged", "pending", "rejected"]


@dataclass(frozen=True, slots=True)
class Push:
    """A snapshot's resources of one type, to be sent now."""

    resource: Resource
    nonce: str
    snapshot: Snapshot
    clusters: Mapping[str, Version] = field(default_factory=dict)
    """Those of the snapshot, and those that the proxy must keep because a route it may run still names them."""


@dataclass(slots=True)
class _Subscription:
    """What was sent of one resource type, and what came back."""

    asked: bool = False
    sent: Push | None = None
    in_flight: deque[Push] = field(default_factory=deque)
    accepted: Push | None = None
    rejected: tuple[Snapshot, str] | None = None

    def answer(self, nonce: str, error: str | None) -> Snapshot | None:
        """The snapshot that was refused, if one was.

        Answers come in order, and one may stand for all before it; an unknown nonce is another stream's.
        """
        if all(nonce != push.nonce for push in self.in_flight):
            return None
        push = self.in_flight.popleft()
        while push.nonce != nonce:
            push = self.in_flight.popleft()
        if error is None:
            self.accepted, self.rejected = push, None
            return None
        self.rejected = push.snapshot, error
        return push.snapshot

    @property
    def may_run(self) -> list[Snapshot]:
        """What the proxy accepted last, and what it may accept before it is heard again."""
        pushes = [*([self.accepted] if self.accepted else []), *self.in_flight]
        return [push.snapshot for push in pushes]


class ProxyStream:
    """What one proxy was sent over one stream, and said about it.

    `proven` is a configuration that proxies accepted before this stream: what is fallen back to if this one refuses
    the first that it is sent.
    """

    def __init__(self, newest: Snapshot, proven: Snapshot | None = None) -> None:
        self._newest = newest
        self._proven = proven
        self._held: Quarantine = {}
        self._offer = newest
        self._nonces = count(1)
        self._clusters = _Subscription()
        self._routes = _Subscription()

    def want(self, newest: Snapshot) -> None:
        """From now on only this snapshot is sent."""
        self._newest = newest
        self._hold(self._held)

    def request(self, resource: Resource, nonce: str, error: str | None = None) -> None:
        """A request came: a subscription if it names no nonce, else the answer to a response."""
        subscription = self._of(resource)
        subscription.asked = True
        if not nonce:
            return
        offered = subscription.answer(nonce, error)
        base = subscription.accepted.snapshot if subscription.accepted else self._proven
        if offered is not None and base is not None:
            self._hold(refused(self._held, offered, base, error or ""))

    def push(self) -> Push | None:
        """The next response to send, which counts as sent; None if the proxy has been asked for everything."""
        resource = self._due()
        if resource is None:
            return None
        clusters = self._wanted_clusters() if resource == "clusters" else {}
        push, subscription = Push(resource, str(next(self._nonces)), self._offer, clusters), self._of(resource)
        subscription.sent = push
        subscription.in_flight.append(push)
        return push

    @property
    def accepted(self) -> Snapshot | None:
        """Whose routes the proxy accepted last."""
        return self._routes.accepted.snapshot if self._routes.accepted else None

    @property
    def version(self) -> str | None:
        """The version of the routes that the proxy accepted last."""
        return self.accepted.version if self.accepted else None

    def state(self, service: str) -> State:
        """Whether the proxy runs the newest route of `service`, with the newest places of its versions."""
        wanted = self._newest.routes.get(service)
        if wanted is None:
            return "pending"
        if self._runs(wanted):
            return "acknowledged"
        return "rejected" if self._refusal(wanted) is not None else "pending"

    def words(self, service: str) -> str | None:
        """Why the proxy rejected the newest route of `service`; None if it did not."""
        wanted = self._newest.routes.get(service)
        return None if wanted is None or self._runs(wanted) else self._refusal(wanted)

    def _runs(self, wanted: ServiceRoute) -> bool:
        places = self._clusters.accepted.snapshot.routes.get(wanted.service) if self._clusters.accepted else None
        accepted = self.accepted.routes.get(wanted.service) if self.accepted else None
        return accepted == wanted and places is not None and places.versions == wanted.versions

    def _refusal(self, wanted: ServiceRoute) -> str | None:
        if wanted.service in self._held:
            return self._held[wanted.service].words
        for rejected in (self._clusters.rejected, self._routes.rejected):
            if rejected is not None and rejected[0].routes.get(wanted.service) == wanted:
                return rejected[1]
        return None

    def _hold(self, held: Quarantine) -> None:
        self._held = still(held, self._newest)
        self._offer = without(self._newest, self._held)

    def _of(self, resource: Resource) -> _Subscription:
        return self._clusters if resource == "clusters" else self._routes

    def _due(self) -> Resource | None:
        if self._clusters.asked and self._clusters_are_due():
            return "clusters"
        sent = self._routes.sent.snapshot if self._routes.sent else None
        if self._routes.asked and sent != self._offer and self._may_send_routes():
            return "routes"
        return None

    def _clusters_are_due(self) -> bool:
        sent = self._clusters.sent
        if sent is None or sent.snapshot.clusters_version != self._offer.clusters_version:
            return True
        return sent.clusters != self._wanted_clusters()

    def _wanted_clusters(self) -> dict[str, Version]:
        """A cluster outlives the last route that may name it: routes are acknowledged before it disappears."""
        sent = self._clusters.sent.clusters if self._clusters.sent else {}
        named = {name for snapshot in self._routes.may_run for name in snapshot.referenced}
        kept = {name: version for name, version in sent.items() if name in named}
        return {**kept, **self._offer.clusters}

    def _may_send_routes(self) -> bool:
        """A route to a new cluster waits for the proxy's word on the clusters, be it a refusal.

        After a refusal the route goes out nevertheless: Envoy takes the clusters it understands, and a bad version of
        one service must not hold up the rollback of another.
        """
        known = self._clusters.accepted.clusters.keys() if self._clusters.accepted else frozenset[str]()
        return self._offer.referenced <= known or not self._clusters.in_flight
