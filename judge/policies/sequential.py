"""davylamp's own policy: one exact two-sample e-process a check, valid at every look."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from judge.policies.families.port import Claim, W
from judge.policies.families.table import families, proxied_families, shares
from judge.policies.lane import Asked, Lane
from judge.policies.looked import Looked, Weighed
from judge.policies.port import Assessment, StageTimes
from judge.policies.results import Interval, Reading, Told, check_result, rounded
from judge.policies.revisions import REVISIONS
from judge.proxies import Difference
from judge.stats.mixture import combine, needed_log_e
from judge.stats.restarts import restart_schedule
from judge.stats.score import score
from judge.stats.within import exceedance_margin, is_within, whole_service_margin
from judge.trial import Trial, TrialWindow
from schemas.decisions import CheckResult
from schemas.outcomes import requests_in
from schemas.policies import FIRST_REVISION, Revision
from schemas.units import FULL_SHARE

NOTHING_KNOWN = 75.0
"""The score of a plan that only warns, before it has data: that of a check without evidence."""


@dataclass(frozen=True, slots=True)
class Sequential:
    """Compares sessions born in the same stage, window by window, by a mixture of bets that restarts with each stage.

    Open windows are counted for a breach and for nothing else. Dispersion comes from the session buckets, so that a few
    broken clients are not a bad release.
    """

    revision: Revision = FIRST_REVISION
    """By which constants: those of :data:`judge.policies.revisions.REVISIONS`."""

    def begin(self, trial: Trial) -> "SequentialComparison":
        """See :class:`judge.policies.port.Policy`."""
        checks, constants = trial.plan.checks, REVISIONS[self.revision]
        schedule = restart_schedule([stage.duration_s for stage in trial.plan.stages], constants.restarts)
        windows = Lane.of(families(checks, constants), schedule, 1000 * trial.plan.warm_up_s, constants.bets)
        proxies = Lane.of(proxied_families(trial), schedule, bets=constants.bets)
        return SequentialComparison(trial, windows, proxies, shares(checks))


@dataclass(slots=True)
class SequentialComparison:
    """One rollout under the policy; the numbers of its checks are read together, lane by lane."""

    trial: Trial
    windows: Lane[TrialWindow]
    proxies: Lane[Difference]
    shares: dict[str, float]
    """Each deciding check's part of alpha, in the order in which people are shown them."""
    _requests: int = 0
    _sessions: int = 0
    _said: tuple[StageTimes, Sequence[TrialWindow], Assessment] | None = None
    """Of what was added so far: who asks again the same is told the same."""
    _results: dict[str, tuple[Reading, Interval, CheckResult]] = field(default_factory=dict)
    """Of what was added so far; what is told later of an earlier look keeps the dictionary that belongs to it."""
    _asks: dict[tuple[str, int], Asked] = field(default_factory=dict)
    """By the first check of a lane, and stage."""

    def add(self, window: TrialWindow) -> None:
        """See :class:`judge.policies.port.Comparison`."""
        self._forget()
        self.windows.add(window)
        for cell in window.cells("canary"):
            self._requests += requests_in(cell.outcomes)
            self._sessions += cell.new_sessions

    def add_difference(self, difference: Difference) -> None:
        """See :class:`judge.policies.port.Comparison`."""
        self._forget()
        self.proxies.add(difference)

    def _forget(self) -> None:
        self._said, self._results = None, {}

    def assess(self, still_open: Sequence[TrialWindow], times: StageTimes) -> Assessment:
        """See :class:`judge.policies.port.Comparison`."""
        if self._said is not None and self._said[0] == times and self._said[1] is still_open:
            return self._said[2]
        found = self._assess(still_open, times)
        self._said = (times, still_open, found) if isinstance(still_open, tuple) else None  # a list may change
        return found

    def _assess(self, still_open: Sequence[TrialWindow], times: StageTimes) -> Assessment:
        looked = [Looked.at(self.windows, still_open, times, self._asked(self.windows, times.stage))]
        if self.proxies.families:
            looked.append(Looked.at(self.proxies, (), times, self._asked(self.proxies, times.stage)))
        known = {weighed.check: weighed for one in looked for weighed in one.weigh(self.shares)}
        deciding = [known[check] for check in self.shares]
        against = {weighed.check: weighed.evidence.log_e_breach for weighed in deciding}
        combined = combine(against, self.shares, self.trial.plan.alpha)
        culprit = combined.worst if combined.breached else None
        proofs = [w.evidence.log_e_within for w in deciding if w.evidence.log_e_within is not None]
        a_session = self._requests / self._sessions if self._sessions else None
        return Assessment(
            score=self._score(deciding, breached=combined.breached),
            checks=Told(partial(self._told, looked, culprit, self._results, a_session)),
            breached_by=culprit,
            within=bool(proofs) and all(map(is_within, proofs)),
            suspicious=any(one.proof.suspicious for one in looked),
            unjudged=tuple(check for one in looked for check in one.full() if check in self.shares),
        )

    def _told(
        self,
        looked: Sequence[Looked],
        culprit: str | None,
        results: dict[str, tuple[Reading, Interval, CheckResult]],
        requests_a_session: float | None,
    ) -> tuple[CheckResult, ...]:
        """Most checks wait for final windows, and between these say the same at every look."""
        intervals = {check: interval for one in looked for check, interval in one.intervals()}
        places = {check: place for place, check in enumerate(self.shares)}  # those that decide first
        readings = [reading for one in looked for reading in one.readings(self.shares, culprit)]
        readings.sort(key=lambda reading: places.get(reading.check, len(places)))
        for reading in readings:
            check = reading.check
            if check not in results or results[check][:2] != (reading, intervals[check]):
                result = check_result(reading, intervals[check], self.trial.plan.alpha, requests_a_session)
                results[check] = reading, intervals[check], result
        return tuple(results[reading.check][2] for reading in readings)

    def _score(self, deciding: Sequence[Weighed], *, breached: bool) -> float:
        scored = [weighed.evidence for weighed in deciding if weighed.scores]
        return round(score(scored, self.trial.plan.alpha, breached=breached), 1) if scored else NOTHING_KNOWN

    def _asked(self, lane: Lane[W], stage: int) -> Asked:
        key = lane.families[0].claim.check, stage
        if key not in self._asks:
            plan, claims = self.trial.plan, [family.claim for family in lane.families]
            next_share = plan.next_share(stage) / FULL_SHARE
            needed = [needed_log_e(plan.alpha, self.shares.get(claim.check, 1.0)) for claim in claims]
            margins = [_gate_margin(claim, next_share) for claim in claims]
            self._asks[key] = Asked(np.array(needed), np.array(margins))
        return self._asks[key]


def _gate_margin(claim: Claim, next_share: float) -> float:
    """Rounded before it is tested, so that what people read is what was proved."""
    if not claim.proves:
        return claim.margin
    wide = whole_service_margin(claim.margin, next_share)
    if claim.tail is not None:
        wide = exceedance_margin(claim.tail, next_share)
    return rounded(wide) or 0.0
