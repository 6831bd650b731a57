"""What can go wrong in the router."""


class RouterError(Exception):
    """The router cannot do its work."""


class NotLoopbackError(RouterError):
    """Without mTLS, routes are served on loopback only."""


class PortTakenError(RouterError):
    """The xDS port cannot be opened."""


class IncapableError(RouterError):
    """These proxies cannot do what a rollout rests on."""
