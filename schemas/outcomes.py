"""Outcome × check: which requests are counted (N), and which of them as bad (Y)."""

from collections.abc import Mapping

from davylamp_sdk._event import Outcome

ERROR_COUNTED: frozenset[Outcome] = frozenset(
    {"ok", "tool_error", "rpc_error", "server_error", "timeout", "input_required"}
)
ERROR_BAD: frozenset[Outcome] = frozenset({"rpc_error", "server_error", "timeout"})
TOOL_COUNTED: frozenset[Outcome] = frozenset({"ok", "tool_error", "rpc_error", "server_error", "timeout"})
TOOL_BAD: frozenset[Outcome] = TOOL_COUNTED - {"ok"}
LATENCY_COUNTED: frozenset[Outcome] = TOOL_COUNTED


def requests_in(outcomes: Mapping[Outcome, int]) -> int:
    """How many requests there were, whatever became of them."""
    return sum(n for outcome, n in outcomes.items() if outcome != "ended")


def total(outcomes: Mapping[Outcome, int], kinds: frozenset[Outcome]) -> int:
    """How many requests had one of ``kinds``."""
    return sum(n for outcome, n in outcomes.items() if outcome in kinds)
