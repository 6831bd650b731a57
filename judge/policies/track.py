"""The rows of final windows, and the evidence folded from them window by window, whenever stages turn out to have begun.

Windows, the ledger and acknowledgements come on different topics, in any order: a stage may prove to have begun before
windows that were folded already. So the few whole numbers of each window that the evidence is made of are kept, with
snapshots of the fold; a boundary that appears inside what was folded takes it back to the snapshot before. Windows are
folded one at a time, in order: however they came, the same sums are formed in the same order, to the last bit.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray

from judge.policies.families.port import Rows, Spread, Whole, added
from judge.policies.port import StageTimes
from judge.stats.evidence import Floats
from judge.stats.lines import Indices, Lines
from judge.stats.process import Layout, Processes
from judge.stats.restarts import Restart, RestartSchedule
from schemas.labels import Kind

ENTER_SUSPICION, LEAVE_SUSPICION = math.log(3.0), math.log(1.0)
"""ln E from which a stage is extended rather than passed unproven, and down to which it goes on being."""

UNBORN: frozenset[Kind] = frozenset({"principal", "cookie"})
"""Kinds that are not born in a stage but moved into it."""
WARM_UP_MS = 120_000.0
"""So long after a stage began the moved ones meet cold caches, in both cohorts: not judged, unless a plan says otherwise."""

_SNAPSHOT_EVERY = 256
_NARROW = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where the evidence starts afresh: windows that end at `at_ms` or before are not part of what follows."""

    at_ms: float
    restart: Restart
    stage: bool
    """A stage began here, for the first time."""

    @classmethod
    def all(cls, schedule: RestartSchedule, times: StageTimes) -> "tuple[Boundary, ...]":
        """Of a rollout that stands where `times` say, later ones too; in order of time."""
        if not times.started_ms:
            return ()
        begun = schedule.begun([ms / 1000 for ms in times.started_ms], math.inf)
        found = [cls(r.at_s * 1000, r, stage=r.opens_stage) for r in begun]
        if times.proof_ms is not None and times.proof_ms != times.started_ms[-1]:
            found.append(cls(times.proof_ms, Restart(times.proof_ms / 1000, 0.0, opens_stage=True), stage=False))
        return tuple(sorted(found, key=lambda b: b.at_ms))


@dataclass(frozen=True, slots=True, eq=False)
class SpreadOfChecks:
    """Of every check side by side, shape (checks,)."""

    pooled: Floats
    believed: NDArray[np.bool_]
    proof: Floats
    """What the proof of a margin is tempered by."""
    parts: Floats
    """Shape (columns,): of the members of each check, summing to 1."""
    full: tuple[int, ...] = ()
    """The places of those that can no longer be judged."""

    @classmethod
    def of(cls, spreads: Sequence[Spread], columns: Sequence[int]) -> "SpreadOfChecks":
        """One after another."""
        parts = [s.parts or (1 / n,) * n for s, n in zip(spreads, columns, strict=True)]
        flat = _array(tuple(part for each in parts for part in each))
        full = tuple(place for place, spread in enumerate(spreads) if spread.full)
        pooled, believed = np.array([s.pooled for s in spreads]), np.array([s.believed for s in spreads], bool)
        proof = np.array([s.pooled if s.proof is None else s.proof for s in spreads])
        return cls(pooled, believed, proof, flat, full)

    def believable(self, log_e: Floats) -> Floats:
        """Evidence against the canary, at most 0 where too few sessions bear it."""
        found: Floats = np.where(self.believed, log_e, np.minimum(log_e, 0.0))
        return found


@lru_cache(maxsize=64)
def _array(parts: tuple[float, ...]) -> Floats:
    """The same ones for almost every window."""
    found = np.array(parts)
    found.flags.writeable = False
    return found


@dataclass(frozen=True, slots=True)
class Since:
    """A restart, and what had been counted by then."""

    at_ms: float
    counts: Whole
    """Shape (columns, 4)."""


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """The fold after some windows. A value."""

    processes: Processes
    counts: Whole
    """Since the rollout began, shape (columns, 4)."""
    counts_before_proof: Whole
    """What of it the stage's proof does not rest on."""
    since: tuple[Since, ...] = ()
    """One a restart of the mixture."""
    met: tuple[Boundary, ...] = ()
    suspicious: bool = False
    warm_ms: float = -math.inf
    """Until then kinds without a birth are not judged."""
    warm_up_ms: float = WARM_UP_MS

    def meet(self, boundaries: Sequence[Boundary], before_ms: float) -> "Standing":
        """Start afresh at each boundary before that time that was not met yet."""
        standing = self
        for boundary in boundaries[len(self.met) :]:
            if boundary.at_ms >= before_ms:
                break
            standing = standing._restart(boundary)
        return standing

    def _restart(self, boundary: Boundary) -> "Standing":
        since = (*self.since, Since(boundary.at_ms, self.counts)) if boundary.restart.weight else self.since
        return replace(
            self,
            processes=self.processes.restart(boundary.restart),
            counts_before_proof=self.counts if boundary.restart.opens_stage else self.counts_before_proof,
            since=since,
            met=(*self.met, boundary),
            warm_ms=boundary.at_ms + self.warm_up_ms if boundary.stage else self.warm_ms,
        )

    def add(self, start_ms: float, kinds: Sequence[Kind], rows: Whole) -> "Standing":
        """One window: shape (rows, columns, 4)."""
        rows = self.judged(start_ms, kinds, rows)
        if not len(rows):
            return self
        return replace(
            self,
            processes=self.processes.add(rows[..., :2], rows[..., 2:]),
            counts=reduce(added, rows, self.counts),
        )

    def look_ahead(self, start_ms: float, kinds: Sequence[Kind], rows: Whole) -> "Standing":
        """A window that still fills: like :meth:`add`, but what might speak for the canary is left as it was."""
        rows = self.judged(start_ms, kinds, rows)
        if not len(rows):
            return self
        processes = self.processes.look_ahead(rows[..., :2], rows[..., 2:])
        return replace(self, processes=processes, counts=reduce(added, rows, self.counts))

    def of(self, columns: Indices, layout: Layout) -> "Standing":
        """Some of the columns, as the checks of `layout`."""
        return replace(
            self,
            processes=self.processes.of(columns, layout),
            counts=self.counts[columns],
            counts_before_proof=self.counts_before_proof[columns],
            since=tuple(Since(since.at_ms, since.counts[columns]) for since in self.since),
        )

    def judged(self, start_ms: float, kinds: Sequence[Kind], rows: Whole) -> Whole:
        """The rows of a window that count. Before the rollout began none does."""
        if not self.met:
            return rows[:0]
        if start_ms < self.warm_ms:
            return rows[[i for i, kind in enumerate(kinds) if kind not in UNBORN]]
        return rows


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    start_ms: float
    end_ms: float
    kinds: tuple[Kind, ...]
    rows: NDArray[np.int32 | np.int64]
    spread: SpreadOfChecks


@dataclass(slots=True, eq=False)
class Track:
    """All windows of a rollout for the checks of one layout. Append in order of time, then ask where it stands."""

    layout: Layout
    margins: Floats
    """Shape (checks,): what the plan allows."""
    decides: NDArray[np.bool_]
    """Shape (checks,)."""
    warm_up_ms: float = WARM_UP_MS
    bets: Floats | None = None
    """See :class:`judge.policies.revisions.Constants`."""
    _windows: list[_Window] = field(default_factory=list)
    _folded: list[tuple[int, Standing]] = field(default_factory=list)
    """(windows folded, the standing then), ascending: the newest, and snapshots before it."""
    _evidence: tuple[Processes, SpreadOfChecks, Lines, Floats] | None = None
    """What was asked for last, and what speaks against the canary there: the fold's last word is a look's first."""

    @property
    def windows(self) -> int:
        """How many were appended."""
        return len(self._windows)

    @property
    def end_ms(self) -> float:
        """Of the newest window."""
        return self._windows[-1].end_ms if self._windows else -math.inf

    @property
    def spread(self) -> SpreadOfChecks | None:
        """Over all windows; None without any."""
        return self._windows[-1].spread if self._windows else None

    def append(self, start_ms: float, end_ms: float, rows: Rows, spread: SpreadOfChecks) -> None:
        """The next final window. `spread` is over all windows up to this one."""
        kinds, stacked = self.stack(rows)
        narrow = stacked.astype(np.int32) if stacked.size and stacked.max() <= _NARROW else stacked
        end_ms = max(end_ms, self.end_ms)
        self._windows.append(_Window(start_ms, end_ms, kinds, narrow, spread))

    def stack(self, rows: Rows) -> tuple[tuple[Kind, ...], Whole]:
        """Rows in a fixed order, shape (rows, columns, 4)."""
        keys = sorted(rows)
        columns = len(self.layout.ratio)
        stacked = np.stack([rows[key] for key in keys]) if keys else np.zeros((0, columns, 4), np.int64)
        return tuple(kind for _, kind, _ in keys), stacked

    def standing(self, boundaries: Sequence[Boundary]) -> Standing:
        """Of all windows, with the boundaries that lie between them met."""
        if not self._windows:
            return self._nothing()
        done, standing = self._newest_that_holds(boundaries)
        for index in range(done, len(self._windows)):
            standing = self._fold(standing, self._windows[index], boundaries)
            if (index + 1) % _SNAPSHOT_EVERY == 0:
                self._folded.append((index + 1, standing))
        if not self._folded or self._folded[-1][0] < len(self._windows):
            self._replace_newest(standing)
        return standing

    def against(self, standing: Standing, spread: SpreadOfChecks) -> tuple[Lines, Floats]:
        """What speaks against the canary, tempered by `spread`, and ln E of it at the margins, shape (checks,)."""
        known = self._evidence
        if known is None or known[0] is not standing.processes or known[1] is not spread:
            lines = standing.processes.against(spread.pooled, spread.parts)
            known = self._evidence = standing.processes, spread, lines, lines.at(self.margins)
        return known[2:]

    def _newest_that_holds(self, boundaries: Sequence[Boundary]) -> tuple[int, Standing]:
        while self._folded:
            done, standing = self._folded[-1]
            if self._holds(done, standing, boundaries):
                return done, standing
            self._folded.pop()
        return 0, self._nothing()

    def _nothing(self) -> Standing:
        nothing = np.zeros((len(self.layout.ratio), 4), np.int64)
        return Standing(Processes.empty(self.layout, self.bets), nothing, nothing, warm_up_ms=self.warm_up_ms)

    def _holds(self, done: int, standing: Standing, boundaries: Sequence[Boundary]) -> bool:
        """Whether the boundaries that it met are those that lie before the end of its newest window."""
        passed = bisect_left(boundaries, self._windows[done - 1].end_ms, key=lambda b: b.at_ms)
        return standing.met == tuple(boundaries[:passed])

    def _replace_newest(self, standing: Standing) -> None:
        """Keep snapshots, and one that is newer than they are."""
        if self._folded and self._folded[-1][0] % _SNAPSHOT_EVERY:
            self._folded.pop()
        self._folded.append((len(self._windows), standing))

    def _fold(self, standing: Standing, window: _Window, boundaries: Sequence[Boundary]) -> Standing:
        standing = standing.meet(boundaries, window.end_ms)
        after = standing.add(window.start_ms, window.kinds, window.rows.astype(np.int64))
        if after is standing:
            return standing
        log_e = window.spread.believable(self.against(after, window.spread)[1])
        limit = LEAVE_SUSPICION if standing.suspicious else ENTER_SUSPICION
        return replace(after, suspicious=bool((log_e[self.decides] >= limit).any()))
