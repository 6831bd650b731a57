"""When the best judge imaginable could know: Wald's bound, for the dispersion that the run really had. Pure.

A test that is wrong about a canary on its margin with probability alpha at most needs ``ln(1/alpha) / KL(p_1 || p_0)`` canary
calls on average (Wald, 1945), knowing both rates and the failing check. Calls that come in clumps of D are worth 1/D.
"""

import math
from functools import cache

import numpy as np

from bench.judge.faults import FAULTS, Fault
from bench.judge.traffic import (
    CELLS,
    ERROR_RATE,
    HORIZON_S,
    ICC_ERRORS,
    NOMINAL_P99_MS,
    RARE_TOOL,
    TOOL_MIX,
    Floats,
    Ints,
    Stream,
    expected_of_canary,
    slower_than,
)
from bench.judge.windows import PLAN, Rollout
from judge.stats.dispersion import cohort_dispersion
from judge.stats.histogram import BINS, edges
from judge.stats.planner import smallest
from schemas.windows import BUCKETS, COARSE_PER_FINE

_COARSE = BINS // COARSE_PER_FINE
_WITHIN = {"error_rate": 0.005 + 0.005, "tools": 0.02 + 0.005 + 0.05, "latency_p99": 0.01}
"""The canary's rate on its margin; errors of tool calls are failures of tools, too."""
_MOST_CALLS = 60
"""Of a session: later ones say hardly anything more."""
CLUMPS = {"errors+20": 2.5, "errors+5": 3.0, "p99x1.5": 1.5}
"""What davylamp's targets were set with: a guess at how clumped calls are that fail, or are slow, by a fault of that size."""


def bound_s(rollout: Rollout, fault: Fault) -> float | None:
    """Seconds after the fault began; None where the bound says nothing, or the traffic ends before."""
    if fault.limit is None:
        return None
    check, size = fault.limit
    clumps = dispersion(rollout.stream, check)
    needed = clumps * math.log(1 / PLAN.alpha) / divergence(_rate(check, size), _WITHIN[check])
    calls = (_rare_tool(rollout.stream) if check == "tools" else rollout.counts[:, 1, 0]).cumsum()
    at = int(np.searchsorted(calls, needed))
    if at == len(calls):
        return None
    before = float(calls[at - 1]) if at else 0.0
    return (
        rollout.stream.cuts.window_s * (at + (needed - before) / max(float(calls[at]) - before, 1.0)) - fault.begins_s
    )


def expected_bound_s(fault: str, rate: float) -> float:
    """Wald's bound on average, for clumps that were laid down beforehand (:data:`CLUMPS`)."""
    check, size = FAULTS[fault].limit or ("error_rate", 1.0)
    needed = CLUMPS[fault] * math.log(1 / PLAN.alpha) / divergence(_rate(check, size), _WITHIN[check])
    return smallest(lambda at_s: expected_of_canary(rate, at_s) >= needed, 0.0, HORIZON_S)


def robust_bound_s(fault: str, rate: float) -> float | None:
    """Wald's bound on average, for a test that holds whatever the clumps are; None of what is no fault of errors.

    It must hold for a canary on its margin of whose sessions a few are as bad as the fault makes all of them, and the others are like the
    baseline's: against that one each session says the less, the more of its calls were seen. Errors of a session are beta-binomial.
    """
    check, size = FAULTS[fault].limit or ("", 0.0)
    if check != "error_rate":
        return None
    excess = size - ERROR_RATE
    few = PLAN.checks.error_rate.within / excess
    told = np.diff([_told_by_session(n, excess, few) for n in range(_MOST_CALLS + 1)])
    return smallest(lambda at_s: expected_of_canary(rate, at_s, told) >= math.log(1 / PLAN.alpha), 0.0, HORIZON_S)


def _told_by_session(calls: int, excess: float, few: float) -> float:
    """What a session of so many calls says on average: Kullback and Leibler's of how many of them fail."""
    own = _own_errors(calls)
    bad = np.zeros(calls + 1)
    for by_fault in range(calls + 1):
        chance = math.comb(calls, by_fault) * excess**by_fault * (1 - excess) ** (calls - by_fault)
        bad[by_fault:] += chance * _own_errors(calls - by_fault)
    mixed = (1 - few) * own + few * bad
    seen = bad > 0
    return float(np.sum(bad[seen] * np.log(bad[seen] / mixed[seen])))


@cache
def _own_errors(calls: int) -> Floats:
    """The chance of each number of errors in a session of the baseline, shape (calls + 1,)."""
    a, b = (p * (1 - ICC_ERRORS) / ICC_ERRORS for p in (ERROR_RATE, 1 - ERROR_RATE))
    logs = [math.log(math.comb(calls, k)) + _log_beta(k + a, calls - k + b) - _log_beta(a, b) for k in range(calls + 1)]
    found: Floats = np.exp(np.array(logs))
    return found


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _rate(check: str, size: float) -> float:
    """Of what is bad among the canary's calls under a fault of that size."""
    return slower_than(1.1 * NOMINAL_P99_MS / size) if check == "latency_p99" else size


def divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of one call's outcome."""
    return math.fsum(a * math.log(a / b) for a, b in ((p, q), (1 - p, 1 - q)) if a > 0)


def dispersion(stream: Stream, check: str) -> float:
    """Of the canary's bad ones over the whole run; calls of a tool that always fails are no clumps."""
    table = stream.table[:, 1::2].sum(axis=(0, 1))
    if check == "tools":
        return 1.0
    return cohort_dispersion(table[:, :2] if check == "error_rate" else np.stack((table[:, 0], _slow(stream)), axis=1))


def _rare_tool(stream: Stream) -> Ints:
    """The canary's calls of the tool that the faults of tools hit, by window."""
    keys, counts = stream.tools
    cell, tool = np.divmod(keys // 2, len(TOOL_MIX))
    mine = (cell % 2 == 1) & (tool == RARE_TOOL)
    return np.bincount(cell[mine] // CELLS, counts[mine], stream.cuts.windows).astype(np.int64)


def _slow(stream: Stream) -> Ints:
    """The canary's calls above 1.1 times the usual p99, of each session bucket."""
    keys, counts = stream.bucket_latency
    row, coarse = np.divmod(keys, _COARSE)
    cell, bucket = np.divmod(row, BUCKETS)
    edge = int(np.searchsorted(edges(), 1.1 * NOMINAL_P99_MS)) // COARSE_PER_FINE
    kept = (cell % 2 == 1) & (coarse >= edge)
    return np.bincount(bucket[kept], counts[kept], minlength=BUCKETS).astype(np.int64)
