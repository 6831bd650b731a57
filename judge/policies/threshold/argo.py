"""Argo Rollouts' rule: a condition on each measurement, and limits on how many may fail. Pure.

True to argoproj/argo-rollouts (commit 9f8d111, after v1.10.0-rc1); places are named below. A metric fails once *more* than
``failureLimit`` measurements have failed, so ``failureLimit: 3`` takes four (``assessMetricFailureInconclusiveOrError`` in
``analysis/analysis.go``). The counts are of the whole analysis run, not in a row, except those of errors and of
``consecutiveSuccessLimit``. A run that nobody's limit ends goes on while any metric does.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from judge.policies.threshold.conditions import Condition, NoValueError

ERROR_RETRY_S = 10.0
"""After an error the next measurement comes so soon, whatever the interval (``DefaultErrorRetryInterval``)."""

Measurement = Literal["Successful", "Failed", "Inconclusive", "Error"]
Phase = Literal["Pending", "Running", "Successful", "Failed", "Inconclusive", "Error"]

_FROM_BEST_TO_WORST: tuple[Phase, ...] = ("Successful", "Running", "Pending", "Inconclusive", "Error", "Failed")
"""``analysisStatusOrder`` in ``utils/analysis/helpers.go``."""
_ENDS_THE_RUN: frozenset[Phase] = frozenset({"Failed", "Error", "Inconclusive"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of an AnalysisTemplate (``Metric`` in ``pkg/apis/rollouts/v1alpha1/analysis_types.go``). Defaults are Argo's."""

    name: str
    success: Condition | None = None
    failure: Condition | None = None
    interval_s: float | None = None
    """None: measured once."""
    initial_delay_s: float = 0.0
    count: int | None = None
    failure_limit: int = 0
    """-1 switches it off."""
    inconclusive_limit: int = 0
    consecutive_error_limit: int = 4
    """``DefaultConsecutiveErrorLimit`` in ``utils/defaults/defaults.go``."""
    consecutive_success_limit: int = 0
    """0 switches it off."""
    dry_run: bool = False
    """Measured and told, and never counted against the run."""

    def __post_init__(self) -> None:
        """Raises ``ValueError`` where Argo's ``ValidateMetric`` (``utils/analysis/factory.go``) does."""
        if self.failure_limit < -1 or min(self.inconclusive_limit, self.consecutive_error_limit) < 0:
            raise ValueError(f"{self.name}: limits are 0 or more; failureLimit may be -1 to be switched off")
        if self.consecutive_success_limit < 0:
            raise ValueError(f"{self.name}: consecutiveSuccessLimit must be 0 or more")
        if self.failure_limit == -1 and self.consecutive_success_limit == 0:
            raise ValueError(f"{self.name}: failureLimit and consecutiveSuccessLimit cannot both be disabled")
        self._count_is_reachable()

    def _count_is_reachable(self) -> None:
        count = self.count or 0
        if count > 1 and self.interval_s is None:
            raise ValueError(f"{self.name}: interval must be specified when count > 1")
        if count > 0 and count < max(self.failure_limit, 0) + self.consecutive_success_limit:
            raise ValueError(f"{self.name}: count must be at least failureLimit + consecutiveSuccessLimit")
        if 0 < count < self.inconclusive_limit:
            raise ValueError(f"{self.name}: count must be at least inconclusiveLimit")

    @property
    def effective_count(self) -> int | None:
        """After so many measurements without an error it is complete; None: never (``EffectiveCount``)."""
        return self.count or (None if self.interval_s is not None else 1)

    def measure(self, value: float | None) -> Measurement:
        """What one value is (``EvaluateResult`` in ``utils/evaluate/evaluate.go``); None: the provider answered with nothing.

        Without any condition every answer is successful, that with nothing in it too: nobody looks at it. A condition that
        looks at a value that is not there is an error. With both, what meets neither is inconclusive.
        """
        try:
            success = self.success.holds(value) if self.success else None
            failure = self.failure.holds(value) if self.failure else None
        except NoValueError:
            return "Error"
        if failure or (failure is None and success is False):
            return "Failed"
        return "Inconclusive" if success is False and self.failure is not None else "Successful"


class OutOfDataError(Exception):
    """The provider has nothing that late."""


Provider = Callable[[Metric, int, float], float | None]
"""From a metric, how often it was measured before, and seconds since the start: its value, or None where there is none.

Raises :class:`OutOfDataError` where the data ends.
"""


@dataclass(frozen=True, slots=True)
class MetricRun:
    """What a metric has measured so far, and where that leaves it."""

    metric: Metric
    phase: Phase = "Pending"
    message: str = ""
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    consecutive_error: int = 0
    consecutive_success: int = 0

    @property
    def count(self) -> int:
        """Measurements; errors are none."""
        return self.successful + self.failed + self.inconclusive

    @property
    def completed(self) -> bool:
        """Nothing will be measured any more."""
        return self.phase not in {"Pending", "Running"}

    def after(self, measured: Measurement) -> "MetricRun":
        """With one more measurement, assessed (``runMeasurements``, ``assessMetricStatus``)."""
        ok, erred = measured == "Successful", measured == "Error"
        counted = replace(
            self,
            successful=self.successful + ok,
            failed=self.failed + (measured == "Failed"),
            inconclusive=self.inconclusive + (measured == "Inconclusive"),
            error=self.error + erred,
            consecutive_error=self.consecutive_error + 1 if erred else 0,
            consecutive_success=self.consecutive_success + 1 if ok else 0,
        )
        phase, message = _assess(counted)
        return replace(counted, phase=phase, message=message)

    def terminated(self) -> "MetricRun":
        """Stopped because the run has ended: what has not failed is successful, even unmeasured."""
        return self if self.completed else replace(self, phase="Successful")


@dataclass(frozen=True, slots=True)
class AnalysisRun:
    """What becomes of a rollout: Failed and Error abort it, Inconclusive pauses it for a person."""

    phase: Phase
    message: str
    at_s: float
    """Of the last measurement, from the start of the run."""
    metrics: tuple[MetricRun, ...]


def run(metrics: Sequence[Metric], provider: Provider) -> AnalysisRun:
    """Measure in the order of time until the run ends or the provider has nothing more. Measuring takes no time here.

    When which metric is due: ``generateMetricTasks`` in ``analysis/analysis.go``. One that ends the run does so for those that
    are due at the same moment only after they were measured too.
    """
    runs = {metric.name: MetricRun(metric) for metric in metrics}
    due = [(metric.initial_delay_s, position) for position, metric in enumerate(metrics)]
    heapq.heapify(due)
    now = 0.0
    while due and (due[0][0] <= now or not _ended(runs.values())):
        at, position = heapq.heappop(due)
        metric = metrics[position]
        before = runs[metric.name]
        try:
            reading = metric.measure(provider(metric, before.count + before.error, at))
        except OutOfDataError:
            continue
        now = at
        runs[metric.name] = before.after(reading)
        if not runs[metric.name].completed:
            wait_s = ERROR_RETRY_S if reading == "Error" else metric.interval_s or ERROR_RETRY_S
            heapq.heappush(due, (at + wait_s, position))
    return _summed_up(list(runs.values()), now)


def listed(measured: Mapping[str, Sequence[float | None]]) -> Provider:
    """A provider that gives the values of a list, by metric; None in it is an answer with nothing."""

    def provider(metric: Metric, index: int, _: float) -> float | None:
        values = measured.get(metric.name, ())
        if index >= len(values):
            raise OutOfDataError
        return values[index]

    return provider


def _assess(run: MetricRun) -> tuple[Phase, str]:
    """Where the counts leave a metric, and why (``assessMetricStatus``)."""
    metric = run.metric
    beyond = _beyond_a_limit(run)
    if beyond is not None:
        return beyond
    if 0 < metric.consecutive_success_limit <= run.consecutive_success:
        return "Successful", ""
    if metric.effective_count is None or run.count < metric.effective_count:
        return "Running", ""
    if metric.consecutive_success_limit == 0:
        return "Successful", ""
    message = f"consecutiveSuccessLimit ({metric.consecutive_success_limit}) not reached"
    return ("Inconclusive" if metric.failure_limit >= 0 else "Failed"), message


def _beyond_a_limit(run: MetricRun) -> tuple[Phase, str] | None:
    """Of several limits the last one asked wins: errors over inconclusive over failed
    (``assessMetricFailureInconclusiveOrError``).
    """
    metric = run.metric
    limits: tuple[tuple[Phase, str, int, str, int], ...] = (
        ("Error", "consecutiveErrors", run.consecutive_error, "consecutiveErrorLimit", metric.consecutive_error_limit),
        ("Inconclusive", "inconclusive", run.inconclusive, "inconclusiveLimit", metric.inconclusive_limit),
        ("Failed", "failed", run.failed, "failureLimit", metric.failure_limit),
    )
    for phase, name, many, limit_name, limit in limits:
        if 0 <= limit < many:
            return phase, f"{name} ({many}) > {limit_name} ({limit})"
    return None


def _ended(runs: Iterable[MetricRun]) -> bool:
    """A metric that counts has failed, erred or is inconclusive (``IsTerminating``)."""
    return any(run.phase in _ENDS_THE_RUN and not run.metric.dry_run for run in runs)


def _summed_up(runs: Sequence[MetricRun], now: float) -> AnalysisRun:
    """The worst of the completed metrics, once all are complete (``assessRunStatus``)."""
    if _ended(runs):
        runs = [run.terminated() for run in runs]
    if any(not run.completed for run in runs):
        return AnalysisRun("Running", "", now, tuple(runs))
    counted = [run for run in runs if not run.metric.dry_run]
    worst = max(counted, key=lambda run: _FROM_BEST_TO_WORST.index(run.phase), default=None)
    if worst is None:
        return AnalysisRun("Successful", "", now, tuple(runs))
    message = f'Metric "{worst.metric.name}" assessed {worst.phase} due to {worst.message}' if worst.message else ""
    return AnalysisRun(worst.phase, message, now, tuple(runs))
