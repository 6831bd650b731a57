"""Proxies in memory: the port's contract without a network, for tests and for reading the code."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from router.ports import NEEDED, Capability
from router.snapshot import Snapshot
from schemas.control import ProxyRoute

Answer = Callable[[Snapshot], str | None]
"""What a proxy thinks of a route: None accepts it, a sentence rejects it."""


def accept(_: Snapshot) -> str | None:
    """Whatever is asked."""
    return None


@dataclass(slots=True)
class MemoryProxy:
    """One proxy. `runs` is what it routes by."""

    answer: Answer | None
    """None: it does not answer."""
    connected: bool = True
    runs: Snapshot | None = None
    rejected: tuple[Snapshot, str] | None = None


class MemoryLoadBalancer:
    """A :class:`router.ports.LoadBalancer` whose proxies answer at once, or when they are told to."""

    def __init__(self, capabilities: frozenset[Capability] = NEEDED) -> None:
        self._capabilities = capabilities
        self.proxies: dict[str, MemoryProxy] = {}
        self.newest: Snapshot | None = None
        self._changed = asyncio.Event()

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self._capabilities

    async def apply(self, snapshot: Snapshot) -> None:
        self.newest = snapshot
        self._ask_all()

    def observe(self, service: str) -> tuple[ProxyRoute, ...]:
        return tuple(self._route(service, name, proxy) for name, proxy in sorted(self.proxies.items()))

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def remember(self, proxies: Iterable[str]) -> None:
        for name in proxies:
            self.proxies.setdefault(name, MemoryProxy(accept, connected=False))
        self._changed.set()

    def forget(self, proxy: str) -> None:
        if proxy in self.proxies and not self.proxies[proxy].connected:
            del self.proxies[proxy]
            self._changed.set()

    async def close(self) -> None:
        for proxy in self.proxies.values():
            proxy.connected = False

    def connect(self, name: str, answer: Answer | None = accept) -> None:
        """A proxy arrives, or comes back, or changes its mind about what it is asked."""
        proxy = self.proxies.setdefault(name, MemoryProxy(answer))
        proxy.connected, proxy.answer = True, answer
        self._ask_all()

    def disconnect(self, name: str) -> None:
        """A proxy is cut off; it goes on with the route that it has."""
        self.proxies[name].connected = False
        self._changed.set()

    def _ask_all(self) -> None:
        for proxy in self.proxies.values():
            if self.newest is not None and proxy.connected and proxy.answer is not None:
                words = proxy.answer(self.newest)
                proxy.rejected = None if words is None else (self.newest, words)
                proxy.runs = self.newest if words is None else proxy.runs
        self._changed.set()

    def _route(self, service: str, name: str, proxy: MemoryProxy) -> ProxyRoute:
        version = proxy.runs.version if proxy.runs else None
        wanted = self.newest.routes.get(service) if self.newest else None
        if not proxy.connected:
            return ProxyRoute(proxy=name, state="pending", connected=False, version=version)
        if wanted is not None and proxy.runs is not None and proxy.runs.routes.get(service) == wanted:
            return ProxyRoute(proxy=name, state="acknowledged", version=version)
        if wanted is not None and proxy.rejected is not None and proxy.rejected[0].routes.get(service) == wanted:
            return ProxyRoute(proxy=name, state="rejected", version=version, detail=proxy.rejected[1])
        return ProxyRoute(proxy=name, state="pending", version=version)
