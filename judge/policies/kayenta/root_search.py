"""R's root search, which Kayenta carries: its very steps decide the bounds on tied data, so no other solver will do.

The function whose zero is sought is a step function. Brent's method ends somewhere on a step, and where is a matter of
each line below: another solver gives other bounds, and with them other verdicts.
"""

from collections.abc import Callable

EPSILON = 2.220446049250313e-16
TOLERANCE = 1e-4
"""Absolute, whatever the unit of the metric: a metric of the order of 1e-5 is judged by the rests of this search."""
MAX_ROUNDS = 1001

_ULP_OF_ZERO = 5e-324


def find_zero(f: Callable[[float], float], low: float, high: float) -> float:
    """Where `f` is zero between `low` and `high` (Brent 1973, chapter 4, as R's ``zeroin`` writes it)."""
    a, b, c = low, high, low
    fa, fb = f(low), f(high)
    fc = fa
    if _is_zero(fa):
        return a
    if _is_zero(fb):
        return b
    for _ in range(MAX_ROUNDS):
        previous = b - a
        if abs(fc) < abs(fb):
            a, b, c = b, c, b
            fa, fb, fc = fb, fc, fb
        tolerance = 2 * EPSILON * abs(b) + TOLERANCE / 2
        step = (c - b) / 2
        if abs(step) <= tolerance or _is_zero(fb):
            return b
        if abs(previous) >= tolerance and abs(fa) > abs(fb):
            p, q = _interpolation((a, b, c), (fa, fb, fc))
            if p < 0.75 * (c - b) * q - abs(tolerance * q) / 2 and p < abs(previous * q / 2):
                step = p / q
        if abs(step) < tolerance:
            step = tolerance if step > 0 else -tolerance
        a, fa = b, fb
        b += step
        fb = f(b)
        if (fb > 0 and fc > 0) or (fb < 0 and fc < 0):
            c, fc = a, fa
    return b


def _interpolation(at: tuple[float, float, float], values: tuple[float, float, float]) -> tuple[float, float]:
    """The step from b as p / q: linear with two points, inverse quadratic with three."""
    (a, b, c), (fa, fb, fc) = at, values
    if a == c:
        slope = fb / fa
        p, q = (c - b) * slope, 1.0 - slope
    else:
        q, t1, t2 = fa / fc, fb / fc, fb / fa
        p = t2 * ((c - b) * q * (q - t1) - (b - a) * (t1 - 1.0))
        q = (q - 1.0) * (t1 - 1.0) * (t2 - 1.0)
    return (p, -q) if p > 0 else (-p, q)


def _is_zero(value: float) -> bool:
    """Within one step of the smallest number."""
    return abs(value) <= _ULP_OF_ZERO
