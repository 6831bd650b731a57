"""The HTTP exchange that a request came with, as the ASGI wrapper hands it on to whoever records."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final


class Exchange:
    """One HTTP request and its response, and whether a recorder has taken up what it carries."""

    __slots__ = ("headers", "told")

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self.told = False


exchange_now: Final[ContextVar[Exchange | None]] = ContextVar("davylamp_exchange", default=None)
"""The exchange that the running code serves; None outside of the ASGI wrapper."""
