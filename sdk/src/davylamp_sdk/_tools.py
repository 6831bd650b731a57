"""Which tool names may be spoken of: those that the server itself said it has."""

from collections.abc import Callable, Container, Iterable
from typing import Final

from davylamp_sdk._names import MAX_NAME, UNKNOWN

MAX_LEARNED: Final = 1_000

Registered = Container[str] | Callable[[str], bool]
"""The registered names, or whether a name is one."""


class ToolNames:
    """Tells registered tool names from invented ones.

    A middleware cannot see its server's registry, so unless ``registered`` is given, a name counts from the first
    ``tools/list`` answer that holds it; clients ask for one before they call anything, and the answer is the server's
    word. That a call succeeded is no proof: a server that forwards calls may answer to any name. At most
    ``MAX_LEARNED`` names are kept.
    """

    def __init__(self, registered: Registered | None = None) -> None:
        if isinstance(registered, str):
            raise TypeError(f"tools={registered!r} is one string: pass a set of names, {{{registered!r}}}")
        self._registered = registered
        self._learned: set[str] = set()

    def learn(self, names: Iterable[object]) -> None:
        """Take the names of a ``tools/list`` answer."""
        if self._registered is None:
            for name in names:
                if isinstance(name, str) and len(self._learned) < MAX_LEARNED:
                    self._learned.add(name)

    def spoken(self, asked: object) -> str:
        """``asked`` if it is a registered name that fits an event, else ``_unknown``."""
        if not isinstance(asked, str) or not 0 < len(asked) <= MAX_NAME:
            return UNKNOWN
        return asked if self._knows(asked) else UNKNOWN

    def _knows(self, name: str) -> bool:
        if self._registered is None:
            return name in self._learned
        if callable(self._registered):
            return self._registered(name)
        return name in self._registered
