"""Rare errors: windows of two cohorts, a minute each, and when a judge rolls back over them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.judge.shapes import ERRORS, TIMES, label_of
from judge.policies.kayenta.policy import Kayenta
from judge.policies.port import Policy
from judge.policies.sequential import Sequential
from judge.trial import Trial, TrialWindow
from schemas.policies import USUAL_REVISION
from schemas.windows import BUCKETS, Bucket, Cell

CALLS, RATE, MINUTES, SLOT_MS = 20, 0.005, 60, 60_000


@dataclass(frozen=True, slots=True)
class Caught:
    """How often a judge rolled back, and after how many minutes."""

    runs: int
    minutes: tuple[int, ...]

    @property
    def share(self) -> float:
        """Of the runs."""
        return len(self.minutes) / self.runs

    def by(self, quantile: float) -> int | None:
        """The minute by which so many of all runs were rolled back; None if not so many were."""
        place = int(np.ceil(quantile * self.runs))
        return sorted(self.minutes)[place - 1] if place <= len(self.minutes) else None


def windows(
    chance: np.random.Generator, factor: float, minutes: int, clump: int = 1, calls: int = CALLS
) -> list[TrialWindow]:
    """One a minute; a session makes `clump` calls, which all fail or none."""
    return [
        ERRORS.window(
            (i + 1) * SLOT_MS,
            SLOT_MS,
            [cell(chance, "v1", RATE, clump, calls), cell(chance, "v2", RATE * factor, clump, calls)],
        )
        for i in range(minutes)
    ]


def cell(chance: np.random.Generator, version: str, rate: float, clump: int = 1, calls: int = CALLS) -> Cell:
    """A minute of a cohort."""
    sessions = calls // clump
    places, failed = (
        np.repeat(drawn, clump) for drawn in (chance.integers(0, BUCKETS, sessions), chance.random(sessions) < rate)
    )
    many, bad = (np.bincount(found, minlength=BUCKETS) for found in (places, places[failed]))
    return Cell(
        version=version,
        label=label_of(version),
        outcomes={"ok": int(calls - failed.sum()), "server_error": int(failed.sum())},
        new_sessions=sessions,
        buckets={int(i): Bucket(n=int(many[i]), err=int(bad[i])) for i in np.flatnonzero(many)},
    )


def rolled_back(
    policy: Policy, told: Sequence[TrialWindow], trial: Trial = ERRORS, *, every_window: bool
) -> int | None:
    """After how many windows; None if not."""
    comparison = policy.begin(trial)
    for number, window in enumerate(told, start=1):
        comparison.add(window)
        if (every_window or number == len(told)) and comparison.assess((), TIMES).breached_by is not None:
            return number
    return None


def measure(factor: float, minutes: int, runs: int, clump: int = 1) -> tuple[Caught, Caught]:
    """Ours, at every window, and Kayenta's judge, once: over the same windows."""
    every = [_told(seed, factor, minutes, clump) for seed in range(runs)]
    ours = [rolled_back(Sequential(USUAL_REVISION), told, every_window=True) for told in every]
    theirs = [rolled_back(Kayenta(), told, every_window=False) for told in every]
    return _caught(ours), _caught(theirs)


def by_ours(factor: float, runs: int, trial: Trial = ERRORS, clump: int = 1, calls: int = CALLS) -> Caught:
    """Ours alone, over an hour: by another plan, or with other traffic."""
    return _caught(
        [
            rolled_back(
                Sequential(USUAL_REVISION), _told(seed, factor, MINUTES, clump, calls), trial, every_window=True
            )
            for seed in range(runs)
        ]
    )


def _told(seed: int, factor: float, minutes: int, clump: int, calls: int = CALLS) -> list[TrialWindow]:
    return windows(np.random.default_rng([seed, round(100 * factor), minutes]), factor, minutes, clump, calls)


def _caught(numbers: Sequence[int | None]) -> Caught:
    return Caught(len(numbers), tuple(number for number in numbers if number is not None))
