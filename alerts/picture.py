"""What several routers say of the same proxies, as one picture."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from schemas.control import ProxyRoute, RouteChange

_RANK = {"acknowledged": 2, "rejected": 1, "pending": 0}
"""A proxy talks to one router at a time; the others know it as it was, so the best word is the present one."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A router's newest picture of a service, and when it was heard."""

    change: RouteChange
    at_s: float


def picture(
    voices: Iterable[Voice], names: Collection[str], entry: str, now_s: float, silent_s: float
) -> tuple[ProxyRoute, ...]:
    """Every proxy of `names`, those that exist, measured by ledger entry `entry`.

    A router that has been silent for `silent_s` on a live rollout, while another speaks, has no say: what only it
    vouches for is unknown, `pending`. A lone router's silence is judged elsewhere.
    """
    said = list(voices)
    fresh = [voice for voice in said if not voice.change.live or now_s - voice.at_s < silent_s] or said
    known = {name: ProxyRoute(proxy=name, state="pending", connected=False) for name in names}
    for voice in fresh:
        for proxy in voice.change.proxies:
            if proxy.proxy in known:
                word = _measured(proxy, voice.change.entry == entry)
                known[proxy.proxy] = max(known[proxy.proxy], word, key=lambda p: _RANK[p.state])
    return tuple(known[name] for name in sorted(known))


def in_force(proxies: Sequence[ProxyRoute]) -> bool:
    """At least one proxy, and every proxy, runs the route."""
    return bool(proxies) and all(p.state == "acknowledged" for p in proxies)


def _measured(proxy: ProxyRoute, same_entry: bool) -> ProxyRoute:  # noqa: FBT001 - a predicate's answer
    if same_entry or proxy.state != "acknowledged":
        return proxy
    return proxy.model_copy(update={"state": "pending"})
