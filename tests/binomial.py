"""How far a count of fair draws may stray."""

import math


def interval(n: int, share: float, outside: float) -> tuple[int, int]:
    """The central interval of Binomial(n, share): at most `outside` / 2 of the probability lies beyond either end."""
    mass = [math.exp(_log_mass(n, share, k)) for k in range(n + 1)]
    return _beyond(mass, outside / 2), n - _beyond(mass[::-1], outside / 2)


def _log_mass(n: int, share: float, k: int) -> float:
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + k * math.log(share) + (n - k) * math.log1p(-share)


def _beyond(mass: list[float], tail: float) -> int:
    """The first count whose probability, with that of all before it, is more than `tail`."""
    total = 0.0
    for k, probability in enumerate(mass):
        total += probability
        if total > tail:
            return k
    raise AssertionError("a tail is less than the whole")
