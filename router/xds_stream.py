"""One proxy's xDS stream as a state machine without I/O: what to send next, and what the proxy runs.

State of the world over ADS: each response carries every resource of a type and a nonce; the proxy's next request of
the type names the nonce, with an error if it rejected the response (Envoy, "xDS REST and gRPC protocol").
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from router.snapshot import Snapshot
from schemas.service import Version

Resource = Literal["clusters", "routes"]

State = Literal["acknowledged", "pending", "rejected"]


@dataclass(frozen=True, slots=True)
class Push:
    """The newest snapshot's resources of one type, to be sent now."""

    resource: Resource
    nonce: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The proxy refused a snapshot, in its own words."""

    snapshot: Snapshot
    words: str


@dataclass(slots=True)
class _Subscription:
    """What was sent of one resource type, and what came back."""

    asked: bool = False
    sent: Snapshot | None = None
    in_flight: deque[tuple[str, Snapshot]] = field(default_factory=deque)
    accepted: Snapshot | None = None
    rejected: Rejected | None = None

    def answer(self, nonce: str, error: str | None) -> None:
        """Answers come in order, and one may stand for all before it; an unknown nonce is another stream's."""
        if all(nonce != known for known, _ in self.in_flight):
            return
        while self.in_flight:
            known, snapshot = self.in_flight.popleft()
            if known == nonce:
                self._settle(snapshot, error)
                return

    def _settle(self, snapshot: Snapshot, error: str | None) -> None:
        if error is not None:
            self.rejected = Rejected(snapshot, error)
        else:
            self.accepted, self.rejected = snapshot, None


class ProxyStream:
    """What one proxy was sent over one stream, and said about it."""

    def __init__(self, newest: Snapshot) -> None:
        self._newest = newest
        self._nonces = count(1)
        self._clusters = _Subscription()
        self._routes = _Subscription()

    def want(self, newest: Snapshot) -> None:
        """From now on only this snapshot is sent."""
        self._newest = newest

    def request(self, resource: Resource, nonce: str, error: str | None = None) -> None:
        """A request came: a subscription if it names no nonce, else the answer to a response."""
        subscription = self._of(resource)
        subscription.asked = True
        if nonce:
            subscription.answer(nonce, error)

    def push(self) -> Push | None:
        """The next response to send, which counts as sent; None if the proxy has been asked for everything."""
        resource = self._due()
        if resource is None:
            return None
        nonce, subscription = str(next(self._nonces)), self._of(resource)
        subscription.sent = self._newest
        subscription.in_flight.append((nonce, self._newest))
        return Push(resource, nonce)

    @property
    def version(self) -> str | None:
        """The version of the routes that the proxy accepted last."""
        return self._routes.accepted.version if self._routes.accepted else None

    def state(self, service: str) -> State:
        """Whether the proxy runs the newest route of `service`, with the newest places of its versions."""
        wanted = self._newest.routes.get(service)
        if wanted is None:
            return "pending"
        if self._accepted_route(service) and _places(self._clusters.accepted, service) == wanted.versions:
            return "acknowledged"
        return "rejected" if self.words(service) is not None else "pending"

    def words(self, service: str) -> str | None:
        """Why the proxy rejected the newest route of `service`; None if it did not."""
        wanted = self._newest.routes.get(service)
        for rejected in (self._clusters.rejected, self._routes.rejected):
            if rejected is not None and rejected.snapshot.routes.get(service) == wanted:
                return rejected.words
        return None

    def _accepted_route(self, service: str) -> bool:
        accepted = self._routes.accepted
        return accepted is not None and accepted.routes.get(service) == self._newest.routes.get(service)

    def _of(self, resource: Resource) -> _Subscription:
        return self._clusters if resource == "clusters" else self._routes

    def _due(self) -> Resource | None:
        if self._clusters.asked and _clusters(self._clusters.sent) != _clusters(self._newest):
            return "clusters"
        if self._routes.asked and self._routes.sent != self._newest and self._may_send_routes():
            return "routes"
        return None

    def _may_send_routes(self) -> bool:
        """A route to a new cluster waits for the proxy's word on the clusters, be it a refusal.

        After a refusal the route goes out nevertheless: Envoy takes the clusters it understands, and a bad version of
        one service must not hold up the rollback of another.
        """
        known = self._clusters.accepted.clusters.keys() if self._clusters.accepted else frozenset[str]()
        return self._newest.referenced <= known or not self._clusters.in_flight


def _clusters(snapshot: Snapshot | None) -> tuple[str, dict[str, Version]] | None:
    return None if snapshot is None else (snapshot.clusters_version, snapshot.clusters)


def _places(snapshot: Snapshot | None, service: str) -> object:
    route = snapshot.routes.get(service) if snapshot else None
    return route.versions if route else None
