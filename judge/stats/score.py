"""One number from 0 to 100 for people, from the same evidence that decides; it decides nothing itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from judge.stats.mixture import needed_log_e
from judge.stats.within import NEEDED_LOG_E


@dataclass(frozen=True, slots=True)
class CheckEvidence:
    """What the score needs of one check."""

    log_e_breach: float
    log_e_within: float | None
    """None for a check that only warns: there is no margin it could prove."""
    share: float
    """Its part of the error rate alpha."""
    weight: float
    """Its part of the score, in any unit."""


def score(checks: Sequence[CheckEvidence], alpha: float, *, breached: bool) -> float:
    """The weighted mean of the checks' scores, and exactly 0 on a breach. A ValueError without weights."""
    weights = sum(check.weight for check in checks)
    if weights <= 0:
        raise ValueError("a score needs at least one check with a weight above 0")
    return 0.0 if breached else sum(c.weight * check_score(c, alpha) for c in checks) / weights


def check_score(check: CheckEvidence, alpha: float) -> float:
    """75 without evidence, 100 when proved within, 0 when enough for a breach; a check that only warns starts at 100."""
    against = _part(check.log_e_breach, needed_log_e(alpha, check.share))
    if check.log_e_within is None:
        return 100 - 100 * against
    return max(0.0, 75 + 25 * _part(check.log_e_within, NEEDED_LOG_E) - 75 * against)


def _part(log_e: float, needed: float) -> float:
    return min(max(log_e / needed, 0.0), 1.0)
