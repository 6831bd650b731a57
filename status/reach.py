"""How far somebody's word reaches: which services they may change. Everybody who is let in reads everything."""

from collections.abc import Callable

Reach = Callable[[str], bool]
"""Whether they may change a service."""


def everywhere(_: str) -> bool:
    """Of whoever may change everything."""
    return True


def nowhere(_: str) -> bool:
    """Of whoever only looks."""
    return False
