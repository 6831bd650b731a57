"""From cohort windows to the strata that a policy compares. Pure: what it gives depends on the windows alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from schemas.decisions import Opening
from schemas.labels import Kind, Label
from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, total
from schemas.windows import BUCKETS, Cell

Counts = NDArray[np.int64]
"""Whole numbers; the last axis is (counted, bad)."""

Pair = tuple[str, Label]
"""An assigned version and the label of its sessions."""


@dataclass(frozen=True, slots=True)
class Strata:
    """One row a (window, stage of birth, kind): only sessions born in the same stage are ever compared."""

    window_end_ms: NDArray[np.int64]
    """Shape (rows,), ascending."""
    baseline: Counts
    """Shape (rows, 2)."""
    canary: Counts
    """Shape (rows, 2)."""
    baseline_buckets: Counts
    """Shape (64, 2): per session bucket, over all rows."""
    canary_buckets: Counts
    """Shape (64, 2)."""

    @classmethod
    def empty(cls) -> "Strata":
        """No data."""
        none = np.zeros((0, 2), np.int64)
        buckets = np.zeros((BUCKETS, 2), np.int64)
        return cls(np.zeros(0, np.int64), none, none, buckets, buckets)

    def __add__(self, other: "Strata") -> "Strata":
        return Strata(
            np.concatenate((self.window_end_ms, other.window_end_ms)),
            np.concatenate((self.baseline, other.baseline)),
            np.concatenate((self.canary, other.canary)),
            self.baseline_buckets + other.baseline_buckets,
            self.canary_buckets + other.canary_buckets,
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a running rollout at a cut."""

    final: Strata
    """Windows that can no longer change, in order. Only these may raise a share."""
    open: Strata
    """Windows still filling. They may only bring a rollback forward."""
    baseline_sessions: int
    """Sessions born in this rollout, in final windows."""
    canary_sessions: int
    baseline_sessions_of_stage: int
    """Sessions born in the current stage, in final windows."""
    canary_sessions_of_stage: int

    def last_request_ms(self, cohort: Literal["baseline", "canary"]) -> int | None:
        """End of the newest final window in which the cohort was counted, Unix milliseconds; None without any."""
        counts = self.final.baseline if cohort == "baseline" else self.final.canary
        ends = self.final.window_end_ms[counts[:, 0] > 0]
        return int(ends[-1]) if len(ends) else None


@dataclass(slots=True)
class _Window:
    end_ms: int
    cells: dict[Pair, Counts] = field(default_factory=dict)


@dataclass(slots=True)
class RolloutWindows:
    """All labelled cells of one rollout, window by window; windows are added in order and never change."""

    windows: list[_Window] = field(default_factory=list)
    buckets: dict[Pair, Counts] = field(default_factory=dict)
    sessions: dict[Pair, int] = field(default_factory=dict)

    def add(self, end_ms: int, cells: Iterable[tuple[Label, Cell]]) -> None:
        """Add what one source partition says about one window; the newest window or the one last added to."""
        if not self.windows or self.windows[-1].end_ms < end_ms:
            self.windows.append(_Window(end_ms))
        window = self.windows[-1]
        for label, cell in cells:
            key = cell.version, label
            window.cells[key] = window.cells.get(key, 0) + _counts(cell)
            self.buckets[key] = self.buckets.get(key, 0) + _buckets(cell)
            self.sessions[key] = self.sessions.get(key, 0) + cell.new_sessions

    def strata(self, opening: Opening, baseline: str, rollout: int) -> Strata:
        """Rows of the pairs that this rollout really assigned: a label with a foreign nonce is nobody's evidence."""
        canary = opening.plan.canary
        genuine = _genuine(opening, rollout, (baseline, canary))
        rows = [row for window in self.windows for row in _rows(window, baseline, canary, genuine)]
        if not rows:
            return Strata.empty()
        ends, base, can = zip(*rows, strict=True)
        return Strata(
            np.array(ends, np.int64),
            np.array(base, np.int64),
            np.array(can, np.int64),
            self._total_buckets(baseline, genuine),
            self._total_buckets(canary, genuine),
        )

    def _total_buckets(self, version: str, genuine: frozenset[Pair]) -> Counts:
        mine = [buckets for pair, buckets in self.buckets.items() if pair in genuine and pair[0] == version]
        return np.sum(mine, axis=0) if mine else np.zeros((BUCKETS, 2), np.int64)

    def new_sessions(self, opening: Opening, rollout: int, version: str, stage: int | None = None) -> int:
        """Sessions that this rollout really assigned to `version`, in one stage or in all."""
        genuine = _genuine(opening, rollout, (version,))
        return sum(n for pair, n in self.sessions.items() if pair in genuine and stage in (None, pair[1].stage))


def labelled(cells: Sequence[Cell]) -> dict[int, list[tuple[Label, Cell]]]:
    """The judged cells by the rollout of their label; everything else is shown and never judged."""
    found: dict[int, list[tuple[Label, Cell]]] = {}
    for cell in cells:
        label = Label.parse(cell.label)
        if label is not None:
            found.setdefault(label.rollout, []).append((label, cell))
    return found


def _counts(cell: Cell) -> Counts:
    return np.array([total(cell.outcomes, ERROR_COUNTED), total(cell.outcomes, ERROR_BAD)], np.int64)


def _buckets(cell: Cell) -> Counts:
    table = np.zeros((BUCKETS, 2), np.int64)
    for index, bucket in cell.buckets.items():
        table[index] = bucket.n, bucket.err
    return table


def _genuine(opening: Opening, rollout: int, versions: Sequence[str]) -> frozenset[Pair]:
    """Every pair that the proxies may have assigned in this rollout."""
    stages, kinds = range(1, len(opening.plan.stages) + 1), get_args(Kind)
    return frozenset(
        (version, Label.make(opening.seed, rollout, stage, version, kind))
        for version in versions
        for stage in stages
        for kind in kinds
    )


def _rows(
    window: _Window, baseline: str, canary: str, genuine: frozenset[Pair]
) -> Iterable[tuple[int, Sequence[int], Sequence[int]]]:
    strata: dict[tuple[int, str], dict[str, Counts]] = {}
    for pair, counts in window.cells.items():
        if pair in genuine:
            version, label = pair
            strata.setdefault((label.stage, label.kind), {})[version] = counts
    none = np.zeros(2, np.int64)
    for key in sorted(strata):
        cohorts = strata[key]
        yield window.end_ms, cohorts.get(baseline, none).tolist(), cohorts.get(canary, none).tolist()
