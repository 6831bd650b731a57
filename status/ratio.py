"""Shares asked and observed: of the newest stage's new sessions, how many each cohort got. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.decisions import LedgerEntry
from schemas.units import FULL_SHARE
from status.proxied import Proxied
from status.recent import Recent

FITS_WITHIN = 4.0
"""Standard deviations: one healthy picture in 16,000 lies beyond. For people; the judge has a test of its own."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """New sessions, as somebody counted them."""

    baseline: int
    canary: int

    @property
    def all(self) -> int:
        """Both cohorts'."""
        return self.baseline + self.canary

    @property
    def part(self) -> float:
        """The canary's, 0 to 1; only where there are any."""
        return self.canary / self.all

    def fits(self, share: int) -> bool:
        """Whether chance alone explains how far it lies from the share that was asked (of 10,000)."""
        asked = share / FULL_SHARE
        return abs(self.canary - asked * self.all) <= FITS_WITHIN * math.sqrt(self.all * asked * (1 - asked)) + 1


@dataclass(frozen=True, slots=True)
class Born:
    """The newest stage that had a share between 0 and 100 %."""

    stage: int
    asked: int
    telemetry: Sessions
    """By the servers' own events."""
    proxies: Sessions
    """By the proxies' access logs."""


def born(entries: Sequence[LedgerEntry], recent: Recent | None, proxied: Proxied | None) -> Born | None:
    """None before a stage had a share. `entries` are of the newest rollout, oldest first."""
    shared = [e for e in entries if e.kind in ("start", "proceed", "retry") and 0 < e.share < FULL_SHARE]
    if not shared:
        return None
    entry = shared[-1]
    versions = entry.baseline, entry.canary
    counted = [recent.born.get((entry.stage, v), 0) if recent else 0 for v in versions]
    assigned = [proxied.sessions(v, entry.stage) if proxied else 0 for v in versions]
    return Born(entry.stage, entry.share, Sessions(*counted), Sessions(*assigned))
