"""What all routers together say of the proxies: a fold of one service's `route-changes`, the same for every reader. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.control import ProxyRoute, RouteChange

SILENT_MS = 5_000
"""So long a picture counts that its router tells again each second."""

_RANK = {"acknowledged": 2, "rejected": 1, "pending": 0}
"""A proxy talks to one router at a time; the others know it as it was, so the best word is the present one."""


@dataclass(frozen=True, slots=True)
class Roster:
    """Which proxies exist: each from the first time that any router names it, until people have it forgotten.

    No silence, no restart and no lost disk of a router ends one. A forgotten proxy exists again as soon as a router
    names it as connected: whoever lives comes back with its next word. Immutable.
    """

    names: frozenset[str] = frozenset()
    forgotten: Mapping[str, int] = field(default_factory=dict)
    """By name: offset of the newest command to forget it. Routers tell a command for a while; it counts once."""

    def read(self, change: RouteChange) -> "Roster":
        """A router's next word."""
        fresh = {name: at for name, at in change.forgotten.items() if at > self.forgotten.get(name, -1)}
        forgotten = {**self.forgotten, **fresh} if fresh else self.forgotten
        named = {p.proxy for p in change.proxies if p.connected or p.proxy not in forgotten}
        if not fresh and named <= self.names:  # one of many that say nothing new
            return self
        return Roster((self.names - fresh.keys()) | named, forgotten)


@dataclass(frozen=True, slots=True)
class Word:
    """A router's newest picture, and when the log took it (Unix milliseconds)."""

    change: RouteChange
    at_ms: int

    def counts(self, now_ms: int) -> bool:
        """Whether it still says something: a picture of a live rollout ages, any other holds until the next one."""
        return not self.change.live or now_ms - self.at_ms <= SILENT_MS


@dataclass(frozen=True, slots=True)
class Fleet:
    """The newest word of each router about one service, and which proxies exist. Immutable."""

    words: Mapping[str, Word] = field(default_factory=dict)
    """By router."""
    roster: Roster = field(default_factory=Roster)

    def read(self, change: RouteChange, at_ms: int) -> "Fleet":
        """A router's next word, by the log's append time."""
        return Fleet({**self.words, change.router: Word(change, at_ms)}, self.roster.read(change))

    def picture(self, entry: str, now_ms: int) -> tuple[ProxyRoute, ...]:
        """Every proxy that exists, by name, measured by ledger entry `entry`.

        One of which no router has anything to say that counts is unknown: `pending`, not connected.
        """
        known = {name: ProxyRoute(proxy=name, state="pending", connected=False) for name in self.roster.names}
        for word in self.words.values():
            if word.counts(now_ms):
                for proxy in word.change.proxies:
                    if proxy.proxy in known:
                        said = _measured(proxy, same=word.change.entry == entry)
                        known[proxy.proxy] = max(known[proxy.proxy], said, key=_rank)
        return tuple(known[name] for name in sorted(known))

    def routers_of(self, proxy: str) -> tuple[str, ...]:
        """The routers that named it as connected when they last spoke."""
        named = (name for name, word in self.words.items() if _connects(word.change, proxy))
        return tuple(sorted(named))

    def runs(self, entry: str, now_ms: int) -> bool:
        """Whether there are proxies, and every one that exists runs the route of `entry`, by a word that counts."""
        told = (w.change.proxies for w in self.words.values() if w.change.entry == entry and w.counts(now_ms))
        running = {proxy.proxy for proxies in told for proxy in proxies if proxy.state == "acknowledged"}
        return bool(self.roster.names) and self.roster.names <= running


def _connects(change: RouteChange, proxy: str) -> bool:
    return any(route.proxy == proxy and route.connected for route in change.proxies)


def _measured(proxy: ProxyRoute, *, same: bool) -> ProxyRoute:
    if same or proxy.state != "acknowledged":
        return proxy
    return proxy.model_copy(update={"state": "pending"})


def _rank(proxy: ProxyRoute) -> tuple[int, bool]:
    return _RANK[proxy.state], proxy.connected
