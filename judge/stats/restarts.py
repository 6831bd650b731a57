"""When the evidence starts afresh, so that a fault that comes late is not drowned by healthy history."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

EVERY_S = 300.0
MOST_TIMED = 96
"""A plan of more than eight hours spaces them wider: each is looked at for ever, and a look must stay cheap."""


@dataclass(frozen=True, slots=True)
class RestartWeights:
    """Of the mixture; together at most 1."""

    start: float = 0.60
    """The rollout's own start."""
    stages: float = 0.16
    """Split over the later stages' starts."""
    timed: float = 0.24
    """Split over the timed restarts of the planned duration."""


USUAL_WEIGHTS = RestartWeights()


@dataclass(frozen=True, slots=True)
class Restart:
    """One start of the evidence; windows that end at `at_s` or before are not part of it."""

    at_s: float
    weight: float
    """Its part of the mixture."""
    opens_stage: bool
    """Also the proof of the stage's margin starts here."""


@dataclass(frozen=True, slots=True)
class RestartSchedule:
    """Weights fixed by the plan before the first request, which is what makes their mixture valid; they sum to at most 1.

    Sums of processes begun at many times: Shin, Ramdas & Rinaldo, E-detectors (arXiv 2203.03532), here with a total of at
    most 1, so that the probability of a false rollback is bounded and not only the time to one.
    """

    stages: int
    planned_s: float
    """Planned duration of all stages; later there are no timed restarts."""
    weights: RestartWeights = USUAL_WEIGHTS

    def begun(self, stage_starts_s: Sequence[float], now_s: float) -> tuple[Restart, ...]:
        """Restarts up to `now_s`, in time order; the rollout's own start is the first, and opens stage 1.

        `stage_starts_s` says when each stage so far really started, on the axis of `now_s`. A ValueError if there are
        none, or more than the plan has stages.
        """
        if not 0 < len(stage_starts_s) <= self.stages:
            raise ValueError(f"{len(stage_starts_s)} stages have started, the plan has {self.stages}")
        start, *later = stage_starts_s
        restarts = [Restart(start, self.weights.start, opens_stage=True)]
        restarts += [Restart(at, self.weights.stages / (self.stages - 1), opens_stage=True) for at in later]
        restarts += self._timed(start)
        return tuple(sorted((r for r in restarts if r.at_s <= now_s), key=lambda r: r.at_s))

    def _timed(self, start_s: float) -> list[Restart]:
        every_s = max(EVERY_S, self.planned_s / MOST_TIMED)
        count = min(int(self.planned_s // every_s), MOST_TIMED)
        weight = self.weights.timed / count if count else 0.0
        return [Restart(start_s + i * every_s, weight, opens_stage=False) for i in range(1, count + 1)]


def restart_schedule(stage_durations_s: Sequence[float], weights: RestartWeights = USUAL_WEIGHTS) -> RestartSchedule:
    """The schedule of a plan, from the planned durations of its stages. A ValueError unless all are above 0."""
    if not stage_durations_s or not all(0 < s < math.inf for s in stage_durations_s):
        raise ValueError(f"a plan has stages of more than 0 s, not {list(stage_durations_s)}")
    return RestartSchedule(len(stage_durations_s), math.fsum(stage_durations_s), weights)
