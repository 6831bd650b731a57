"""The port for policies that judge values over time: Kayenta, Flagger and Argo beside davylamp's own. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from judge.policies.cohort_series import CohortSeries, Slot, Tally, total_of
from judge.policies.port import Assessment, StageTimes
from judge.proxies import Difference
from judge.trial import COHORTS, Trial, TrialWindow
from schemas.plan import Plan


class SeriesPolicy(Protocol):
    """Judges values over time. Pure: the same series always gives the same assessment."""

    def assess_series(self, series: CohortSeries, plan: Plan, times: StageTimes) -> Assessment:
        """What the judge says at the end of `series`."""


@dataclass(slots=True)
class SeriesComparison:
    """One rollout under a policy that judges values over time (:class:`judge.policies.port.Comparison`).

    Windows that are still open are not looked at: what such a judge measures has ended.
    """

    policy: SeriesPolicy
    trial: Trial
    _slots: list[Slot] = field(default_factory=list)
    _window_ms: int = 0
    _said: tuple[StageTimes, Assessment] | None = None
    """Of the windows so far: a look between two windows costs nothing."""

    def add(self, window: TrialWindow) -> None:
        """See :class:`judge.policies.port.Comparison`."""
        baseline, canary = (total_of(map(Tally.of, window.cells(cohort))) for cohort in COHORTS)
        self._slots.append(Slot(window.end_ms, baseline, canary))
        self._window_ms, self._said = window.window_ms, None

    def add_difference(self, difference: Difference) -> None:
        """See :class:`judge.policies.port.Comparison`. None of them asks the proxies."""

    def assess(self, still_open: Sequence[TrialWindow], times: StageTimes) -> Assessment:  # noqa: ARG002 - the port
        """See :class:`judge.policies.port.Comparison`."""
        if self._said is None or self._said[0] != times:
            first = times.started_ms[0] if times.started_ms else 0
            own = tuple(slot for slot in self._slots if slot.end_ms > first)
            series = CohortSeries(own, self._window_ms)
            self._said = times, self.policy.assess_series(series, self.trial.plan, times)
        return self._said[1]
