"""Which of many hypotheses to name: the e-Benjamini-Hochberg procedure, valid under any dependence."""

import math
from collections.abc import Sequence

FALSE_DISCOVERY_RATE = 0.10
"""At most so many of those named are expected to be innocent."""


def e_bh(log_e: Sequence[float], rate: float = FALSE_DISCOVERY_RATE) -> tuple[int, ...]:
    """Positions of the named ones, most evidence first: the largest k with the k-th largest e at least K / (rate k).

    Wang & Ramdas, False discovery rate control with e-values (JRSS-B 2022).
    """
    order = sorted(range(len(log_e)), key=lambda i: (-log_e[i], i))
    enough = [
        k for k, i in enumerate(order, start=1) if log_e[i] >= math.log(len(log_e)) - math.log(rate) - math.log(k)
    ]
    return tuple(order[: enough[-1]]) if enough else ()
