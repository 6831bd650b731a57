"""What may be wrong with the demo's canary, and how its rollout must end: a table."""

from dataclasses import dataclass
from typing import Literal, get_args

FaultName = Literal[
    "errors",
    "tool_errors",
    "latency",
    "one_tool",
    "crash",
    "hang",
    "never_deployed",
    "telemetry_lost",
    "dying_sessions",
]
FAULTS: tuple[FaultName, ...] = get_args(FaultName)

Ending = Literal["completed", "rolled_back", "held"]

STAGE_S = 10.0
FINAL_S = 20.0
"""The last stage must prove the limit, and at ten new sessions a second that takes 15 s in nine of ten healthy rollouts
(`davylamp plan` says so). A stage may last twice what is planned, so this one is proved even by half of those sessions."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and what davylamp must make of it."""

    does: str
    """What the canary does, to follow its name."""
    ends: Ending
    codes: frozenset[str]
    """Of the reason of the rollout's last entry: any of them is right."""
    culprits: frozenset[str] = frozenset()
    """Of a breach: the checks of which any may cost the canary its release."""
    stage_s: float = STAGE_S
    """How long each stage is planned: what the fault touches must be called often enough by then."""


def _rolled_back(does: str, *culprits: str, stage_s: float = STAGE_S) -> Fault:
    return Fault(does, "rolled_back", frozenset({"breach"}), frozenset(culprits), stage_s)


TABLE: dict[FaultName, Fault] = {
    "errors": _rolled_back("fails 30% of its calls", "error_rate"),
    "tool_errors": _rolled_back("answers 40% of its calls with isError", "tool_success", "tools"),
    "latency": _rolled_back("takes five times as long", "latency_p90", "latency_p99"),
    "one_tool": _rolled_back("fails one tool of ten", "tools", stage_s=30.0),
    "crash": _rolled_back("crashes every few calls", "availability", "error_rate", "session_loss"),
    "hang": _rolled_back("never answers", "error_rate", "availability", "tool_success", "tools"),
    "never_deployed": Fault("is still the old version", "held", frozenset({"mismatch"})),
    "telemetry_lost": Fault("sends no telemetry", "held", frozenset({"telemetry_lost"})),
    "dying_sessions": _rolled_back("forgets its sessions", "session_loss"),
}

BREAKING: frozenset[FaultName] = frozenset({"crash", "hang", "dying_sessions"})
"""Faults that end sessions by anything but their own end."""


def stage_s(fault: FaultName | None) -> float:
    """How long the stages of a rollout with this fault are planned."""
    return TABLE[fault].stage_s if fault else STAGE_S


def does(fault: FaultName | None) -> str:
    """What a version does, in words."""
    return TABLE[fault].does if fault else "fails 1% of its calls"
