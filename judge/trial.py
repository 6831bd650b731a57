"""Who is compared with whom in one rollout, and a window of it as policies read it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from schemas.decisions import Opening
from schemas.labels import Kind, Label
from schemas.plan import Plan
from schemas.windows import BUCKETS, Cell

Cohort = Literal["baseline", "canary"]
COHORTS: tuple[Cohort, ...] = get_args(Cohort)

Whole = NDArray[np.int64]

_COLUMNS = attrgetter("n", "err", "tools", "tf", "lat")


@dataclass(frozen=True, slots=True, order=True)
class Stratum:
    """Sessions that may be compared: born in the same stage, of the same kind."""

    stage: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class CohortCells:
    """One cohort of a stratum in one window: a cell of each telemetry partition that counted it."""

    cells: tuple[Cell, ...]
    buckets: Whole
    """Shape (64, 5), over all cells: requests, errors, tool calls, failed tool calls, latencies of each session bucket."""

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> Self:
        """What the cells say together."""
        kept = tuple(cells)
        table = np.zeros((BUCKETS, 5), np.int64)
        for cell in kept:
            numbers = np.fromiter(chain.from_iterable(map(_COLUMNS, cell.buckets.values())), np.int64)
            table[np.fromiter(cell.buckets, np.intp)] += numbers.reshape(-1, 5)
        return cls(kept, table)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both cohorts of a stratum."""

    baseline: CohortCells
    canary: CohortCells

    def __getitem__(self, cohort: Cohort) -> CohortCells:
        return self.baseline if cohort == "baseline" else self.canary


@dataclass(frozen=True)
class TrialWindow:
    """One window of a rollout, all partitions together: only cells that the proxies really assigned."""

    end_ms: int
    window_ms: int
    strata: Mapping[Stratum, Pair]
    """Ascending."""

    @property
    def start_ms(self) -> int:
        """Where it begins."""
        return self.end_ms - self.window_ms

    def cells(self, cohort: Cohort) -> Iterable[Cell]:
        """All of a cohort's."""
        return (cell for pair in self.strata.values() for cell in pair[cohort].cells)

    def buckets(self, cohort: Cohort) -> Whole:
        """Shape (64, 5): of all strata. Few sessions live in more than one, and those fail together anyway."""
        return self._tables[cohort]

    @cached_property
    def _tables(self) -> dict[Cohort, Whole]:
        nobody = np.zeros((BUCKETS, 5), np.int64)
        return {c: sum((pair[c].buckets for pair in self.strata.values()), start=nobody) for c in COHORTS}


@dataclass(frozen=True, slots=True)
class Trial:
    """What a `start` fixed: the plan, and which label belongs to which sessions. A foreign nonce is nobody's evidence."""

    rollout: int
    baseline: str
    plan: Plan
    labels: Mapping[tuple[Cohort, Stratum], str]
    """What proxies stamp on whose sessions."""
    places: Mapping[tuple[str, str], tuple[Stratum, Cohort]]
    """(assigned version, label) → whose sessions these are."""

    @classmethod
    def of(cls, opening: Opening, rollout: int, baseline: str) -> Self:
        """The trial that the rollout's `start` opened."""
        versions: dict[Cohort, str] = {"baseline": baseline, "canary": opening.plan.canary}
        labels = {
            (cohort, Stratum(stage, kind)): str(Label.make(opening.seed, rollout, stage, version, kind))
            for cohort, version in versions.items()
            for stage in range(1, len(opening.plan.stages) + 1)
            for kind in get_args(Kind)
        }
        places = {(versions[cohort], label): (stratum, cohort) for (cohort, stratum), label in labels.items()}
        return cls(rollout, baseline, opening.plan, labels, places)

    @property
    def canary(self) -> str:
        """The version on trial."""
        return self.plan.canary

    def version(self, cohort: Cohort) -> str:
        """The version of a cohort."""
        return self.canary if cohort == "canary" else self.baseline

    def window(self, end_ms: int, window_ms: int, cells: Iterable[Cell]) -> TrialWindow:
        """One window from the cells of all its partitions, in any order."""
        found: dict[Stratum, dict[Cohort, list[Cell]]] = {}
        for cell in cells:
            place = self.places.get((cell.version, cell.label))
            if place is not None:
                stratum, cohort = place
                found.setdefault(stratum, {"baseline": [], "canary": []})[cohort].append(cell)
        strata = {
            stratum: Pair(CohortCells.of(found[stratum]["baseline"]), CohortCells.of(found[stratum]["canary"]))
            for stratum in sorted(found)
        }
        return TrialWindow(end_ms, window_ms, strata)


def by_rollout(cells: Sequence[Cell]) -> dict[int, list[Cell]]:
    """The cells by the rollout of their label, without those that have none: they are shown and never judged."""
    found: dict[int, list[Cell]] = {}
    for cell in cells:
        label = Label.parse(cell.label)
        if label is not None:
            found.setdefault(label.rollout, []).append(cell)
    return found
