"""What can go wrong in the router."""


class RouterError(Exception):
    """The router cannot do its work."""


class NotLoopbackError(RouterError):
    """Without TLS, nothing is served beyond loopback."""


class TlsError(RouterError):
    """Certificates or keys cannot be used."""


class PortTakenError(RouterError):
    """The xDS port cannot be opened."""


class IncapableError(RouterError):
    """These proxies cannot do what a rollout rests on."""


class NothingToRollBackError(RouterError):
    """The rollout is not one that this router could roll back."""


class DiskError(RouterError):
    """What the router kept on its disk cannot be read or written."""
