"""What so many of so many runs show, and what they do not: exact bounds of a share, and the word for a claim. Pure."""

import math


def at_least(seen: int, runs: int, target: float) -> str:
    """Whether a share is `target` or more, by its exact bounds (Clopper-Pearson, 95 % each)."""
    return _word(lower(seen, runs) >= target, upper(seen, runs) < target, runs)


def at_most(seen: int, runs: int, limit: float) -> str:
    """Whether a share is `limit` or less."""
    return _word(upper(seen, runs) <= limit, lower(seen, runs) > limit, runs)


def together(words: list[str]) -> str:
    """Of a claim in several parts: it is won if all are, and lost if one is."""
    return "lost" if "lost" in words else next((word for word in words if word != "won"), "won")


def upper(seen: int, runs: int, error: float = 0.05) -> float:
    """The largest share of which so few, or fewer, are seen with probability `error`."""
    if seen == runs:
        return 1.0
    low, high = seen / runs, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(seen, runs, middle) > error else (low, middle)
    return high


def lower(seen: int, runs: int, error: float = 0.05) -> float:
    """The smallest share of which so many, or more, are seen with probability `error`."""
    return 1 - upper(runs - seen, runs, error)


def _word(shown: bool, refuted: bool, runs: int) -> str:  # noqa: FBT001 - what the bounds say
    return "won" if shown else "lost" if refuted else f"not shown ({runs})"


def _at_most(seen: int, runs: int, share: float) -> float:
    """Probability of so many or fewer."""
    logs = (
        math.lgamma(runs + 1) - math.lgamma(k + 1) - math.lgamma(runs - k + 1)
        + k * math.log(share) + (runs - k) * math.log1p(-share)
        for k in range(seen + 1)
    )  # fmt: skip
    return math.fsum(map(math.exp, logs)) if 0 < share < 1 else float(share <= 0)
