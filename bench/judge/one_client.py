"""What one client can do that fails all at once, where errors are common anyway: `python -m bench.judge.one_client [--rollouts 12]`.

The rule of three buckets asks whether canary errors were ever seen in three session buckets. Where every session has some, it
asks nothing any more, and what is left is the dispersion, which is cumulative over the rollout while evidence may be that of a minute.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import takewhile
from typing import get_args

import numpy as np

from bench.judge.faults import Fault
from bench.judge.traffic import ERROR_RATE, STARTS_S, WINDOW_S, Stream, stream
from bench.judge.windows import TRIAL, Rollout, times_at
from judge.policies.sequential import Sequential, SequentialComparison
from judge.trial import TrialWindow
from schemas.policies import Revision
from schemas.windows import BUCKETS

RATE = 10.0  # new sessions a second: at 50 % some 57 calls a second and side
ERROR_RATES = (ERROR_RATE, 0.05)  # of both versions
FAILING = (0, 200, 400, 800)  # calls of the one client
FIRST, MANY = int((STARTS_S[-1] + 3000) / WINDOW_S), int(60 / WINDOW_S)
"""The windows that it fails in: a minute, 50 minutes into the stage at 50 %."""
_CANARY = 2 * len(STARTS_S) - 1  # the cell of canary sessions that were born in the last stage


def with_client(healthy: Stream, failing: int, seed: int) -> Stream:
    """The same traffic, and one canary session that fails so many calls within the minute."""
    table = healthy.table.copy()
    bucket = np.random.default_rng(seed).integers(BUCKETS)
    calls = np.full(MANY, failing // MANY, np.int64)
    calls[: failing % MANY] += 1
    table[FIRST : FIRST + MANY, _CANARY, bucket, :2] += calls[:, None]
    return replace(healthy, table=table)


def ends(healthy: Stream, seed: int, failing: Sequence[int], revision: Revision) -> list[bool]:
    """Whether it is rolled back, for each number of calls: by the shipped policy and the default plan."""
    before = Sequential(revision).begin(TRIAL)
    for window in takewhile(lambda w: w.end_ms <= 1000 * WINDOW_S * FIRST, Rollout(healthy).windows_from(0)):
        before.add(window)
    rollouts = [Rollout(with_client(healthy, calls, seed)) for calls in failing]
    return [is_rolled_back(deepcopy(before), rollout.windows_from(FIRST)) for rollout in rollouts]


def is_rolled_back(comparison: SequentialComparison, windows: Iterable[TrialWindow]) -> bool:
    """Looked at with each window, until one is enough."""
    for window in windows:
        comparison.add(window)
        if comparison.assess((), times_at(window.end_ms / 1000)).breached_by is not None:
            return True
    return False


def table(rollouts: int, error_rates: Sequence[float] = ERROR_RATES, failing: Sequence[int] = FAILING) -> Iterator[str]:
    """A row for each error rate and revision: of so many rollouts, how many were rolled back."""
    yield f"| both versions fail | revision | {' | '.join(f'{n} calls' if n else 'no such client' for n in failing)} |"
    yield f"|---|---|{'---|' * len(failing)}"
    for rate in error_rates:
        both = Fault("", errors=rate - ERROR_RATE, baseline_errors=rate - ERROR_RATE)
        streams = [stream(RATE, both, seed) for seed in range(rollouts)]
        for revision in get_args(Revision):
            ended = np.sum([ends(s, seed, failing, revision) for seed, s in enumerate(streams)], axis=0)
            yield f"| {rate:.1%} | {revision} | {' | '.join(f'{n} of {rollouts}' for n in ended)} |"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.judge.one_client", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=12, help="of each cell")
    for line in table(parser.parse_args().rollouts):
        print(line, flush=True)


if __name__ == "__main__":
    main()
