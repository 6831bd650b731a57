"""When the best judge imaginable could know: Wald's bound, for the dispersion that the run really had. Pure.

A test that is wrong about a canary on its margin with probability alpha at most needs ``ln(1/alpha) / KL(p_1 || p_0)`` canary
calls on average (Wald, 1945), knowing both rates and the failing check. Calls that come in clumps of D are worth 1/D.
"""

import math

import numpy as np

from bench.judge.faults import Fault
from bench.judge.traffic import NOMINAL_P99_MS, Ints, Stream, slower_than
from bench.judge.windows import PLAN, Rollout
from judge.stats.dispersion import cohort_dispersion
from judge.stats.histogram import BINS, edges
from schemas.windows import BUCKETS, COARSE_PER_FINE

_COARSE = BINS // COARSE_PER_FINE
_WITHIN = {"error_rate": 0.005 + 0.005, "tool_success": 0.02 + 0.005 + 0.01, "latency_p99": 0.01}
"""The canary's rate on its margin; errors of tool calls are failures of tools, too."""


def bound_s(rollout: Rollout, fault: Fault) -> float | None:
    """Seconds after the fault began; None where the bound says nothing, or the traffic ends before."""
    if fault.limit is None:
        return None
    check, size = fault.limit
    clumps = dispersion(rollout.stream, check)
    rate = slower_than(1.1 * NOMINAL_P99_MS / size) if check == "latency_p99" else size
    needed = clumps * math.log(1 / PLAN.alpha) / divergence(rate, _WITHIN[check])
    calls = rollout.counts[:, 1, 2 if check == "tool_success" else 0].cumsum()
    at = int(np.searchsorted(calls, needed))
    if at == len(calls):
        return None
    before = float(calls[at - 1]) if at else 0.0
    return (
        rollout.stream.cuts.window_s * (at + (needed - before) / max(float(calls[at]) - before, 1.0)) - fault.begins_s
    )


def divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of one call's outcome."""
    return math.fsum(a * math.log(a / b) for a, b in ((p, q), (1 - p, 1 - q)) if a > 0)


def dispersion(stream: Stream, check: str) -> float:
    """Of the canary's bad ones over the whole run."""
    table = stream.table[:, 1::2].sum(axis=(0, 1))
    if check == "latency_p99":
        return cohort_dispersion(np.stack((table[:, 0], _slow(stream)), axis=1))
    return cohort_dispersion(table[:, :2] if check == "error_rate" else table[:, 2:4])


def _slow(stream: Stream) -> Ints:
    """The canary's calls above 1.1 times the usual p99, of each session bucket."""
    keys, counts = stream.bucket_latency
    row, coarse = np.divmod(keys, _COARSE)
    cell, bucket = np.divmod(row, BUCKETS)
    edge = int(np.searchsorted(edges(), 1.1 * NOMINAL_P99_MS)) // COARSE_PER_FINE
    kept = (cell % 2 == 1) & (coarse >= edge)
    return np.bincount(bucket[kept], counts[kept], minlength=BUCKETS).astype(np.int64)
