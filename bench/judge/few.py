"""Claims B2, B3 and B9 against Kayenta: no data, and a few minutes of latency in which nothing is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.judge.rare import MINUTES, RATE, SLOT_MS, cell
from bench.judge.shapes import LATENCY, MINUTE_CALLS, MINUTE_MS, SHAPES, TIMES, latencies, trial
from judge.policies.kayenta.judge import judge
from judge.policies.kayenta.pairs import MetricPair
from judge.policies.kayenta.policy import Kayenta
from judge.policies.kayenta.settings import CanaryConfig, Thresholds
from judge.policies.port import Assessment, Policy
from judge.policies.sequential import Sequential
from schemas.decisions import CheckResult
from schemas.policies import USUAL_REVISION

FEW = (1, 2, 3, 4, 5, 10)
CONFIG = CanaryConfig.read({"metrics": [{"name": "latency", "groups": ["g"]}], "classifier": {}})
THRESHOLDS = Thresholds(95, 75)
WITHIN = trial("error_rate", margin="2pp")


@dataclass(slots=True)
class Few:
    """What was said after so many minutes."""

    ours: int = 0
    """Runs that were rolled back by then."""
    theirs: int = 0
    undecided: int = 0
    """Checks."""
    why: int = 0
    """Of these such that say why."""
    sessions: int = 0
    """And such that say about how many sessions are missing."""
    explained: int = 0
    """Checks with counts and rates of both cohorts, an interval, the evidence and the margin."""
    checks: int = 0


def few_values(runs: int) -> dict[int, Few]:
    """A hundred calls a minute and side; Kayenta's judge, with what it does unless told otherwise, has a mean a minute."""
    found = {n: Few() for n in FEW}
    for seed in range(runs):
        chance, comparison = np.random.default_rng([seed, 3]), Sequential(USUAL_REVISION).begin(LATENCY)
        means, is_out = list[tuple[float, float]](), False
        for minute in range(1, FEW[-1] + 1):
            ms = [SHAPES["nothing"](chance, MINUTE_CALLS) for _ in range(2)]
            cells = [latencies(chance, version, some) for version, some in zip(("v1", "v2"), ms, strict=True)]
            comparison.add(LATENCY.window(minute * MINUTE_MS, MINUTE_MS, cells))
            means.append((float(ms[0].mean()), float(ms[1].mean())))
            said = comparison.assess((), TIMES)
            is_out |= said.breached_by is not None
            if minute in found:
                _tell(found[minute], said, is_out=is_out, fails=_fails(means))
    return found


def _fails(means: Sequence[tuple[float, float]]) -> bool:
    control, experiment = np.array(means).T
    return judge(CONFIG, THRESHOLDS, [MetricPair("latency", control, experiment)]).score.label == "Fail"


def _tell(few: Few, said: Assessment, *, is_out: bool, fails: bool) -> None:
    few.ours += is_out
    few.theirs += fails
    checks = [check for check in said.checks if check.share]
    undecided = [check for check in checks if check.verdict == "undecided"]
    few.undecided += len(undecided)
    few.why += sum(check.why_undecided is not None for check in undecided)
    few.sessions += sum(check.needed is not None for check in undecided)
    few.checks += len(checks)
    few.explained += sum(map(_is_explained, checks))


def _is_explained(check: CheckResult) -> bool:
    numbers = check.low, check.high, check.difference, check.canary.value, check.baseline.value
    return None not in numbers and check.canary.n > 0 and check.baseline.n > 0


def proved_without_data(policy: Policy) -> dict[str, bool]:
    """Whether a canary counts as good: without data, and, last, with enough of it."""
    return {name: _proved(policy, sides) for name, sides in _MISSING.items()}


_BOTH, _BASELINE, _CANARY = ("v1", "v2"), ("v1",), ("v2",)
_MISSING = {
    "nothing": (),
    "one minute": (_BOTH,),
    "no canary": (_BASELINE,) * MINUTES,
    "no baseline": (_CANARY,) * MINUTES,
    "a canary that falls silent": (_BOTH, *(_BASELINE,) * (MINUTES - 1)),
    "an hour of both": (_BOTH,) * MINUTES,
}


def _proved(policy: Policy, minutes: Sequence[Sequence[str]]) -> bool:
    chance, comparison = np.random.default_rng(2), policy.begin(WITHIN)
    for number, versions in enumerate(minutes, start=1):
        cells = [cell(chance, version, RATE) for version in versions]
        comparison.add(WITHIN.window(number * SLOT_MS, SLOT_MS, cells))
    return comparison.assess((), TIMES).within


def without_data() -> tuple[dict[str, bool], dict[str, bool]]:
    """Ours, and Kayenta's."""
    return proved_without_data(Sequential(USUAL_REVISION)), proved_without_data(Kayenta())
