"""What all routers together say of the proxies. Pure: a fold of `route-changes`."""

from dataclasses import dataclass, field

from schemas.control import RouteChange


@dataclass(slots=True)
class Fleet:
    """The newest word of each router about one service.

    A proxy that any router has named counts until that router's newest word leaves it out: who knows only its own
    proxies must not speak for those of another, and a router without proxies says nothing at all.
    """

    _words: dict[str, RouteChange] = field(default_factory=dict)

    def read(self, change: RouteChange) -> None:
        """A router's newest word."""
        self._words[change.router] = change

    def runs(self, entry: str) -> bool:
        """Whether there are proxies, and every one has acknowledged the route of `entry` to some router."""
        known = {proxy.proxy for word in self._words.values() for proxy in word.proxies}
        there = {
            proxy.proxy
            for word in self._words.values()
            if word.entry == entry
            for proxy in word.proxies
            if proxy.state == "acknowledged"
        }
        return bool(known) and known <= there
