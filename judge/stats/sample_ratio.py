"""Whether new sessions fall on the cohorts as the share says: an e-value that may be looked at after each of them."""

import math

CONCENTRATION = 100.0
"""k: how sharply the alternative is centred on the share itself, in sessions; large ones find small deviations late."""

THRESHOLD = 1000.0
"""From this e-value on the sessions do not fit. All looks of a rollout together cross it once in a thousand."""


def sample_ratio_log_e(canary: int, total: int, share: float, concentration: float = CONCENTRATION) -> float:
    """ln e against each of `total` sessions having met the canary with probability `share`, 0 < share < 1.

    Dirichlet-multinomial against multinomial: Lindon & Malek, NeurIPS 2022, eq. 8, for two arms. Sums over stages, each
    with its own share, are an e-value of all of them.
    """
    if not 0 < share < 1:
        raise ValueError(f"a share lies between 0 and 1, not at {share}")
    prior = concentration * share, concentration * (1 - share)
    seen = canary, total - canary
    after = (prior[0] + seen[0], prior[1] + seen[1])
    return _log_beta(*after) - _log_beta(*prior) - seen[0] * math.log(share) - seen[1] * math.log1p(-share)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
