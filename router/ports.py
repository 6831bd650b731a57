"""What the router needs of a fleet of proxies."""

from collections.abc import Iterable
from typing import Literal, Protocol, get_args

from router.snapshot import Snapshot
from schemas.control import ProxyRoute

Capability = Literal["assignment_header", "session_pinning", "read_back"]
"""``assignment_header``: servers are told label and version with every request, whatever the client sent.
``session_pinning``: a session stays with its version when shares change. ``read_back``: proxies say what they run.
Without the first two nothing can be judged; without the third nothing is ever acknowledged."""

NEEDED: frozenset[Capability] = frozenset(get_args(Capability))
"""What a rollout rests on."""


class LoadBalancer(Protocol):
    """A fleet of proxies that run one route each.

    A proxy exists from its first connection until it is forgotten. It runs the newest route that it accepted, also
    while it is cut off. An answer about one service never depends on what was changed for another.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this kind of proxy can do; constant."""

    async def apply(self, snapshot: Snapshot) -> None:
        """Ask every proxy, present and future, to run `snapshot` in place of all earlier ones.

        Returns without waiting for any proxy, so that an answer outstanding never delays a later route; a proxy that
        fell behind gets the newest only. The first call opens the door to proxies: nobody is served a route before.
        Applying what is applied already changes nothing. Raises :class:`router.errors.RouterError` if the door
        cannot be opened.
        """

    def observe(self, service: str) -> tuple[ProxyRoute, ...]:
        """Which route of `service` each existing proxy runs, by proxy name.

        ``acknowledged``: connected, and it said that it runs the service's newest route and the places of its
        versions. ``rejected``: it refused the newest, with its own words. ``pending``: neither, or cut off: unknown.
        `connected` says which of the two.
        """

    async def changed(self) -> None:
        """Wait until an observation may have changed since the last call. For one caller at a time."""

    def remember(self, proxies: Iterable[str]) -> None:
        """These existed before this process began: cut off until they connect."""

    def forget(self, proxy: str) -> None:
        """A proxy that was taken out of service no longer exists; one that is connected is not forgotten."""

    async def close(self) -> None:
        """Let go of the proxies, which keep their routes, and close the door until the next `apply`. May be called twice."""
