"""What a router's own port answers. Pure."""

from davylamp_sdk._message import Message
from schemas.control import ProxyRoute
from schemas.standing import Phase


class Latched(Message):
    """The rollback is in force, and stays so until the ledger has one."""

    entry: str
    """Id of its entry, written to the ledger as soon as there is one."""
    acknowledged: bool
    """At least one proxy, and every proxy of this router, runs the route without the canary."""
    proxies: tuple[ProxyRoute, ...]


class Knowledge(Message):
    """What a router knows of a service's newest rollout, with or without a log."""

    router: str
    service: str
    rollout: int
    """0: it knows none."""
    phase: Phase | None
    share: int
    """Of new sessions to the canary, of 10,000, as this router has its proxies route."""
    canary: str | None
    latched: bool
    """A rollback that was said to this router directly is in force."""
    away_s: float
    """How long the log has not answered: there may be newer rollouts of which this router knows nothing."""
    proxies: tuple[ProxyRoute, ...]
