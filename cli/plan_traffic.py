"""What a service's traffic is like: assumed, said by a person, or measured from its cohort windows. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from judge.stats.dispersion import cohort_dispersion
from judge.stats.histogram import dense, quantile
from judge.stats.planner import Arrivals
from schemas.labels import Label
from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, total
from schemas.window_book import WindowBook
from schemas.windows import BUCKETS, SESSION_AGES_S, Cell, CohortWindow

FEWEST_REQUESTS = 200
"""Of the baseline, below which nothing is taken for measured but the traffic itself."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Traffic:
    """Numbers that a plan's outlook rests on. Defaults were measured nowhere: they are cautious guesses."""

    sessions_per_minute: float
    calls_per_session: float
    session_s: float = 150.0
    """How long a session lasts, from its first request to its last."""
    error_rate: float = 0.005
    tool_failure_rate: float = 0.02
    tool_share: float = 0.8
    """Tool calls among all requests."""
    error_dispersion: float = 3.0
    tool_dispersion: float = 3.0
    latency_dispersion: float = 1.5
    latency_spread: float = 0.7
    """Sigma of the lognormal that the slow end of the latency is taken for."""
    measured: frozenset[str] = frozenset()
    """Which of these were."""

    @property
    def arrivals(self) -> Arrivals:
        """Of all requests."""
        return Arrivals(self.sessions_per_minute / 60, self.calls_per_session, self.session_s)

    @property
    def tool_arrivals(self) -> Arrivals:
        """Of tool calls."""
        return Arrivals(self.sessions_per_minute / 60, self.calls_per_session * self.tool_share, self.session_s)

    def slower_than(self, tail: float, factor: float) -> float:
        """The share of requests slower than `factor` times the latency that a share of `tail` exceeds."""
        return _NORMAL.cdf(_NORMAL.inv_cdf(tail) - math.log(factor) / self.latency_spread)


def measured_traffic(windows: Iterable[CohortWindow], baseline: str | None, rollout: int | None) -> Traffic | None:
    """From the final windows of one service: of `rollout`'s sessions, or of all. None without a session.

    Rates and dispersions are those of `baseline`, by default the version with most requests.
    """
    book = WindowBook()
    for window in windows:
        book.read(window)
    finals = book.take_final()
    kept = [(w, [c for c in w.cells if rollout is None or _is_of(c, rollout)]) for w in finals]
    heard = [w for w, cells in kept if cells]
    every = [cell for _, cells in kept for cell in cells]
    sessions = sum(cell.new_sessions for cell in every)
    if not sessions:
        return None
    minutes = (heard[-1].window_end - heard[0].window_start) / 60_000
    requests = _requests(every)
    found = Traffic(sessions / minutes, requests / sessions, measured=frozenset({"traffic"}))
    return _with_rates(found, [cell for cell in every if cell.version == (baseline or _busiest(every))])


def _is_of(cell: Cell, rollout: int) -> bool:
    label = Label.parse(cell.label)
    return label is not None and label.rollout == rollout


def _requests(cells: Iterable[Cell]) -> int:
    return sum(total(cell.outcomes, ERROR_COUNTED) for cell in cells)


def _busiest(cells: list[Cell]) -> str:
    counts: dict[str, int] = {}
    for cell in cells:
        counts[cell.version] = counts.get(cell.version, 0) + _requests([cell])
    return max(counts, key=lambda version: counts[version])


def _with_rates(traffic: Traffic, cells: list[Cell]) -> Traffic:
    requests = _requests(cells)
    if requests < FEWEST_REQUESTS:
        return traffic
    table = np.zeros((BUCKETS, 4), np.int64)
    for cell in cells:
        for index, b in cell.buckets.items():
            table[index] += (b.n, b.err, b.tools, b.tf)
    found: Mapping[str, float | None] = {
        "error_rate": sum(total(cell.outcomes, ERROR_BAD) for cell in cells) / requests,
        "error_dispersion": _dispersion(table[:, :2]),
        "tool_share": float(table[:, 2].sum() / table[:, 0].sum()) if table[:, 0].any() else None,
        "tool_failure_rate": float(table[:, 3].sum() / table[:, 2].sum()) if table[:, 2].any() else None,
        "tool_dispersion": _dispersion(table[:, 2:]),
        "latency_spread": _spread(cells),
        "session_s": _session_s(cells),
    }
    known = {name: value for name, value in found.items() if value}
    return replace(traffic, **known, measured=traffic.measured | known.keys())


def _dispersion(table: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> float | None:
    """None where too few were bad to say how they clump."""
    return cohort_dispersion(table) if np.count_nonzero(table[:, 1]) >= 10 else None  # noqa: PLR2004 - buckets


def _spread(cells: list[Cell]) -> float | None:
    histogram = dense(cell.histogram for cell in cells)
    p90, p99 = (quantile(histogram, q) for q in (0.90, 0.99))
    if p90 is None or p99 is None or p99 <= p90:
        return None
    return math.log(p99 / p90) / (_NORMAL.inv_cdf(0.99) - _NORMAL.inv_cdf(0.90))


def _session_s(cells: list[Cell]) -> float | None:
    """The area under the share of sessions that reach an age."""
    reached = np.zeros(len(SESSION_AGES_S))
    for cell in cells:
        for ages in cell.lives.values():
            for index, n in ages.items():
                reached[index] += n
    if not reached[0]:
        return None
    alive = np.minimum(reached / reached[0], 1.0)
    return float(((alive[1:] + alive[:-1]) / 2 * np.diff(SESSION_AGES_S)).sum())
