"""The proof that a stage needs: the canary is not worse than the baseline by more than a margin."""

from judge.stats.mixture import needed_log_e

ALPHA = 0.05
"""Probability of a proof although the canary is at the margin. All checks must prove theirs, so it is not split."""

NEEDED_LOG_E = needed_log_e(ALPHA)


def whole_service_margin(margin: float, next_share: float) -> float:
    """What a canary may be worse by so that, at `next_share` (0 to 1) of sessions, the service loses at most `margin`.

    A 1 % stage cannot prove a promoted canary's limit, but it can prove that the next stage harms few. A ValueError
    unless `next_share` is above 0 and at most 1.
    """
    if not 0 < next_share <= 1:
        raise ValueError(f"the next stage's share must be above 0 and at most 1, not {next_share}")
    return margin / next_share


def exceedance_margin(tail: float, next_share: float) -> float:
    """By how much the canary's share of slow requests may exceed `tail`, the share that is slow by definition.

    A quarter of the tail for the service as a whole: at `next_share` 1 nothing, for then the canary is the service.
    """
    return tail / 4 * (1 - next_share) / next_share


def is_within(log_e: float) -> bool:
    """The margin is proved."""
    return log_e >= NEEDED_LOG_E
