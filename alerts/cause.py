"""The words of alerting: causes, and what becomes of them."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["page", "notice", "info"]
"""`page` wakes somebody, `notice` is for working hours, `info` is for the record."""

FactKind = Literal["rollback", "undo", "drained", "complete", "retire", "test"]
"""`test`: nothing happened; somebody typed `davylamp alerts try`."""

ConditionKind = Literal[
    "held",
    "no_data",
    "telemetry_lost",
    "mismatch",
    "sample_ratio",
    "sick_baseline",
    "would_rollback",
    "hold_too_long",
    "approval",
    "route_rejected",
    "drift",
    "router_silent",
    "blind",
    "unreadable",
]
CauseKind = FactKind | ConditionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long something may last before it is a cause; seconds. By name only: six numbers in a row are soon shifted."""

    hold_too_long_s: float = 900.0
    drift_s: float = 10.0
    """A proxy's route is not known to be the newest, while the canary may get sessions."""
    router_silent_s: float = 15.0
    proxies_unknown_s: float = 5.0
    """A router's silence, while another one speaks, after which nothing is known of what it alone vouches for."""
    blind_s: float = 120.0
    """The judge reads nothing of what there is to read; less where a plan's `blind_after` is."""
    unreadable_s: float = 60.0
    """Telemetry that nobody can read keeps coming; as long without, and it is over."""
    repeat_s: float = 1800.0
    """A page that still burns is told again. Data that is missing again sooner after it was back wakes nobody twice: a notice."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why on-call should know. Two with the same `key` are one."""

    key: str
    kind: CauseKind
    severity: Severity
    service: str
    """Of a cause that is a telemetry topic's, that topic."""
    rollout: int
    since_s: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Happened:
    """A fact: told once, never resolved."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Began:
    """A condition that lasts from now on."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Again:
    """It still lasts, and it was last told long ago."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Ended:
    """It is over."""

    cause: Cause
    at_s: float
    how: str
    """A sentence."""


Event = Happened | Began | Again | Ended
