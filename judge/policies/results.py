"""From the evidence of a check to what an entry and people are told of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from functools import cached_property
from typing import Literal, overload

import numpy as np

from judge.policies.families.port import Claim, Teller, Totals
from judge.stats.evidence import BETS_BELOW
from judge.stats.planner import growth, requests_until
from judge.stats.score import CheckEvidence, check_score
from judge.stats.within import NEEDED_LOG_E, is_within
from schemas.decisions import CheckResult

DIGITS = 6
"""Significant ones: what an entry carries must be the same on every machine."""
_FORMAT = f".{DIGITS}g"

_DOWN, _UP = (Context(prec=DIGITS, rounding=way) for way in (ROUND_FLOOR, ROUND_CEILING))

Verdict = Literal["breached", "within", "undecided"]
Why = Literal["no_data", "few_buckets", "more_needed"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One check at one look."""

    claim: Claim
    tell: Teller = field(compare=False)
    share: float
    """0: it is shown and decides nothing."""
    needed: float
    """ln E of a breach by this check alone."""
    gate_margin: float | None
    """None: it proves nothing."""
    log_e: float
    unbelieved: float
    members: tuple[float, ...]
    log_e_within: float
    dispersion: float
    totals: Totals
    """Since `since_ms`, or over the rollout."""
    stage_totals: Totals
    """Since the stage's proof began."""
    since_ms: int | None
    is_culprit: bool = False
    """Of a breach, which several checks may bear together."""

    @property
    def check(self) -> str:
        """Its name."""
        return self.claim.check

    @property
    def breached(self) -> bool:
        """By itself."""
        return self.share > 0 and self.log_e >= self.needed

    @property
    def within(self) -> bool:
        """What the gate asks for is proved."""
        return self.gate_margin is not None and is_within(self.log_e_within)

    @property
    def has_data(self) -> bool:
        """Both cohorts were counted."""
        return self.totals[0] > 0 and self.totals[2] > 0

    def evidence(self, weight: float) -> CheckEvidence:
        """What the score needs."""
        proof = self.log_e_within if self.gate_margin is not None else None
        return CheckEvidence(self.log_e, proof, self.share, weight)


Interval = tuple[float | None, float | None]
"""Of the difference; None: there is no end."""


class Told(Sequence[CheckResult]):
    """Results that are worked out when somebody reads them: of values, so that it does not matter when."""

    def __init__(self, work: Callable[[], tuple[CheckResult, ...]]) -> None:
        """`work` is done once at most."""
        self._work = work

    @cached_property
    def _results(self) -> tuple[CheckResult, ...]:
        return self._work()

    @overload
    def __getitem__(self, index: int) -> CheckResult: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[CheckResult, ...]: ...
    def __getitem__(self, index: int | slice) -> CheckResult | tuple[CheckResult, ...]:
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._results == tuple(other)

    def __hash__(self) -> int:
        return hash(self._results)

    def __repr__(self) -> str:
        return repr(self._results)


def check_result(
    reading: Reading, interval: Interval, alpha: float, canary_requests_a_session: float | None
) -> CheckResult:
    """What an entry quotes."""
    claim, (low, high) = reading.claim, interval
    figures = reading.tell(reading.totals, reading.members)
    verdict = _verdict(reading)
    return CheckResult(
        check=claim.check,
        kind=claim.kind,
        worse=claim.worse,
        since=reading.since_ms,
        verdict=verdict,
        baseline=figures.baseline,
        canary=figures.canary,
        difference=_difference(reading),
        low=_outwards(low, _DOWN),
        high=_outwards(high, _UP),
        margin=claim.margin,
        ratio=claim.ratio,
        gate_margin=reading.gate_margin,
        threshold=rounded(figures.threshold),
        canary_threshold=rounded(figures.canary_threshold),
        log_e_breach=rounded(reading.log_e) or 0.0,
        log_e_within=(rounded(reading.log_e_within) or 0.0) if reading.gate_margin is not None else 0.0,
        dispersion=rounded(reading.dispersion) or 0.0,
        share=rounded(reading.share) or 0.0,
        score=_score(reading, alpha),
        why_undecided=_why_undecided(reading) if verdict == "undecided" else None,
        needed=_needed(reading, canary_requests_a_session) if verdict == "undecided" else None,
        culprits=figures.culprits,
    )


def rounded(value: float | None) -> float | None:
    """To :data:`DIGITS`."""
    return None if value is None else float(format(value, _FORMAT))


def _outwards(value: float | None, way: Context) -> float | None:
    """Rounded so that a bound is never better than it was."""
    return None if value is None else float(way.create_decimal_from_float(value))


def _verdict(reading: Reading) -> Verdict:
    return "breached" if reading.breached or reading.is_culprit else "within" if reading.within else "undecided"


def _difference(reading: Reading) -> float | None:
    claim = reading.claim
    if not reading.has_data:
        return None
    n_canary, bad_canary, n_baseline, bad_baseline = reading.totals
    return rounded((bad_canary / n_canary - claim.ratio * bad_baseline / n_baseline) * claim.unit)


def _score(reading: Reading, alpha: float) -> float | None:
    if not reading.share or not reading.has_data:
        return None
    return round(check_score(reading.evidence(1.0), alpha), 1)


def _why_undecided(reading: Reading) -> Why | None:
    if not reading.share:
        return None
    if not reading.has_data:
        return "no_data"
    if reading.unbelieved >= reading.needed:
        return "few_buckets"
    return "more_needed" if reading.gate_margin is not None else None


def _needed(reading: Reading, requests_a_session: float | None) -> int | None:
    """By the rates of this stage so far, each a little towards one half, for few requests say little."""
    n_canary, bad_canary, n_baseline, bad_baseline = reading.stage_totals
    if reading.gate_margin is None:
        return None
    if not requests_a_session or not n_canary or not n_baseline:
        return None
    rates = (bad_canary + 0.5) / (n_canary + 1), (bad_baseline + 0.5) / (n_baseline + 1)
    share = n_canary / (n_canary + n_baseline)
    step = growth(rates, reading.gate_margin, share, BETS_BELOW, reading.claim.ratio)
    more = requests_until(NEEDED_LOG_E, reading.log_e_within, step, reading.dispersion) / requests_a_session
    return int(np.ceil(float(f"{more:.2g}"))) if math.isfinite(more) else None
