"""What may stand in an event as a name."""

from typing import Final

MAX_NAME: Final = 120
"""Characters; the limit of ``RequestEvent``'s names."""

UNKNOWN: Final = "_unknown"
"""Stands for any name that a client made up, so that clients cannot invent names of metrics."""

METHODS: Final = frozenset(
    {
        "completion/complete",
        "initialize",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
        "tools/call",
        "tools/list",
    }
)
"""What a client may ask for in any revision of MCP up to 2026-07-28."""


SESSION_END: Final = "session/end"
"""No method of MCP: the end of a session is a DELETE."""


def known_method(method: str | None) -> str:
    """``method`` if a revision of MCP defines it as a client's request, else ``_unknown``."""
    return method if method in METHODS else UNKNOWN
