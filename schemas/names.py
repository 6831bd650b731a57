"""What services, versions and people may be called, and what people may write where it is shown.

Names of services and versions are safe in a session id, a header and a cluster name.
"""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

SERVICE_NAME = r"[a-z0-9][a-z0-9-]{0,39}"
"""As a regular expression."""

ServiceName = Annotated[str, StringConstraints(pattern=rf"^{SERVICE_NAME}$")]
VersionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,248}$")]

SESSION_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""MCP's revisions that begin with `initialize`; every later one is taken to have no sessions."""
REVISIONS = (*SESSION_REVISIONS, "2026-07-28")
"""All that MCP has published."""

_OURS = frozenset({"judge", "router"})


def _not_ours(name: str) -> str:
    if name in _OURS:
        raise ValueError(f"{name!r} is what a service calls itself in the ledger; take another name")
    return name


ActorName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}$"), AfterValidator(_not_ours)
]
"""What the ledger calls a person or a pipeline."""


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters: it is shown on terminals")
    return text


LONGEST_LINE = 500
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_LINE), AfterValidator(_one_line)]
"""A person's own words."""
