"""davylamp's own policy: one exact two-sample e-process a check, valid at every look."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from judge.policies.families.port import Claim, Family, W
from judge.policies.families.table import families, proxied_families, score_weight, shares
from judge.policies.lane import Against, Asked, For, Lane
from judge.policies.port import Assessment, StageTimes
from judge.policies.results import Interval, Reading, Told, check_result, rounded
from judge.proxies import Difference
from judge.stats.mixture import combine, needed_log_e
from judge.stats.restarts import restart_schedule
from judge.stats.score import score
from judge.stats.within import exceedance_margin, whole_service_margin
from judge.trial import Trial, TrialWindow
from schemas.decisions import CheckResult
from schemas.outcomes import requests_in
from schemas.units import FULL_SHARE

NOTHING_KNOWN = 75.0
"""The score of a plan that only warns, before it has data: that of a check without evidence."""


class Sequential:
    """Compares sessions born in the same stage, window by window, by a mixture of bets that restarts with each stage.

    Open windows are counted for a breach and for nothing else. Dispersion comes from the session buckets, so that a few
    broken clients are not a bad release.
    """

    def begin(self, trial: Trial) -> "SequentialComparison":
        """See :class:`judge.policies.port.Policy`."""
        checks, schedule = trial.plan.checks, restart_schedule([stage.duration_s for stage in trial.plan.stages])
        windows = Lane.of(families(checks), schedule, 1000 * trial.plan.warm_up_s)
        proxies = Lane.of(proxied_families(trial), schedule)
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
        of_windows, suspicious, intervals = self._read(self.windows, still_open, times)
        of_proxies, also_suspicious, more_intervals = self._read(self.proxies, (), times)
        places = {
            check: place for place, check in enumerate(self.shares)
        }  # those that decide first, as the plan has them
        readings = sorted([*of_windows, *of_proxies], key=lambda r: places.get(r.check, len(places)))
        combined = combine({r.check: r.log_e for r in readings if r.share}, self.shares, self.trial.plan.alpha)
        if combined.breached:
            readings = [replace(r, is_culprit=r.check == combined.worst) for r in readings]
        proving = [r for r in readings if r.share and r.gate_margin is not None]
        a_session = self._requests / self._sessions if self._sessions else None
        return Assessment(
            score=self._score(readings, breached=combined.breached),
            checks=Told(partial(self._told, readings, (intervals, more_intervals), self._results, a_session)),
            breached_by=combined.worst if combined.breached else None,
            within=bool(proving) and all(r.within for r in proving),
            suspicious=suspicious or also_suspicious,
        )

    def _told(
        self,
        readings: Sequence[Reading],
        intervals: Sequence[Callable[[], dict[str, Interval]]],
        results: dict[str, tuple[Reading, Interval, CheckResult]],
        requests_a_session: float | None,
    ) -> tuple[CheckResult, ...]:
        """Most checks wait for final windows, and between these say the same at every look."""
        known = {check: interval for found in intervals for check, interval in found().items()}
        for reading in readings:
            check = reading.check
            if check not in results or results[check][:2] != (reading, known[check]):
                result = check_result(reading, known[check], self.trial.plan.alpha, requests_a_session)
                results[check] = reading, known[check], result
        return tuple(results[reading.check][2] for reading in readings)

    def _score(self, readings: Sequence[Reading], *, breached: bool) -> float:
        """Of what is known, and of what has to be proved."""
        known = [r for r in readings if r.share and (r.has_data or r.gate_margin is not None)]
        scored = [r.evidence(score_weight(r.check)) for r in known]
        return round(score(scored, self.trial.plan.alpha, breached=breached), 1) if scored else NOTHING_KNOWN

    def _read(
        self, lane: Lane[W], still_open: Sequence[W], times: StageTimes
    ) -> tuple[list[Reading], bool, Callable[[], dict[str, Interval]]]:
        """Every check of a lane at one look, whether any has become suspicious, and how to find their intervals."""
        if not lane.families:
            return [], False, dict
        asked = self._asked(lane, times.stage)
        against, proof = lane.look(still_open, times, asked)
        columns = zip(
            lane.families,
            asked.needed.tolist(),
            asked.gate_margins.tolist(),
            against.log_e.tolist(),
            against.unbelieved.tolist(),
            against.members,
            proof.log_e.tolist(),
            against.spread.pooled.tolist(),
            map(tuple, against.totals.tolist()),
            map(tuple, proof.totals.tolist()),
            against.since_ms,
            strict=True,
        )
        return (
            [self._reading(*column) for column in columns],
            proof.suspicious,
            partial(_intervals, lane, against, proof),
        )

    def _reading(self, family: Family[Any], needed: float, gate_margin: float, *rest: Any) -> Reading:
        log_e, unbelieved, members, log_e_within, dispersion, totals, stage_totals, since_ms = rest
        return Reading(
            claim=family.claim,
            tell=family.teller(),
            share=self.shares.get(family.claim.check, 0.0),
            needed=needed,
            gate_margin=gate_margin if family.claim.proves else None,
            log_e=log_e,
            unbelieved=unbelieved,
            members=members,
            log_e_within=log_e_within,
            dispersion=dispersion,
            totals=totals,
            stage_totals=stage_totals,
            since_ms=since_ms,
        )

    def _asked(self, lane: Lane[W], stage: int) -> Asked:
        key = lane.families[0].claim.check, stage
        if key not in self._asks:
            plan, claims = self.trial.plan, [family.claim for family in lane.families]
            next_share = plan.next_share(stage) / FULL_SHARE
            needed = [needed_log_e(plan.alpha, self.shares.get(claim.check, 1.0)) for claim in claims]
            margins = [_gate_margin(claim, next_share) for claim in claims]
            self._asks[key] = Asked(np.array(needed), np.array(margins))
        return self._asks[key]


def _intervals(lane: Lane[W], against: Against, proof: For) -> dict[str, Interval]:
    ends = zip(lane.families, against.lows.tolist(), proof.highs.tolist(), strict=True)
    return {family.claim.check: (_known(low), _known(high)) for family, low, high in ends}


def _known(bound: float) -> float | None:
    return None if math.isnan(bound) else float(bound)


def _gate_margin(claim: Claim, next_share: float) -> float:
    """Rounded before it is tested, so that what people read is what was proved."""
    if not claim.proves:
        return claim.margin
    wide = whole_service_margin(claim.margin, next_share)
    if claim.tail is not None:
        wide = exceedance_margin(claim.tail, next_share)
    return rounded(wide) or 0.0
