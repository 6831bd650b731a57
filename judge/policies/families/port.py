"""The port of a check: what it counts, and how clustered that is. One module a family."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.decisions import CheckKind, Count
from schemas.labels import Kind

Whole = NDArray[np.int64]

RowKey = tuple[int, Kind, int]
"""Stage of birth, kind, and a number where one stratum has several rows in a window."""

Rows = Mapping[RowKey, Whole]
"""Shape (columns, 4) each: counted and bad of the canary, counted and bad of the baseline."""

Totals = tuple[int, int, int, int]
"""The same of all columns together."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is tested: ``p_C <= ratio * p_B + margin``, in each column by itself."""

    check: str
    kind: CheckKind = "rate"
    worse: Literal["higher", "lower"] = "higher"
    """Lower is worse: families count the arms exchanged."""
    margin: float = 0.0
    ratio: float = 1.0
    columns: int = 1
    tail: float | None = None
    """Of a latency: the share of the baseline's requests that are above its quantile."""
    proves: bool = False
    """A gate asks for the proof of its margin."""
    decides: bool = True
    """No: people are shown it, and nothing follows."""
    waits: bool = False
    """For final windows: what still fills says nothing yet."""
    unit: float = 1.0
    """What one counted bad is in the numbers that people read: a millionth, of a mean."""
    scale: float = 1.0
    """No difference is larger, in counted bad per counted."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How clustered the bad ones are, and whether enough sessions had them for a breach to be believed."""

    pooled: float = 1.0
    believed: bool = False
    parts: tuple[float, ...] | None = None
    """Of each member in a check of many, fixed before they have data; None: equal ones."""
    proof: float | None = None
    """What the proof of a margin is tempered by; None: the same."""
    full: bool = False
    """Its sums no longer fit into 64 bits: what comes now is not counted, so it says nothing any more, for nobody."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What people read of a check beside the evidence."""

    baseline: Count
    canary: Count
    threshold: float | None = None
    """Of a latency, ms: in the baseline, and in the canary."""
    canary_threshold: float | None = None
    culprits: tuple[str, ...] = ()


Teller = Callable[[Totals, Sequence[float]], Figures]
"""From what all columns counted together, and the evidence against each where some could be named."""


class Timed(Protocol):
    """A window, or anything else that was counted between two moments."""

    @property
    def start_ms(self) -> int:
        """Where it begins, Unix milliseconds."""

    @property
    def end_ms(self) -> int:
        """Where it ends."""


LARGEST_SUM = np.iinfo(np.int64).max
"""A sum beyond stays there."""


def added(sums: Whole, more: Whole) -> Whole:
    """Nothing negative, of any shape: both together, or :data:`LARGEST_SUM`."""
    found: Whole = sums + more
    return np.where(found < 0, LARGEST_SUM, found) if found.size and np.minimum.reduce(found, axis=None) < 0 else found


W = TypeVar("W", bound=Timed)
W_contra = TypeVar("W_contra", bound=Timed, contravariant=True)


class Family(Protocol[W_contra]):
    """One check as a fold of final windows, in order."""

    @property
    def claim(self) -> Claim:
        """What it tests."""

    def fold(self, window: W_contra) -> Rows:
        """The rows of the next final window. What it learns from this window may change later rows only."""

    def peek(self, window: W_contra) -> Rows:
        """The rows of a window that still fills, without learning; not asked of a check that waits for finals."""

    def spread(self, still_open: Sequence[W_contra] = ()) -> Spread:
        """Over all windows so far."""

    def teller(self) -> Teller:
        """Tells people of what was counted so far, also when more has been counted since."""
