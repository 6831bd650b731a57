"""What each stage of a plan will catch, rule out and prove at a given traffic. Pure."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from cli.plan_traffic import Traffic
from judge.policies.choice import sequential
from judge.policies.families.table import shares
from judge.policies.revisions import REVISIONS
from judge.stats.evidence import BETS_ABOVE, BETS_BELOW
from judge.stats.mixture import needed_log_e
from judge.stats.planner import Arrivals, sessions_to_believe, smallest, step
from judge.stats.within import NEEDED_LOG_E, exceedance_margin, whole_service_margin
from schemas.plan import Plan
from schemas.units import FULL_SHARE

LIKELY = 0.9
"""What is said to be caught or proved is so with this probability, as far as the supposed traffic is the real one."""
LONGEST_S = 86_400.0
"""No longer stage is suggested: take a larger share."""
_ROUND_S = 300.0
_TAIL = 0.01
_SLOWEST = 100.0
"""A slowdown: more is an outage."""

Planned = Literal["error_rate", "tool_success", "latency_p99"]
"""The checks that a gate asks to be proved."""


@dataclass(frozen=True, slots=True)
class CheckOutlook:
    """One check in one stage. Rises are in rates, of a latency factors; infinite: not even the largest."""

    check: Planned
    caught: float
    """The smallest rise that is rolled back within the planned time."""
    speeds: tuple[tuple[float, float], ...]
    """(rise, seconds by which half of such canaries are rolled back), the largest rise first."""
    ruled_out: float
    """The smallest rise that is ruled out within the planned time, if there is none."""
    gate: float
    """What the gate asks to be ruled out."""
    proof_s: float
    """How long its proof takes, if there is no rise."""


@dataclass(frozen=True, slots=True)
class StageOutlook:
    """One stage."""

    number: int
    share: int
    planned_s: float
    sessions: float
    """The canary's."""
    calls: float
    min_sessions: int
    min_sessions_s: float
    """Until `min_sessions` have begun."""
    checks: tuple[CheckOutlook, ...]

    @property
    def unproven(self) -> tuple[CheckOutlook, ...]:
        """Whose margin the planned time does not prove."""
        return tuple(check for check in self.checks if check.proof_s > self.planned_s)

    @property
    def suggested_s(self) -> float:
        """The shortest stage that proves all of them, rounded up; infinite where none of at most a day does."""
        needed_s = max([self.min_sessions_s, *(check.proof_s for check in self.checks)])
        rounded_s = math.ceil(needed_s / _ROUND_S) * _ROUND_S if math.isfinite(needed_s) else math.inf
        return rounded_s if rounded_s <= LONGEST_S else math.inf


@dataclass(frozen=True, slots=True)
class _Looked:
    """One check of the plan at this traffic."""

    check: Planned
    arrivals: Arrivals
    dispersion: float
    margin: float
    """Of a breach."""
    rate: float
    """The baseline's bad ones."""
    healthy: float
    """The canary's, if it is no worse: of a latency fewer, for its requests are counted from later on."""
    risen: Callable[[float], float]
    """The canary's rate after a rise."""
    largest: float
    shown: tuple[float, ...]
    """Rises whose time people are told."""
    needed: float
    """ln E of a breach that rests on the restart at the rollout's begin."""

    def outlook(self, share: float, next_share: float, planned_s: float) -> CheckOutlook:
        z = NormalDist().inv_cdf(LIKELY)
        least = 1.0 if self.check == "latency_p99" else 0.0
        caught = smallest(lambda rise: self._caught_s(rise, share, z) <= planned_s, least, self.largest)
        ruled_out = smallest(lambda margin: self._proof_s(margin, share, z) <= planned_s, -self.rate, 1 - self.rate)
        gate = self._gate(next_share)
        return CheckOutlook(
            check=self.check,
            caught=caught,
            speeds=tuple((rise, self._caught_s(rise, share, 0.0)) for rise in self.shown),
            ruled_out=ruled_out,
            gate=gate,
            proof_s=self._proof_s(gate, share, z),
        )

    def _caught_s(self, rise: float, share: float, z: float) -> float:
        """Until there is the evidence, and three sessions that bear it."""
        rate = self.risen(rise)
        requests = step((rate, self.rate), self.margin, share, BETS_ABOVE).requests_until(
            self.needed, self.dispersion, z
        )
        clusters = sessions_to_believe(NormalDist().cdf(z))
        spread_out = clusters * self.dispersion / rate if rate else math.inf
        asked_s = self.arrivals.seconds_until(share, max(requests, spread_out))
        return max(asked_s, clusters / (self.arrivals.sessions_per_s * share))

    def _proof_s(self, margin: float, share: float, z: float) -> float:
        won = step((self.healthy, self.rate), margin, share, BETS_BELOW)
        return self.arrivals.seconds_until(share, won.requests_until(NEEDED_LOG_E, self.dispersion, z))

    def _gate(self, next_share: float) -> float:
        if self.check == "latency_p99":
            return exceedance_margin(_TAIL, next_share)
        return whole_service_margin(self.margin, next_share)


def outlook(plan: Plan, traffic: Traffic) -> tuple[StageOutlook, ...]:
    """Stage by stage; each by itself, with the sessions that begin in it."""
    looked = tuple(_looked(plan, traffic))
    return tuple(_stage(plan, number, traffic, looked) for number in range(1, len(plan.stages) + 1))


def slowdown(traffic: Traffic, margin: float, within: float) -> float:
    """How much slower p99 may be if so many more requests than one in a hundred exceed ``1 + within`` times it."""
    tail = min(_TAIL + margin, 1.0)
    if tail <= 0:
        return 1.0
    return smallest(lambda factor: traffic.slower_than(_TAIL, (1 + within) / factor) >= tail, 1.0, _SLOWEST)


def _stage(plan: Plan, number: int, traffic: Traffic, looked: tuple[_Looked, ...]) -> StageOutlook:
    stage = plan.stages[number - 1]
    share, next_share = stage.share / FULL_SHARE, plan.next_share(number) / FULL_SHARE
    arrivals = traffic.arrivals
    return StageOutlook(
        number=number,
        share=stage.share,
        planned_s=stage.duration_s,
        sessions=arrivals.sessions(share, stage.duration_s),
        calls=arrivals.requests(share, stage.duration_s),
        min_sessions=stage.min_sessions,
        min_sessions_s=stage.min_sessions / (arrivals.sessions_per_s * share),
        checks=tuple(one.outlook(share, next_share, stage.duration_s) for one in looked),
    )


def _looked(plan: Plan, traffic: Traffic) -> Iterator[_Looked]:
    parts, checks = shares(plan.checks), plan.checks
    staked = REVISIONS[sequential(plan).revision].restarts.start
    needed = {name: needed_log_e(plan.alpha, part) - math.log(staked) for name, part in parts.items()}
    if checks.error_rate.enabled:
        yield _rate(
            "error_rate",
            traffic.arrivals,
            traffic.error_dispersion,
            checks.error_rate.within,
            traffic.error_rate,
            needed["error_rate"],
        )
    if checks.tool_success.enabled:
        yield _rate(
            "tool_success",
            traffic.tool_arrivals,
            traffic.tool_dispersion,
            checks.tool_success.within,
            traffic.tool_failure_rate,
            needed["tool_success"],
        )
    if checks.latency_p99.enabled:
        within = 1 + checks.latency_p99.within
        yield _Looked(
            check="latency_p99",
            arrivals=traffic.arrivals,
            dispersion=traffic.latency_dispersion,
            margin=0.0,
            rate=_TAIL,
            healthy=traffic.slower_than(_TAIL, within),
            risen=lambda factor: traffic.slower_than(_TAIL, within / factor),
            largest=_SLOWEST,
            shown=(3.0, 2.0, 1.5),
            needed=needed["latency_p99"],
        )


def _rate(check: Planned, arrivals: Arrivals, dispersion: float, margin: float, rate: float, needed: float) -> _Looked:
    return _Looked(
        check=check,
        arrivals=arrivals,
        dispersion=dispersion,
        margin=margin,
        rate=rate,
        healthy=rate,
        risen=lambda rise: min(1.0, rate + rise),
        largest=1 - rate,
        shown=(1 - rate, 0.20, 0.05),
        needed=needed,
    )
