"""davylamp's policy with one thing changed, or with something told that nobody knows: for experiments, never shipped."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from bench.judge import limit
from bench.judge.faults import Fault
from bench.judge.traffic import USUAL, Cuts
from bench.judge.windows import PLAN, Rollout, trial_of
from judge.policies.families.table import ALPHA_PARTS
from judge.policies.revisions import REVISIONS, Constants
from judge.stats.dispersion import BASELINE_BUCKETS_WORTH, Dispersion, Pooling, shrunk
from judge.stats.evidence import BETS_BELOW, Counts, Floats
from judge.stats.planner import growth
from judge.stats.restarts import RestartWeights
from schemas.plan import Plan
from schemas.policies import FIRST_REVISION

FIRST, SECOND = REVISIONS[FIRST_REVISION], REVISIONS[2]
Change = tuple[str, str, Any]
"""Module, name in it, value."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs from revision 1 of the policy."""

    title: str
    changes: tuple[Change, ...] = ()
    constants: Constants = FIRST
    best_bet: bool = False
    """Told which bet grows fastest for this fault."""
    known_dispersion: bool = False
    """Told how clumped the canary's errors are over the whole run."""
    cuts: Cuts = USUAL
    """Windows and shares: other ones than the usual make another comparison of the same sessions."""
    looks_open: bool = False
    """Each second, at windows that still fill."""
    late_s: float = 0.0
    """Windows are final so long after their end."""
    third: Literal["begun", "failed"] | None = None
    """It is over with the third canary session that began, or that had an error."""


def _bets(above: Floats) -> tuple[Change, ...]:
    together = np.concatenate((above, BETS_BELOW))
    return ("judge.stats.process", "_BETS", together), ("judge.stats.process", "_ABOVE", len(above))


def _parts(**parts: float) -> tuple[Change, ...]:
    return (("judge.policies.families.table", "ALPHA_PARTS", {**ALPHA_PARTS, **parts}),)


def _nu(worth: float) -> Pooling:
    return partial(shrunk, nu=worth)


def _sessions(many: int) -> tuple[Change, ...]:
    return (("judge.stats.dispersion", "MIN_BUCKETS", many),)


def _trial(plan: Plan) -> tuple[Change, ...]:
    return tuple((module, "TRIAL", trial_of(plan)) for module in ("bench.judge.rivals", "bench.judge.looks"))


def _alpha(alpha: float) -> tuple[Change, ...]:
    return _trial(PLAN.model_copy(update={"alpha": alpha}))


def _pooled_alone(canary: Counts, baseline: Counts, floor: float) -> Dispersion:
    found = shrunk(canary, baseline, floor)
    nu, spread = BASELINE_BUCKETS_WORTH, found.canary_buckets
    pooled = (nu * found.baseline + spread * found.canary) / (nu + spread)
    return replace(found, pooled=pooled, proof=pooled)


def _first_stage(share: float) -> tuple[Change, ...]:
    first, *later = PLAN.model_dump(mode="json")["stages"]
    content = {**PLAN.model_dump(mode="json"), "stages": [{**first, "share": f"{100 * share:g}%"}, *later]}
    return _trial(Plan.model_validate(content))


def _looks(every_s: float) -> tuple[Change, ...]:
    return (("bench.judge.rivals", "EVERY_S", every_s),)


_ONLY_ERRORS = _parts(**{check: 1e-9 for check in ALPHA_PARTS if check != "error_rate"})
_NO_RESTARTS = RestartWeights(0.999998, 1e-6, 1e-6)
_EIGHT_BETS = _bets(np.exp(np.geomspace(np.log(1.15), np.log(100), 8)))
_FIVE_BETS = _bets(np.exp(np.geomspace(np.log(1.2), np.log(60), 5)))
_EARLY = SECOND.restarts

VARIANTS: Mapping[str, Variant] = {
    "shipped": Variant("revision 1"),
    "dispersion": Variant("told the run's dispersion", known_dispersion=True),
    "bet": Variant("told the best bet", best_bet=True),
    "errors": Variant("all of alpha for `error_rate`", _ONLY_ERRORS),
    "restarts": Variant("all of the weight on the first start", constants=Constants(restarts=_NO_RESTARTS)),
    "one": Variant("a breach of one session is believed", _sessions(1)),
    "all": Variant(
        "all five",
        _ONLY_ERRORS + _sessions(1),
        Constants(restarts=_NO_RESTARTS),
        best_bet=True,
        known_dispersion=True,
    ),
    "nu4": Variant("nu 4 instead of 8", constants=Constants(_nu(4))),
    "nu2": Variant("nu 2", constants=Constants(_nu(2))),
    "nu0": Variant("nu 0: the canary's own dispersion alone", constants=Constants(_nu(0))),
    "bets8": Variant("8 bets instead of 14", _EIGHT_BETS),
    "bets5": Variant("5 bets", _FIVE_BETS),
    "start80": Variant(
        "0.80 of the weight on the start, 0.10 on restarts of either kind", constants=Constants(restarts=_EARLY)
    ),
    "errors45": Variant("0.45 of alpha for `error_rate`, the others in proportion", _parts(error_rate=0.57)),
    "nu2-start80-bets8": Variant("nu 2, 8 bets and 0.80 on the start", _EIGHT_BETS, Constants(_nu(2), restarts=_EARLY)),
    "nu0-start80-bets5": Variant("nu 0, 5 bets and 0.80 on the start", _FIVE_BETS, Constants(_nu(0), restarts=_EARLY)),
    "no-max": Variant("nu 8, but no more than the pooled dispersion", constants=Constants(_pooled_alone)),
    "by-variance": Variant(
        "both cohorts' dispersions, by their part of the variance", constants=Constants(SECOND.pooling)
    ),
    "mostly-large": Variant("half of the wealth on rises by 2.5 to 60", constants=Constants(bets=SECOND.bets)),
    "revision2": Variant(
        "by variance, 0.80 on the start, half on rises by 2.5 to 60: revision 2",
        constants=SECOND,
    ),
    "two": Variant("a breach of two sessions is believed", _sessions(2)),
    "alpha10": Variant("alpha 0.10 instead of 0.05 (a plan may say so)", _alpha(0.10)),
}
"""By the name that results carry."""

LOOKS: Mapping[str, Variant] = {
    "third": Variant("the second in which the third canary session begins", third="begun"),
    "third-failed": Variant("the second in which a third canary session has an error", third="failed"),
    "open": Variant("a look each second, at open windows too", looks_open=True),
    "w2": Variant("windows of 2 s", _looks(2.0), cuts=Cuts(2.0)),
    "w10": Variant("windows of 10 s", cuts=Cuts(10.0)),
    "w10-open": Variant("windows of 10 s, a look each second at open ones too", cuts=Cuts(10.0), looks_open=True),
    "late5": Variant(
        "a look each second at open ones too, windows final 5 s after their end", looks_open=True, late_s=5.0
    ),
    "open-nu0": Variant(
        "a look each second, at open windows too, and nu 0", constants=Constants(_nu(0)), looks_open=True
    ),
    "share2": Variant("a first stage of 2 %", _first_stage(0.02), cuts=Cuts(shares=(0.02, 0.10, 0.50))),
    "share5": Variant("a first stage of 5 %", _first_stage(0.05), cuts=Cuts(shares=(0.05, 0.10, 0.50))),
    "share5-open": Variant(
        "a first stage of 5 %, a look each second at open windows too",
        _first_stage(0.05),
        cuts=Cuts(shares=(0.05, 0.10, 0.50)),
        looks_open=True,
    ),
}
"""How and at what the policy looks: the constants of revision 1, but for one of them."""


@contextmanager
def changed(variant: Variant, rollout: Rollout, fault: Fault) -> Iterator[None]:
    """The policy's modules as the variant has them, while the block runs."""
    changes = [*variant.changes]
    if variant.best_bet:
        changes += _bets(np.array([best_bet(fault)]))
    constants = variant.constants
    if variant.known_dispersion:
        constants = replace(constants, pooling=_told(limit.dispersion(rollout.stream, "error_rate")))
    if constants is not FIRST:
        changes.append(("judge.policies.sequential", "REVISIONS", {FIRST_REVISION: constants}))
    before = [(importlib.import_module(module), name) for module, name, _ in changes]
    values = [getattr(module, name) for module, name in before]
    try:
        for (module, name), (_, _, value) in zip(before, changes, strict=True):
            setattr(module, name, value)
        yield
    finally:
        for (module, name), value in zip(before, values, strict=True):
            setattr(module, name, value)


def best_bet(fault: Fault) -> float:
    """The bet on `error_rate` that grows fastest in the first stage, if its fault is one of errors."""
    found = np.exp(np.linspace(np.log(1.05), np.log(400), 200))
    rate = fault.limit[1] if fault.limit is not None else 1.0
    grown = [growth((rate, 0.005), PLAN.checks.error_rate.within, 0.01, np.array([bet])) for bet in found]
    return float(found[int(np.argmax(grown))])


def _told(pooled: float) -> Pooling:
    def known(canary: Counts, baseline: Counts, floor: float) -> Dispersion:
        told = max(floor, pooled)
        return replace(shrunk(canary, baseline, floor), pooled=told, proof=told)

    return known
